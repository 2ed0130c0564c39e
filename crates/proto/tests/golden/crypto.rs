//! Ciphers, digests and PROXY headers.

use std::net::SocketAddr;

use aws_lc_rs::digest;
use bytes::BytesMut;
use frp_proto::auth::{token_key, verify_token_key};
use frp_proto::crypto::aead::{Algorithm, Key, Keys, Opener, Role, Sealer};
use frp_proto::crypto::cfb;
use frp_proto::msg::{Message, Ping, Pong};
use frp_proto::proxy_protocol::{Version, datagram_header, header};
use frp_proto::wire::WireProtocol::{V1, V2};
use serde_json::Value;

use super::messages::encoded;
use super::{array, bytes, error, hex, text, unhex, vectors};

#[test]
fn cfb_streams_are_frps() {
    for vector in vectors("cfb", "streams", 4) {
        let key = cfb::Key::derive(text(&vector, "token").as_bytes());
        let iv = array(&vector, "iv");
        let mut encryptor = cfb::Encryptor::new(&key, iv);
        let mut stream = iv.to_vec();
        let mut plain = Vec::new();
        for write in writes(&vector) {
            let mut data = write.clone();
            encryptor.encrypt(&mut data);
            stream.extend(data);
            plain.extend(write);
        }
        assert_eq!(hex(&stream), text(&vector, "stream"));

        let mut data = stream.split_off(cfb::IV_LEN);
        cfb::Decryptor::new(&key, iv).decrypt(&mut data);
        assert_eq!(data, plain);
    }
}

#[test]
fn cfb_keys_are_frps() {
    // The key itself does not leave the crate: enciphering zeros under IV 0 shows its first block.
    let aes = |key: &[u8]| {
        use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
        let key = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, key).unwrap()).unwrap();
        let mut block = [0; 16];
        key.less_safe_encrypt(&mut block, EncryptionContext::Iv128([0; 16].into()))
            .unwrap();
        block
    };
    for vector in vectors("cfb", "keys", 4) {
        let key = cfb::Key::derive(text(&vector, "token").as_bytes());
        let mut block = [0; 16];
        cfb::Encryptor::new(&key, [0; 16]).encrypt(&mut block);
        assert_eq!(block, aes(&bytes(&vector, "key")));
    }
}

#[test]
fn v1_control_channel_writes_what_frp_writes() {
    for vector in vectors("cfb", "control_channel", 1) {
        let key = cfb::Key::derive(text(&vector, "token").as_bytes());
        let iv = array(&vector, "iv");
        let mut data = control_messages()
            .map(|message| encoded(V1, &message))
            .concat();
        cfb::Encryptor::new(&key, iv).encrypt(&mut data);
        assert_eq!([iv.to_vec(), data].concat(), bytes(&vector, "stream"));
    }
}

#[test]
fn v2_control_channel_writes_what_frp_writes() {
    for vector in vectors("aead", "control_channel", 4) {
        let algorithm = Algorithm::parse(text(&vector, "algorithm")).unwrap();
        let token = text(&vector, "token").as_bytes();
        let keys = Keys::derive(algorithm, token, &array(&vector, "transcript_hash"));
        let (writer, reader) = match text(&vector, "written_by") {
            "client" => (Role::Client, Role::Server),
            _ => (Role::Server, Role::Client),
        };
        let mut sealer =
            Sealer::new(algorithm, keys.sealing(writer), &bytes(&vector, "nonce")).unwrap();
        let mut stream = BytesMut::new();
        for message in control_messages() {
            let frame = encoded(V2, &message);
            // frp writes header and payload one after the other, and each write makes a record.
            sealer.seal(&frame[..8], &mut stream).unwrap();
            sealer.seal(&frame[8..], &mut stream).unwrap();
        }
        assert_eq!(hex(&stream), text(&vector, "stream"));

        let mut plain = BytesMut::new();
        Opener::new(algorithm, keys.opening(reader))
            .unwrap()
            .open(&mut stream, &mut plain)
            .unwrap();
        assert_eq!(
            plain,
            control_messages()
                .map(|message| encoded(V2, &message))
                .concat()
        );
    }
}

