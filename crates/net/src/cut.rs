//! How a peer has cut a stream off.

/// What is known of a peer that may still owe data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It has broken the stream off, or its connection is gone.
    Reset,
    /// It reads no more; what it sent was, or will be, ended.
    ReadsNoMore,
    /// It has ended its direction by a word that may mean both.
    Ended,
}
