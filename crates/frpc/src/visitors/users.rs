//! The users of a visitor that carries each by itself: those of its port, and those that another visitor
//! hands over.

use std::pin::Pin;
use std::sync::Arc;

use frp_config::VisitorKind;
use frp_log::warn;
use frp_net::limits::END_KEEPALIVE;
use frp_net::listen::{accept_loop, tune};
use tokio::net::TcpListener;

use super::visitor::{User, Visitor};
use super::{stcp, xtcp};
use crate::limits::MAX_HANDED_ON;

/// Serves the users of `listener` until the visitor stops.
pub(super) async fn serve(visitor: Arc<Visitor>, listener: TcpListener) {
    let stop = visitor.stop.clone();
    accept_loop(listener, visitor.log.span(), stop, |user, peer| {
        tune(&user, Some(END_KEEPALIVE));
        let user = User {
            stream: user.into(),
            from: peer.to_string(),
            handed: 0,
        };
        let serving = carry(visitor.clone(), user);
        visitor.server.client.tasks.tracker.spawn(serving);
    })
    .await;
}

/// Carries a user to the proxy of `visitor`, until both ends are done.
pub(super) async fn carry(visitor: Arc<Visitor>, user: User) {
    match &visitor.cfg.kind {
        VisitorKind::Stcp => stcp::carry(visitor, user).await,
        VisitorKind::Xtcp(_) => xtcp::carry(visitor, user).await,
        VisitorKind::Sudp => {
            let from = &user.from;
            warn!(
                visitor.log,
                "user connection [{from}] closed: sudp carries datagrams alone"
            );
        }
    }
}

/// Has the visitor called `name` carry a user of `visitor`.
pub(super) fn hand_over(
    visitor: Arc<Visitor>,
    name: &str,
    mut user: User,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let other = visitor.server.visitor(name);
    user.handed += 1;
    let name = name.to_owned();
    Box::pin(async move {
        let why = match other {
            Some(_) if user.handed > MAX_HANDED_ON => {
                "visitors hand it over to each other for ever"
            }
            Some(other) => return carry(other, user).await,
            None => "there is none of that name; add one, or change fallbackTo",
        };
        let from = &user.from;
        warn!(
            visitor.log,
            "transfer connection to visitor {name} error: user connection [{from}] closed: {why}"
        );
    })
}
