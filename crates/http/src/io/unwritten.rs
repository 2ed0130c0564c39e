//! How much of a body waits to be written. hyper takes from a body whatever it gets, up to the size that
//! a head may have; a body that is [`Paced`] gives it less ahead of a peer that does not read.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::limits::{HTTP_READ, HTTP_UNWRITTEN};

/// Of one connection, shared by its writer and the bodies that are sent over it.
#[derive(Debug, Clone, Default)]
pub struct Unwritten(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Bytes, at most: heads and the frames of chunks count when they are written only.
    bytes: AtomicUsize,
    body: Mutex<Option<Waker>>,
}

impl Unwritten {
    /// The next frame of `body` once there is room for it.
    pub fn poll_frame<B>(
        &self,
        cx: &mut Context<'_>,
        body: &mut B,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        ready!(self.poll_room(cx));
        let mut polled = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut polled
            && let Some(data) = frame.data_mut()
        {
            self.0.bytes.fetch_add(data.len(), Ordering::AcqRel);
            // It would hold the buffer that hyper has read it into.
            if data.len() < HTTP_READ as usize / 2 {
                *data = Bytes::copy_from_slice(data);
            }
        }
        Poll::Ready(polled)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_room() {
            return Poll::Ready(());
        }
        *self.waker() = Some(cx.waker().clone());
        // It may have been written meanwhile.
        match self.has_room() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// So many bytes have been written, whatever they were.
    pub fn written(&self, n: usize) {
        let less = |bytes: usize| Some(bytes.saturating_sub(n));
        let before = self
            .0
            .bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        if before.is_ok_and(|before| before >= HTTP_UNWRITTEN)
            && self.has_room()
            && let Some(waker) = self.waker().take()
        {
            waker.wake();
        }
    }

    fn has_room(&self) -> bool {
        self.0.bytes.load(Ordering::Acquire) < HTTP_UNWRITTEN
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that waits until what it gave has been written.
#[derive(Debug)]
pub struct Paced<B> {
    body: B,
    unwritten: Unwritten,
}

impl<B> Paced<B> {
    /// `body`, sent over the connection of `unwritten`.
    pub fn new(body: B, unwritten: Unwritten) -> Self {
        Self { body, unwritten }
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { body, unwritten } = &mut *self;
        unwritten.poll_frame(cx, body)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
