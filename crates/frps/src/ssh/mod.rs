//! The SSH gateway (frp `pkg/ssh`): who comes by `ssh -R :80:127.0.0.1:8080 v0@HOST -p PORT tcp`, without frpc?
//!
//! A connection passes here, in this order: [`client`] takes it through the handshake, and pairs the ports that it
//! forwards with the commands that it runs. Each pair is a [`tunnel`]: a client of frps like any other, which lives
//! in this program ([`crate::inside`]), and whose local service is a channel to the ssh client ([`channel`]).
//!
//! [`handler`] is what the ssh client does, as russh tells it; [`guarded`] the socket below. [`host_key`] is by what
//! the client knows us, [`authorized`] by what we know it.

pub(crate) mod authorized;
mod channel;
mod client;
mod guarded;
mod handler;
mod host_key;
mod tunnel;

use std::sync::Arc;

use frp_log::{Log, debug};
use frp_net::go_text::join_host_port;
use frp_net::listen::{accept_loop_making_room, listen};
use russh::keys::PrivateKey;
use russh::server::Config;
use russh::{MethodKind, MethodSet, SshId};
use tokio::net::TcpListener;

use crate::bind_error::BindError;
use crate::limits::{
    SSH_ATTEMPTS, SSH_KEEPALIVE, SSH_KEEPALIVES, SSH_PACKET, SSH_STUCK, SSH_WINDOW,
};
use crate::policy::SshGateway;
use crate::proxied;
use crate::shared::Shared;

/// The port of the ssh clients.
#[derive(Debug)]
pub(crate) struct Gateway {
    listener: TcpListener,
    port: u16,
    configs: Configs,
}

/// How russh is to serve a client.
#[derive(Debug, Clone)]
pub(crate) struct Configs {
    /// One that shows no key.
    open: Arc<Config>,
    /// One that has to.
    keyed: Arc<Config>,
}

impl Gateway {
    /// Reads or makes the host key, and opens the port.
    pub(crate) fn bind(host: &str, settings: &SshGateway) -> Result<Self, BindError> {
        let key = host_key::load(settings)?;
        let port = settings.port;
        let listener = listen(host, port).map_err(|source| BindError::Listen {
            addr: join_host_port(host, port),
            source,
        })?;
        let config = |method| Arc::new(config(key.clone(), method));
        let configs = Configs {
            open: config(MethodKind::None),
            keyed: config(MethodKind::PublicKey),
        };
        Ok(Self {
            listener,
            port,
            configs,
        })
    }

    /// That of its configuration.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Gives each connection a task, until the server takes no more.
    pub(crate) async fn run(self, shared: Arc<Shared>) {
        let make_room = || {
            shared.strangers.make_room();
        };
        let stop = shared.drain.clone();
        accept_loop_making_room(self.listener, stop, make_room, |conn, peer| {
            let (to, configs) = (shared.clone(), self.configs.clone());
            proxied::arrive(&shared.base, conn, peer, move |conn, ends| {
                let turn = to.strangers.enter(ends.peer.ip());
                let thread = to.threads.next();
                match thread.adopt(conn) {
                    Ok(conn) => {
                        let serving = client::serve(to.clone(), configs, turn, conn, ends.peer);
                        to.tasks.spawn_on(serving, thread.handle());
                    }
                    Err(e) => debug!(Log::root().by(ends.peer.ip()), "[{}] {e}", ends.peer),
                }
            });
        })
        .await;
    }
}

fn config(key: PrivateKey, method: MethodKind) -> Config {
    Config {
        server_id: SshId::Standard("SSH-2.0-frps".into()),
        methods: MethodSet::from(&[method][..]),
        // A key is known or not: there is nothing to guess at.
        auth_rejection_time: std::time::Duration::ZERO,
        max_auth_attempts: SSH_ATTEMPTS,
        keys: vec![key],
        window_size: SSH_WINDOW,
        manual_window: true,
        maximum_packet_size: SSH_PACKET,
        keepalive_interval: Some(SSH_KEEPALIVE),
        keepalive_max: SSH_KEEPALIVES,
        inactivity_timeout: Some(SSH_STUCK),
        ..Config::default()
    }
}
