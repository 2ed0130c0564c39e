//! QUIC with a peer whose TLS hello names a server by something that is no name.
//!
//! frp's xtcp visitor asks for `1.2.3.4:5678` (frp `client/visitor/xtcp.go`), which Go puts into the
//! extension server_name as it is, and rustls ends such a handshake. Who serves a peer has one
//! certificate and needs no name. So rustls does not get to see the extension: it gets the hello with
//! another number in the place of the extension's, which it passes over as it does all that it does not
//! know. The hash of the handshake, which both ends must have alike, is still that of the hello which
//! came: the hash functions that rustls is given put the number back.

use std::any::Any;
use std::sync::{Arc, LazyLock};

use quinn::crypto::{ExportKeyingMaterialError, KeyPair, Keys, PacketKey, ServerConfig, Session};
use quinn::crypto::{HeaderKey, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError};
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite};

/// server_name (RFC 6066, section 3).
const SERVER_NAME: [u8; 2] = [0, 0];

/// Of the numbers that are for private use (RFC 8446, section 11). Whoever sends this one itself gets no
/// connection.
const HIDDEN: [u8; 2] = [0xff, 0x5e];

/// ClientHello (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;

/// Bytes of a message's type and length.
const MESSAGE_HEADER: usize = 4;

/// What rustls is to be set up with, for a server whose sessions are [`AnyName`].
pub(super) fn provider() -> CryptoProvider {
    static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
        let all = aws_lc_rs::ALL_CIPHER_SUITES.iter();
        all.filter_map(SupportedCipherSuite::tls13)
            .map(|suite| Tls13CipherSuite {
                common: CipherSuiteCommon {
                    suite: suite.common.suite,
                    hash_provider: restored(suite.common.hash_provider),
                    confidentiality_limit: suite.common.confidentiality_limit,
                },
                hkdf_provider: suite.hkdf_provider,
                aead_alg: suite.aead_alg,
                quic: suite.quic,
            })
            .collect()
    });
    let suites = SUITES.iter().map(SupportedCipherSuite::Tls13);
    CryptoProvider {
        cipher_suites: suites.collect(),
        ..aws_lc_rs::default_provider()
    }
}

/// Settings whose sessions hide the name.
pub(super) struct AnyName<T>(pub(super) Arc<T>);

impl<T: ServerConfig> ServerConfig for AnyName<T> {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        Box::new(Hiding {
            tls: Arc::clone(&self.0).start_session(version, params),
            hello: Vec::new(),
            is_over: false,
        })
    }
}

/// A session that gets hellos whole, and with the name hidden.
struct Hiding {
    tls: Box<dyn Session>,
    /// The part of one that has come; quinn bounds what a peer may send ahead.
    hello: Vec<u8>,
    /// No more of them come.
    is_over: bool,
}

impl Session for Hiding {
    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        if self.is_over {
            return self.tls.read_handshake(buf);
        }
        self.hello.extend_from_slice(buf);
        let mut is_known = false;
        // There is a second one where the first had no key share that we like.
        while let Some(len) = message_len(&self.hello) {
            if self.hello.first() != Some(&CLIENT_HELLO) {
                self.is_over = true;
                let rest = std::mem::take(&mut self.hello);
                return Ok(self.tls.read_handshake(&rest)? || is_known);
            }
            if self.hello.len() < len {
                break;
            }
            let rest = self.hello.split_off(len);
            let mut hello = std::mem::replace(&mut self.hello, rest);
            renumber(&mut hello, SERVER_NAME, HIDDEN);
            is_known |= self.tls.read_handshake(&hello)?;
        }
        Ok(is_known)
    }

    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        self.tls.initial_keys(id, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.tls.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.tls.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.tls.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.tls.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.tls.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.tls.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.tls.next_1rtt_keys()
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.tls.is_valid_retry(id, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.tls.export_keying_material(output, label, context)
    }
}

