//! How a v2 control connection agrees on codec and cipher (frp `pkg/proto/wire/crypto.go`).
//!
//! The client sends magic, [`ClientHello`] and its login in one go; the server answers with
//! [`ServerHello`] before the login's answer. Both then derive keys from a hash over the two
//! payloads *as they were on the wire*, see [`transcript_hash`].

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::DecodeError;
use crate::crypto::aead::Algorithm;
use crate::json::{self, wire_struct};

/// The only message codec there is.
pub const CODEC_JSON: &str = "json";

/// Length of the random values in the hellos, bytes.
pub const RANDOM_LEN: usize = 32;

wire_struct! {
    /// How the client reached the server. Informative.
    pub struct Bootstrap {
        /// `tcp`, `kcp`, `quic`, `websocket` or `wss`.
        transport: String = "transport",
        /// The connection is inside TLS.
        tls: bool = "tls",
        /// The stream is one of several on the connection.
        tcp_mux: bool = "tcpMux",
    }
}

wire_struct! {
    /// What the client can do: payload of the frame kind `ClientHello`.
    pub struct ClientHello {
        /// How it reached the server.
        bootstrap: Bootstrap = "bootstrap" always,
        /// What it offers.
        capabilities: ClientCapabilities = "capabilities" always,
    }
}

wire_struct! {
    /// The client's offer.
    pub struct ClientCapabilities {
        /// How messages may be written.
        message: MessageCapabilities = "message" always,
        /// How the control connection may be enciphered.
        crypto: CryptoCapabilities = "crypto" always,
    }
}

wire_struct! {
    /// The client's message codecs.
    pub struct MessageCapabilities {
        /// Must hold [`CODEC_JSON`].
        codecs: Vec<String> = "codecs",
    }
}

wire_struct! {
    /// The client's ciphers.
    pub struct CryptoCapabilities {
        /// Names of [`Algorithm`]s, the one preferred first.
        algorithms: Vec<String> = "algorithms",
        /// [`RANDOM_LEN`] random bytes.
        client_random: Bytes = "clientRandom",
    }
}

wire_struct! {
    /// The server's choice: payload of the frame kind `ServerHello`.
    pub struct ServerHello {
        /// What was chosen of the offer.
        selected: ServerSelection = "selected" always,
        /// Why the client is refused; empty when it is not.
        error: String = "error",
    }
}

wire_struct! {
    /// What the server chose.
    pub struct ServerSelection {
        /// The message codec.
        message: MessageSelection = "message" always,
        /// The cipher.
        crypto: CryptoSelection = "crypto" always,
    }
}

wire_struct! {
    /// The chosen message codec.
    pub struct MessageSelection {
        /// Always [`CODEC_JSON`].
        codec: String = "codec",
    }
}

wire_struct! {
    /// The chosen cipher.
    pub struct CryptoSelection {
        /// Name of an [`Algorithm`].
        algorithm: String = "algorithm",
        /// [`RANDOM_LEN`] random bytes.
        server_random: Bytes = "serverRandom",
    }
}

/// The hello of a client. `has_aes`: this machine has AES instructions, so AES-GCM is preferred;
/// without them it is slow and no longer constant in time.
pub fn client_hello(bootstrap: Bootstrap, random: [u8; RANDOM_LEN], has_aes: bool) -> ClientHello {
    let algorithms = if has_aes {
        [Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305]
    } else {
        [Algorithm::XChaCha20Poly1305, Algorithm::Aes256Gcm]
    };
    ClientHello {
        bootstrap,
        capabilities: ClientCapabilities {
            message: MessageCapabilities {
                codecs: vec![CODEC_JSON.to_owned()],
            },
            crypto: CryptoCapabilities {
                algorithms: algorithms
                    .map(|algorithm| algorithm.as_str().to_owned())
                    .into(),
                client_random: Bytes::copy_from_slice(&random),
            },
        },
    }
}

/// The server's answer: the first algorithm of the client's list that we know.
///
/// # Errors
/// [`HelloError`] when client and server have nothing in common; tell it to the client by
/// [`ServerHello::refusal`].
pub fn select(
    client: &ClientHello,
    server_random: [u8; RANDOM_LEN],
) -> Result<ServerHello, HelloError> {
    let offer = &client.capabilities;
    if !offer.message.codecs.iter().any(|codec| codec == CODEC_JSON) {
        return Err(HelloError::NoCodec);
    }
    if offer.crypto.client_random.len() != RANDOM_LEN {
        return Err(HelloError::ClientRandom(offer.crypto.client_random.len()));
    }
    let algorithm = offer
        .crypto
        .algorithms
        .iter()
        .find_map(|name| Algorithm::parse(name))
        .ok_or(HelloError::NoAlgorithm)?;
    Ok(ServerHello {
        selected: ServerSelection {
            message: MessageSelection {
                codec: CODEC_JSON.to_owned(),
            },
            crypto: CryptoSelection {
                algorithm: algorithm.as_str().to_owned(),
                server_random: Bytes::copy_from_slice(&server_random),
            },
        },
        error: String::new(),
    })
}

