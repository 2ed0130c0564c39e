//! Stage 6: what a client has us listen for, and the way of a user's connection ([`user`]).

mod http;
mod https;
mod members;
mod names;
pub(crate) mod secret;
pub(crate) mod spec;
mod sudp;
mod tcp;
mod tcpmux;
mod udp;
pub(crate) mod user;

use std::fmt;
use std::sync::Arc;

use frp_log::{Log, info};
use frp_net::layers::{Bucket, LayerOptions};
use frp_net::threads::Thread;
use frp_proto::names::ProxyType;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

pub(crate) use self::members::{Members, Membership, Replies};
use self::names::NameGuard;
pub(crate) use self::names::Names;
use self::spec::{Kind, ProxySpec, SpecError, Transport};

use crate::Shared;
use crate::policy::Policy;
use crate::ports::PortError;
use crate::session::allowance::{OverLimit, Taken};
use crate::session::registry::SessionHandle;
use crate::vhost::http::{BadHeader, Idle};
use crate::vhost::{DomainError, GroupError};
use crate::visitors::{Carries, Repeated};
use crate::web::metrics::{Counters, Running};

/// Why a proxy was not started; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("{0}")]
    Limit(#[from] OverLimit),
    #[error("{0}")]
    Spec(#[from] SpecError),
    #[error("proxy [{0}] already exists")]
    Exists(String),
    #[error("exceed the max_ports_per_client")]
    TooManyPorts,
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
    port: Option<u16>,
    held: Held,
    _taken: Taken,
    _counted: Option<Running>,
    /// After what is published: who finds the name free finds the rest free, too.
    _name: Arc<NameGuard>,
}

/// What the connections of one proxy share.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) name: Arc<str>,
    pub(crate) spec: Arc<ProxySpec>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) session: Arc<SessionHandle>,
    pub(crate) layers: LayerOptions,
    pub(crate) counters: Arc<Counters>,
    /// Work connections between requests, of a proxy of type http.
    pub(crate) idle: Idle,
    /// That of the session: its work connections are there, so its users should be.
    pub(crate) thread: Thread,
    pub(crate) log: Log,
}

/// What a kind of proxy is given to publish itself with.
struct Setup<'a> {
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
    /// The port that the proxy takes of the client's `maxPortsPerClient`.
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
    /// Publishes what `spec` asks for, for which `taken` is held; also says how users reach it:
    /// `:PORT` or host names, as the client is told.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        policy: &Policy,
        session: &Arc<SessionHandle>,
        listeners: &TaskTracker,
        spec: ProxySpec,
        taken: Taken,
    ) -> Result<(Self, String), ProxyError> {
        let name = Arc::new(shared.names.take(&spec.name)?);
        let counters = match &shared.stats {
            None => Arc::default(),
            Some(stats) => stats.metrics.counters(&spec.name, spec.proxy_type()),
        };
        let spec = Arc::new(spec);
        let proxy = Arc::new(Proxy {
            name: spec.name.clone(),
            spec: spec.clone(),
            shared: shared.clone(),
            session: session.clone(),
            layers: layers_of(session, &spec.transport),
            counters,
            idle: Idle::default(),
            thread: Thread::here(),
            log: session.log.with(&spec.name),
        });
        let setup = Setup {
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
            remote_addr,
            port,
            held,
        } = published;
        let running = Self {
            proxy,
            port,
            held,
            _taken: taken,
            _counted: counted,
            _name: name,
        };
        Ok((running, remote_addr))
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.proxy.name
    }

    /// Whether the proxy counts for `maxPortsPerClient`.
    pub(crate) fn takes_port(&self) -> bool {
        self.port.is_some()
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

fn layers_of(session: &SessionHandle, transport: &Transport) -> LayerOptions {
    let limit = transport.limit.as_ref();
    LayerOptions {
        cipher: transport.encryption.then(|| session.auth().key().clone()),
        compress: transport.compression,
        limit: limit.map(|l| Arc::new(Bucket::new(l.bytes_per_second))),
    }
}
