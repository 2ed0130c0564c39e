//! What a client has us listen for: one file per type makes it reachable, until its session or the
//! client ends it.

mod http;
mod https;
pub(crate) mod secret;
mod tcp;
mod tcpmux;
mod udp;

use std::fmt;
use std::sync::Arc;

use frp_log::info;
use frp_proto::names::ProxyType;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::admission::guard::Guard;
use crate::client::handle::SessionHandle;
use crate::policy::Policy;
use crate::ports::PortError;
use crate::proxy::Proxy;
use crate::proxy::names::{NameGuard, NameTaken};
use crate::proxy::spec::{Kind, ProxySpec};
use crate::shared::Shared;
use crate::stats::metrics::Running;
use crate::vhost::domains::DomainError;
use crate::vhost::groups::GroupError;
use crate::vhost::http::head::BadHeader;
use crate::visitors::{Carries, Repeated};

/// Why a proxy was not started; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("frps is leaving and takes no new proxies")]
    Leaving,
    #[error("{0}")]
    Exists(#[from] NameTaken),
    #[error("{0}")]
    Port(#[from] PortError),
    #[error("acquire port {wanted} error: {why}")]
    UdpPort { wanted: u16, why: PortError },
    #[error("{0}")]
    Repeated(#[from] Repeated),
    #[error("{0}")]
    Group(#[from] crate::group::GroupError),
    #[error(
        "tcpmux with multiplexer httpconnect not supported because this feature is not enabled in server"
    )]
    NoTcpmuxPort,
    #[error("type [{0}] not supported when vhost {0} port is not set")]
    NoVhostPort(ProxyType),
    #[error("{0}")]
    Domain(#[from] DomainError),
    #[error("{0}")]
    Routes(#[from] GroupError),
    #[error("{0}")]
    Header(#[from] BadHeader),
}

/// A proxy that users can reach, until this is dropped. [`close`](Self::close) also waits until
/// its port and name are free again.
#[derive(Debug)]
pub(crate) struct RunningProxy {
    proxy: Arc<Proxy>,
    held: Held,
    _admitted: Guard,
    _counted: Option<Running>,
    /// After what is published: who finds the name free finds the rest free, too.
    _name: Arc<NameGuard>,
}

/// What a kind of proxy is given to publish itself with.
struct Setup<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    proxy: &'a Arc<Proxy>,
    /// Whoever holds a port for longer than the proxy runs holds the name, too.
    name: &'a Arc<NameGuard>,
    /// Tasks that hold ports; a session is over only when they are.
    listeners: &'a TaskTracker,
}

/// A kind of proxy that users can reach now.
#[derive(Debug)]
struct Published {
    /// `:PORT` or host names, as the client is told.
    remote_addr: String,
    /// That it got, where its type has one.
    port: Option<u16>,
    held: Held,
}

/// What ends the publication when it is dropped.
enum Held {
    /// A task that gives everything back when it is told to stop.
    Task(DropGuard, JoinHandle<()>),
    /// Places in tables.
    Places(Box<dyn Send + Sync>),
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task(..) => "Task",
            Self::Places(_) => "Places",
        })
    }
}

impl RunningProxy {
    /// Publishes what `spec` asks for, for which `admitted` is held; also says how users reach it:
    /// `:PORT` or host names, as the client is told.
    pub(crate) fn start(
        shared: &Shared,
        policy: &Policy,
        session: &Arc<SessionHandle>,
        listeners: &TaskTracker,
        spec: ProxySpec,
        admitted: Guard,
    ) -> Result<(Self, String), ProxyError> {
        if shared.drain.is_cancelled() {
            return Err(ProxyError::Leaving);
        }
        let name = Arc::new(shared.names.take(&spec.name)?);
        let counters = match &shared.stats {
            None => Arc::default(),
            Some(stats) => stats.metrics.counters(&spec.name, spec.proxy_type()),
        };
        let spec = Arc::new(spec);
        let proxy = Arc::new(Proxy::new(&shared.base, session, &spec, counters));
        let setup = Setup {
            shared,
            policy,
            proxy: &proxy,
            name: &name,
            listeners,
        };
        let published = match &spec.kind {
            Kind::Tcp { remote_port } => tcp::publish(&setup, *remote_port)?,
            Kind::Udp { remote_port } => udp::publish(&setup, *remote_port)?,
            Kind::Http(settings) => http::publish(&setup, settings)?,
            Kind::Https(hosts) => https::publish(&setup, hosts)?,
            Kind::Tcpmux(settings) => tcpmux::publish(&setup, settings)?,
            Kind::Stcp(access) => secret::publish(&setup, access, Carries::Bytes)?,
            Kind::Sudp(access) => secret::publish(&setup, access, Carries::Messages)?,
        };
        let counted = shared.stats.as_ref().map(|stats| {
            let owner = (session.user(), session.id());
            let counters = &proxy.counters;
            stats.metrics.start(spec, published.port, owner, counters)
        });
        let Published {
            remote_addr, held, ..
        } = published;
        let running = Self {
            proxy,
            held,
            _admitted: admitted,
            _counted: counted,
            _name: name,
        };
        Ok((running, remote_addr))
    }

    /// Stops listening; connections that are under way go on.
    pub(crate) async fn close(self) {
        info!(self.proxy.log.of_session(), "proxy closing");
        match self.held {
            Held::Task(stop, task) => {
                drop(stop);
                let _ = task.await;
            }
            Held::Places(places) => drop(places),
        }
    }
}
