//! Stage 6: what a client has us listen for, and the way of a user's connection.

mod tcp;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use frp_config::{BandwidthLimitMode, parse_bandwidth};
use frp_log::{Log, debug, info, warn};
use frp_net::layers::{Bucket, LayerOptions, Side, wrap};
use frp_net::relay::relay;
use frp_net::stream::Stream;
use frp_proto::msg::{NewProxy, StartWorkConn};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::Shared;
use crate::ports::PortError;
use crate::session::pool::TakeError;
use crate::session::registry::SessionHandle;
use crate::web::metrics::{Counters, Running};

/// Why a proxy was not started; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("proxy [{0}] already exists")]
    Exists(String),
    #[error("exceed the max_ports_per_client")]
    TooManyPorts,
    #[error("{0}")]
    Port(#[from] PortError),
    #[error("proxy type [{0}] is not supported yet by this server; supported: [tcp]")]
    Kind(String),
    #[error("loadBalancer.group is not supported yet by this server")]
    Group,
}

/// The proxy names in use, over all clients and kinds.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: Mutex<HashSet<String>>,
}

/// A name in use, given back on drop.
#[derive(Debug)]
struct NameGuard {
    name: String,
    names: Arc<Names>,
}

impl Names {
    fn take(self: &Arc<Self>, name: &str) -> Result<NameGuard, ProxyError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.insert(name.to_owned()) {
            return Err(ProxyError::Exists(name.to_owned()));
        }
        Ok(NameGuard {
            name: name.to_owned(),
            names: self.clone(),
        })
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        let mut taken = self
            .names
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.name);
    }
}

/// A proxy that listens, until this is dropped. [`close`](Self::close) also waits until its port
/// and name are free again.
#[derive(Debug)]
pub(crate) struct RunningProxy {
    remote_addr: String,
    proxy: Arc<Proxy>,
    stop: DropGuard,
    accepting: JoinHandle<()>,
    _counted: Option<Running>,
}

/// What the connections of one proxy share.
#[derive(Debug)]
struct Proxy {
    name: String,
    shared: Arc<Shared>,
    session: Arc<SessionHandle>,
    layers: LayerOptions,
    counters: Arc<Counters>,
    log: Log,
}

impl RunningProxy {
    /// Starts to listen as `new` asks.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        session: &Arc<SessionHandle>,
        listeners: &TaskTracker,
        new: &NewProxy,
    ) -> Result<Self, ProxyError> {
        if new.kind() != "tcp" {
            return Err(ProxyError::Kind(new.kind().to_owned()));
        }
        if !new.group.is_empty() {
            return Err(ProxyError::Group);
        }
        let wanted = u16::try_from(new.remote_port).map_err(|_| PortError::NotAllowed)?;
        let name = shared.names.take(&new.proxy_name)?;
        let lease = shared.ports.acquire(&new.proxy_name, wanted)?;
        let remote_addr = format!(":{}", lease.port());

        let (counted, counters) = match &shared.stats {
            None => (None, Arc::default()),
            Some(stats) => {
                let mut counted = new.clone();
                counted.remote_port = lease.port().into();
                let (running, counters) =
                    stats.metrics.start(counted, session.user(), session.id());
                (Some(running), counters)
            }
        };
        let proxy = Arc::new(Proxy {
            name: new.proxy_name.clone(),
            shared: shared.clone(),
            session: session.clone(),
            layers: layers_of(shared, new),
            counters,
            log: session.log.with(&new.proxy_name),
        });
        info!(proxy.log, "tcp proxy listen port [{}]", lease.port());
        let stop = shared.stop.child_token();
        let accepting = listeners.spawn(tcp::accept(proxy.clone(), lease, name, stop.clone()));
        Ok(Self {
            remote_addr,
            proxy,
            stop: stop.drop_guard(),
            accepting,
            _counted: counted,
        })
    }

    /// `:PORT`, as the client is told.
    pub(crate) fn remote_addr(&self) -> &str {
        &self.remote_addr
    }

    /// Stops listening; connections that are under way go on.
    pub(crate) async fn close(self) {
        info!(self.proxy.log, "proxy closing");
        drop(self.stop);
        let _ = self.accepting.await;
    }
}

fn layers_of(shared: &Shared, new: &NewProxy) -> LayerOptions {
    // As frp: a limit that does not parse is none, and the client's mode is the client's work.
    let limit = parse_bandwidth(&new.bandwidth_limit)
        .ok()
        .flatten()
        .filter(|_| new.bandwidth_limit_mode == BandwidthLimitMode::Server.as_str());
    LayerOptions {
        cipher: new.use_encryption.then(|| shared.key.clone()),
        compress: new.use_compression,
        limit: limit.map(|l| Arc::new(Bucket::new(l.bytes_per_second))),
    }
}

/// Why a user's connection was not served.
#[derive(Debug, thiserror::Error)]
enum UserError {
    #[error("{0}")]
    Take(#[from] TakeError),
    #[error("no work connection could be started: {0}")]
    Start(frp_net::msg_stream::SendError),
}

impl Proxy {
    /// Takes a user's connection to a work connection and moves bytes until both ends are done.
    async fn serve_user(self: Arc<Self>, user: TcpStream, peer: SocketAddr) {
        let served = tokio::select! {
            served = self.carry(user, peer) => served,
            () = self.shared.stop.cancelled() => return,
        };
        match served {
            Ok(relayed) => debug!(self.log, "join connections closed, [{peer}]: {relayed}"),
            Err(e) => warn!(self.log, "user connection [{peer}] closed: {e}"),
        }
    }

    async fn carry(
        &self,
        user: TcpStream,
        peer: SocketAddr,
    ) -> Result<frp_net::relay::Relayed, UserError> {
        let local = user.local_addr().map(frp_net::listen::canonical);
        let (stream, rest) = self.start_work_conn(peer, local).await?;
        let _counted = self.counters.serving();
        let carried = wrap(stream, rest, &self.layers, Side::Server);
        Ok(relay(user, carried, &self.counters.traffic).await)
    }

    /// A work connection that was told whom it is for. Ready ones may have died meanwhile, so as
    /// many are tried as the pool keeps, and one more.
    async fn start_work_conn(
        &self,
        src: SocketAddr,
        dst: io::Result<SocketAddr>,
    ) -> Result<(Stream, bytes::Bytes), UserError> {
        let limit = self.shared.cfg.user_conn_timeout;
        let mut start = StartWorkConn {
            proxy_name: self.name.clone(),
            src_addr: src.ip().to_string(),
            src_port: src.port(),
            ..StartWorkConn::default()
        };
        if let Ok(dst) = dst {
            start.dst_addr = dst.ip().to_string();
            start.dst_port = dst.port();
        }
        let start = start.into();
        let mut tries = self.session.pool.count + 1;
        loop {
            let mut conn = self.session.pool.take(limit).await?;
            let sent = match conn.queue(&start) {
                Ok(()) => conn.flush_within(limit).await,
                Err(e) => Err(e.into()),
            };
            tries -= 1;
            match sent {
                Ok(()) => return Ok(conn.into_parts()),
                Err(e) if tries == 0 => return Err(UserError::Start(e)),
                Err(e) => debug!(self.log, "work connection from the pool was dead: {e}"),
            }
        }
    }
}
