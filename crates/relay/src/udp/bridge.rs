//! Two streams of datagrams that speak different wire protocols (frp `server/proxy/proxy.go`:
//! joinSUDPMessageBridge).

use std::fmt;

use bytes::BytesMut;
use frp_proto::msg::Message;
use frp_proto::wire::WireProtocol;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tracing::Span;

use super::losses::Losses;
use crate::limits::UDP_SILENCE;
use crate::msg_stream::{MsgStream, RecvError, SendError};
use crate::relay::Tally;

/// Why a bridge ended.
#[derive(Debug)]
pub enum Bridged {
    /// A side closed or failed.
    Read(RecvError),
    /// A side took no more.
    Write(SendError),
}

impl fmt::Display for Bridged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => write!(f, "read: {e}"),
            Self::Write(e) => write!(f, "write: {e}"),
        }
    }
}

/// Passes datagrams on between the stream of a visitor and that of its proxy until either ends.
/// The proxy's Pings are passed on, too; those of a visitor would mean nothing to the proxy. The
/// datagrams' bytes are counted, the visitor's as near to far; `span` has what is said of those that are
/// dropped.
pub async fn bridge<V, P>(
    (visitor, visitor_protocol): (V, WireProtocol),
    (proxy, proxy_protocol): (P, WireProtocol),
    traffic: Tally<'_>,
    span: &Span,
) -> Bridged
where
    V: AsyncRead + AsyncWrite,
    P: AsyncRead + AsyncWrite,
{
    let (visitor_reads, visitor_writes) = split(visitor);
    let (proxy_reads, proxy_writes) = split(proxy);
    let losses = || Losses::new(span.clone());
    let to_proxy = pass(
        MsgStream::new(visitor_reads, visitor_protocol, BytesMut::new()),
        MsgStream::new(proxy_writes, proxy_protocol, BytesMut::new()),
        false,
        |n| traffic.add_near_to_far(n),
        losses(),
    );
    let to_visitor = pass(
        MsgStream::new(proxy_reads, proxy_protocol, BytesMut::new()),
        MsgStream::new(visitor_writes, visitor_protocol, BytesMut::new()),
        true,
        |n| traffic.add_far_to_near(n),
        losses(),
    );
    tokio::select! {
        ended = to_proxy => ended,
        ended = to_visitor => ended,
    }
}

async fn pass<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    mut from: MsgStream<R>,
    mut to: MsgStream<W>,
    pings: bool,
    count: impl Fn(usize),
    mut losses: Losses,
) -> Bridged {
    loop {
        let message = match from.recv().await {
            Ok(message) => message,
            Err(e) => return Bridged::Read(e),
        };
        match &message {
            Message::UdpPacket(packet) => {
                let length = packet.c.len();
                if to.queue(&message).is_err() {
                    losses.too_long(length);
                    losses.say();
                    continue;
                }
                count(length);
            }
            Message::Ping(_) if pings => {
                if let Err(e) = to.queue(&message) {
                    return Bridged::Write(e.into());
                }
            }
            _ => continue,
        }
        if let Err(e) = to.flush_within(UDP_SILENCE).await {
            return Bridged::Write(e);
        }
    }
}
