//! One request on a connection of its own.

use std::convert::Infallible;
use std::error::Error;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
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
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(MAX_HTTP_ANSWER_HEAD)
        .max_headers(MAX_HTTP_FIELDS)
        .handshake(TokioIo::new(io))
        .await?;
    let exchange = async { Ok(read(sender.send_request(request).await?).await) };
    // What went wrong with the connection comes back by the exchange.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        read = exchange => read,
        never = connection => match never {},
    }
}
