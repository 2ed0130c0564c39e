//! Ports that nobody else takes.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;

/// A port of 127.0.0.1 that is free now and that no other caller of this process was given.
///
/// It lies below the kernel's ephemeral range: a port from "bind 0" could be taken between here
/// and its use by any outgoing connection of the many that the tests make.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static START: OnceLock<(u32, u32)> = OnceLock::new();
    let (start, span) = *START.get_or_init(|| {
        let span = ephemeral_start().saturating_sub(FIRST).max(1000);
        // Two runs at once begin at different places.
        (std::process::id().wrapping_mul(131) % span, span)
    });
    for _ in 0..span {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % span;
        let Ok(port) = u16::try_from(FIRST + offset) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// `count` adjacent free ports; the first is returned.
#[must_use]
pub fn free_ports(count: u16) -> u16 {
    loop {
        let first = free_port();
        let rest = (1..count).all(|i| free_port() == first + i);
        if rest {
            return first;
        }
    }
}

fn ephemeral_start() -> u32 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}
