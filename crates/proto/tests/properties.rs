//! What holds for all inputs: nothing is lost in a round trip, no bytes make us panic, and how the
//! network cuts a stream into pieces changes nothing.
#![allow(clippy::unwrap_used, reason = "a failure has to fail the test")]

#[path = "properties/datagram.rs"]
mod datagram;
#[path = "properties/inputs.rs"]
mod inputs;
#[path = "properties/nathole.rs"]
mod nathole;

use std::collections::BTreeMap;

use bytes::BytesMut;
use frp_proto::crypto::aead::{AeadError, Algorithm, Key, Opener, Sealer};
use frp_proto::crypto::cfb;
use frp_proto::msg::*;
use frp_proto::wire::WireProtocol::{self, V1, V2};
use frp_proto::wire::hello::{ClientHello, ServerHello};
use frp_proto::wire::{MAGIC_V2, Magic, decode, detect, encode, v1, v2};
use proptest::collection::vec;
use proptest::prelude::*;

use inputs::{algorithm, cuts, hostile, json_like, message, protocol};

proptest! {
    #[test]
    fn every_message_survives_both_protocols(message in message(), protocol in protocol()) {
        let mut buf = BytesMut::new();
        encode(protocol, &message, &mut buf).unwrap();
        prop_assert_eq!(decode(protocol, &mut buf).unwrap(), Some(message));
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn messages_survive_any_cutting(
        messages in vec(message(), 1..4),
        protocol in protocol(),
        cuts in cuts(),
    ) {
        let mut stream = BytesMut::new();
        for message in &messages {
            encode(protocol, message, &mut stream).unwrap();
        }
        let (decoded, error) = decode_pieces(protocol, &stream, &cuts);
        prop_assert_eq!(decoded, messages);
        prop_assert_eq!(error, None);
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        bytes in hostile(),
        protocol in protocol(),
        cuts in cuts(),
    ) {
        prop_assert_eq!(
            decode_pieces(protocol, &bytes, &cuts),
            decode_pieces(protocol, &bytes, &[]),
        );
    }

    #[test]
    fn any_hello_is_read_or_refused(bytes in vec(any::<u8>(), 0..200), text in json_like()) {
        for payload in [bytes.as_slice(), text.as_bytes()] {
            let _ = ClientHello::from_payload(payload);
            let _ = ServerHello::from_payload(payload);
            let _ = v2::decode_message(payload);
            let _ = v2::decode_frame(&mut BytesMut::from(payload));
        }
    }

    #[test]
    fn cfb_does_not_see_how_writes_are_cut(
        token in vec(any::<u8>(), 0..8),
        iv in any::<[u8; 16]>(),
        plain in vec(any::<u8>(), 0..3000),
        write_cuts in cuts(),
        read_cuts in cuts(),
    ) {
        let key = cfb::Key::derive(&token);
        let mut whole = plain.clone();
        cfb::Encryptor::new(&key, iv).encrypt(&mut whole);
        let mut cut = plain.clone();
        let mut encryptor = cfb::Encryptor::new(&key, iv);
        pieces(&mut cut, &write_cuts).into_iter().for_each(|piece| encryptor.encrypt(piece));
        prop_assert_eq!(&cut, &whole);

        let mut decryptor = cfb::Decryptor::new(&key, iv);
        pieces(&mut cut, &read_cuts).into_iter().for_each(|piece| decryptor.decrypt(piece));
        prop_assert_eq!(cut, plain);
    }

    #[test]
    fn cfb_is_the_standard_one(
        iv in any::<[u8; 16]>(),
        plain in vec(any::<u8>(), 0..3000),
    ) {
        use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
        let raw = [0xb7, 0xea, 0xc3, 0xf6, 0x63, 0x10, 0x82, 0x4c,
            0x11, 0x4f, 0x56, 0xf8, 0x27, 0x4f, 0xdf, 0xea];
        let other = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, &raw).unwrap()).unwrap();
        let mut theirs = plain.clone();
        other.less_safe_encrypt(&mut theirs, EncryptionContext::Iv128(iv.into())).unwrap();
        let mut ours = plain;
        cfb::Encryptor::new(&cfb::Key::derive(b"12345678"), iv).encrypt(&mut ours);
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn aead_does_not_see_how_reads_are_cut(
        algorithm in algorithm(),
        key in any::<[u8; 32]>(),
        nonce in vec(0_u8..0xff, 24),
        writes in vec(vec(any::<u8>(), 0..300), 0..5),
        cuts in cuts(),
    ) {
        let mut stream = seal(algorithm, key, &nonce, &writes);
        let (plain, result, left) = open_pieces(algorithm, key, &mut stream, &cuts);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(plain, writes.concat());
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn one_changed_bit_ends_an_aead_stream(
        algorithm in algorithm(),
        key in any::<[u8; 32]>(),
        nonce in vec(0_u8..0xfe, 24),
        writes in vec(vec(any::<u8>(), 1..300), 1..4),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let mut stream = seal(algorithm, key, &nonce, &writes);
        let at = at.index(stream.len());
        stream[at] ^= 1_u8 << bit;
        let plain = writes.concat();
        let (opened, result, left) = open_pieces(algorithm, key, &mut stream, &[]);
        // A longer length can make a record seem incomplete; then it waits for what never comes.
        prop_assert!(result.is_err() || left > 0);
        prop_assert!(opened.len() < plain.len());
        prop_assert!(plain.starts_with(&opened));
    }

    #[test]
    fn any_bytes_leave_an_opener_alive_or_failed_for_good(
        algorithm in algorithm(),
        bytes in vec(any::<u8>(), 0..200),
        cuts in cuts(),
    ) {
        let mut stream = BytesMut::from(bytes.as_slice());
        let (opened, _, _) = open_pieces(algorithm, [7; 32], &mut stream, &cuts);
        prop_assert!(opened.is_empty());
    }

    #[test]
    fn magic_is_known_at_the_first_byte_that_differs(bytes in vec(any::<u8>(), 0..10), good in 0..8_usize) {
        let mut first = MAGIC_V2[..good.min(7)].to_vec();
        first.extend(bytes);
        let expected = if first.starts_with(&MAGIC_V2) {
            Magic::V2
        } else if MAGIC_V2.starts_with(&first) {
            Magic::NeedMore
        } else {
            Magic::V1
        };
        prop_assert_eq!(detect(&first), expected);
    }
}

#[test]
fn a_bad_header_is_refused_before_its_body_is_there() {
    for (protocol, header) in [
        (V1, &b"z"[..]),
        (V1, b"h\x00\x00\x00\x00\x00\x00\x28\x01"),
        (V1, b"h\xff\xff\xff\xff\xff\xff\xff\xff"),
        (V2, b"\x00\x10\x00\x01\x00\x00\x00\x04"),
        (V2, b"\x00\x10\x00\x00\x00\x01\x00\x01"),
        (V2, b"\x00\x01\x00\x00\x00\x00\x00\x04"),
        (V2, b"\x00\x11\x00\x00\x00\x00\x00\x04"),
    ] {
        assert!(
            decode(protocol, &mut BytesMut::from(header)).is_err(),
            "{protocol} {header:?}"
        );
    }
}

#[test]
fn a_message_too_long_for_the_peer_is_not_sent() {
    for (protocol, fits) in [(V1, v1::MAX_BODY), (V2, v2::MAX_PAYLOAD - 2)] {
        let error = |length| {
            Pong {
                error: "x".repeat(length - r#"{"error":""}"#.len()),
            }
            .into()
        };
        let mut out = BytesMut::from("before");
        encode(protocol, &error(fits), &mut out).unwrap();
        assert!(decode(protocol, &mut out.split_off(6)).unwrap().is_some());

        let refused = encode(protocol, &error(fits + 1), &mut out)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("Pong") && refused.contains(&protocol.to_string()),
            "{refused}"
        );
        assert_eq!(out, "before");
    }
}

#[test]
fn secrets_do_not_show_in_debug() {
    let messages: [Message; 5] = [
        Login {
            privilege_key: "hush".into(),
            metas: BTreeMap::from([("token".into(), "hush".into())]),
            ..Login::default()
        }
        .into(),
        NewProxy {
            sk: "hush".into(),
            http_pwd: "hush".into(),
            group_key: "hush".into(),
            headers: BTreeMap::from([("authorization".into(), "hush".into())]),
            ..NewProxy::default()
        }
        .into(),
        NewVisitorConn {
            sign_key: "hush".into(),
            ..NewVisitorConn::default()
        }
        .into(),
        NatHoleVisitor {
            sign_key: "hush".into(),
            ..NatHoleVisitor::default()
        }
        .into(),
        Ping {
            privilege_key: "hush".into(),
            ..Ping::default()
        }
        .into(),
    ];
    for message in messages {
        let shown = format!("{message:?}");
        assert!(!shown.contains("hush") && shown.contains("***"), "{shown}");
    }
    let keys = format!(
        "{:?} {:?}",
        cfb::Key::derive(b"hush"),
        Key::from_bytes([65; 32])
    );
    assert_eq!(keys, "Key(***) Key(***)");
}

#[test]
fn a_message_can_be_part_of_a_larger_object() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct PluginContent {
        #[serde(flatten)]
        login: Login,
        client_address: String,
    }
    let json = r#"{"user":"a","METAS":{"k":null},"timestamp":null,"pool_count":-3,"client_address":"x:1"}"#;
    let content: PluginContent = serde_json::from_str(json).unwrap();
    let expected = Login {
        user: "a".into(),
        metas: BTreeMap::from([("k".into(), String::new())]),
        pool_count: -3,
        ..Login::default()
    };
    assert_eq!(content.login, expected);
    assert_eq!(content.client_address, "x:1");
    assert_eq!(
        serde_json::to_string(&content).unwrap(),
        r#"{"user":"a","metas":{"k":""},"client_spec":{},"pool_count":-3,"client_address":"x:1"}"#,
    );
}

