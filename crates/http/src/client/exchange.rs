//! Requests on one connection: its only one, or one after the other.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::limits::{MAX_HTTP_ANSWER_HEAD, MAX_HTTP_FIELDS};

/// Sends `request` on `io`, and has `read` do what it likes with the answer, of which more comes as long as
/// it is asked for.
///
/// # Errors
/// The connection failed, or what came is no answer.
pub async fn exchange<T, B, R>(
    io: T,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> R,
) -> hyper::Result<R>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut open = Open::over(io).await?;
    let read = open.ask(request, read).await;
    read.map_err(TrySendError::into_error)
}

/// A connection to a server. Nothing of it moves but while it is asked.
pub(super) struct Open<B> {
    sender: SendRequest<B>,
    /// `None` once it has ended.
    connection: Option<Connection>,
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl<B> Open<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) async fn over<T>(io: T) -> hyper::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(MAX_HTTP_ANSWER_HEAD)
            .max_headers(MAX_HTTP_FIELDS)
            .handshake(TokioIo::new(io))
            .await?;
        let connection: Connection = Box::pin(connection);
        Ok(Self {
            sender,
            connection: Some(connection),
        })
    }

    /// As [`exchange`]. The error has the request, where nothing of it was sent.
    pub(super) async fn ask<R>(
        &mut self,
        request: Request<B>,
        read: impl AsyncFnOnce(Response<Incoming>) -> R,
    ) -> Result<R, TrySendError<Request<B>>> {
        let Self { sender, connection } = self;
        let exchange = async { Ok(read(sender.try_send_request(request).await?).await) };
        let mut exchange = pin!(exchange);
        poll_fn(|cx| {
            // What went wrong with the connection comes back by the exchange, which it wakes.
            let read = exchange.as_mut().poll(cx);
            if read.is_pending() {
                drive(connection, cx);
                return exchange.as_mut().poll(cx);
            }
            read
        })
        .await
    }

    /// Whether it may be asked again, as far as is known: it has no end, and the last answer is whole.
    pub(super) async fn is_free(&mut self) -> bool {
        let looked = poll_fn(|cx| {
            drive(&mut self.connection, cx);
            Poll::Ready(matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))))
        });
        looked.await && self.connection.is_some()
    }
}

fn drive(connection: &mut Option<Connection>, cx: &mut Context<'_>) {
    if let Some(moving) = connection
        && moving.as_mut().poll(cx).is_ready()
    {
        *connection = None;
    }
}
