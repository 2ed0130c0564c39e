//! A user's connection of HTTP/2, many of whose requests are under way at a time.
//!
//! It speaks with `h2`, the crate below hyper, since hyper's server has no way to send informational
//! answers (1xx). So how much one user may hold is said here, too: of a request that nobody reads its
//! window, of an answer that nobody reads [`HTTP2_UNSENT`], of heads what a pool for all has.

use std::error::Error;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use hyper::rt::Executor as _;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::hints::Hints;
use super::upload::UserBody;
use super::user::HEADS;
use crate::fields::remove_hop_by_hop;
use crate::head::plain_length;
use crate::limits::{
    HTTP2_HEAD_SHARE, HTTP2_REQUESTS, HTTP2_UNSENT, HTTP2_WINDOW, MAX_HINTS, MAX_HTTP_FIELDS,
    MAX_HTTP_HEAD,
};
use crate::tasks::Tracked;
use frp_net::stranger_bytes::PoolShare;

/// Bytes that a field has beside its name and its value (RFC 9113, section 6.5.2).
const FIELD: usize = 32;

/// How long a user may say nothing.
#[derive(Debug, Clone)]
pub struct Alive {
    /// Set by whoever reads from the connection.
    pub heard: Arc<AtomicBool>,
    /// After this time without a byte it is asked whether it is there.
    pub asked_after: Duration,
    /// After so much more it has gone. One that reads slowly has not: it says how far it is.
    pub gone_after: Duration,
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum Http2Error {
    /// The user does not keep to the protocol, or the connection broke.
    #[error("{0}")]
    Broken(#[from] h2::Error),
    /// The user does not answer.
    #[error("i/o timeout")]
    Gone,
}

/// Serves a user, who has begun with HTTP/2: `answer` answers each request, in a task of `tasks`. Once
/// `drain` completes, that is the end of the requests under way.
///
/// # Errors
/// See [`Http2Error`].
pub async fn serve<T, A, F, B>(
    io: T,
    tasks: &Tracked,
    alive: Option<Alive>,
    drain: impl Future<Output = ()>,
    answer: A,
) -> Result<(), Http2Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<UserBody>) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Send> + Unpin + Send + 'static,
{
    let mut connection = Builder::new()
        .max_concurrent_streams(HTTP2_REQUESTS)
        .max_header_list_size(MAX_HTTP_HEAD as u32)
        .initial_window_size(HTTP2_WINDOW)
        .initial_connection_window_size(HTTP2_WINDOW)
        .max_send_buffer_size(HTTP2_UNSENT)
        .handshake(io)
        .await?;
    let ping = connection.ping_pong();
    let mut gone = pin!(async {
        match alive.zip(ping) {
            Some((alive, ping)) => alive.gone(ping).await,
            None => pending().await,
        }
    });
    let mut drain = pin!(drain);
    let mut draining = false;
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = &mut gone => return Err(Http2Error::Gone),
            () = &mut drain, if !draining => {
                draining = true;
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(accepted) = accepted else {
            return Ok(());
        };
        let (request, mut respond) = accepted?;
        let mut share = PoolShare::of(&HEADS);
        if !share.hold(size(&request), HTTP2_HEAD_SHARE) {
            // Nobody has seen the request, so it may come again.
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        if request.headers().len() > MAX_HTTP_FIELDS {
            let mut refused = Response::new(());
            *refused.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let _ = respond.send_response(refused, true);
            continue;
        }
        let length = request.headers().get(CONTENT_LENGTH).and_then(plain_length);
        let mut request = request.map(|stream| UserBody::Http2(Received { stream, length }));
        let (hints, told) = hints();
        request.extensions_mut().insert(hints);
        let answering = answer(request);
        tasks.execute(async move {
            // What is wrong with one request is told to its user, and no affair of the others.
            let _ = exchange(respond, told, answering, share).await;
        });
    }
}

/// Bytes of the head of `request`.
fn size<B>(request: &Request<B>) -> usize {
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    fields_size(request.headers()) + target
}

/// Bytes of all fields of a head.
fn fields_size(fields: &HeaderMap) -> usize {
    let sizes = fields.iter();
    let sizes = sizes.map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    sizes.sum()
}

/// What is told of informational answers, up to [`MAX_HINTS`]: `h2` keeps whatever a user does not read.
fn hints() -> (Hints, mpsc::UnboundedReceiver<Response<()>>) {
    let (tell, told) = mpsc::unbounded_channel();
    let bytes = AtomicUsize::new(0);
    let hints = Hints::new(move |status, headers| {
        let mut hint = Response::new(());
        *hint.status_mut() = status;
        *hint.headers_mut() = headers;
        let size = fields_size(hint.headers()) + FIELD;
        if bytes.fetch_add(size, Ordering::Relaxed) + size <= MAX_HINTS {
            // Else the answer has gone out.
            let _ = tell.send(hint);
        }
    });
    (hints, told)
}

/// Has a request answered and sends what comes of it, for as long as the user wants it.
async fn exchange<B>(
    mut respond: SendResponse<Bytes>,
    mut told: mpsc::UnboundedReceiver<Response<()>>,
    answering: impl Future<Output = Response<B>>,
    share: PoolShare,
) -> Result<(), h2::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut answering = pin!(answering);
    let answer = loop {
        tokio::select! {
            biased;
            Some(hint) = told.recv() => respond.send_informational(hint)?,
            answer = &mut answering => break answer,
            reset = poll_fn(|cx| respond.poll_reset(cx)) => return Err(reset?.into()),
        }
    };
    while let Ok(hint) = told.try_recv() {
        respond.send_informational(hint)?;
    }
    drop((told, share));
    let (mut head, mut body) = answer.into_parts();
    remove_hop_by_hop(&mut head.headers);
    let date = || HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()));
    if !head.headers.contains_key(DATE)
        && let Ok(date) = date()
    {
        head.headers.insert(DATE, date);
    }
    let is_whole = body.is_end_stream();
    if let Some(length) = body.size_hint().exact().filter(|_| !is_whole) {
        let field = head.headers.entry(CONTENT_LENGTH);
        field.or_insert_with(|| length.into());
    }
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_whole)?;
    if is_whole {
        return Ok(());
    }
    loop {
        let frame = tokio::select! {
            biased;
            reset = poll_fn(|cx| stream.poll_reset(cx)) => return Err(reset?.into()),
            frame = body.frame() => frame,
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            None => return stream.send_data(Bytes::new(), true),
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_end_stream();
                send(&mut stream, data, is_last).await?;
                if is_last {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
        }
    }
}

