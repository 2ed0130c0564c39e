//! The work connections that a client holds ready. They lie beside the session, not in its mailbox:
//! a user's connection never queues behind control messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::admission::guard::Guard;
use crate::caller::Greeted;
use crate::counts::PoolCounts;

/// frp keeps this many places beyond `poolCount` (frp `server/control.go`).
const EXTRA_PLACES: usize = 10;

/// A work connection that has not arrived this long after it was asked for is not expected any
/// more. The client may have had no descriptor left, or no way to us.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// Ready work connections, those who wait for one, and how many to ask the client for.
#[derive(Debug)]
pub(crate) struct Pool {
    /// How many the client keeps ready.
    pub(crate) count: usize,
    state: Mutex<State>,
    to_request: AtomicUsize,
    request: Notify,
    /// Of all clients.
    counts: Arc<PoolCounts>,
}

/// A work connection that may be used, and what is held for it as long as it is.
pub(crate) type Admitted = (Greeted, Guard);

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Admitted>,
    waiting: VecDeque<oneshot::Sender<Admitted>>,
    /// How many of `waiting` have left since.
    left: usize,
    /// When those were asked for that have not arrived, oldest first.
    asked: VecDeque<Instant>,
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

impl State {
    /// How many users wait.
    fn users(&self) -> usize {
        self.waiting.len().saturating_sub(self.left)
    }

    /// Somebody in the queue has left. They are taken out when they are half of it, so that a crowd
    /// that leaves costs no scan for each.
    fn leave(&mut self) {
        self.left += 1;
        if self.left * 2 >= self.waiting.len() {
            self.waiting.retain(|user| !user.is_closed());
            self.left = 0;
        }
    }

    fn forget_lost(&mut self) {
        let is_lost = |at: &Instant| at.elapsed() > LOST_AFTER;
        while self.asked.front().is_some_and(is_lost) {
            self.asked.pop_front();
        }
    }
}

/// A user in the queue, until dropped.
struct Waiting<'a> {
    pool: &'a Pool,
    rx: oneshot::Receiver<Admitted>,
    served: bool,
}

