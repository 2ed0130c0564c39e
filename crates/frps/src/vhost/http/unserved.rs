//! What a user has sent of a request, as long as nobody serves that user: it counts as what strangers
//! hold, who all share one pool.

use std::io;
use std::sync::{Mutex, PoisonError};

use frp_http::limits::MAX_HTTP_HEAD;
use frp_net::stranger_bytes::PoolShare;
use frp_relay::counted::Count;
use frp_relay::limits::FIRST_MESSAGE_SHARE;

/// The bytes of a request that has begun. Shared by a user's connection and its requests.
#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    share: PoolShare,
    served: bool,
}

impl Unserved {
    /// A request is whole, which is what the bytes were.
    pub(super) fn heard(&self) {
        self.set(false);
    }

    /// The user is no stranger any more.
    pub(super) fn served(&self) {
        self.set(true);
    }

    fn set(&self, served: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.served |= served;
        state.bytes = 0;
        state.share = PoolShare::default();
    }
}

impl Count for Unserved {
    fn read(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.served {
            return Ok(());
        }
        // No more than that is kept of a head.
        let bytes = state.bytes.saturating_add(bytes).min(MAX_HTTP_HEAD);
        state.bytes = bytes;
        match state.share.hold(bytes, FIRST_MESSAGE_SHARE) {
            true => Ok(()),
            false => Err(io::Error::other("too much for a stranger now")),
        }
    }
}
