//! The credentials that a client signs its messages with (frp `pkg/auth/token.go`).

use std::time::{SystemTime, UNIX_EPOCH};

use frp_config::{Auth, Secret};
use frp_proto::auth::token_key;
use frp_proto::msg::{Login, NewWorkConn, Ping};

/// Signs with the configured token.
#[derive(Debug)]
pub(crate) struct TokenAuth(pub(crate) Auth);

impl TokenAuth {
    pub(crate) fn sign_login(&self, login: &mut Login) {
        (login.timestamp, login.privilege_key) = self.signature();
    }

    pub(crate) fn ping(&self) -> Ping {
        if !self.0.scope_heartbeats {
            return Ping::default();
        }
        let (timestamp, privilege_key) = self.signature();
        Ping {
            timestamp,
            privilege_key,
        }
    }

    pub(crate) fn new_work_conn(&self, run_id: &str) -> NewWorkConn {
        let run_id = run_id.to_owned();
        if !self.0.scope_new_work_conns {
            return NewWorkConn {
                run_id,
                ..NewWorkConn::default()
            };
        }
        let (timestamp, privilege_key) = self.signature();
        NewWorkConn {
            run_id,
            timestamp,
            privilege_key,
        }
    }

    fn signature(&self) -> (i64, String) {
        signature(&self.0.token)
    }
}

/// The time now in Unix seconds, and `secret` signed with it.
pub(crate) fn signature(secret: &Secret) -> (i64, String) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or_default();
    (now, token_key(secret.expose(), now))
}
