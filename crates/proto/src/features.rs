//! What both ends of a session do beyond frp's protocol: each says it in its half of the login, and both ends
//! of a direct path in the datagrams by which they find each other.
//!
//! frp ignores keys that it does not know, so what is not listed there is not done. A name in the
//! list that is not known here means nothing.

/// An end of input on a work or visitor connection is the end of that direction only. frp's own
/// programs close both directions at their first end, and say no more by it on the mux than this.
pub const HALF_CLOSE: &str = "half-close";

/// A stream of a direct path begins with a byte that means nothing. A stream of QUIC is not seen by its other end
/// before a byte of it comes, so a service that speaks first would wait for its user, who waits for it.
pub const FIRST_BYTE: &str = "first-byte";

/// frps heeds the guards that a proxy asks for.
pub const GUARDS: &str = "guards";

/// Whether the server that said `features` does.
pub fn guards(features: &[String]) -> bool {
    features.iter().any(|feature| feature == GUARDS)
}

/// frps takes [`UserReport`](crate::msg::UserReport)s, and bans whom they are about.
pub const BANS: &str = "bans";

/// Whether the server that said `features` does.
pub fn bans(features: &[String]) -> bool {
    features.iter().any(|feature| feature == BANS)
}

/// A client that has it proves the token by [`crate::scram`] and begins to do so in its `Login`; a server that has it
/// asks for that.
pub const SCRAM: &str = "scram";

/// What this implementation does on a direct path.
pub fn ours_between_peers() -> Vec<String> {
    vec![HALF_CLOSE.to_owned(), FIRST_BYTE.to_owned()]
}

/// Whether the peer that said `features` begins streams with a byte, and takes those that do.
pub fn first_byte(features: &[String]) -> bool {
    features.iter().any(|feature| feature == FIRST_BYTE)
}

/// What this implementation does.
pub fn ours() -> Vec<String> {
    vec![HALF_CLOSE.to_owned(), GUARDS.to_owned(), BANS.to_owned()]
}

/// Whether the peer that said `features` proves the token by [`SCRAM`].
pub fn scram(features: &[String]) -> bool {
    features.iter().any(|feature| feature == SCRAM)
}

/// Whether the peer that said `features` half-closes.
pub fn half_closes(features: &[String]) -> bool {
    features.iter().any(|feature| feature == HALF_CLOSE)
}
