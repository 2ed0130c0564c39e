//! frps: listens for users and carries them to the clients that serve them.
//!
//! The files are the stages of a connection, in this order:
//!
//! 1. [`accept`]: a TCP connection arrives; a task of its own takes it from there.
//! 2. [`door`]: its first bytes → TLS or not → mux streams or one stream.
//! 3. [`greet`]: a stream's wire protocol and its first message.
//! 4. [`login`]: a `Login` becomes a session.
//! 5. [`session`]: the task that owns a client's control connection and proxies; beside it the
//!    pool of work connections.
//! 6. [`proxy`]: what a client has us listen for; the way of a user's connection ends in
//!    `frp_net::relay`.
//!
//! Beside the way: [`ports`] (who has which port), [`group`] (who shares one), [`visitors`] (which
//! names visitors may ask for), `frp_net::before_login` (how many strangers wait), [`web`] (the
//! HTTP API, and what it tells of).

mod accept;
mod auth;
pub mod cli;
mod door;
mod greet;
mod group;
mod login;
mod ports;
mod proxy;
mod session;
mod visitors;
mod web;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use frp_config::ServerConfig;
use frp_log::{Log, contract, info};
use frp_net::go_text::go_text;
            groups: Arc::default(),
            visitors: Arc::default(),
            ports: Arc::new(Ports::new(proxy_host, &cfg.allow_ports)),
            before_login: BeforeLogin::default(),
            stats: web.is_some().then(|| Arc::new(Stats::new())),
            threads: Threads::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            cfg,
        };
        Ok(Self {
            listener,
            web,
            shared: Arc::new(shared),
        })
    }

    /// The address that clients connect to.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled, then ends every session and waits for their tasks.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            listener,
            web,
            shared,
        } = self;
        let cfg = &shared.cfg;
        let addr = format!("{}:{}", cfg.bind_addr, cfg.bind_port);
        info!(Log::root(), "{}", contract::tcp_listen(addr));
        if let (Some(web), Some(config), Some(stats)) =
            (web, shared.cfg.web_server.clone(), shared.stats.clone())
        {
            shared
                .tasks
                .spawn(web::run(web, config, shared.clone(), stats));
        }
        info!(Log::root(), "{}", contract::frps_started());
        let accepting = shared.tasks.spawn(accept::run(listener, shared.clone()));
        stop.cancelled().await;
        shared.stop.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
        drop(accepting);
    }
}