#[test]
fn a_udp_address_goes_back_as_it_came() {
    let addr = |text: &str| UdpAddr::from(text.parse::<std::net::SocketAddr>().unwrap());
    assert_eq!(addr("[::ffff:192.0.2.1]:53"), addr("192.0.2.1:53"));
    assert_eq!(addr("[fe80::1%3]:53").zone, "3");
    assert_eq!(
        addr("[fe80::1%3]:53").socket_addr(),
        "[fe80::1%3]:53".parse().ok()
    );
    let named = UdpAddr {
        zone: "eth0".into(),
        ..addr("[fe80::1]:53")
    };
    assert_eq!(named.socket_addr(), "[fe80::1]:53".parse().ok());
    assert_eq!(UdpAddr::default().socket_addr(), None);
}

#[test]
fn a_nonce_counter_does_not_wrap() {
    for algorithm in [Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305] {
        let nonce = vec![0xff; algorithm.nonce_len()];
        let mut sealer = Sealer::new(algorithm, &Key::from_bytes([1; 32]), &nonce).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(sealer.seal(b"x", &mut out), Err(AeadError::Exhausted));
        assert_eq!(sealer.seal(b"x", &mut out), Err(AeadError::Exhausted));

        let short = Sealer::new(algorithm, &Key::from_bytes([1; 32]), &nonce[1..]);
        assert!(matches!(short.err(), Some(AeadError::NonceLength { .. })));
    }
}

