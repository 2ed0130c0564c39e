//! A connection to a service, below hyper's client.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::http::uri::{Parts, PathAndQuery};
use hyper::{Request, Uri};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::filter::Tail;
use super::unwritten::Unwritten;
use crate::limits::HTTP_READ;

/// Bytes of what stands for a tail: nobody guesses it, so it is nowhere else.
const MARK: usize = 32;

/// Where a mark is looked for: in the first line of a head, which may have the end of a body before it.
const MARK_WITHIN: usize = 256 * 1024;

/// The tails of long targets that are on their way to a service, over one of several connections.
#[derive(Debug, Clone, Default)]
pub struct LongTargets(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    /// How many.
    waiting: AtomicUsize,
    tails: Mutex<HashMap<[u8; MARK], Bytes>>,
}

/// A tail that is put back where its request is written. Forgotten on drop.
#[derive(Debug)]
pub struct Marked {
    table: Arc<Table>,
    mark: [u8; MARK],
    /// Without the mark.
    uri: Uri,
}

impl Marked {
    /// Takes the mark from a request that has not been sent.
    pub fn undo<B>(&self, request: &mut Request<B>) {
        *request.uri_mut() = self.uri.clone();
    }
}

impl LongTargets {
    /// Has the whole target of `request` written, where hyper's `Uri` has but its beginning. `None`
    /// where it has all.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn mark<B>(&self, request: &mut Request<B>) -> io::Result<Option<Marked>> {
        let Some(Tail(tail)) = request.extensions().get::<Tail>().cloned() else {
            return Ok(None);
        };
        let mut random = [0; MARK / 2];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random bytes"))?;
        let mut mark = [0; MARK];
        for (two, byte) in mark.chunks_exact_mut(2).zip(random) {
            two.copy_from_slice(format!("{byte:02x}").as_bytes());
        }
        let marked = with_mark(request.uri(), &mark).map_err(io::Error::other)?;
        let uri = std::mem::replace(request.uri_mut(), marked);
        self.0.lock().insert(mark, tail);
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        Ok(Some(Marked {
            table: self.0.clone(),
            mark,
            uri,
        }))
    }
}

/// `uri` with `mark` behind it.
fn with_mark(uri: &Uri, mark: &[u8; MARK]) -> Result<Uri, hyper::http::Error> {
    let mut parts: Parts = uri.clone().into_parts();
    let path = parts
        .path_and_query
        .as_ref()
        .map_or("/", |path| path.as_str());
    let path = [path.as_bytes(), mark].concat();
    parts.path_and_query = Some(PathAndQuery::try_from(path)?);
    Ok(Uri::from_parts(parts)?)
}

impl Table {
    /// Where a mark is in what is written, and the tail that it stands for.
    fn find(&self, written: &[u8]) -> Option<(usize, Bytes)> {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let written = written.get(..MARK_WITHIN).unwrap_or(written);
        let tails = self.lock();
        let at = |mark: &[u8; MARK]| written.windows(MARK).position(|bytes| bytes == mark);
        tails
            .iter()
            .find_map(|(mark, tail)| Some((at(mark)?, tail.clone())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; MARK], Bytes>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        self.table.lock().remove(&self.mark);
        self.table.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// See the module. Reads little at a time, so that hyper holds little, and writes long targets whole.
#[derive(Debug)]
pub struct ServiceIo<T> {
    io: T,
    targets: LongTargets,
    unwritten: Unwritten,
    /// Bytes before the mark, and the tail that goes in its place.
    splice: Option<(usize, Bytes)>,
}

impl<T> ServiceIo<T> {
    /// `io`, as hyper's client gets it.
    pub fn new(io: T, targets: &LongTargets) -> Self {
        Self {
            io,
            targets: targets.clone(),
            unwritten: Unwritten::default(),
            splice: None,
        }
    }

    /// What waits to be written here.
    pub fn unwritten(&self) -> &Unwritten {
        &self.unwritten
    }

    /// The connection.
    pub fn io(&self) -> &T {
        &self.io
    }

    /// The connection, for another protocol.
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncWrite + Unpin> ServiceIo<T> {
    /// Writes `buf` up to the mark, or the tail and passes over the mark.
    fn poll_spliced(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Option<io::Result<usize>>> {
        if self.splice.is_none() {
            self.splice = self.targets.0.find(buf);
        }
        let Some((before, tail)) = &mut self.splice else {
            return Poll::Ready(None);
        };
        if *before > 0 {
            let part = buf.get(..*before).unwrap_or(buf);
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, part))?;
            *before -= n;
            return Poll::Ready(Some(Ok(n)));
        }
        while !tail.is_empty() {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, tail))?;
            if n == 0 {
                return Poll::Ready(Some(Err(io::ErrorKind::WriteZero.into())));
            }
            tail.advance(n);
        }
        self.splice = None;
        Poll::Ready(Some(Ok(MARK.min(buf.len()))))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ServiceIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut (&mut self.io).take(HTTP_READ)).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ServiceIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = match ready!(self.poll_spliced(cx, buf)) {
            Some(spliced) => spliced?,
            None => ready!(Pin::new(&mut self.io).poll_write(cx, buf))?,
        };
        self.unwritten.written(n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let n = match ready!(self.poll_spliced(cx, first.map_or(&[], |first| first))) {
            Some(spliced) => spliced?,
            None => ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?,
        };
        self.unwritten.written(n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
