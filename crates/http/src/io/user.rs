//! A user's connection of HTTP/1, below hyper's server.
//!
//! What the user says goes through a [`Filter`], a little at a time, so that hyper holds little.
//!
//! Informational answers (1xx, as 103 Early Hints), which hyper's server has no place for, go out
//! between its own writes, before the answer that they belong to and never inside of another. hyper
//! flushes the connection only once everything that it had to say has been written. Until the next
//! answer begins, that is the place; and the next answer waits until they have gone out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::header::{HeaderMap, UPGRADE};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::filter::{Body, Filter, Framing};
use super::hints::Hints;
use super::unwritten::{Paced, Unwritten};
use crate::limits::{HTTP_HEAD_SHARE, HTTP_HEADS_POOL, HTTP_READ, MAX_HINTS};
use frp_net::stranger_bytes::{Pool, PoolShare};

/// What large heads take of.
pub(super) static HEADS: Pool = Pool::new(HTTP_HEADS_POOL);

/// What a user's connection and its requests share.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    shared: Arc<Mutex<Shared>>,
    unwritten: Unwritten,
}

#[derive(Debug)]
struct Shared {
    filter: Filter,
    /// What the head of the request under way holds.
    share: PoolShare,
    /// The connection waits to read.
    reader: Option<Waker>,
    hints: VecDeque<Bytes>,
    /// Of `hints`.
    bytes: usize,
    /// The task of the user's connection.
    connection: Option<Waker>,
    /// A request that waits for all to be written.
    request: Option<Waker>,
}

impl Talk {
    /// Has `answer` answer a request, which hyper's server has read from this connection just now.
    pub fn exchange<A, B, F>(
        &self,
        mut request: Request<Incoming>,
        answer: A,
    ) -> impl Future<Output = Result<Response<Paced<B>>, Infallible>> + use<A, B, F>
    where
        A: FnOnce(Request<Incoming>) -> F,
        F: Future<Output = Response<B>>,
    {
        let talk = self.clone();
        // Before hyper reads on.
        self.begin(&mut request);
        let is_connect = request.method() == Method::CONNECT;
        let answering = answer(request);
        async move {
            let response = answering.await;
            talk.written().await;
            let status = response.status();
            let switched =
                status == StatusCode::SWITCHING_PROTOCOLS || is_connect && status.is_success();
            let mut shared = talk.lock();
            shared.filter.answered(switched);
            // Less than before, so there is room.
            let _ = shared.hold();
            shared.read_on();
            drop(shared);
            Ok(response.map(|body| Paced::new(body, talk.unwritten.clone())))
        }
    }

    fn begin(&self, request: &mut Request<Incoming>) {
        let framing = Framing {
            body: match request.body().size_hint().exact() {
                Some(length) => Body::Length(length),
                None => Body::Chunked,
            },
            may_switch: request.method() == Method::CONNECT
                || request.headers().contains_key(UPGRADE),
        };
        let mut shared = self.lock();
        match shared.filter.begin(framing) {
            Ok(Some(tail)) => drop(request.extensions_mut().insert(tail)),
            Ok(None) => {}
            Err(unseen) => drop(request.extensions_mut().insert(unseen)),
        }
        shared.read_on();
        drop(shared);
        // HTTP/1.0 has none (RFC 9110, section 15.2).
        if request.version() == Version::HTTP_11 {
            let talk = self.clone();
            let hints = Hints::new(move |status, headers| talk.push(head(status, &headers)));
            request.extensions_mut().insert(hints);
        }
    }

