//! What everything in the server may need: settings, admission, ports and names, tasks and their end.
//! It knows no session and no proxy.

use std::sync::Arc;

use frp_log::{Log, access, info};
use frp_net::strangers::Strangers;
use frp_process::threads::Threads;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::bans::Bans;
use crate::closings::Closings;
use crate::counts::Counts;
use crate::policy::{Bound, InForce, Policy};
use crate::ports::Ports;
use crate::proxy::names::Names;
use crate::reload::ConfigFile;
use crate::stats::Stats;
use crate::stats::conns::Conns;
use crate::stop::Stop;

/// See the module.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) bound: Bound,
    /// Where the settings come from, if from a file.
    pub(crate) file: Option<ConfigFile>,
    pub(crate) in_force: InForce,
    pub(crate) admission: Admission,
    /// Who is kept out for a while.
    pub(crate) bans: Arc<Bans>,
    pub(crate) closings: Closings,
    pub(crate) names: Arc<Names>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) udp_ports: Arc<Ports<UdpSocket>>,
    /// Where there is a web server to tell it.
    pub(crate) stats: Option<Arc<Stats>>,
    /// Which users are connected, as far as somebody has to know ([`Base::lists_users`]).
    pub(crate) conns: Arc<Conns>,
    pub(crate) counts: Counts,
    /// Connections that a proxy has passed on and not yet said from whom.
    pub(crate) proxied: Strangers,
    pub(crate) threads: Threads,
    /// Every task of the server; `stop` ends them all.
    pub(crate) tasks: TaskTracker,
    /// A token for each user who may finish while the server drains.
    pub(crate) users: TaskTracker,
    /// One for each udp proxy, which finishes when its users have fallen silent.
    pub(crate) udp_users: TaskTracker,
    /// Nobody new comes in once this is cancelled, which `stop` does, too.
    pub(crate) drain: CancellationToken,
    pub(crate) stop: CancellationToken,
}

impl Base {
    /// The policy in force, for one decision: whoever decides by parts takes it once.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.in_force.snapshot()
    }

    /// Whether it is kept who is connected: the web server tells it, or the access log, or a ban may end it.
    pub(crate) fn lists_users(&self) -> bool {
        self.stats.is_some() || access::is_wanted() || self.bans.may_ban()
    }

    /// Ends everything once it is time: `stop` says so, or it drains and the last user has left.
    pub(crate) async fn serve_until(&self, stop: &Stop) {
        stop.draining().await;
        self.drain.cancel();
        self.users.close();
        self.udp_users.close();
        let drained = async {
            let users = self.users.len();
            info!(
                Log::root(),
                "frps is leaving: it takes no new users; {users} user connections may finish"
            );
            self.users.wait().await;
            self.udp_users.wait().await;
        };
        tokio::select! {
            biased;
            () = stop.stopping() => {}
            () = drained => {}
        }
        self.stop.cancel();
    }
}
