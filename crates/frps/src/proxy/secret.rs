//! Proxies without a port or a route: only visitors reach them, by name and secret
//! (frp `server/proxy/stcp.go`, `server/proxy/sudp.go`).

use std::sync::Arc;

use frp_log::{contract, debug, info};
use frp_net::layers::{Carried, LayerOptions, Side, wrap};
use frp_net::limits::LOGIN_ANSWER_WRITE;
use frp_net::msg_stream::SendError;
use frp_proto::msg::{NewVisitorConn, NewVisitorConnResp};

use super::spec::Access;
use super::user::UserAddrs;
use super::{Held, ProxyError, Published, Setup, sudp};
use crate::door::Caller;
use crate::greet::Greeted;
use crate::visitors::{Carries, Visited};

/// Puts the proxy in the table of visitors.
pub(super) fn publish(
    setup: &Setup<'_>,
    access: &Arc<Access>,
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
    caller: &Caller,
    half_closes: bool,
) {
    let proxy = &visited.proxy;
    if let Err(e) = welcome(&mut stream, conn.proxy_name).await {
        return debug!(proxy.log, "visitor [{}] left at once: {e}", caller.peer);
    }
    info!(
        proxy.log.of_user(caller.peer.ip()),
        "{}",
        contract::user_connection(caller.peer)
    );
    // The leg of the visitor: the layers that it asked for, and the key of the proxy's secret.
    let layers = LayerOptions {
        cipher: conn.use_encryption.then(|| visited.key.clone()),
        compress: conn.use_compression,
        limit: None,
    };
    let protocol = stream.protocol();
    let (stream, rest) = stream.into_parts();
    let user: Carried = wrap(stream, rest, &layers, Side::Server).of_peer(half_closes);
    // As in frp: the user's own address is known to nobody but the visitor.
    let at = UserAddrs {
        src: Some(caller.peer),
        dst: caller.local,
    };
    match visited.carries {
        Carries::Bytes => proxy.clone().serve_user(user, at).await,
        Carries::Messages => sudp::serve(proxy, user, protocol, &at).await,
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