#[test]
fn aead_streams_are_frps() {
    for vector in vectors("aead", "streams", 4) {
        let algorithm = Algorithm::parse(text(&vector, "algorithm")).unwrap();
        let key = Key::from_bytes(array(&vector, "key"));
        let mut sealer = Sealer::new(algorithm, &key, &bytes(&vector, "nonce")).unwrap();
        let mut stream = BytesMut::new();
        for write in writes(&vector) {
            sealer.seal(&write, &mut stream).unwrap();
        }
        assert_eq!(hex(&stream), text(&vector, "stream"));

        let mut plain = BytesMut::new();
        Opener::new(algorithm, &key)
            .unwrap()
            .open(&mut stream, &mut plain)
            .unwrap();
        assert_eq!(plain, writes(&vector).concat());
        assert!(stream.is_empty());
    }
}

#[test]
fn long_aead_streams_are_frps() {
    for vector in vectors("aead", "large_streams", 2) {
        let algorithm = Algorithm::parse(text(&vector, "algorithm")).unwrap();
        let key = Key::from_bytes(array(&vector, "key"));
        let mut sealer = Sealer::new(algorithm, &key, &bytes(&vector, "nonce")).unwrap();
        let mut stream = BytesMut::new();
        for write in vector["writes"].as_array().unwrap() {
            let data = match write["pattern_length"].as_u64() {
                Some(length) => pattern(length.try_into().unwrap()),
                None => text(write, "text").as_bytes().to_vec(),
            };
            sealer.seal(&data, &mut stream).unwrap();
        }
        assert_eq!(vector["stream_length"], stream.len());
        let hash = digest::digest(&digest::SHA256, &stream);
        assert_eq!(hex(hash.as_ref()), text(&vector, "stream_sha256"));
    }
}

#[test]
fn damaged_aead_streams_end_as_in_frp() {
    for vector in vectors("aead", "reading", 30) {
        let algorithm = Algorithm::parse(text(&vector, "algorithm")).unwrap();
        let key = Key::from_bytes(array(&vector, "key"));
        let mut stream = BytesMut::from(bytes(&vector, "stream").as_slice());
        let mut plain = BytesMut::new();
        let mut opener = Opener::new(algorithm, &key).unwrap();
        let result = opener.open(&mut stream, &mut plain);
        match error(&vector) {
            None => {
                assert_eq!(result, Ok(()), "{vector}");
                assert!(stream.is_empty(), "{vector}");
            }
            Some("unexpected EOF") => {
                assert_eq!(result, Ok(()), "{vector}");
                assert!(!stream.is_empty(), "{vector}");
            }
            Some(_) => {
                let first = result.unwrap_err();
                assert_eq!(
                    opener.open(&mut stream, &mut plain),
                    Err(first),
                    "stays failed"
                );
            }
        }
        assert_eq!(hex(&plain), text(&vector, "plaintext"), "{vector}");
    }
}

#[test]
fn token_digests_are_frps() {
    for vector in vectors("auth", "digests", 15) {
        let (token, digest) = (text(&vector, "token"), text(&vector, "digest"));
        let timestamp = vector["timestamp"].as_i64().unwrap();
        assert_eq!(token_key(token, timestamp), digest);
        assert!(verify_token_key(token, timestamp, digest));
    }
}

#[test]
fn proxy_headers_are_go_proxyprotos() {
    for vector in vectors("proxy_protocol", "headers", 20) {
        let version = if vector["version"] == "v1" {
            Version::V1
        } else {
            Version::V2
        };
        let (src, dst) = (
            address(text(&vector, "source")),
            address(text(&vector, "destination")),
        );
        let result = match text(&vector, "network") {
            "tcp" => header(version, src, dst),
            _ => datagram_header(version, src, dst),
        };
        match error(&vector) {
            Some(_) => assert!(result.is_err(), "{vector}"),
            None => assert_eq!(hex(&result.unwrap()), text(&vector, "header"), "{vector}"),
        }
    }
}

fn control_messages() -> [Message; 2] {
    [
        Ping {
            timestamp: 1_700_000_003,
            ..Ping::default()
        }
        .into(),
        Pong::default().into(),
    ]
}

fn writes(vector: &Value) -> Vec<Vec<u8>> {
    vector["writes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| unhex(w.as_str().unwrap()))
        .collect()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// Zones are names of interfaces and do not show in the headers.
fn address(text: &str) -> SocketAddr {
    let without_zone = match (text.find('%'), text.find(']')) {
        (Some(zone), Some(end)) => format!("{}{}", &text[..zone], &text[end..]),
        _ => text.to_owned(),
    };
    without_zone.parse().unwrap()
}
