//! The work connections that a client holds ready. They lie beside the session, not in its mailbox:
//! a user's connection never queues behind control messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::greet::Greeted;

/// frp keeps this many places beyond `poolCount` (frp `server/control.go`).
const EXTRA_PLACES: usize = 10;

/// Ready work connections, those who wait for one, and how many to ask the client for.
#[derive(Debug)]
pub(crate) struct Pool {
    /// How many the client keeps ready.
    pub(crate) count: usize,
    state: Mutex<State>,
    to_request: AtomicUsize,
    request: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Greeted>,
    waiting: VecDeque<oneshot::Sender<Greeted>>,
    /// Asked for and not arrived.
    outstanding: usize,
    closed: bool,
}

/// A work connection that found no place; it comes back so that its client can be told.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) conn: Greeted,
    pub(crate) why: &'static str,
}

/// Why a user got no work connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error("control is already closed")]
    Closed,
    #[error("timeout trying to get work connection")]
    TimedOut,
}

impl Pool {
    pub(crate) fn new(count: usize) -> Self {
        let state = State {
            outstanding: count,
            ..State::default()
        };
        Self {
            count,
            state: Mutex::new(state),
            to_request: AtomicUsize::new(count),
            request: Notify::new(),
        }
    }

    /// A work connection: a ready one, or the next that the client opens within `limit`. The
    /// client is asked for one more in its place.
    pub(crate) async fn take(&self, limit: Duration) -> Result<Greeted, TakeError> {
        let coming = {
            let mut state = self.lock();
            if state.closed {
                return Err(TakeError::Closed);
            }
            if let Some(conn) = state.ready.pop_front() {
                self.ask_for_another(&mut state);
                return Ok(conn);
            }
            let (tx, rx) = oneshot::channel();
            state.waiting.push_back(tx);
            self.ask(&mut state);
            rx
        };
        match tokio::time::timeout(limit, coming).await {
            Ok(Ok(conn)) => {
                self.ask_for_another(&mut self.lock());
                Ok(conn)
            }
            Ok(Err(_)) => Err(TakeError::Closed),
            Err(_) => {
                // What was asked for this user is not coming.
                let mut state = self.lock();
                state.outstanding = state.outstanding.saturating_sub(1);
                state.waiting.retain(|user| !user.is_closed());
                Err(TakeError::TimedOut)
            }
        }
    }

    /// Hands a new work connection to whoever waits longest, or keeps it ready.
    pub(crate) fn put(&self, mut conn: Greeted) -> Result<(), Box<Refused>> {
        let mut state = self.lock();
        if state.closed {
            let why = "client control is closing";
            return Err(Box::new(Refused { conn, why }));
        }
        state.outstanding = state.outstanding.saturating_sub(1);
        while let Some(user) = state.waiting.pop_front() {
            match user.send(conn) {
                Ok(()) => return Ok(()),
                Err(back) => conn = back,
            }
        }
        if state.ready.len() >= self.count + EXTRA_PLACES {
            let why = "work connection pool is full, discarding";
            return Err(Box::new(Refused { conn, why }));
        }
        state.ready.push_back(conn);
        Ok(())
    }

    /// Waits until the client is to be asked for work connections, and says for how many.
    pub(crate) async fn wanted(&self) -> usize {
        loop {
            match self.to_request.swap(0, Ordering::AcqRel) {
                0 => self.request.notified().await,
                n => return n,
            }
        }
    }

    /// Lets go of everything ready and of everybody who waits.
    pub(crate) fn close(&self) {
        let (ready, waiting) = {
            let mut state = self.lock();
            state.closed = true;
            (
                std::mem::take(&mut state.ready),
                std::mem::take(&mut state.waiting),
            )
        };
        drop((ready, waiting));
    }

    /// Asks for one more, as frp does after each user; but not for one that would find no place.
    fn ask_for_another(&self, state: &mut State) {
        let coming = state.outstanding.saturating_sub(state.waiting.len());
        if state.ready.len() + coming < self.count + EXTRA_PLACES {
            self.ask(state);
        }
    }

    fn ask(&self, state: &mut State) {
        state.outstanding += 1;
        self.to_request.fetch_add(1, Ordering::AcqRel);
        self.request.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use frp_net::listen::listen;
    use frp_net::msg_stream::MsgStream;
    use frp_net::stream::Stream;
    use frp_proto::wire::WireProtocol;
    use tokio::net::TcpStream;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn conn() -> Greeted {
        let listener = listen("127.0.0.1", 0).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        MsgStream::new(Stream::Tcp(stream), WireProtocol::V1, BytesMut::new())
    }

    #[tokio::test]
    async fn the_client_is_asked_for_its_pool_and_then_for_what_is_used() {
        let pool = Pool::new(2);
        assert_eq!(pool.wanted().await, 2);
        pool.put(conn().await).unwrap();
        pool.put(conn().await).unwrap();
        pool.take(LIMIT).await.unwrap();
        assert_eq!(pool.wanted().await, 1);
    }

    #[tokio::test]
    async fn a_user_who_waits_gets_the_next_one() {
        let pool = Pool::new(0);
        let (taken, ()) = tokio::join!(pool.take(LIMIT), async {
            assert_eq!(pool.wanted().await, 1);
            pool.put(conn().await).unwrap();
        });
        taken.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_asked_for_that_would_find_no_place() {
        let pool = Pool::new(1);
        let mut asked = pool.wanted().await;
        for _ in 0..100 {
            for _ in 0..asked {
                pool.put(conn().await).unwrap();
            }
            pool.take(LIMIT).await.unwrap();
            asked = pool.wanted().await;
        }
        assert!(pool.lock().ready.len() <= 1 + EXTRA_PLACES);
    }

    #[tokio::test]
    async fn the_end_of_the_pool_is_the_end_of_waiting() {
        let pool = Pool::new(0);
        let (taken, ()) = tokio::join!(pool.take(LIMIT), async {
            pool.wanted().await;
            pool.close();
        });
        assert!(matches!(taken, Err(TakeError::Closed)));
        assert!(matches!(pool.take(LIMIT).await, Err(TakeError::Closed)));
        assert!(pool.put(conn().await).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_waits_only_so_long() {
        let pool = Pool::new(0);
        assert!(matches!(pool.take(LIMIT).await, Err(TakeError::TimedOut)));
        assert!(
            pool.lock().waiting.is_empty(),
            "nothing is kept of the user"
        );
    }
}
