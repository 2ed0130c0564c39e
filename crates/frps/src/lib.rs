//! frps: listens for users and carries them to the clients that serve them.
//!
//! The files are the stages of a connection, in this order:
//!
//! 1. [`accept`]: a TCP connection arrives; a task of its own takes it from there.
//! 2. [`dispatch`]: its first bytes → TLS or not → mux streams or one stream.
//! 3. [`greet`]: a stream's wire protocol and its first message.
//! 4. [`login`]: a `Login` becomes a session.
//! 5. [`session`]: the task that owns a client's control connection and proxies.
//! 6. [`publish`]: what a client has us listen for, type by type; a visitor comes by [`visit`], a
//!    user who says a host by [`vhost`].
//! 7. [`proxy`]: the way of a user's connection, which ends in `frp_relay::relay`.
//!
//! Visitors whose bytes do not come this way are brought together with a client by [`nathole`].
//!
//! A client that lives in this program begins at the streams, [`inside`]. Such are those of the SSH gateway, [`ssh`].
//!
//! Below them lies what they share: [`shared`] has the tables ([`client`] who is logged in, [`group`]
//! who shares a port, [`visitors`] which names visitors may ask for, [`vhost::tables`] who has which
//! host), [`base`] what needs no tables: [`policy`] (what all of them go by), [`admission`] (who and
//! what may come in), [`ports`] (who has which port). [`web`] is the HTTP API, which reads [`stats`];
//! [`plugins`] are others who are asked, [`closings`] tells them of ends; [`ended`] is what is remembered of what has ended.
//!
//! Where a build lacks a feature of `Cargo.toml`, `absent` has what stands in its place.

#![cfg_attr(
    not(all(
        feature = "quic",
        feature = "kcp",
        feature = "websocket",
        feature = "http",
        feature = "oidc",
        feature = "pages",
        feature = "doctor",
        feature = "ssh",
        feature = "top",
        feature = "xtcp"
    )),
    allow(
        dead_code,
        unused_variables,
        unreachable_code,
        reason = "used only by a feature that this build lacks"
    )
)]

mod accept;
#[cfg_attr(not(feature = "pages"), path = "absent/access.rs")]
mod access;
mod admission;
#[cfg_attr(not(feature = "pages"), path = "absent/ask.rs")]
mod ask;
mod auth;
mod bans;
mod base;
mod bind_error;
mod caller;
pub mod cli;
mod client;
mod closings;
mod counts;
mod dispatch;
#[cfg_attr(not(feature = "doctor"), path = "absent/doctor.rs")]
mod doctor;
mod ended;
#[doc(hidden)]
pub mod fuzzed;
mod greet;
mod group;
mod guards;
mod holder;
mod inside;
mod key_store;
mod limits;
mod login;
#[cfg_attr(not(feature = "xtcp"), path = "absent/nathole.rs")]
mod nathole;
mod networks;
#[cfg(feature = "pages")]
mod pages;
#[cfg_attr(not(feature = "http"), path = "absent/plugins.rs")]
mod plugins;
mod policy;
mod ports;
mod proof;
mod proxied;
mod proxy;
mod publish;
mod random;
mod reload;
mod resets;
mod session;
mod shared;
#[cfg_attr(not(feature = "ssh"), path = "absent/ssh.rs")]
mod ssh;
mod stats;
mod stop;
mod token_command;
mod trusted;
#[cfg_attr(not(feature = "http"), path = "absent/vhost.rs")]
mod vhost;
mod visit;
mod visitors;
#[cfg_attr(not(feature = "pages"), path = "absent/web.rs")]
mod web;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::limits::FAREWELL;
use frp_config::{Build, ServerConfig};
use frp_log::{Log, info};
use frp_net::go_text::join_host_port;
use frp_net::kcp::KcpListener;
use frp_net::listen::{Host, listen};
use frp_net::quic;
use frp_net::strangers::Strangers;
use frp_net::udp_socket;
use frp_process::threads::Threads;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::admission::check::Check;
use crate::bans::{Bans, BansFile};
use crate::base::Base;
pub use crate::bind_error::BindError;
use crate::client::registry::Registry;
use crate::closings::Teller;
use crate::counts::Counts;
pub use crate::inside::Inside;
pub use crate::key_store::KeyStoreError;
pub use crate::plugins::PluginSetupError;
use crate::policy::InForce;
pub use crate::policy::PolicyError;
use crate::ports::Ports;
use crate::random::random_bytes;
pub use crate::reload::{ConfigFile, PolicyWriter, ReloadError, Reloader, Replaced};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::stats::conns::Conns;
use crate::stats::traffic_file::TrafficFile;
pub use crate::stop::Stop;
use crate::vhost::listeners::Listeners;
use crate::vhost::tables::Vhosts;
use crate::web::Web;
pub use crate::web::WebError;

