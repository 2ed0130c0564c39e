//! Informational answers (1xx, as 103 Early Hints) on their way to a user of HTTP/1, which hyper's
//! server has no place for: they go out between its own writes, before the answer that they belong
//! to and never inside of another.
//!
//! hyper flushes the connection only once everything that it had to say has been written. Until
//! the next answer begins, that is the place; and the next answer waits for [`Hints::written`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::{Request, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::MAX_HINTS;

/// What waits to be told to one user, shared by its connection and its requests.
#[derive(Debug, Clone, Default)]
pub struct Hints(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    heads: VecDeque<Bytes>,
    bytes: usize,
    /// The task of the user's connection.
    connection: Option<Waker>,
    /// A request that waits for all to be written.
    request: Option<Waker>,
}

impl Hints {
    /// Has the informational answers to `request`, sent to a service by hyper's HTTP/1 client,
    /// passed on to the user, whose HTTP is `version`. HTTP/1.0 has none (RFC 9110, section 15.2).
    /// 100 is between us and either side: `Expect` is answered when the body is asked for.
    pub fn pass_on<B>(&self, version: Version, request: &mut Request<B>) {
        if version != Version::HTTP_11 {
            return;
        }
        let hints = self.clone();
        hyper::ext::on_informational(request, move |answer| {
            if answer.status() != StatusCode::CONTINUE {
                hints.push(head(answer.status(), answer.headers()));
            }
        });
    }

    /// Completes once all have gone out, so that the answer itself may.
    pub async fn written(&self) {
        poll_fn(|cx| {
            let mut queue = self.lock();
            if queue.heads.is_empty() {
                return Poll::Ready(());
            }
            queue.request = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn push(&self, head: Bytes) {
        let mut queue = self.lock();
        if queue.bytes.saturating_add(head.len()) > MAX_HINTS {
            return;
        }
        queue.bytes += head.len();
        queue.heads.push_back(head);
        let waker = queue.connection.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An informational answer as it goes over the wire, without what concerns one hop only.
fn head(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    let hop = [
        CONNECTION,
        CONTENT_LENGTH,
        PROXY_AUTHENTICATE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for (name, value) in headers {
        if hop.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection") {
            continue;
        }
        let mut upper = true;
        for byte in name.as_str().bytes() {
            head.push(match upper {
                true => byte.to_ascii_uppercase(),
                false => byte,
            });
            upper = byte == b'-';
        }
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

/// A user's connection that [`Hints`] are written to.
#[derive(Debug)]
pub struct WithHints<T> {
    io: T,
    hints: Hints,
    /// Of one that is being written.
    rest: Bytes,
}

impl<T> WithHints<T> {
    /// `io`, as hyper's server gets it.
    pub fn new(io: T, hints: &Hints) -> Self {
        Self {
            io,
            hints: hints.clone(),
            rest: Bytes::new(),
        }
    }

    /// The connection, for another protocol.
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncWrite + Unpin> WithHints<T> {
    /// Writes the rest of what has been begun.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that wait.
    fn poll_hints(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_rest(cx))?;
            let mut queue = self.hints.lock();
            let Some(head) = queue.heads.pop_front() else {
                queue.bytes = 0;
                match &mut queue.connection {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                let request = queue.request.take();
                drop(queue);
                if let Some(request) = request {
                    request.wake();
                }
                return Poll::Ready(Ok(()));
            };
            drop(queue);
            self.rest = head;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WithHints<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WithHints<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hints(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
