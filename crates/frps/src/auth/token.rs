//! The token that both ends know (frp `pkg/auth/token.go`).

use std::fmt;

use frp_config::Secret;
use frp_proto::auth::verify_token_key;
use frp_proto::crypto::cfb;
use frp_proto::msg::{Login, NewWorkConn, Ping};

/// A token. Each check of credentials against it answers with the text that frp gives the client.
#[derive(Debug)]
pub(super) struct Token {
    text: Secret,
    /// In place of the text, where it is that of one session.
    session: Option<SessionSecret>,
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
        Self {
            text,
            session: None,
            key,
        }
    }

    /// What both ends of one session know and nobody else.
    pub(super) fn of_session(secret: &[u8]) -> Self {
        Self {
            text: Secret::default(),
            session: Some(SessionSecret(secret.into())),
            key: cfb::Key::derive(secret),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.session {
            Some(SessionSecret(secret)) => secret,
            None => self.text.expose().as_bytes(),
        }
    }

    pub(super) fn key(&self) -> &cfb::Key {
        &self.key
    }

    pub(super) fn login(&self, login: &Login) -> bool {
        self.check(login.timestamp, &login.privilege_key).is_some()
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
        let is_text = self.session.is_none();
        let is_right = is_text && verify_token_key(self.text.expose(), timestamp, presented);
        is_right.then_some(())
    }
}

/// Those of sessions are never the same.
impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.session.is_none() && other.session.is_none() && self.text == other.text
    }
}

struct SessionSecret(Box<[u8]>);

/// Not shown.
impl fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionSecret(***)")
    }
}
