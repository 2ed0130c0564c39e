//! The ports of the vhosts (frp `server/service.go`).

use std::sync::Arc;

use bytes::Bytes;
use frp_log::{Log, info};
use frp_net::go_text::join_host_port;
use frp_net::limits::END_KEEPALIVE;
use frp_net::listen::{Host, accept_loop, tune};
use frp_net::rewind::Rewind;
use tokio::net::{TcpListener, TcpStream};

use super::tables::Vhosts;
use super::{connect, http, https};
use crate::bind_error::BindError;
use crate::policy::Bound;
use crate::proxied::{self, Ends};
use crate::shared::Shared;

/// The sockets of the vhosts that do not share bindPort.
#[derive(Debug)]
pub(crate) struct Listeners {
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    connect: Option<TcpListener>,
}

impl Listeners {
    /// Opens them on `host`, which is `proxyBindAddr`.
    pub(crate) fn bind(bound: &Bound, vhosts: &Vhosts, host: Host) -> Result<Self, BindError> {
        let open = |port: Option<u16>, shared: bool| {
            let open = |port| {
                let failed = |source| (join_host_port(&bound.proxy_bind_addr, port), source);
                host.listen(port).map_err(failed)
            };
            port.filter(|_| !shared).map(open).transpose()
        };
        let listen = |(addr, source)| BindError::Listen { addr, source };
        let http = |(addr, source)| BindError::VhostHttp { addr, source };
        let at = vhosts.at_bind_port;
        Ok(Self {
            connect: open(bound.tcpmux_port, false).map_err(listen)?,
            http: open(bound.vhost_http_port, at.http).map_err(http)?,
            https: open(bound.vhost_https_port, at.https).map_err(listen)?,
        })
    }

    /// Hands each user a task until the server stops.
    pub(crate) fn run(self, shared: &Arc<Shared>) {
        let bound = &shared.bound;
        let log = Log::root();
        let addr =
            |port: Option<u16>| join_host_port(&bound.proxy_bind_addr, port.unwrap_or_default());
        if let Some(listener) = self.connect {
            let (port, pass) = (bound.tcpmux_port, shared.policy().tcpmux_passthrough);
            info!(
                log,
                "tcpmux httpconnect multiplexer listen on {}, passthrough: {pass}",
                addr(port)
            );
            accept(shared, listener, |shared, conn, ends| {
                connect::serve(shared, conn, ends)
            });
        }
        if bound.vhost_http_port.is_some() {
            info!(
                log,
                "http service listen on {}",
                addr(bound.vhost_http_port)
            );
        }
        if let Some(listener) = self.http {
            accept(shared, listener, |shared, conn, ends| {
                http::serve(shared, Rewind::new(Bytes::new(), conn), ends.peer)
            });
        }
        if let Some(listener) = self.https {
            // As frp, not where bindPort is the port.
            info!(
                log,
                "https service listen on {}",
                addr(bound.vhost_https_port)
            );
            accept(shared, listener, |shared, conn, ends| {
                https::serve(shared, conn, Bytes::new(), ends)
            });
        }
    }
}

/// Users say whom they are for on the thread that accepts; the proxy then takes them to its own.
fn accept<F>(
    shared: &Arc<Shared>,
    listener: TcpListener,
    serve: impl Fn(Arc<Shared>, TcpStream, Ends) -> F + Copy + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let shared = shared.clone();
    shared.tasks.clone().spawn(async move {
        accept_loop(
            listener,
            Log::root().span(),
            shared.drain.clone(),
            |conn, peer| {
                tune(&conn, Some(END_KEEPALIVE));
                let to = shared.clone();
                proxied::arrive(&shared.base, conn, peer, move |conn, ends| {
                    to.tasks.spawn(serve(to.clone(), conn, ends));
                });
            },
        )
        .await;
    });
}
