//! What every type of proxy is given to publish itself with, what it returns, and why it may not.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use frp_proto::names::ProxyType;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::policy::Policy;
use crate::ports::{AllowedPorts, PortError};
use crate::proxy::Proxy;
use crate::proxy::names::{NameGuard, NameTaken};
use crate::shared::Shared;
use crate::vhost::domains::DomainError;
use crate::vhost::groups::GroupError;
use crate::vhost::http::head::BadHeader;
use crate::visitors::Repeated;

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
    #[cfg(not(all(feature = "http", feature = "xtcp")))]
    #[error("proxy type {0}: {1}")]
    Lacking(&'static str, frp_config::Lacking),
    #[error("{0}")]
    Domain(#[from] DomainError),
    #[error("{0}")]
    Routes(#[from] GroupError),
    #[error("{0}")]
    Header(#[from] BadHeader),
}

/// What a kind of proxy is given to publish itself with.
pub(super) struct Setup<'a> {
    pub(super) shared: &'a Shared,
    pub(super) policy: &'a Policy,
    pub(super) proxy: &'a Arc<Proxy>,
    /// Whoever holds a port for longer than the proxy runs holds the name, too.
    pub(super) name: &'a Arc<NameGuard>,
    /// Tasks that hold ports; a session is over only when they are.
    pub(super) listeners: &'a TaskTracker,
}

impl Setup<'_> {
    /// The ports that the client may have.
    pub(super) fn ports(&self) -> Cow<'_, AllowedPorts> {
        let tokens = &self.policy.auth.tokens;
        let entry = tokens.current(self.proxy.session.identity().entry());
        let own = entry
            .as_ref()
            .map_or(&[][..], |entry| entry.allowed.ports());
        self.policy.allow_ports.within(own)
    }
}

/// A kind of proxy that users can reach now.
#[derive(Debug)]
pub(super) struct Published {
    /// `:PORT` or host names, as the client is told.
    pub(super) remote_addr: String,
    /// That it got, where its type has one.
    pub(super) port: Option<u16>,
    pub(super) teardown: Teardown,
}

/// What ends the publication when it is dropped.
pub(super) enum Teardown {
    /// A task that gives everything back when it is told to stop.
    Task(DropGuard, JoinHandle<()>),
    /// Places in tables.
    Places(Box<dyn Send + Sync>),
}

impl fmt::Debug for Teardown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task(..) => "Task",
            Self::Places(_) => "Places",
        })
    }
}
