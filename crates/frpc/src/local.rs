//! Stage 5: the local service or the plugin, and the bytes between it and the work connection
//! (frp `client/proxy/proxy.go`).

use frp_config::ProxyConfig;
use frp_log::{Level, debug, error};
use frp_net::dial::{DialError, dial};
use frp_net::layers::{Side, wrap};
use frp_net::msg_stream::MsgStream;
use frp_net::relay;
use frp_net::stream::Stream;
use tokio::net::TcpStream;

use crate::dial::LOCAL;
use crate::proxy::Proxy;
use crate::user::{HeaderError, User};

#[derive(Debug, thiserror::Error)]
enum LocalError {
    #[error("connect to local service [{host}:{port}] error: {source}")]
    Dial {
        host: String,
        port: u16,
        source: DialError,
    },
    #[error("{0}")]
    Header(#[from] HeaderError),
}

/// Serves one user until both ends are done; `half_closes`: the server has said so.
pub(crate) async fn serve(
    proxy: &Proxy,
    user: &User,
    stream: MsgStream<Stream>,
    half_closes: bool,
) {
    if let Some(plugin) = proxy.plugin() {
        let (stream, rest) = stream.into_parts();
        debug!(proxy.log, "handle by plugin: {}", plugin.name());
        let carried = wrap(stream, rest, &proxy.layers, Side::Client).of_peer(half_closes);
        plugin.serve(carried, user).await;
        return debug!(proxy.log, "handle by plugin finished");
    }
    let local = match open(&proxy.cfg, user).await {
        Ok(local) => local,
        Err(e @ LocalError::Dial { .. }) => {
            return proxy.reach.failed(Level::Error, e.to_string());
        }
        Err(e) => return error!(proxy.log, "{e}"),
    };
    let (stream, rest) = stream.into_parts();
    let carried = wrap(stream, rest, &proxy.layers, Side::Client).of_peer(half_closes);
    user.log_end(&relay::serve(local, carried, &proxy.traffic).await);
}

async fn open(cfg: &ProxyConfig, user: &User) -> Result<TcpStream, LocalError> {
    let dialled = dial(&cfg.local_ip, cfg.local_port, &LOCAL).await;
    let mut local = dialled.map_err(|source| LocalError::Dial {
        host: cfg.local_ip.clone(),
        port: cfg.local_port,
        source,
    })?;
    user.reach.succeeded();
    user.write_header(&mut local).await?;
    Ok(local)
}
