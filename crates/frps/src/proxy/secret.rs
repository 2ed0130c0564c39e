//! Proxies without a port or a route: only visitors reach them, by name and secret
//! (frp `server/proxy/stcp.go`, `server/proxy/sudp.go`).

use frp_log::{contract, debug, info};
use frp_net::layers::{Carried, LayerOptions, Side, wrap};
use frp_net::limits::LOGIN_ANSWER_WRITE;
use frp_net::msg_stream::SendError;
use frp_proto::msg::{NewVisitorConn, NewVisitorConnResp};

use super::spec::Access;
use super::user::UserConn;
use super::{Held, ProxyError, Published, Setup, sudp};
use crate::greet::Greeted;
use crate::visitors::{Carries, Visited};

/// Puts the proxy in the table of visitors.
pub(super) fn publish(
    setup: &Setup<'_>,
    access: &Access,
    carries: Carries,
) -> Result<Published, ProxyError> {
    let Setup { proxy, .. } = setup;
    let visited = Visited::new(proxy, access, carries);
    let listed = proxy.shared.visitors.list(visited)?;
    let kind = proxy.spec.proxy_type();
    info!(proxy.log.of_session(), "{kind} proxy custom listen success");
    Ok(Published {
        remote_addr: String::new(),
        port: None,
        held: Held::Places(Box::new(listed)),
    })
}

/// Serves an admitted visitor to its end. `half_closes`: its frpc has said so.
pub(crate) async fn serve_visitor(
    visited: &Visited,
    mut stream: Greeted,
    conn: NewVisitorConn,
    user: UserConn,
    half_closes: bool,
) {
    let proxy = &visited.proxy;
    let peer = user.at.source();
    if let Err(e) = welcome(&mut stream, conn.proxy_name).await {
        return debug!(proxy.log, "visitor [{peer}] left at once: {e}");
    }
    if let Some(src) = user.at.src {
        info!(
            proxy.log.of_user(src.ip()),
            "{}",
            contract::user_connection(src)
        );
    }
    // The leg of the visitor: the layers that it asked for, and the key of the proxy's secret.
    let layers = LayerOptions {
        cipher: conn.use_encryption.then(|| visited.key.clone()),
        compress: conn.use_compression,
        limit: None,
    };
    let protocol = stream.protocol();
    let (stream, rest) = stream.into_parts();
    let conn: Carried = wrap(stream, rest, &layers, Side::Server).of_peer(half_closes);
    match visited.carries {
        Carries::Bytes => proxy.serve_user(conn, &user).await,
        Carries::Messages => sudp::serve(proxy, conn, protocol, &user).await,
    }
}

async fn welcome(stream: &mut Greeted, proxy_name: String) -> Result<(), SendError> {
    let answer = NewVisitorConnResp {
        proxy_name,
        error: String::new(),
    };
    stream.queue(&answer.into())?;
    stream.flush_within(LOGIN_ANSWER_WRITE).await
}