    /// Completes once all have gone out, so that the answer itself may.
    async fn written(&self) {
        poll_fn(|cx| {
            let mut shared = self.lock();
            if shared.hints.is_empty() {
                return Poll::Ready(());
            }
            shared.request = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn push(&self, head: Bytes) {
        let mut shared = self.lock();
        if shared.bytes.saturating_add(head.len()) > MAX_HINTS {
            return;
        }
        shared.bytes += head.len();
        shared.hints.push_back(head);
        let waker = shared.connection.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An informational answer as it goes over the wire.
fn head(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in headers {
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

impl Default for Shared {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            share: PoolShare::of(&HEADS),
            reader: None,
            hints: VecDeque::new(),
            bytes: 0,
            connection: None,
            request: None,
        }
    }
}

impl Shared {
    /// Accounts for the head under way. `false`: there is no room for it.
    fn hold(&mut self) -> bool {
        self.share.hold(self.filter.head(), HTTP_HEAD_SHARE)
    }

    fn read_on(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct UserIo<T> {
    io: T,
    talk: Talk,
    /// Has come, and is to be read next; behind what has been put before it.
    held: BytesMut,
    put: Bytes,
    /// Of a hint that is being written.
    rest: Bytes,
}

impl<T> UserIo<T> {
    /// `io`, as hyper's server gets it.
    pub fn new(io: T, talk: &Talk) -> Self {
        Self {
            io,
            talk: talk.clone(),
            held: BytesMut::new(),
            put: Bytes::new(),
            rest: Bytes::new(),
        }
    }

    /// The connection, for another protocol, and what has been read of that.
    pub fn into_parts(self) -> (T, Bytes) {
        (self.io, self.held.freeze())
    }
}

impl<T: AsyncRead + Unpin> UserIo<T> {
    /// Looks whether the user has gone, while nothing may be read.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            return Poll::Pending;
        }
        let mut some = [0; 512];
        let mut some = ReadBuf::new(&mut some);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut some))?;
        if some.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.held.extend_from_slice(some.filled());
        Poll::Pending
    }

    /// Passes on what of `buf`, from `from` on, may be read; the rest is held.
    fn filter(&mut self, buf: &mut ReadBuf<'_>, from: usize) -> io::Result<()> {
        let Some(come) = buf.filled().get(from..) else {
            return Ok(());
        };
        let mut shared = self.talk.lock();
        let step = shared.filter.step(come);
        let fits = shared.hold();
        drop(shared);
        if let Some(rest) = come
            .get(step.pass + step.skip..)
            .filter(|rest| !rest.is_empty())
        {
            let behind = std::mem::replace(&mut self.held, BytesMut::from(rest));
            self.held.extend_from_slice(&behind);
        }
        self.put = step.put;
        buf.set_filled(from + step.pass);
        match fits {
            true => Ok(()),
            false => Err(io::Error::other("too many large requests at a time")),
        }
    }
}

impl<T: AsyncWrite + Unpin> UserIo<T> {
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
            let mut shared = self.talk.lock();
            let Some(head) = shared.hints.pop_front() else {
                shared.bytes = 0;
                match &mut shared.connection {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                let request = shared.request.take();
                drop(shared);
                if let Some(request) = request {
                    request.wake();
                }
                return Poll::Ready(Ok(()));
            };
            drop(shared);
            self.rest = head;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for UserIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let from = buf.filled().len();
        while buf.filled().len() == from && buf.remaining() > 0 {
            if !self.put.is_empty() {
                let n = self.put.len().min(buf.remaining());
                buf.put_slice(&self.put.split_to(n));
                break;
            }
            let mut shared = self.talk.lock();
            if shared.filter.waits() {
                shared.reader = Some(cx.waker().clone());
                drop(shared);
                return self.poll_end(cx);
            }
            drop(shared);
            if self.held.is_empty() {
                // Gives its memory back.
                self.held = BytesMut::new();
                ready!(Pin::new(&mut (&mut self.io).take(HTTP_READ)).poll_read(cx, buf))?;
                if buf.filled().len() == from {
                    break;
                }
            } else {
                let n = self.held.len().min(buf.remaining());
                buf.put_slice(&self.held.split_to(n));
            }
            self.filter(buf, from)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for UserIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.talk.unwritten.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.talk.unwritten.written(written);
        Poll::Ready(Ok(written))
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
