//! The body of a user's request on its way to a service.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::http2::Received;
use super::unwritten::Unwritten;

/// The body of a user's request, by the HTTP that the user speaks.
#[derive(Debug)]
pub enum UserBody {
    /// Over HTTP/1.
    Http1(Incoming),
    /// Over HTTP/2.
    Http2(Received),
}

/// See the module.
pub struct Upload {
    /// `None`: there is nothing to send.
    body: Option<UserBody>,
    sent: Sent,
    find: Option<Find>,
    unwritten: Option<Unwritten>,
}

type Find = Box<dyn FnOnce() -> Option<Unwritten> + Send>;

/// How far an [`Upload`] is.
#[derive(Debug, Clone)]
pub struct Sent(Arc<AtomicU8>);

const ALL: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Sent {
    /// All of it has been taken.
    pub fn is_all(&self) -> bool {
        self.0.load(Ordering::Acquire) == ALL
    }

    /// All of it has been taken, or nobody is going to take more.
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

impl Upload {
    /// `body`, if it has anything.
    pub fn new(body: impl Into<UserBody>) -> Self {
        let body = body.into();
        match body.is_end_stream() {
            true => Self::empty(),
            false => Self {
                body: Some(body),
                sent: Sent(Arc::default()),
                find: None,
                unwritten: None,
            },
        }
    }

    /// Nothing.
    pub fn empty() -> Self {
        Self {
            body: None,
            sent: Sent(Arc::new(ALL.into())),
            find: None,
            unwritten: None,
        }
    }

    /// Not further ahead of the connection that it goes over than that has room for. `find` is asked for
    /// it when the body is.
    pub fn over(&mut self, find: impl FnOnce() -> Option<Unwritten> + Send + 'static) {
        if self.body.is_some() {
            self.find = Some(Box::new(find));
        }
    }

    /// Tells how far it is.
    pub fn sent(&self) -> Sent {
        self.sent.clone()
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upload").field(&self.sent).finish()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.sent.is_over() {
            self.sent.0.store(GIVEN_UP, Ordering::Release);
        }
    }
}

impl From<Incoming> for UserBody {
    fn from(body: Incoming) -> Self {
        Self::Http1(body)
    }
}

impl Body for UserBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Some(find) = this.find.take() {
            this.unwritten = find();
        }
        let polled = match &this.unwritten {
            Some(unwritten) => unwritten.poll_frame(cx, body),
            None => Pin::new(&mut *body).poll_frame(cx),
        };
        let state = match &polled {
            Poll::Ready(None) => ALL,
            Poll::Ready(Some(Ok(_))) if body.is_end_stream() => ALL,
            Poll::Ready(Some(Err(_))) => GIVEN_UP,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => return polled,
        };
        this.sent.0.store(state, Ordering::Release);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
