//! May this visitor have a hole to the proxy? In frp `allowUsers` is looked at only when the visitor asks
//! whether it may come, which it need not do.

use std::sync::Arc;

use frp_proto::auth::verify_token_key;
use frp_proto::msg::NatHoleVisitor;

use crate::client::handle::SessionHandle;
use crate::guards::Why;
use crate::proxy::Proxy;
use crate::proxy::spec::{Access, Kind};
use crate::shared::Shared;

/// Why not; where frp has the same error, in its words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("frps is leaving and takes no new users")]
    Leaving,
    #[error("xtcp server for [{0}] doesn't exist")]
    NoProxy(String),
    #[error("xtcp connection of [{0}] auth failed")]
    WrongKey(String),
    #[error("xtcp visitor user [{user}] not allowed for [{name}]")]
    NotAllowed { user: String, name: String },
    #[error("xtcp protocol [{0}] is neither quic nor kcp")]
    Protocol(String),
    #[error("xtcp visitor of [{name}]: {}", .why.text())]
    Guard { name: String, why: Why },
    #[error("too many xtcp sessions of this client at a time")]
    TooMany,
    #[error("too many visitors of the client of [{0}] at a time")]
    Crowd(String),
}

/// The proxy that `client` asks for as a visitor, which is there and lets its user in. The secret is
/// not asked for by one that only wants to know (`pre_check`).
pub(super) fn admit(
    shared: &Shared,
    client: &SessionHandle,
    visitor: &NatHoleVisitor,
) -> Result<Arc<Proxy>, Refused> {
    if shared.drain.is_cancelled() {
        return Err(Refused::Leaving);
    }
    let name = || visitor.proxy_name.clone();
    let found = shared.nathole.find(&visitor.proxy_name);
    let proxy = found.ok_or_else(|| Refused::NoProxy(name()))?;
    let Kind::Xtcp(access) = &proxy.spec.kind else {
        return Err(Refused::NoProxy(name()));
    };
    let policy = shared.policy();
    let at = (&*proxy.session, &*proxy.spec);
    if let Some(why) = shared.admission.turns_away(&policy, at, client.peer().ip()) {
        return Err(Refused::Guard { name: name(), why });
    }
    if !visitor.pre_check && !has_secret(visitor, access) {
        return Err(Refused::WrongKey(name()));
    }
    if !access.admits(client.user(), proxy.session.user()) {
        return Err(Refused::NotAllowed {
            user: client.user().to_string(),
            name: name(),
        });
    }
    Ok(proxy)
}

fn has_secret(visitor: &NatHoleVisitor, access: &Access) -> bool {
    verify_token_key(access.secret.expose(), visitor.timestamp, &visitor.sign_key)
}
