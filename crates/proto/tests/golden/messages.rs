//! Messages and their framing.

use bytes::BytesMut;
use frp_proto::msg::{Message, MessageType};
use frp_proto::wire::WireProtocol::{V1, V2};
use frp_proto::wire::{MAGIC_V2, WireProtocol, decode, encode};
use serde_json::Value;

use super::{bytes, error, full, hex, text, vectors};

const FILES: [(&str, WireProtocol); 2] = [("messages_v1", V1), ("messages_v2", V2)];

#[test]
fn every_message_is_encoded_as_by_frp() {
    for (file, protocol) in FILES {
        for (message, case) in full::messages().into_iter().flat_map(|message| {
            let zero = full::zero(message.kind());
            [(message, "full"), (zero, "zero")]
        }) {
            let list = vectors(file, "encode", 36);
            let vector = list
                .iter()
                .find(|vector| text(vector, "message") == message.name() && vector["case"] == case)
                .unwrap_or_else(|| panic!("no {case} vector of {}", message.name()));
            assert_eq!(
                hex(&encoded(protocol, &message)),
                text(vector, "frame"),
                "{vector}"
            );
        }
    }
}

#[test]
fn every_full_message_is_decoded_into_its_fields() {
    for (file, protocol) in FILES {
        let list = vectors(file, "encode", 36);
        let mut seen = 0;
        for vector in list.iter().filter(|vector| vector["case"] == "full") {
            let message = decoded(protocol, &bytes(vector, "frame"));
            let expected = full::messages()
                .into_iter()
                .find(|expected| expected.kind() == message.kind());
            assert_eq!(Some(message), expected);
            seen += 1;
        }
        let of_frp = MessageType::ALL.iter().filter(|kind| kind.is_of_frp());
        assert_eq!(seen, of_frp.count());
    }
}

#[test]
fn what_frp_wrote_is_written_again_alike() {
    for (file, protocol) in FILES {
        for vector in vectors(file, "encode", 36) {
            if vector["case"] == "invalid utf-8 in a string" {
                // Go strings can hold what Rust's cannot; only reading it matters.
                assert_eq!(
                    decoded(protocol, &bytes(&vector, "frame")),
                    frp_proto::msg::LoginResp {
                        error: "bad \u{fffd}\u{fffd} byte \u{fffd}\u{fffd}".to_owned(),
                        ..Default::default()
                    }
                    .into(),
                );
                continue;
            }
            let frame = bytes(&vector, "frame");
            assert_eq!(
                hex(&encoded(protocol, &decoded(protocol, &frame))),
                hex(&frame),
                "{vector}"
            );
        }
    }
}

#[test]
fn types_are_numbered_as_in_frp() {
    for (file, field) in [("messages_v1", "type_byte"), ("messages_v2", "type_id")] {
        for vector in vectors(file, "encode", 36) {
            let name = text(&vector, "message");
            let kind = MessageType::ALL
                .iter()
                .find(|kind| kind.name() == name)
                .unwrap();
            let number = if field == "type_id" {
                kind.v2_id()
            } else {
                kind.v1_byte().into()
            };
            assert_eq!(vector[field], number, "{name}");
        }
    }
}

#[test]
fn odd_json_is_read_or_refused_as_by_frp() {
    for vector in vectors("messages_v1", "decode", 31) {
        let mut frame = BytesMut::from(bytes(&vector, "frame").as_slice());
        let result = decode(V1, &mut frame);
        if error(&vector).is_some() {
            assert!(result.is_err(), "{vector}: {result:?}");
            continue;
        }
        let message = result.unwrap().unwrap();
        assert!(frame.is_empty(), "{vector}");
        // frp drops a v1 body of null without an error; we read it as it does in v2.
        let expected = vector["decoded_as"]
            .as_str()
            .unwrap_or("{\"client_spec\":{}}");
        let body = &encoded(V1, &message)[9..];
        assert_eq!(std::str::from_utf8(body).unwrap(), expected, "{vector}");
    }
}

#[test]
fn frames_are_judged_as_by_frp() {
    for (file, protocol) in FILES {
        for vector in vectors(file, "framing", 10) {
            let mut frame = bytes(&vector, "bytes");
            if let Some(total) = vector["total"].as_u64() {
                frame.resize(total.try_into().unwrap(), b' ');
            }
            let mut buf = BytesMut::from(frame.as_slice());
            let result = decode(protocol, &mut buf);
            match error(&vector) {
                Some("EOF" | "unexpected EOF") => {
                    assert!(matches!(result, Ok(None)), "{vector}: {result:?}");
                    assert_eq!(buf, frame, "{vector}");
                }
                Some(_) => assert!(result.is_err(), "{vector}: {result:?}"),
                None => {
                    assert_eq!(result.unwrap().unwrap().name(), text(&vector, "message"));
                    assert_eq!(vector["left_over"], buf.len(), "{vector}");
                }
            }
        }
    }
}

#[test]
fn magic_is_frps() {
    let path = format!(
        "{}/tests/golden/messages_v2.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(bytes(&all, "magic"), MAGIC_V2);
}

pub(super) fn encoded(protocol: WireProtocol, message: &Message) -> BytesMut {
    let mut out = BytesMut::new();
    encode(protocol, message, &mut out).unwrap();
    out
}

fn decoded(protocol: WireProtocol, frame: &[u8]) -> Message {
    let mut buf = BytesMut::from(frame);
    let message = decode(protocol, &mut buf).unwrap().unwrap();
    assert!(buf.is_empty());
    message
}
