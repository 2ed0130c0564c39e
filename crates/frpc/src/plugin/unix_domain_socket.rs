//! `unix_domain_socket`: the local service listens on a Unix socket.

use std::io;
use std::path::PathBuf;

use frp_log::{Level, warn};
use frp_net::go_text::go_text;
use frp_relay::layers::Carried;
use frp_relay::limits::LOCAL_DIAL;
use frp_relay::relay;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::user::User;

#[derive(Debug)]
pub(crate) struct UnixDomainSocket {
    path: PathBuf,
}

impl UnixDomainSocket {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) async fn serve(&self, carried: Carried, user: &User) {
        let log = &user.log;
        let mut service = match self.connect().await {
            Ok(service) => service,
            Err(e) => {
                let path = self.path.display();
                let why = go_text(&e);
                let why = format!("dial to uds {path} error: dial unix {path}: connect: {why}");
                return user.reach.failed(Level::Warn, why);
            }
        };
        user.reach.succeeded();
        if let Err(e) = user.write_header(&mut service).await {
            return warn!(log, "{e}");
        }
        let service = Carried::other(service);
        user.log_end(&relay::serve(service, carried, user.traffic.tally()).await);
    }

    /// The connect of a socket whose backlog is full waits.
    async fn connect(&self) -> io::Result<UnixStream> {
        match timeout(LOCAL_DIAL, UnixStream::connect(&self.path)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