/// Sends `data` as the user takes it.
async fn send(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
) -> Result<(), h2::Error> {
    if data.is_empty() {
        return stream.send_data(data, is_last);
    }
    while !data.is_empty() {
        // Only now that there is something to send: who reserves has others wait.
        stream.reserve_capacity(data.len());
        let room = poll_fn(|cx| poll_room(stream, cx)).await?;
        let part = data.split_to(room.min(data.len()));
        stream.send_data(part, is_last && data.is_empty())?;
    }
    Ok(())
}

fn poll_room(
    stream: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, h2::Error>> {
    if let Poll::Ready(reset) = stream.poll_reset(cx) {
        return Poll::Ready(Err(reset?.into()));
    }
    loop {
        let room = stream.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(changed) => drop(changed?),
            None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
        }
    }
}

/// The body of a request. As it is read, the user may send more.
#[derive(Debug)]
pub struct Received {
    stream: RecvStream,
    length: Option<u64>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(data) = ready!(self.stream.poll_data(cx)) {
            let data = data?;
            self.stream.flow_control().release_capacity(data.len())?;
            self.length = self
                .length
                .map(|left| left.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(left) => SizeHint::with_exact(left),
            None if self.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl Alive {
    /// Completes once the user has gone.
    async fn gone(self, mut ping: PingPong) {
        loop {
            self.silence(self.asked_after).await;
            tokio::select! {
                pong = ping.ping(Ping::opaque()) => if pong.is_err() { return },
                () = self.silence(self.gone_after) => return,
            }
        }
    }

    /// Completes when nothing has been heard for `time`.
    async fn silence(&self, time: Duration) {
        loop {
            tokio::time::sleep(time).await;
            if !self.heard.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
