//! What a client has us listen for: one file per type makes it reachable, until its session or the
//! client ends it.

#[cfg(not(feature = "http"))]
#[path = "../absent/publish.rs"]
mod absent;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod https;
pub(crate) mod secret;
mod setup;
mod tcp;
#[cfg(feature = "http")]
mod tcpmux;
mod udp;
#[cfg_attr(not(feature = "xtcp"), path = "../absent/xtcp.rs")]
mod xtcp;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use frp_log::info;
use tokio_util::task::TaskTracker;

#[cfg(not(feature = "http"))]
use self::absent::{self as http, self as https, self as tcpmux};
pub(crate) use self::setup::ProxyError;
use self::setup::{Published, Setup, Teardown};
use crate::admission::guard::Guard;
use crate::client::handle::SessionHandle;
use crate::closings::Closing;
use crate::policy::Policy;
use crate::proxy::Proxy;
use crate::proxy::names::NameGuard;
use crate::proxy::spec::{Kind, ProxySpec};
use crate::shared::Shared;
use crate::stats::metrics::Running;
use crate::visitors::Carries;

/// A proxy that users can reach, until this is dropped. [`close`](Self::close) also waits until
/// its port and name are free again.
#[derive(Debug)]
pub(crate) struct RunningProxy {
    proxy: Arc<Proxy>,
    teardown: Teardown,
    _admitted: Guard,
    _counted: Option<(Running, OfClient)>,
    /// After what is published: who finds the name free finds the rest free, too.
    _name: Arc<NameGuard>,
    _closing: Closing,
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
        let name = Arc::new(shared.names.take(&spec.name, &session.doubted)?);
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
            Kind::Xtcp(access) => xtcp::publish(&setup, access)?,
        };
        let counted = shared.stats.as_ref().map(|stats| {
            let owner = (session.user(), session.id());
            let counters = &proxy.counters;
            let running = stats.metrics.start(spec, published.port, owner, counters);
            (running, OfClient::new(session))
        });
        let Published {
            remote_addr,
            teardown,
            ..
        } = published;
        let closing = Closing::of(&shared.base, &session.log, &session.info, &proxy.name);
        let running = Self {
            proxy,
            teardown,
            _admitted: admitted,
            _counted: counted,
            _name: name,
            _closing: closing,
        };
        Ok((running, remote_addr))
    }

    /// Stops listening; connections that are under way go on.
    pub(crate) async fn close(self) {
        info!(self.proxy.log.of_session(), "proxy closing");
        match self.teardown {
            Teardown::Task(stop, task) => {
                drop(stop);
                let _ = task.await;
            }
            Teardown::Places(places) => drop(places),
        }
    }
}

/// One of the proxies that a client has, until dropped.
#[derive(Debug)]
struct OfClient(Arc<SessionHandle>);

impl OfClient {
    fn new(client: &Arc<SessionHandle>) -> Self {
        client.proxies.fetch_add(1, Ordering::Relaxed);
        Self(client.clone())
    }
}

impl Drop for OfClient {
    fn drop(&mut self) {
        self.0.proxies.fetch_sub(1, Ordering::Relaxed);
    }
}
