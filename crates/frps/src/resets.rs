//! What does a server that was restarted still know, and no stranger? The secret that its resets are derived from,
//! by which clients of QUIC learn at once that it has forgotten them.
//!
//! Any stranger may have a reset of a connection of its own, so the token alone would not do: guesses at it
//! could be tried on that, far from here. With it goes what is beyond guessing: the private key of our
//! certificate, where one is configured, and what this machine is known by to itself alone. Whoever knows all of
//! it is on this machine, or has our configuration: they can end connections of our clients, and no more.

use std::fs;
use std::path::Path;

use frp_config::ServerConfig;
use frp_net::quic::ResetSecret;

/// Ids of a machine, the most lasting first, none of which is to be seen from outside: machine-id(5), D-Bus, and what
/// the kernel has until the next reboot, also for containers.
const MACHINE: [&str; 3] = [
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/proc/sys/kernel/random/boot_id",
];

/// Bytes of the shortest of these, in hexadecimal.
const SHORTEST_ID: usize = 32;

/// Of a server with these settings, before it is asked for anything.
pub(crate) fn secret(cfg: &ServerConfig) -> ResetSecret {
    let key_file = cfg.transport.tls.key_file.as_deref();
    let key = key_file.and_then(|path| fs::read(path).ok());
    let machine = machine();
    if key.is_none() && machine.is_none() {
        return ResetSecret::random();
    }
    ResetSecret::new(&[
        cfg.auth.token.expose().as_bytes(),
        &key.unwrap_or_default(),
        machine.unwrap_or_default().as_bytes(),
    ])
}

/// What this machine is known by to itself alone.
pub(crate) fn machine() -> Option<String> {
    MACHINE.iter().find_map(id)
}

fn id(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let id = text.trim();
    let is_one = id.len() >= SHORTEST_ID && id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    is_one.then(|| id.to_owned())
}
