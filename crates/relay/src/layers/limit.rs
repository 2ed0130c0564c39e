//! Bandwidth limit: one token bucket for all connections and both directions of a proxy, or of all proxies of
//! a client's token.
//!
//! Follows frp's `pkg/util/limit` over Go's `rate.Limiter`: rate = burst = the limit in bytes per
//! second, the bucket starts full, a read waits for the tokens of what it got before handing it
//! out, a write waits for its tokens before it goes out in pieces of at most the burst.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use frp_net::scratch::with_scratch;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A token bucket whose burst equals one second of its rate.
///
/// Tokens are reserved ahead, first come first served: a taker that finds too few goes into debt
/// and waits until the debt is paid, so no queue and no lock is needed.
#[derive(Debug)]
pub struct Bucket {
    rate: u64,
    /// What is taken here is taken there, too.
    larger: Option<Arc<Self>>,
    epoch: Instant,
    /// The moment (nanoseconds after `epoch`) at which the bucket is or was exactly empty. The
    /// tokens at a later moment are the time since then times the rate, at most one second's worth.
    empty_at: AtomicU64,
}

impl Bucket {
    /// A full bucket of `bytes_per_second` (taken as 1 if 0, which would never let anything pass).
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            rate: bytes_per_second.max(1),
            larger: None,
            epoch: Instant::now(),
            empty_at: AtomicU64::new(0),
        }
    }

    /// One whose bytes come out of `larger` as well, which others share.
    pub fn within(bytes_per_second: u64, larger: Arc<Self>) -> Self {
        Self {
            larger: Some(larger),
            ..Self::new(bytes_per_second)
        }
    }

    /// The most bytes that one [`Bucket::take`] should ask for.
    fn burst(&self) -> usize {
        let own = usize::try_from(self.rate).unwrap_or(usize::MAX);
        let larger = self.larger.as_ref();
        larger.map_or(own, |larger| own.min(larger.burst()))
    }

    /// Takes `n` tokens; `Some(moment)` if they may be used only from that moment on.
    fn take(&self, n: usize) -> Option<Instant> {
        let larger = self.larger.as_ref().and_then(|larger| larger.take(n));
        self.take_own(n).max(larger)
    }

    fn take_own(&self, n: usize) -> Option<Instant> {
        let now = self.now();
        // A full bucket was empty one second ago; the clock is shifted by that second in `now`.
        let full = now - NANOS_PER_SEC;
        let cost = u64::try_from(n as u128 * u128::from(NANOS_PER_SEC) / u128::from(self.rate))
            .unwrap_or(u64::MAX);
        let before = self
            .empty_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| {
                Some(at.max(full).saturating_add(cost))
            })
            .unwrap_or_else(|at| at);
        let empty_at = before.max(full).saturating_add(cost);
        (empty_at > now)
            .then(|| self.epoch + Duration::from_nanos(empty_at.saturating_sub(NANOS_PER_SEC)))
    }

    /// Nanoseconds since one second before `epoch`.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos())
            .unwrap_or(u64::MAX / 2)
            .saturating_add(NANOS_PER_SEC)
    }
}

/// A stream whose reads and writes are paid from a [`Bucket`].
#[derive(Debug)]
pub struct LimitStream<S> {
    inner: S,
    bucket: Arc<Bucket>,
    /// Read from `inner`, not yet paid for or not yet taken.
    held: Bytes,
    read_wait: Wait,
    write_wait: Wait,
    /// Bytes paid for that `inner` has not taken yet.
    write_paid: usize,
}

impl<S> LimitStream<S> {
    /// Wraps `inner`; all streams of a proxy share its `bucket`.
    pub fn new(inner: S, bucket: Arc<Bucket>) -> Self {
        Self {
            inner,
            bucket,
            held: Bytes::new(),
            read_wait: Wait::default(),
            write_wait: Wait::default(),
            write_paid: 0,
        }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }
}

/// Waiting for tokens; allocates its timer only while it waits.
#[derive(Debug, Default)]
struct Wait(Option<Pin<Box<Sleep>>>);

impl Wait {
    fn start(&mut self, until: Option<Instant>) {
        self.0 = until.map(|until| Box::pin(sleep_until(until)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.0 {
            ready!(sleep.as_mut().poll(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.held.is_empty() {
            let want = buf.remaining().min(this.bucket.burst());
            let got = with_scratch(|scratch| {
                let want = want.min(scratch.len());
                let mut piece = ReadBuf::new(scratch.get_mut(..want).unwrap_or_default());
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
                let piece = piece.filled();
                if piece.is_empty() {
                    return Poll::Ready(io::Result::Ok(false));
                }
                let until = this.bucket.take(piece.len());
                if until.is_none() {
                    buf.put_slice(piece);
                } else {
                    this.held = Bytes::copy_from_slice(piece);
                    this.read_wait.start(until);
                }
                Poll::Ready(Ok(true))
            });
            if !ready!(got)? || this.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        ready!(this.read_wait.poll(cx));
        let n = this.held.len().min(buf.remaining());
        buf.put_slice(this.held.get(..n).unwrap_or_default());
        this.held.advance(n);
        if this.held.is_empty() {
            this.held = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if this.write_paid == 0 {
            let n = buf.len().min(this.bucket.burst());
            this.write_paid = n;
            this.write_wait.start(this.bucket.take(n));
        }
        ready!(this.write_wait.poll(cx));
        let piece = buf
            .get(..buf.len().min(this.write_paid))
            .unwrap_or_default();
        let n = ready!(Pin::new(&mut this.inner).poll_write(cx, piece))?;
        this.write_paid -= n.min(this.write_paid);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
