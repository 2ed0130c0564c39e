//! frp's wire as scripted peers speak it: frames v1 and v2 around JSON, login, the v1 cipher.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, StreamingDecryptingKey, StreamingEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::wait::within;

/// The bytes that open a stream of wire v2.
pub const MAGIC: &[u8] = b"FRP\x00\x02\r\n";

/// v1 type byte of Login.
pub const LOGIN: u8 = b'o';
/// v1 type byte of LoginResp.
pub const LOGIN_RESP: u8 = b'1';
/// v1 type byte of NewProxy.
pub const NEW_PROXY: u8 = b'p';
/// v1 type byte of NewProxyResp.
pub const NEW_PROXY_RESP: u8 = b'2';
/// v1 type byte of NewWorkConn.
pub const NEW_WORK_CONN: u8 = b'w';
/// v1 type byte of ReqWorkConn.
pub const REQ_WORK_CONN: u8 = b'r';
/// v1 type byte of StartWorkConn.
pub const START_WORK_CONN: u8 = b's';
/// v1 type byte of UDPPacket.
pub const UDP_PACKET: u8 = b'u';
/// v1 type byte of NewVisitorConn.
pub const NEW_VISITOR_CONN: u8 = b'v';
/// v1 type byte of NewVisitorConnResp.
pub const NEW_VISITOR_CONN_RESP: u8 = b'3';
/// v1 type byte of Ping.
pub const PING: u8 = b'h';
/// v1 type byte of Pong.
pub const PONG: u8 = b'4';
/// v1 type byte of CloseProxy.
pub const CLOSE_PROXY: u8 = b'c';

/// One message as wire v1 frames it.
#[must_use]
pub fn v1(kind: u8, body: &Value) -> Vec<u8> {
    v1_raw(
        kind,
        i64::try_from(body.to_string().len()).unwrap(),
        body.to_string().as_bytes(),
    )
}

/// A v1 frame with any length field.
#[must_use]
pub fn v1_raw(kind: u8, length: i64, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    frame
}

/// A v2 frame with any type and flags.
#[must_use]
pub fn v2_frame(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(kind.to_be_bytes());
    frame.extend(flags.to_be_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame
}

/// One message as wire v2 frames it.
#[must_use]
pub fn v2_message(id: u16, body: &Value) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(body.to_string().as_bytes());
    v2_frame(16, 0, &payload)
}

/// A ClientHello that offers what frpc offers.
#[must_use]
pub fn client_hello() -> Vec<u8> {
    let random = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let hello = json!({
        "bootstrap": {"transport": "tcp", "tls": false, "tcpMux": false},
        "capabilities": {
            "message": {"codecs": ["json"]},
            "crypto": {
                "algorithms": ["aes-256-gcm", "xchacha20-poly1305"],
                "clientRandom": random,
            },
        },
    });
    v2_frame(1, 0, hello.to_string().as_bytes())
}

/// A Login with the right key for `token`; `more` adds or overrides fields.
#[must_use]
pub fn login(token: &str, more: &Value) -> Value {
    let (key, timestamp) = privilege_key(token);
    let mut login = json!({
        "version": "0.70.1", "hostname": "scripted", "os": "linux", "arch": "amd64",
        "privilege_key": key, "timestamp": timestamp, "client_spec": {},
    });
    for (name, value) in more.as_object().unwrap() {
        login[name] = value.clone();
    }
    login
}

/// The md5 credential of `token` for now, and its timestamp.
#[must_use]
pub fn privilege_key(token: &str) -> (String, u64) {
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let digest = Md5::digest(format!("{token}{timestamp}"));
    (
        digest.iter().map(|b| format!("{b:02x}")).collect(),
        timestamp,
    )
}

/// Reads one v1 message; None at the end of the stream or on an error.
pub async fn read_v1(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Value)> {
    within(Duration::from_secs(30), "a message", async {
        let kind = stream.read_u8().await.ok()?;
        let length = usize::try_from(stream.read_i64().await.ok()?).ok()?;
        assert!(length <= 10_240, "v1 length {length}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        Some((kind, serde_json::from_slice(&body).unwrap()))
    })
    .await
}

/// Reads one v2 frame: its type and payload. None at the end of the stream or on an error.
pub async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u16, Vec<u8>)> {
    within(Duration::from_secs(30), "a frame", async {
        let kind = stream.read_u16().await.ok()?;
        let _flags = stream.read_u16().await.ok()?;
        let length = stream.read_u32().await.ok()?;
        assert!(length <= 65_536, "v2 length {length}");
        let mut payload = vec![0; usize::try_from(length).ok()?];
        stream.read_exact(&mut payload).await.ok()?;
        Some((kind, payload))
    })
    .await
}

