//! What both ends of a session do beyond frp's protocol: each says it in its half of the login.
//!
//! frp ignores keys that it does not know, so what is not listed there is not done. A name in the
//! list that is not known here means nothing.

/// An end of input on a work or visitor connection is the end of that direction only. frp's own
/// programs close both directions at their first end, and say no more by it on the mux than this.
pub const HALF_CLOSE: &str = "half-close";

/// What this implementation does.
pub fn ours() -> Vec<String> {
    vec![HALF_CLOSE.to_owned()]
}

/// Whether the peer that said `features` half-closes.
pub fn half_closes(features: &[String]) -> bool {
    features.iter().any(|feature| feature == HALF_CLOSE)
}
