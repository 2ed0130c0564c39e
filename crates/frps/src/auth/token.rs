//! The token that both ends know (frp `pkg/auth/token.go`).

use frp_config::Secret;
use frp_proto::auth::verify_token_key;
use frp_proto::crypto::cfb;
use frp_proto::msg::{Login, NewWorkConn, Ping};

/// The configured token. Each check of credentials against it answers with the text that frp gives the
/// client.
#[derive(Debug)]
pub(super) struct Token {
    text: Secret,
    /// Derived once: that takes as long as a login.
    key: cfb::Key,
}

impl Default for Token {
    fn default() -> Self {
        Self::new(Secret::default())
    }
}

impl Token {
    pub(super) fn new(text: Secret) -> Self {
        let key = cfb::Key::derive(text.expose().as_bytes());
        Self { text, key }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.text.expose().as_bytes()
    }

    pub(super) fn key(&self) -> &cfb::Key {
        &self.key
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
        verify_token_key(self.text.expose(), timestamp, presented).then_some(())
    }
}