/// A control connection after login under wire v1: every message enciphered.
pub struct Control<S> {
    stream: S,
    token: String,
    sealing: Option<StreamingEncryptingKey>,
    opening: Option<StreamingDecryptingKey>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Control<S> {
    /// Logs in over `stream`; the answer is returned beside the control connection.
    pub async fn login(mut stream: S, token: &str, more: &Value) -> (Self, Value) {
        stream
            .write_all(&v1(LOGIN, &login(token, more)))
            .await
            .unwrap();
        let Some((LOGIN_RESP, answer)) = read_v1(&mut stream).await else {
            panic!("no answer to a scripted login");
        };
        (
            Self {
                stream,
                token: token.to_owned(),
                sealing: None,
                opening: None,
            },
            answer,
        )
    }

    /// The server's end: takes a login and answers it.
    pub async fn of_server(mut stream: S, token: &str) -> Self {
        let Some((LOGIN, _)) = read_v1(&mut stream).await else {
            panic!("no login");
        };
        let answer = json!({"version": "0.70.1", "run_id": "scripted"});
        stream.write_all(&v1(LOGIN_RESP, &answer)).await.unwrap();
        Self {
            stream,
            token: token.to_owned(),
            sealing: None,
            opening: None,
        }
    }

    /// Sends one message.
    pub async fn send(&mut self, kind: u8, body: &Value) {
        let frame = v1(kind, body);
        let mut out = Vec::new();
        let sealing = match &mut self.sealing {
            Some(key) => key,
            empty => {
                // A fixed IV will do for a test; it goes in front of the first ciphertext.
                let iv = [7; 16];
                out.extend(iv);
                let key = UnboundCipherKey::new(&AES_128, &cipher_key(&self.token)).unwrap();
                let context = EncryptionContext::Iv128(FixedLength::from(iv));
                empty.insert(StreamingEncryptingKey::less_safe_cfb128(key, context).unwrap())
            }
        };
        let start = out.len();
        out.resize(start + frame.len() + 16, 0);
        let written = sealing
            .update(&frame, &mut out[start..])
            .unwrap()
            .written()
            .len();
        out.truncate(start + written);
        self.stream.write_all(&out).await.unwrap();
    }

    /// Asks for a proxy and returns the answer; an empty or absent `error` in it means success.
    pub async fn register(&mut self, proxy: &Value) -> Value {
        self.send(NEW_PROXY, proxy).await;
        loop {
            let (kind, body) = self.recv().await.expect("an answer to NewProxy");
            if kind == NEW_PROXY_RESP {
                return body;
            }
        }
    }

    /// Closes a proxy and waits until that is done: messages of one client are handled in order.
    pub async fn close_proxy(&mut self, name: &str) {
        self.send(CLOSE_PROXY, &json!({ "proxy_name": name })).await;
        self.send(PING, &json!({})).await;
        while self.recv().await.expect("a Pong").0 != PONG {}
    }

    /// Sends bytes that no cipher has seen.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one message; None at the end of the stream.
    pub async fn recv(&mut self) -> Option<(u8, Value)> {
        within(Duration::from_secs(30), "a control message", async {
            let head = self.open(9).await?;
            let length: [u8; 8] = head.get(1..)?.try_into().ok()?;
            let body = self
                .open(usize::try_from(i64::from_be_bytes(length)).ok()?)
                .await?;
            Some((*head.first()?, serde_json::from_slice(&body).unwrap()))
        })
        .await
    }

    async fn open(&mut self, length: usize) -> Option<Vec<u8>> {
        let opening = match &mut self.opening {
            Some(key) => key,
            empty => {
                let mut iv = [0; 16];
                self.stream.read_exact(&mut iv).await.ok()?;
                let key = UnboundCipherKey::new(&AES_128, &cipher_key(&self.token)).unwrap();
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                empty.insert(StreamingDecryptingKey::cfb128(key, context).unwrap())
            }
        };
        let mut sealed = vec![0; length];
        self.stream.read_exact(&mut sealed).await.ok()?;
        let mut plain = vec![0; length + 16];
        let written = opening.update(&sealed, &mut plain).unwrap().written().len();
        plain.truncate(written);
        Some(plain)
    }
}

fn cipher_key(token: &str) -> [u8; 16] {
    let mut key = [0; 16];
    let rounds = std::num::NonZeroU32::new(64).unwrap();
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA1,
        rounds,
        b"frp",
        token.as_bytes(),
        &mut key,
    );
    key
}
