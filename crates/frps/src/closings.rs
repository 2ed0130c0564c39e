//! Who tells the server plugins that a proxy has ended? One task, beside everything else: an end waits
//! for nobody, and what plugins that hang have not been told is bounded.

use std::sync::Arc;

use frp_log::{Log, shown_error, shown_name, warn};
use frp_proto::msg::CloseProxy;
use frp_proto::plugin::{OfUser, PluginOp, UserInfo};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::base::Base;
use crate::limits::{MAX_CLOSINGS_TOLD, MAX_CLOSINGS_WAITING};

/// Takes ends, as long as the server runs.
#[derive(Debug, Clone)]
pub(crate) struct Closings(mpsc::WeakSender<Closed>);

/// The other end of [`Closings`].
#[derive(Debug)]
pub(crate) struct Teller {
    closed: mpsc::Receiver<Closed>,
    /// The server runs.
    open: mpsc::Sender<Closed>,
}

/// A proxy that is there; its end is told when this is dropped.
pub(crate) struct Closing {
    base: Arc<Base>,
    log: Log,
    closed: Closed,
    /// `None` once the server has ended.
    to: Option<mpsc::Sender<Closed>>,
}

#[derive(Debug, Clone)]
struct Closed {
    user: Arc<UserInfo>,
    name: Arc<str>,
}

/// Both ends.
pub(crate) fn closings() -> (Closings, Teller) {
    let (open, closed) = mpsc::channel(MAX_CLOSINGS_WAITING);
    (Closings(open.downgrade()), Teller { closed, open })
}

impl Closing {
    /// The proxy called `name`, of `user`.
    pub(crate) fn of(base: &Arc<Base>, log: &Log, user: &Arc<UserInfo>, name: &Arc<str>) -> Self {
        Self {
            base: base.clone(),
            log: log.clone(),
            closed: Closed {
                user: user.clone(),
                name: name.clone(),
            },
            to: base.closings.0.upgrade(),
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if !self.base.policy().plugins.want(PluginOp::CloseProxy) {
            return;
        }
        let Some(to) = &self.to else { return };
        if let Err(mpsc::error::TrySendError::Full(closed)) = to.try_send(self.closed.clone()) {
            let name = shown_name(&closed.name);
            warn!(
                self.log,
                "no plugin is told that proxy [{name}] has ended: {MAX_CLOSINGS_WAITING} others wait for \
                 that"
            );
        }
    }
}

impl std::fmt::Debug for Closing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Closing").field(&self.closed.name).finish()
    }
}

impl Teller {
    /// Until the server has stopped and every proxy has ended.
    pub(crate) async fn run(self, base: Arc<Base>) {
        let Self { mut closed, open } = self;
        let mut open = Some(open);
        let mut telling = FuturesUnordered::new();
        loop {
            tokio::select! {
                next = closed.recv(), if telling.len() < MAX_CLOSINGS_TOLD => match next {
                    Some(closed) => telling.push(tell(&base, closed)),
                    None => break,
                },
                Some(()) = telling.next() => {}
                () = base.stop.cancelled(), if open.is_some() => open = None,
            }
        }
        while telling.next().await.is_some() {}
    }
}

async fn tell(base: &Base, closed: Closed) {
    let policy = base.policy();
    let content = OfUser {
        user: &closed.user,
        message: CloseProxy {
            proxy_name: closed.name.to_string(),
        },
    };
    for why in policy.plugins.tell(&content).await {
        let log = Log::root().with(&closed.user.run_id);
        warn!(log, "{}", shown_error(&why.to_string()));
    }
}
