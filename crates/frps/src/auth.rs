//! Token authentication of logins, pings and work connections (frp `pkg/auth/token.go`).

use frp_config::{Auth, Secret};
use frp_proto::auth::verify_token_key;
use frp_proto::msg::{Login, NewWorkConn, Ping};

/// Checks credentials against the configured token. Each check answers with the text that frp
/// gives the client.
#[derive(Debug)]
pub(crate) struct TokenAuth {
    token: Secret,
    heartbeats: bool,
    new_work_conns: bool,
}

impl TokenAuth {
    pub(crate) fn new(auth: &Auth) -> Self {
        Self {
            token: auth.token.clone(),
            heartbeats: auth.scope_heartbeats,
            new_work_conns: auth.scope_new_work_conns,
        }
    }

    pub(crate) fn login(&self, login: &Login) -> Result<(), &'static str> {
        self.check(login.timestamp, &login.privilege_key)
            .ok_or("token in login doesn't match token from configuration")
    }

    pub(crate) fn ping(&self, ping: &Ping) -> Result<(), &'static str> {
        if !self.heartbeats {
            return Ok(());
        }
        self.check(ping.timestamp, &ping.privilege_key)
            .ok_or("token in heartbeat doesn't match token from configuration")
    }

    pub(crate) fn new_work_conn(&self, conn: &NewWorkConn) -> Result<(), &'static str> {
        if !self.new_work_conns {
            return Ok(());
        }
        self.check(conn.timestamp, &conn.privilege_key)
            .ok_or("token in NewWorkConn doesn't match token from configuration")
    }

    fn check(&self, timestamp: i64, presented: &str) -> Option<()> {
        verify_token_key(self.token.expose(), timestamp, presented).then_some(())
    }
}