/// This program, and what it was built without.
const BUILD: Build = frp_config::build!("frps", "ssh" => Ssh);

/// A server whose sockets are open and that nobody serves yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    quic: Option<quic::Listener>,
    kcp: Option<KcpListener>,
    vhosts: Listeners,
    ssh: Option<ssh::Gateway>,
    web: Option<Web>,
    traffic: Option<Arc<TrafficFile>>,
    bans: Option<BansFile>,
    teller: Teller,
    shared: Arc<Shared>,
}

impl Server {
    /// Opens every socket that `cfg` asks for; `file` is where it came from. Needs a tokio runtime.
    pub fn bind(cfg: ServerConfig, file: Option<ConfigFile>) -> Result<Self, BindError> {
        Self::bind_with(cfg, file, Vec::new())
    }

    /// The same with more that has a say in who and what may come in.
    fn bind_with(
        cfg: ServerConfig,
        file: Option<ConfigFile>,
        more: Vec<Box<dyn Check>>,
    ) -> Result<Self, BindError> {
        let strangers = Strangers::default();
        let bans = Arc::new(Bans::new(strangers.clone()));
        let resets = cfg.quic_bind_port.map(|_| resets::secret(&cfg));
        let (bound, policy, keeper) = policy::divide(cfg.clone(), None)?;
        let at = |port| join_host_port(&bound.bind_addr, port);
        let listener =
            listen(&bound.bind_addr, bound.bind_port).map_err(|source| BindError::Listen {
                addr: at(bound.bind_port),
                source,
            })?;
        let tasks = TaskTracker::new();
        let quic = bound.quic_port.zip(resets).map(|(port, resets)| {
            let host = &bound.bind_addr;
            let opened = quic::Listener::bind(host, port, &policy.quic, &resets, &tasks);
            opened.map_err(|source| BindError::Quic {
                addr: at(port),
                source,
            })
        });
        let kcp = bound.kcp_port.map(|port| {
            let opened = udp_socket::bind(&bound.bind_addr, port)
                .and_then(|socket| KcpListener::new(socket, strangers.clone()));
            opened.map_err(|source| BindError::Kcp {
                addr: at(port),
                source,
            })
        });
        // Once and here: a resolver may be slow, and registrations must not wait for it.
        let proxy_host = Host::resolve(&bound.proxy_bind_addr).map_err(|source| {
            let host = bound.proxy_bind_addr.clone();
            BindError::ProxyBindAddr { host, source }
        })?;
        let vhosts = Vhosts::new(&bound);
        let listeners = Listeners::bind(&bound, &vhosts, proxy_host)?;
        let ssh = bound.ssh.as_ref();
        let ssh = ssh.map(|ssh| ssh::Gateway::bind(&bound.bind_addr, ssh));
        let ssh = ssh.transpose()?;
        let web = bound.web.as_ref().map(web::bind).transpose()?;
        let is_told = web.is_some() || bound.store_path.is_some();
        let stats = is_told.then(|| Arc::new(Stats::new()));
        let traffic = bound.store_path.as_ref().zip(stats.as_ref());
        let traffic = traffic.map(|(path, stats)| {
            let opened = TrafficFile::open(path, stats).map(Arc::new);
            opened.map_err(|source| BindError::Store {
                path: path.clone(),
                source,
            })
        });
        bans.follow(policy.guards.bans.clone());
        let kept = bound.store_path.as_ref().map(|path| {
            let opened = BansFile::open(path, &bans);
            opened.map_err(|source| BindError::Store {
                path: path.clone(),
                source,
            })
        });
        let stop = CancellationToken::new();
        let (closings, teller) = closings::closings();
        let base = Base {
            bound,
            file,
            in_force: InForce::new(policy, cfg),
            admission: Admission::new(more, &bans),
            bans,
            closings,
            names: Arc::default(),
            ports: Arc::new(Ports::new(proxy_host)),
            udp_ports: Arc::new(Ports::new(proxy_host)),
            stats,
            conns: Arc::new(Conns::new(
                [random_bytes(), random_bytes()].map(u64::from_ne_bytes),
            )),
            counts: Counts::default(),
            proxied: Strangers::default(),
            threads: Threads::new(),
            tasks,
            users: TaskTracker::new(),
            udp_users: TaskTracker::new(),
            drain: stop.child_token(),
            stop,
        };
        if let Some(keeper) = keeper {
            base.tasks.spawn(keeper.run(base.stop.clone()));
        }
        let shared = Shared {
            base: Arc::new(base),
            registry: Registry::default(),
            challenges: proof::Challenges::new(),
            groups: Arc::default(),
            visitors: Arc::default(),
            nathole: Arc::default(),
            vhosts,
            strangers,
        };
        Ok(Self {
            listener,
            quic: quic.transpose()?,
            kcp: kcp.transpose()?,
            vhosts: listeners,
            ssh,
            web,
            traffic: traffic.transpose()?,
            bans: kept.transpose()?,
            teller,
            shared: Arc::new(shared),
        })
    }

