//! Do large packets arrive? A connection that stands and carries nothing is mostly a path that throws large packets
//! away without a word. Where a handshake of TLS is answered as soon as both ends send smaller ones, it is that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use frp_config::TransportProtocol;
use frp_net::dial::dial_in_segments;
use frp_net::sniff::FRP_TLS_FIRST_BYTE;
use frp_net::tls::{TlsFiles, client_config, connect};
use futures_util::future::join_all;
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::one_way::OneWay;

/// Bytes of TCP in one packet. The last is what every path takes (RFC 9293, section 3.7.1).
const SEGMENTS: [u32; 6] = [1420, 1380, 1300, 1220, 1000, 536];

/// What is lost by chance comes again by then.
const LIMIT: Duration = Duration::from_secs(4);

/// The largest packet of IP in bytes that arrives, where one of 1500 bytes gets no answer.
pub(super) async fn largest_that_passes(way: &OneWay, addr: SocketAddr) -> Option<u32> {
    let files = TlsFiles {
        cert: way.transport.tls.cert_file.clone(),
        key: way.transport.tls.key_file.clone(),
        trusted_ca: None,
    };
    let tls = client_config(&files).ok()?;
    let tried = SEGMENTS.map(|segment| {
        let tls = tls.clone();
        async move {
            let answered = timeout(LIMIT, is_answered(way, addr, segment, tls));
            answered.await.unwrap_or(false).then_some(segment)
        }
    });
    let passed = join_all(tried).await.into_iter().flatten().max()?;
    // Of IP and TCP without options.
    let headers = if addr.is_ipv4() { 40 } else { 60 };
    Some(passed + headers)
}

/// frps answers TLS whether `transport.tls.enable` is on or not.
async fn is_answered(
    way: &OneWay,
    addr: SocketAddr,
    segment: u32,
    tls: Arc<ClientConfig>,
) -> bool {
    let Ok(mut conn) = dial_in_segments(addr, segment).await else {
        return false;
    };
    let is_marked = way.protocol != TransportProtocol::Wss;
    if is_marked && conn.write_all(&[FRP_TLS_FIRST_BYTE]).await.is_err() {
        return false;
    }
    let name = way.transport.tls.server_name.as_ref();
    let name = name.unwrap_or(&way.server_addr);
    connect(tls, name, conn, LIMIT).await.is_ok()
}