/// Feeds `bytes` in pieces; the messages that came out, and the error, if any, that ended it.
fn decode_pieces(
    protocol: WireProtocol,
    bytes: &[u8],
    cuts: &[usize],
) -> (Vec<Message>, Option<String>) {
    let mut bytes = bytes.to_vec();
    let mut buf = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces(&mut bytes, cuts) {
        buf.extend_from_slice(piece);
        loop {
            match decode(protocol, &mut buf) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}

fn seal(algorithm: Algorithm, key: [u8; 32], nonce: &[u8], writes: &[Vec<u8>]) -> BytesMut {
    let nonce = &nonce[..algorithm.nonce_len()];
    let mut sealer = Sealer::new(algorithm, &Key::from_bytes(key), nonce).unwrap();
    let mut stream = BytesMut::new();
    for write in writes {
        sealer.seal(write, &mut stream).unwrap();
    }
    stream
}

/// Opens `stream` in pieces: plaintext, result, and how many bytes stayed unread.
fn open_pieces(
    algorithm: Algorithm,
    key: [u8; 32],
    stream: &mut [u8],
    cuts: &[usize],
) -> (Vec<u8>, Result<(), AeadError>, usize) {
    let mut opener = Opener::new(algorithm, &Key::from_bytes(key)).unwrap();
    let (mut input, mut plain) = (BytesMut::new(), BytesMut::new());
    for piece in pieces(stream, cuts) {
        input.extend_from_slice(piece);
        if let Err(error) = opener.open(&mut input, &mut plain) {
            assert_eq!(opener.open(&mut input, &mut plain), Err(error.clone()));
            return (plain.to_vec(), Err(error), input.len());
        }
    }
    (plain.to_vec(), Ok(()), input.len())
}

/// Cuts `data` into pieces of these lengths, the last of what remains.
fn pieces<'a>(mut data: &'a mut [u8], lengths: &[usize]) -> Vec<&'a mut [u8]> {
    let mut all = Vec::new();
    for length in lengths {
        let (piece, rest) = data.split_at_mut((*length).min(data.len()));
        all.push(piece);
        data = rest;
    }
    all.push(data);
    all
}
