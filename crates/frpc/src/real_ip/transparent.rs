//! Dialling the local service from the user's own address (ip(7): IP_TRANSPARENT).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use frp_log::{Log, error};
use frp_net::dial::{DialError, dial_transparent, may_be_transparent};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::rules::{self, RulesError};
use crate::dial::LOCAL;
use crate::tasks::Tasks;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Transparent {
    /// There once the rules are.
    rules: Arc<OnceCell<()>>,
}

/// Why the service cannot be dialled so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransparentError {
    #[error(
        "transport.realIP = \"transparent\" takes the capability CAP_NET_ADMIN, which this frpc does not have ({0}): \
         run `setcap cap_net_admin+ep` on its file, or set AmbientCapabilities=CAP_NET_ADMIN in its systemd unit; \
         transport.realIP = \"loopback\" takes none"
    )]
    NotAllowed(io::Error),
    #[error("{0}")]
    Rules(#[from] RulesError),
    #[error("{0}")]
    Dial(#[from] DialError),
}

impl Transparent {
    /// Whether this process may; has the rules made.
    pub(super) fn prepare(&self, log: &Log, tasks: &Tasks) -> Result<(), TransparentError> {
        may_be_transparent().map_err(TransparentError::NotAllowed)?;
        let (rules, log) = (self.rules.clone(), log.clone());
        tasks.tracker.spawn(async move {
            if let Err(e) = rules.get_or_try_init(rules::hold).await {
                error!(log, "{e}");
            }
        });
        Ok(())
    }

    pub(super) async fn dial(
        &self,
        host: &str,
        port: u16,
        from: SocketAddr,
    ) -> Result<TcpStream, TransparentError> {
        self.rules.get_or_try_init(rules::hold).await?;
        Ok(dial_transparent(host, port, from, &LOCAL).await?)
    }

    pub(super) async fn end(&self) {
        if self.rules.initialized() {
            rules::release().await;
        }
    }
}
