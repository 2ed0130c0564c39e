//! The thread that carries packets between the hosts of a network.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::flow::Flows;
use super::middlebox::Middlebox;
use super::packet::Packet;
use super::path::{Line, Path};

/// What can change while packets are on their way.
pub(super) struct Conditions {
    pub(super) path: Path,
    pub(super) device: Box<dyn Middlebox>,
}

/// Packets taken from one host before it is the next one's turn.
pub(super) const TURN: usize = 64;

/// Carries packets between `hosts`, until the other end of `stop` is dropped.
pub(super) fn run(
    hosts: &[(Ipv4Addr, File)],
    conditions: &Arc<Mutex<Conditions>>,
    stop: &PipeReader,
) {
    let mut flows = Flows::default();
    let mut line = Line::new(hosts.len());
    let mut buffer = vec![0; 65_536];
    loop {
        if wait(hosts.iter().map(|(_, file)| file), stop, line.next_due()) {
            return;
        }
        let now = Instant::now();
        {
            let mut conditions = conditions.lock().unwrap();
            let Conditions { path, device } = &mut *conditions;
            for (_, file) in hosts {
                for _ in 0..TURN {
                    let mut file = file;
                    let Ok(n) = file.read(&mut buffer) else { break };
                    take(
                        hosts,
                        &mut flows,
                        device.as_mut(),
                        now,
                        &buffer[..n],
                        |to, packet| {
                            line.send(path, now, to, packet);
                        },
                    );
                }
            }
        }
        while let Some((to, packet)) = line.arrived(now) {
            // A full queue of the host loses it, as elsewhere.
            let mut file = &hosts[to].1;
            let _ = file.write(&packet);
        }
    }
}

/// Judges one packet; `send` gets what is to go on, and to which host.
fn take(
    hosts: &[(Ipv4Addr, File)],
    flows: &mut Flows,
    device: &mut dyn Middlebox,
    now: Instant,
    bytes: &[u8],
    mut send: impl FnMut(usize, Vec<u8>),
) {
    // Others than IPv4 (the kernel's own IPv6 solicitations) lead nowhere.
    let Some(packet) = Packet::parse(bytes) else {
        return;
    };
    let host = |ip: Ipv4Addr| hosts.iter().position(|(other, _)| *other == ip);
    let mut said = Vec::new();
    if flows.passes(&packet, device, now, &mut said)
        && let Some(to) = host(*packet.to.ip())
    {
        send(to, bytes.to_vec());
    }
    for packet in said {
        let to = Packet::parse(&packet).and_then(|packet| host(*packet.to.ip()));
        if let Some(to) = to {
            send(to, packet);
        }
    }
}

/// Waits for packets, or until `due`. True: it is time to stop.
pub(super) fn wait<'a>(
    devices: impl Iterator<Item = &'a File>,
    stop: &'a PipeReader,
    due: Option<Instant>,
) -> bool {
    let mut polled: Vec<PollFd<'_>> = vec![PollFd::new(stop, PollFlags::IN)];
    polled.extend(devices.map(|file| PollFd::new(file, PollFlags::IN)));
    let timeout = due.map(|due| {
        let left = due.saturating_duration_since(Instant::now());
        Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => panic!("poll: {e}"),
    }
    !polled[0].revents().is_empty()
}
