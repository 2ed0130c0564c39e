//! What frps asks a server plugin over HTTP, and what that answers (frp `pkg/plugin/server`,
//! `doc/server_plugin.md`). Bodies are byte for byte those of frp.

use std::collections::BTreeMap;
use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::ser::{SerializeStruct as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, wire_struct};
use crate::msg::{CloseProxy, Login, NewProxy, NewWorkConn, Ping};
use crate::named;

/// The version of what is said; part of each request and of its query.
pub const API_VERSION: &str = "0.1.0";

/// The header field with the id of an operation, which is that of all plugins that are asked about it.
pub const REQUEST_ID: &str = "x-frp-reqid";

named! {
    /// What a plugin is asked about.
    pub enum PluginOp {
        /// A login.
        Login = "Login",
        /// A proxy to be registered.
        NewProxy = "NewProxy",
        /// A proxy that has ended.
        CloseProxy = "CloseProxy",
        /// A heartbeat.
        Ping = "Ping",
        /// A work connection.
        NewWorkConn = "NewWorkConn",
        /// A user's connection.
        NewUserConn = "NewUserConn",
    }
}

/// Whose it is that a plugin is asked about.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The client's `user`.
    pub user: String,
    /// The client's `metadatas`.
    pub metas: BTreeMap<String, String>,
    /// The id of its session.
    pub run_id: String,
}

/// What a plugin is asked about, as `content`.
pub trait Content: Serialize {
    /// The operation.
    const OP: PluginOp;

    /// Takes what a plugin puts in its place.
    ///
    /// # Errors
    /// It is of another shape.
    fn replace(&mut self, by: Value) -> serde_json::Result<()>;
}

/// Of [`PluginOp::Login`].
#[derive(Debug, Serialize)]
pub struct LoginContent {
    /// What the client says.
    #[serde(flatten)]
    pub login: Login,
    /// `IP:port`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_address: String,
}

/// Of the other operations, which are those of a client that has logged in.
#[derive(Debug, Serialize)]
pub struct OfUser<'a, M> {
    /// Whose it is.
    pub user: &'a UserInfo,
    /// What it is.
    #[serde(flatten)]
    pub message: M,
}

/// A user that has come to a proxy. No plugin can change it.
#[derive(Debug, Serialize)]
pub struct UserConn<'a> {
    /// Wire name.
    pub proxy_name: &'a str,
    /// frp's name of the type.
    pub proxy_type: &'a str,
    /// `IP:port`
    pub remote_addr: String,
}

/// What a plugin says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// No, and why; the reason may be empty.
    Rejected(String),
    /// Yes.
    Unchanged,
    /// Yes, to something else; `None` where it does not say to what.
    Changed(Option<NewContent>),
}

/// What a plugin puts in the place of what it was asked about. It may hold credentials.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NewContent(Value);

/// The body of the request.
///
/// # Errors
/// It cannot be written as JSON, which does not happen.
pub fn request<C: Content>(content: &C) -> serde_json::Result<Bytes> {
    #[derive(Serialize)]
    struct Request<'a, C> {
        version: &'static str,
        op: &'static str,
        content: &'a C,
    }
    let mut body = BytesMut::new();
    let request = Request {
        version: API_VERSION,
        op: C::OP.as_str(),
        content,
    };
    json::write(&request, &mut body)?;
    Ok(body.freeze())
}

/// Reads the body of an answer.
///
/// # Errors
/// It is no such answer.
pub fn answer(body: &[u8]) -> serde_json::Result<Answer> {
    let said: Said = json::read(body)?;
    Ok(if said.reject {
        Answer::Rejected(said.reject_reason)
    } else if said.unchange {
        Answer::Unchanged
    } else {
        Answer::Changed(Some(said.content).filter(|content| !content.0.is_null()))
    })
}

