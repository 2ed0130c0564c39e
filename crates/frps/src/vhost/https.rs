//! Users of https proxies: the ClientHello says the host, all bytes go on untouched
//! (frp `pkg/util/vhost/https.go`).

use std::sync::Arc;

use bytes::Bytes;
use frp_proto::sni::{HelloError, HelloReader};
use tokio::net::TcpStream;

use super::head::{HeadError, meet, read, refuse};
use super::router::cut;
use crate::proxied::Ends;
use crate::proxy::members::{Members, Replies};
use crate::shared::Shared;

/// A TLS record with the fatal alert `unrecognized_name` (RFC 8446, section 6.2), which Go's TLS
/// gives where it has no certificate.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

#[derive(Debug, thiserror::Error)]
enum HttpsError {
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("no https proxy for host [{}]", cut(.0))]
    NotFound(String),
}

/// Reads whom a user is for, and takes it there; `first` has been read from it.
pub(crate) async fn serve(shared: Arc<Shared>, mut conn: TcpStream, first: Bytes, ends: Ends) {
    let asking = find(&shared, &mut conn, first);
    if let Some((members, all)) = meet(&shared, ends.peer, "https", asking).await {
        members.receive_after(conn, all, ends, Replies::default());
    }
}

async fn find(
    shared: &Shared,
    conn: &mut TcpStream,
    first: Bytes,
) -> Result<(Arc<Members>, Bytes), HeadError<HttpsError>> {
    let mut reader = HelloReader::default();
    let (hello, all) = read(conn, first, |all| Ok(reader.read(all)?)).await?;
    let host = hello.server_name.unwrap_or_default();
    if let Some(members) = shared.vhosts.https.router.find(&host, "", "") {
        return Ok((members, all));
    }
    refuse(conn, &UNRECOGNIZED_NAME).await;
    Err(HeadError::Refused(HttpsError::NotFound(host)))
}
