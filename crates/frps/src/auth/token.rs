//! The token that both ends know (frp `pkg/auth/token.go`).

use frp_config::{Auth, Secret};
use frp_proto::auth::verify_token_key;
use frp_proto::msg::{Login, NewWorkConn, Ping};

/// Checks credentials against the configured token. Each check answers with the text that frp
/// gives the client.
#[derive(Debug)]
pub(super) struct TokenAuth(Secret);

impl TokenAuth {
    pub(super) fn new(auth: &Auth) -> Self {
        Self(auth.token.clone())
    }

    pub(super) fn login(&self, login: &Login) -> Result<(), &'static str> {
        self.check(login.timestamp, &login.privilege_key)
            .ok_or("token in login doesn't match token from configuration")
    }

    pub(super) fn ping(&self, ping: &Ping) -> Result<(), &'static str> {
        self.check(ping.timestamp, &ping.privilege_key)
            .ok_or("token in heartbeat doesn't match token from configuration")
    }

    pub(super) fn new_work_conn(&self, conn: &NewWorkConn) -> Result<(), &'static str> {
        self.check(conn.timestamp, &conn.privilege_key)
            .ok_or("token in NewWorkConn doesn't match token from configuration")
    }

    fn check(&self, timestamp: i64, presented: &str) -> Option<()> {
        verify_token_key(self.0.expose(), timestamp, presented).then_some(())
    }
}