impl NewContent {
    /// Puts it there.
    ///
    /// # Errors
    /// It is of another shape.
    pub fn replace(self, content: &mut impl Content) -> serde_json::Result<()> {
        content.replace(self.0)
    }
}

wire_struct! {
    struct Said {
        reject: bool = "reject",
        reject_reason: String = "reject_reason",
        unchange: bool = "unchange",
        content: NewContent = "content",
    }
}

json::plain_field! { NewContent, |content| content.0.is_null(); }

impl Serialize for NewContent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NewContent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self)
    }
}

impl fmt::Debug for NewContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewContent")
    }
}

impl Content for LoginContent {
    const OP: PluginOp = PluginOp::Login;

    fn replace(&mut self, by: Value) -> serde_json::Result<()> {
        self.login = Login::deserialize(by)?;
        Ok(())
    }
}

macro_rules! contents {
    ($($message:ty = $op:ident;)*) => { $(
        impl Content for OfUser<'_, $message> {
            const OP: PluginOp = PluginOp::$op;

            fn replace(&mut self, by: Value) -> serde_json::Result<()> {
                self.message = <$message>::deserialize(by)?;
                Ok(())
            }
        }
    )* };
}

contents! {
    NewProxy = NewProxy;
    CloseProxy = CloseProxy;
    Ping = Ping;
    NewWorkConn = NewWorkConn;
}

impl Content for OfUser<'_, UserConn<'_>> {
    const OP: PluginOp = PluginOp::NewUserConn;

    fn replace(&mut self, _: Value) -> serde_json::Result<()> {
        Ok(())
    }
}

impl Serialize for UserInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metas = (!self.metas.is_empty()).then_some(&self.metas);
        let mut info = serializer.serialize_struct("UserInfo", 3)?;
        info.serialize_field("user", &self.user)?;
        info.serialize_field("metas", &metas)?;
        info.serialize_field("run_id", &self.run_id)?;
        info.end()
    }
}