/// A hash function of the handshake that came.
struct Restored(&'static dyn Hash);

fn restored(hash: &'static dyn Hash) -> &'static dyn Hash {
    static RESTORED: LazyLock<[Restored; 2]> = LazyLock::new(|| {
        use aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
        let hash = |suite: SupportedCipherSuite| match suite {
            SupportedCipherSuite::Tls13(suite) => Restored(suite.common.hash_provider),
            SupportedCipherSuite::Tls12(suite) => Restored(suite.common.hash_provider),
        };
        [
            hash(TLS13_AES_128_GCM_SHA256),
            hash(TLS13_AES_256_GCM_SHA384),
        ]
    });
    let known = RESTORED
        .iter()
        .find(|known| known.0.algorithm() == hash.algorithm());
    known.map_or(hash, |known| known as &dyn Hash)
}

impl Hash for Restored {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Restoring(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        let mut context = self.start();
        context.update(data);
        context.finish()
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }
}

/// rustls hashes message by message.
struct Restoring(Box<dyn Context>);

impl Context for Restoring {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        if data.first() != Some(&CLIENT_HELLO) {
            return self.0.update(data);
        }
        let mut hello = data.to_vec();
        renumber(&mut hello, HIDDEN, SERVER_NAME);
        self.0.update(&hello);
    }
}

/// Bytes of the message that `stream` begins with, once they can be told.
fn message_len(stream: &[u8]) -> Option<usize> {
    match stream {
        [_, high, middle, low, ..] => {
            Some(MESSAGE_HEADER + u32::from_be_bytes([0, *high, *middle, *low]) as usize)
        }
        _ => None,
    }
}

/// Gives the first extension of `hello` that has the number `from` the number `to`. A hello is: its
/// header, version (2 bytes), random (32), session id, cipher suites, compression methods and extensions,
/// these four behind lengths of 1, 2, 1 and 2 bytes; an extension a number and, behind 2 bytes of length,
/// its content (RFC 8446, section 4.1.2).
fn renumber(hello: &mut [u8], from: [u8; 2], to: [u8; 2]) {
    let Some(at) = extension(hello, from) else {
        return;
    };
    if let Some(number) = hello.get_mut(at..at + to.len()) {
        number.copy_from_slice(&to);
    }
}

fn extension(hello: &[u8], number: [u8; 2]) -> Option<usize> {
    let short = |at: usize| hello.get(at).map(|len| at + 1 + usize::from(*len));
    let long = |at: usize| {
        let len = hello.get(at..at + 2)?;
        Some(at + 2 + usize::from(u16::from_be_bytes(len.try_into().ok()?)))
    };
    let session_id = MESSAGE_HEADER + 2 + 32;
    let mut at = short(long(short(session_id)?)?)? + 2;
    loop {
        if hello.get(at..at + 2)? == number {
            return Some(at);
        }
        at = long(at + 2)?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Session id of one byte, two suites, one method; extensions 5 and `number`.
    fn hello(number: [u8; 2]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([1, 9, 0, 4, 0x13, 1, 0x13, 2, 1, 0]);
        body.extend([
            0, 11, 0, 5, 0, 1, 42, number[0], number[1], 0, 2, b'a', b':',
        ]);
        let mut hello = vec![CLIENT_HELLO, 0, 0, body.len() as u8];
        hello.extend(body);
        hello
    }

    #[test]
    fn a_name_is_hidden_and_found_again() {
        let mut changed = hello(SERVER_NAME);
        renumber(&mut changed, SERVER_NAME, HIDDEN);
        assert_eq!(changed, hello(HIDDEN));
        renumber(&mut changed, HIDDEN, SERVER_NAME);
        assert_eq!(changed, hello(SERVER_NAME));
    }

    #[test]
    fn what_is_cut_off_anywhere_stays_as_it_is_or_is_changed_alike() {
        let (plain, hidden) = (hello(SERVER_NAME), hello(HIDDEN));
        for len in 0..plain.len() {
            let mut cut = plain[..len].to_vec();
            renumber(&mut cut, SERVER_NAME, HIDDEN);
            assert!(cut == plain[..len] || cut == hidden[..len], "{len}");
        }
    }

    #[test]
    fn every_suite_of_tls_1_3_has_a_hash_that_restores() {
        let provider = provider();
        assert_eq!(provider.cipher_suites.len(), 3);
        for suite in &provider.cipher_suites {
            let hash = suite.tls13().unwrap().common.hash_provider;
            let of = |bytes: &[u8]| hash.hash(bytes).as_ref().to_vec();
            assert_eq!(of(&hello(SERVER_NAME)), of(&hello(HIDDEN)));
            let mut other = hash.start();
            other.update(&hello(HIDDEN));
            assert_eq!(other.fork().finish().as_ref(), of(&hello(SERVER_NAME)));
        }
    }
}
