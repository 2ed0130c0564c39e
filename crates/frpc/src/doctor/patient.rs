//! Whom the doctor looks at, what it has begun there, and how it says what it finds.

use std::sync::{Arc, OnceLock};

use frp_ask::doctor::{Mark, Step};
use frp_config::ClientConfig;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::running::Running;
use crate::auto::Auto;
use crate::client::Client;
use crate::diagnose::Explained;
use crate::limits::LAST_TASKS;
use crate::one_way::OneWay;

/// What the doctor has begun, and ends in any case.
#[derive(Debug, Default)]
pub(super) struct Visit {
    pub(super) stop: CancellationToken,
    pub(super) sessions: TaskTracker,
    pub(super) client: OnceLock<Arc<Client>>,
}

impl Visit {
    /// Leaves, so that frps lets go of everything at once.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.sessions.close();
        let _ = timeout(LAST_TASKS, self.sessions.wait()).await;
        if let Some(client) = self.client.get() {
            client.tasks.stop.cancel();
            client.tasks.tracker.close();
            let _ = timeout(LAST_TASKS, client.tasks.tracker.wait()).await;
            client.live.real_ip.end().await;
        }
    }
}

/// What is known once the configuration is read.
pub(super) struct Patient {
    /// As the program would run it.
    pub(super) cfg: Arc<ClientConfig>,
    /// The doctor's own: no visitors, no web server, and no proxies and no device where the program runs.
    pub(super) client: Arc<Client>,
    /// The one way, or the first of those that are tried.
    pub(super) way: Arc<OneWay>,
    pub(super) auto: Option<Auto>,
    /// The program itself, where it runs.
    pub(super) running: Option<Running>,
    /// The local service of each proxy, in their order.
    pub(super) services: Vec<Step>,
}

/// A failed step, in the words of the diagnosis.
pub(super) fn failed(step: &'static str, about: impl Into<String>, why: &Explained) -> Step {
    explained(step, about, Mark::Failed, why)
}

pub(super) fn explained(
    step: &'static str,
    about: impl Into<String>,
    mark: Mark,
    why: &Explained,
) -> Step {
    let cure = why.cure().unwrap_or_default();
    Step::new(step, about, mark, why.seen()).because(why.why(), cure)
}