/// Metadata may be credentials.
impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo")
            .field("user", &self.user)
            .field("metas", &json::Keys(&self.metas))
            .field("run_id", &self.run_id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user() -> UserInfo {
        UserInfo {
            user: "u".to_owned(),
            metas: [("token".to_owned(), "<&>".to_owned())].into(),
            run_id: "0123456789abcdef".to_owned(),
        }
    }

    fn text(content: &impl Content) -> String {
        String::from_utf8(request(content).unwrap().to_vec()).unwrap()
    }

    /// Recorded from frps 0.70.1 with frpc 0.70.1.
    #[test]
    fn requests_are_those_of_frp() {
        let login = Login {
            version: "0.70.1".to_owned(),
            hostname: "h".to_owned(),
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            user: "u".to_owned(),
            privilege_key: "k".to_owned(),
            timestamp: 7,
            metas: user().metas,
            pool_count: 1,
            ..Login::default()
        };
        let login = LoginContent {
            login,
            client_address: "127.0.0.1:5".to_owned(),
        };
        assert_eq!(
            text(&login),
            r#"{"version":"0.1.0","op":"Login","content":{"version":"0.70.1","hostname":"h","os":"linux","arch":"amd64","user":"u","privilege_key":"k","timestamp":7,"metas":{"token":"\u003c\u0026\u003e"},"client_spec":{},"pool_count":1,"client_address":"127.0.0.1:5"}}"#
        );
        let info = user();
        let whose =
            r#"{"user":"u","metas":{"token":"\u003c\u0026\u003e"},"run_id":"0123456789abcdef"}"#;
        let of = |op: &str, rest: &str| {
            format!(r#"{{"version":"0.1.0","op":"{op}","content":{{"user":{whose}{rest}}}}}"#)
        };
        let new = NewProxy {
            proxy_name: "u.p".to_owned(),
            proxy_type: "tcp".to_owned(),
            remote_port: 6000,
            ..NewProxy::default()
        };
        let new = OfUser {
            user: &info,
            message: new,
        };
        let rest = r#","proxy_name":"u.p","proxy_type":"tcp","remote_port":6000"#;
        assert_eq!(text(&new), of("NewProxy", rest));
        let ping = OfUser {
            user: &info,
            message: Ping::default(),
        };
        assert_eq!(text(&ping), of("Ping", ""));
        let conn = UserConn {
            proxy_name: "u.p",
            proxy_type: "tcp",
            remote_addr: "[::1]:9".to_owned(),
        };
        let conn = OfUser {
            user: &info,
            message: conn,
        };
        let rest = r#","proxy_name":"u.p","proxy_type":"tcp","remote_addr":"[::1]:9""#;
        assert_eq!(text(&conn), of("NewUserConn", rest));
        let nobody = UserInfo::default();
        let closed = OfUser {
            user: &nobody,
            message: CloseProxy {
                proxy_name: "p".to_owned(),
            },
        };
        assert_eq!(
            text(&closed),
            r#"{"version":"0.1.0","op":"CloseProxy","content":{"user":{"user":"","metas":null,"run_id":""},"proxy_name":"p"}}"#
        );
    }

    #[test]
    fn answers_are_read_as_go_reads_them() {
        let read = |text: &str| answer(text.as_bytes()).unwrap();
        let rejected = |reason: &str| Answer::Rejected(reason.to_owned());
        assert_eq!(
            read(r#"{"reject":true,"reject_reason":"no"}"#),
            rejected("no")
        );
        assert_eq!(read(r#"{"Reject":true,"unchange":true}"#), rejected(""));
        assert_eq!(
            read(r#"{"unchange":true,"content":5,"x":[]}"#),
            Answer::Unchanged
        );
        for none in ["{}", "null", r#"{"content":null,"unchange":null}"#] {
            assert_eq!(read(none), Answer::Changed(None), "{none}");
        }
        for broken in [
            "",
            "[]",
            "<html>",
            r#"{"unchange":"false"}"#,
            r#"{"reject":1}"#,
        ] {
            assert!(answer(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_is_changed_is_read_as_a_message() {
        let info = user();
        let mut new = OfUser {
            user: &info,
            message: NewProxy {
                proxy_name: "a".to_owned(),
                group: "g".to_owned(),
                ..NewProxy::default()
            },
        };
        let mut change = |text: &str| match answer(text.as_bytes()).unwrap() {
            Answer::Changed(Some(by)) => by.replace(&mut new).map(|()| new.message.clone()),
            other => panic!("{other:?}"),
        };
        let changed =
            change(r#"{"content":{"user":{"user":"x"},"Proxy_Name":"b","remote_port":6}}"#);
        let changed = changed.unwrap();
        assert_eq!((&*changed.proxy_name, changed.remote_port), ("b", 6));
        assert_eq!(changed.group, "", "what is left out is empty, as in frp");
        for wrong in [r#"{"content":{"remote_port":"6"}}"#, r#"{"content":[]}"#] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let login = Login {
            privilege_key: "sesame".to_owned(),
            metas: [("token".to_owned(), "sesame".to_owned())].into(),
            ..Login::default()
        };
        let content = LoginContent {
            login,
            client_address: String::new(),
        };
        let info = UserInfo {
            metas: content.login.metas.clone(),
            ..UserInfo::default()
        };
        let said = answer(br#"{"content":{"privilege_key":"sesame"}}"#).unwrap();
        let shown = format!("{content:?} {info:?} {said:?}");
        assert!(!shown.contains("sesame"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_answer_is_more_than_an_error(body: Vec<u8>, text in r#"[{}\[\]":,a-z0-9]{0,60}"#) {
            let info = user();
            for body in [&body[..], text.as_bytes()] {
                if let Ok(Answer::Changed(Some(by))) = answer(body) {
                    let mut ping = OfUser { user: &info, message: Ping::default() };
                    let _ = by.replace(&mut ping);
                }
            }
        }
    }
}
