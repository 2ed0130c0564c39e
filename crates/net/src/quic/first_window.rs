//! A stream's window before it is read from.
//!
//! quinn has one window for all streams of a connection, which a stream has from its start, read or
//! not. But what it tells the peer in the handshake passes through the TLS session, and is made less
//! there. The peer then has the rest of a stream's window once an eighth of it has been read, for that
//! is when quinn tells it of more (quinn-proto `recv.rs`: max_stream_data).

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use quinn::ConnectError;
use quinn::crypto::{ClientConfig, Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::coding::Codec;
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, VarInt};

/// What quinn waits for before it tells of more, as a part of the window.
const TOLD_AFTER: u32 = 8;

/// Bytes that a peer may send on a stream before anything is read, where the window is `window`.
pub(super) const fn of(window: u32) -> u32 {
    window / TOLD_AFTER
}

/// The parameters whose value is a stream's first window (RFC 9000, section 18.2):
/// initial_max_stream_data_bidi_local, initial_max_stream_data_bidi_remote.
const FIRST_WINDOWS: [u64; 2] = [0x05, 0x06];

/// TLS that tells the peer of a small first window.
pub(super) struct Narrow<T> {
    pub(super) tls: Arc<T>,
    /// Bytes.
    pub(super) first: u32,
}

impl<T: ClientConfig> ClientConfig for Narrow<T> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let params = narrowed(params, Side::Server, self.first);
        let tls = Arc::clone(&self.tls);
        tls.start_session(version, server_name, &params)
    }
}

impl<T: ServerConfig> ServerConfig for Narrow<T> {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.tls.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.tls.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        let params = narrowed(params, Side::Client, self.first);
        Arc::clone(&self.tls).start_session(version, &params)
    }
}

/// `reader` is the side that these are for. quinn's own are as they should be; if they were not, they
/// would go as they are.
fn narrowed(params: &TransportParameters, reader: Side, first: u32) -> TransportParameters {
    let mut written = BytesMut::new();
    params.write(&mut written);
    let narrow = narrow(&written, first);
    narrow
        .and_then(|narrow| TransportParameters::read(reader, &mut &narrow[..]).ok())
        .unwrap_or(*params)
}

/// Each parameter is a number, a length, and so many bytes (RFC 9000, section 18).
fn narrow(mut params: &[u8], first: u32) -> Option<Vec<u8>> {
    let mut narrow = Vec::with_capacity(params.len());
    while params.has_remaining() {
        let id = VarInt::decode(&mut params).ok()?;
        let len = VarInt::decode(&mut params).ok()?;
        let value = params.get(..usize::try_from(len.into_inner()).ok()?)?;
        params.advance(value.len());
        id.encode(&mut narrow);
        if FIRST_WINDOWS.contains(&id.into_inner()) {
            let first = VarInt::from_u32(first);
            let mut value = Vec::new();
            first.encode(&mut value);
            VarInt::from_u32(value.len() as u32).encode(&mut narrow);
            narrow.extend_from_slice(&value);
        } else {
            len.encode(&mut narrow);
            narrow.extend_from_slice(value);
        }
    }
    Some(narrow)
}