    /// The address that clients connect to.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What replaces the policy of the server, also while it runs.
    pub fn policy(&self) -> PolicyWriter {
        PolicyWriter::of(&self.shared.base)
    }

    /// What reads its configuration file again while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader::of(&self.shared.base)
    }

    /// What takes in clients that live in this program.
    pub fn inside(&self) -> Inside {
        Inside::of(&self.shared)
    }

    /// Serves until `stop` says otherwise. At the end every peer is told at once, and what does not end
    /// within [`FAREWELL`] is left to its own time limits. Dropping this ends all, too.
    pub async fn run(self, stop: Stop) {
        let Self {
            listener,
            quic,
            kcp,
            vhosts,
            ssh,
            web,
            traffic,
            bans: kept,
            teller,
            shared,
        } = self;
        let _end = shared.stop.clone().drop_guard();
        let bound = &shared.bound;
        let at = |port| join_host_port(&bound.bind_addr, port);
        for name in shared.policy().plugins.names() {
            info!(Log::root(), "plugin [{name}] has been registered");
        }
        shared.tasks.spawn(teller.run(shared.base.clone()));
        let bans = shared.bans.clone();
        let of = shared.clone();
        let end = move |is_banned: &(dyn Fn(IpAddr) -> bool + Sync)| of.end_banned(is_banned);
        shared.tasks.spawn(bans.run(end, shared.stop.clone()));
        if let Some(kept) = kept {
            shared.tasks.spawn(kept.run(shared.stop.clone()));
        }
        shared.tasks.spawn(reload::watch_lists(shared.base.clone()));
        info!(Log::root(), "frps tcp listen on {}", at(bound.bind_port));
        if let (Some(quic), Some(port)) = (quic, bound.quic_port) {
            info!(Log::root(), "frps quic listen on {}", at(port));
            shared.tasks.spawn(accept::run_quic(quic, shared.clone()));
        }
        // Its one socket carries what the others say at the end.
        let (below, last) = (TaskTracker::new(), CancellationToken::new());
        let _last = last.clone().drop_guard();
        if let (Some(kcp), Some(port)) = (kcp, bound.kcp_port) {
            info!(Log::root(), "frps kcp listen on udp {}", at(port));
            below.spawn(accept::run_kcp(kcp, shared.clone(), last.clone()));
        }
        vhosts.run(&shared);
        if let Some(ssh) = ssh {
            info!(
                Log::root(),
                "frps sshTunnelGateway listen on port {}",
                ssh.port()
            );
            shared.tasks.spawn(ssh.run(shared.clone()));
        }
        if let (Some(web), Some(config), Some(stats)) =
            (web, bound.web.clone(), shared.stats.clone())
        {
            shared
                .tasks
                .spawn(web::run(web, config, shared.clone(), stats));
        }
        if let Some(traffic) = traffic.clone() {
            shared.tasks.spawn(traffic.run(shared.stop.clone()));
        }
        key_store::tell(&shared.policy());
        info!(Log::root(), "frps started successfully");
        shared.tasks.spawn(accept::run(listener, shared.clone()));
        shared.serve_until(&stop).await;
        shared.tasks.close();
        let _ = timeout(FAREWELL, shared.tasks.wait()).await;
        last.cancel();
        below.close();
        below.wait().await;
        if let Some(traffic) = traffic {
            traffic.save_and_tell().await;
        }
    }
}
