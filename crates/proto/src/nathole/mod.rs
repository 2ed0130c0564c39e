//! Direct paths between two peers behind NATs (xtcp): what both ends and frps have to agree about beside
//! the messages ([`crate::msg`]: `NatHole…`).
//!
//! - [`feature`]: what the addresses that STUN servers saw say of a NAT
//! - [`datagram`]: the message that peers send each other through the hole
//! - [`reach`]: which addresses of a peer may be sent to at all

pub mod datagram;
pub mod feature;
pub mod reach;

crate::named! {
    /// Who begins; `role` of [`crate::msg::NatHoleDetectBehavior`] (frp `pkg/nathole/nathole.go`).
    pub enum Role {
        /// Sends, and waits for an answer.
        Sender = "sender",
        /// Opens its NAT by datagrams that need not arrive, and answers the first that comes.
        Receiver = "receiver",
    }
}

/// A new `transaction_id` or `sid`, from the time in Unix seconds and random bytes; frps tells a hole by it,
/// so it must not be guessable.
pub fn new_id(unix_seconds: i64, random: [u8; 8]) -> String {
    format!("{unix_seconds}{:016x}", u64::from_be_bytes(random))
}