/// The client's view of the answer: which algorithm to use from here on.
///
/// # Errors
/// [`HelloError`] when the server refused, or chose what was not offered.
pub fn check(client: &ClientHello, server: &ServerHello) -> Result<Algorithm, HelloError> {
    if !server.error.is_empty() {
        return Err(HelloError::Refused(server.error.clone()));
    }
    let ServerSelection { message, crypto } = &server.selected;
    if message.codec != CODEC_JSON {
        return Err(HelloError::SelectedCodec(message.codec.clone()));
    }
    let algorithm = Algorithm::parse(&crypto.algorithm)
        .ok_or_else(|| HelloError::SelectedUnknown(crypto.algorithm.clone()))?;
    if !client
        .capabilities
        .crypto
        .algorithms
        .contains(&crypto.algorithm)
    {
        return Err(HelloError::SelectedNotOffered(algorithm));
    }
    if crypto.server_random.len() != RANDOM_LEN {
        return Err(HelloError::ServerRandom(crypto.server_random.len()));
    }
    Ok(algorithm)
}

/// Hash that binds the control connection's keys to the negotiation. The arguments are the payloads
/// of the two hello frames exactly as sent and received: never written anew, since another
/// implementation may order or space its JSON differently.
pub fn transcript_hash(client_payload: &[u8], server_payload: &[u8]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"frp wire v2 crypto transcript");
    for (label, payload) in [
        (b"\0client hello\0", client_payload),
        (b"\0server hello\0", server_payload),
    ] {
        hash.update(label);
        hash.update(&(payload.len() as u64).to_be_bytes());
        hash.update(payload);
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

impl ClientHello {
    /// The payload to send. Keep it: [`transcript_hash`] needs these very bytes.
    pub fn to_payload(&self) -> Bytes {
        payload(self)
    }

    /// Reads a received payload.
    ///
    /// # Errors
    /// [`DecodeError::Json`] when it is no such object.
    pub fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        json::read(payload).map_err(|source| DecodeError::Json {
            message: "ClientHello",
            source,
        })
    }
}

impl ServerHello {
    /// What a refused client is told.
    pub fn refusal(reason: &HelloError) -> Self {
        Self {
            selected: ServerSelection {
                message: MessageSelection {
                    codec: CODEC_JSON.to_owned(),
                },
                crypto: CryptoSelection::default(),
            },
            error: reason.to_string(),
        }
    }

    /// The payload to send. Keep it: [`transcript_hash`] needs these very bytes.
    pub fn to_payload(&self) -> Bytes {
        payload(self)
    }

    /// Reads a received payload.
    ///
    /// # Errors
    /// [`DecodeError::Json`] when it is no such object.
    pub fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        json::read(payload).map_err(|source| DecodeError::Json {
            message: "ServerHello",
            source,
        })
    }
}

/// Why client and server cannot agree. The first three go to the client in frp's own words.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum HelloError {
    /// The client does not offer [`CODEC_JSON`].
    #[error("unsupported message codec")]
    NoCodec,
    /// The client's random value has another length than [`RANDOM_LEN`].
    #[error("invalid crypto client random length {0}, want {RANDOM_LEN}")]
    ClientRandom(usize),
    /// The client offers no algorithm that we know.
    #[error("no supported crypto algorithm")]
    NoAlgorithm,
    /// The server says no.
    #[error("server refused the connection: {0}")]
    Refused(String),
    /// The server chose another codec.
    #[error("unsupported selected message codec: {0}")]
    SelectedCodec(String),
    /// The server chose an algorithm that does not exist.
    #[error("unknown selected crypto algorithm: {0}")]
    SelectedUnknown(String),
    /// The server chose an algorithm that the client did not offer.
    #[error("selected crypto algorithm was not advertised by client: {0}")]
    SelectedNotOffered(Algorithm),
    /// The server's random value has another length than [`RANDOM_LEN`].
    #[error("invalid crypto server random length {0}, want {RANDOM_LEN}")]
    ServerRandom(usize),
}

fn payload<T: serde::Serialize>(hello: &T) -> Bytes {
    let mut out = BytesMut::new();
    // Cannot fail: the hellos hold only text, flags and bytes, and the buffer grows.
    let _ = json::write(hello, &mut out);
    out.freeze()
}