impl Waiting<'_> {
    async fn wait(mut self, limit: Duration) -> Result<Admitted, TakeError> {
        match tokio::time::timeout(limit, &mut self.rx).await {
            Ok(Ok(conn)) => {
                self.served = true;
                self.pool.ask_for_another(&mut self.pool.lock());
                Ok(conn)
            }
            Ok(Err(_)) => Err(TakeError::Closed),
            Err(_) => {
                self.pool.counts.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(TakeError::TimedOut)
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        let mut state = self.pool.lock();
        self.rx.close();
        match self.rx.try_recv() {
            // Handed over in the last moment: somebody else's then.
            Ok(conn) => {
                let _ = self.pool.hand_over(conn, &mut state);
            }
            Err(_) => state.leave(),
        }
    }
}

impl Pool {
    pub(crate) fn new(count: usize) -> Self {
        let state = State {
            asked: std::iter::repeat_n(Instant::now(), count).collect(),
            ..State::default()
        };
        Self {
            count,
            state: Mutex::new(state),
            to_request: AtomicUsize::new(count),
            request: Notify::new(),
            counts: Arc::default(),
        }
    }

    /// The same, whose users are counted there.
    pub(crate) fn counted(self, counts: &Arc<PoolCounts>) -> Self {
        let counts = counts.clone();
        Self { counts, ..self }
    }

    /// A work connection: a ready one, or the next that the client opens within `limit`. The
    /// client is asked for one more in its place.
    pub(crate) async fn take(&self, limit: Duration) -> Result<Admitted, TakeError> {
        let coming = {
            let mut state = self.lock();
            if state.closed {
                return Err(TakeError::Closed);
            }
            if let Some(conn) = state.ready.pop_front() {
                self.ask_for_another(&mut state);
                return Ok(conn);
            }
            self.counts.misses.fetch_add(1, Ordering::Relaxed);
            let (tx, rx) = oneshot::channel();
            state.waiting.push_back(tx);
            self.ask(&mut state);
            Waiting {
                pool: self,
                rx,
                served: false,
            }
        };
        coming.wait(limit).await
    }

    /// Hands a new work connection to whoever waits longest, or keeps it ready.
    pub(crate) fn put(&self, conn: Admitted) -> Result<(), Box<Refused>> {
        let mut state = self.lock();
        state.asked.pop_front();
        self.hand_over(conn, &mut state)
    }

    fn hand_over(&self, mut conn: Admitted, state: &mut State) -> Result<(), Box<Refused>> {
        if state.closed {
            let why = "client control is closing";
            return Err(Box::new(Refused { conn: conn.0, why }));
        }
        while let Some(user) = state.waiting.pop_front() {
            match user.send(conn) {
                Ok(()) => return Ok(()),
                Err(back) => {
                    conn = back;
                    state.left = state.left.saturating_sub(1);
                }
            }
        }
        if state.ready.len() >= self.count + EXTRA_PLACES {
            let why = "work connection pool is full, discarding";
            return Err(Box::new(Refused { conn: conn.0, why }));
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
            state.left = 0;
            (
                std::mem::take(&mut state.ready),
                std::mem::take(&mut state.waiting),
            )
        };
        drop((ready, waiting));
    }

    /// Asks for one more, as frp does after each user; but not for one that would find no place.
    fn ask_for_another(&self, state: &mut State) {
        state.forget_lost();
        let coming = state.asked.len().saturating_sub(state.users());
        if state.ready.len() + coming < self.count + EXTRA_PLACES {
            self.ask(state);
        }
    }

    fn ask(&self, state: &mut State) {
        state.forget_lost();
        state.asked.push_back(Instant::now());
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
    use frp_net::stream::Stream;
    use frp_proto::wire::WireProtocol;
    use frp_relay::msg_stream::MsgStream;
    use tokio::net::TcpStream;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn conn() -> Admitted {
        let listener = listen("127.0.0.1", 0).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let conn = MsgStream::new(Stream::Tcp(stream), WireProtocol::V1, BytesMut::new());
        (conn, Guard::default())
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

    #[tokio::test]
    async fn a_user_who_leaves_the_queue_leaves_nothing_there() {
        let pool = Pool::new(0);
        {
            let taking = pool.take(LIMIT);
            tokio::pin!(taking);
            assert!(futures_util::poll!(taking.as_mut()).is_pending());
            assert_eq!(pool.lock().waiting.len(), 1);
            // Arrives while nobody looks, and its user leaves.
            pool.put(conn().await).unwrap();
        }
        assert!(pool.lock().waiting.is_empty());
        assert_eq!(pool.lock().ready.len(), 1, "the next user's");
    }

    #[tokio::test]
    async fn a_crowd_that_leaves_is_not_looked_through_for_each() {
        let pool = Pool::new(0);
        let mut crowd: VecDeque<_> = (0..10).map(|_| Box::pin(pool.take(LIMIT))).collect();
        for user in &mut crowd {
            assert!(futures_util::poll!(user.as_mut()).is_pending());
        }
        let size = || {
            let state = pool.lock();
            let gone = state.waiting.iter().filter(|user| user.is_closed());
            assert_eq!(state.left, gone.count());
            (state.waiting.len(), state.users())
        };
        // The first are skipped when somebody is served.
        crowd.drain(..2);
        assert_eq!(size(), (10, 8));
        pool.put(conn().await).unwrap();
        assert_eq!(size(), (7, 7));
        crowd.pop_front().unwrap().await.unwrap();
        assert_eq!(size(), (7, 7));
        crowd.drain(..3);
        assert_eq!(size(), (7, 4));
        crowd.pop_back();
        assert_eq!(size(), (3, 3));
        drop(crowd);
        assert_eq!(size(), (0, 0));
        pool.put(conn().await).unwrap();
        pool.take(LIMIT).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_came_is_asked_for_again() {
        let pool = Pool::new(1);
        assert_eq!(pool.wanted().await, 1);
        for _ in 0..EXTRA_PLACES {
            pool.ask_for_another(&mut pool.lock());
        }
        assert_eq!(pool.wanted().await, EXTRA_PLACES);
        let asks = || {
            pool.ask_for_another(&mut pool.lock());
            pool.to_request.swap(0, Ordering::AcqRel)
        };
        assert_eq!(asks(), 0);
        tokio::time::advance(LOST_AFTER + Duration::from_secs(1)).await;
        assert_eq!(asks(), 1);
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
