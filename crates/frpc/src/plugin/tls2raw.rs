//! `tls2raw`: ends the users' TLS and passes the plain bytes to the local service.

use frp_config::PluginTls;
use frp_log::{Level, warn};
use frp_net::dial::dial;
use frp_relay::layers::Carried;
use frp_relay::relay;

use super::error::PluginError;
use super::local_addr::LocalAddr;
use super::user_tls::UserTls;
use crate::dial::LOCAL;
use crate::user::User;

#[derive(Debug)]
pub(crate) struct Tls2Raw {
    target: LocalAddr,
    tls: UserTls,
}

impl Tls2Raw {
    pub(super) fn new(local_addr: &str, tls: &PluginTls) -> Result<Self, PluginError> {
        Ok(Self {
            target: LocalAddr::parse(local_addr, None)?,
            tls: UserTls::new(tls, &[])?,
        })
    }

    pub(super) async fn serve(&self, carried: Carried, user: &User) {
        let log = &user.log;
        let half_closes = carried.half_closes();
        let stream = match self.tls.accept(carried, false).await {
            Ok(accepted) => accepted.stream,
            Err(e) => return warn!(log, "tls handshake error: {e}"),
        };
        let mut service = match dial(&self.target.host, self.target.port, &LOCAL).await {
            Ok(service) => service,
            Err(e) => {
                let why = format!("dial to local addr error: {e}");
                return user.reach.failed(Level::Warn, why);
            }
        };
        user.reach.succeeded();
        if let Err(e) = user.write_header(&mut service).await {
            return warn!(log, "tls2raw {e}");
        }
        let carried = Carried::Layered(Box::new(stream)).of_peer(half_closes);
        let relayed = relay::serve(service, carried, user.traffic.tally()).await;
        user.log_end(&relayed);
    }
}
