//! Direct paths: STUN, kinds of NAT, datagrams of a hole.

use std::net::{IpAddr, SocketAddr};

use frp_proto::crypto::cfb::Key;
use frp_proto::msg::NatHoleSid;
use frp_proto::nathole::datagram::{self, MAX_DATAGRAM};
use frp_proto::nathole::feature::classify;
use frp_proto::nathole::{Role, new_id};
use frp_proto::stun::{Answer, AnswerError, binding_request, read_answer};
use serde_json::{Value, json};

use super::{array, bytes, error, hex, text, vectors};

#[test]
fn datagrams_of_a_hole_are_frps() {
    for vector in vectors("nathole", "datagrams", 4) {
        let key = Key::derive(text(&vector, "secret").as_bytes());
        let message = sid(&vector);
        let sealed = datagram::seal(&message, &key, array(&vector, "iv")).unwrap();
        assert_eq!(hex(&sealed), text(&vector, "datagram"));
        assert_eq!(datagram::open(&sealed, &key).unwrap(), message);
        assert!(sealed.len() < MAX_DATAGRAM);
    }
}

#[test]
fn what_is_no_datagram_of_a_hole_is_refused_as_by_frp() {
    for vector in vectors("nathole", "reading", 7) {
        let key = Key::derive(text(&vector, "secret").as_bytes());
        let opened = datagram::open(&bytes(&vector, "datagram"), &key);
        match (text(&vector, "case"), error(&vector)) {
            // frp reads the fields of any message.
            ("other message", None) => assert!(opened.is_err()),
            (_, None) => assert_eq!(opened.unwrap(), sid(&vector), "{vector}"),
            (_, Some(_)) => assert!(opened.is_err(), "{vector}"),
        }
    }
}

#[test]
fn kinds_of_nat_are_frps() {
    for vector in vectors("nathole", "classification", 14) {
        let addresses: Vec<SocketAddr> = list(&vector["addresses"]);
        let local_ips: Vec<IpAddr> = list(&vector["local_ips"]);
        match (classify(&addresses, &local_ips), error(&vector)) {
            (Err(e), Some(text)) => assert_eq!(e.to_string(), text),
            (Ok(feature), None) => {
                let said = json!({
                    "nat_type": feature.nat_type().as_str(),
                    "behavior": feature.behavior.as_str(),
                    "ports_difference": feature.ports_difference,
                    "regular_ports_change": feature.regular_ports_change(),
                    "public_network": feature.public_network,
                });
                for (field, said) in said.as_object().unwrap() {
                    assert_eq!(*said, vector[field], "{field} of {vector}");
                }
            }
            (said, _) => panic!("{said:?} of {vector}"),
        }
    }
}

#[test]
fn stun_questions_are_frps() {
    for vector in vectors("nathole", "stun_request", 1) {
        let request = binding_request(&array(&vector, "transaction"));
        assert_eq!(hex(&request), text(&vector, "request"));
    }
}

#[test]
fn stun_answers_are_read_as_by_frp() {
    let id = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    for vector in vectors("nathole", "stun_answers", 35) {
        let read = read_answer(&bytes(&vector, "bytes"), &id);
        let Some(read) = read else {
            assert_eq!(vector["matched"], false, "{vector}");
            continue;
        };
        assert_eq!(vector["matched"], true, "{vector}");
        match (read, error(&vector)) {
            (Ok(answer), None) => {
                let addr = |field: &str| vector[field].as_str().map(|text| text.parse().unwrap());
                let expected = Answer {
                    mapped: addr("mapped"),
                    other: addr("other"),
                };
                assert_eq!(answer, expected, "{vector}");
            }
            // What is malformed of it is said in other words.
            (Err(AnswerError::Malformed(_)), Some(text)) => {
                assert!(text.starts_with("malformed STUN response: "), "{vector}");
            }
            (Err(e), Some(text)) => assert_eq!(e.to_string(), text),
            (read, _) => panic!("{read:?} of {vector}"),
        }
    }
}

#[test]
fn ids_are_as_long_as_frps() {
    assert_eq!(new_id(1_700_000_000, [0; 8]), "17000000000000000000000000");
    assert_eq!(
        new_id(1_700_000_000, *b"\xab\xcd\xef\x01\x23\x45\x67\x89"),
        "1700000000abcdef0123456789"
    );
    assert_eq!(Role::Sender.as_str(), "sender");
    assert_eq!(Role::Receiver.as_str(), "receiver");
    assert_eq!(datagram::nonce(19), "0".repeat(19));
    assert_eq!(datagram::nonce(20), "");
}

fn sid(vector: &Value) -> NatHoleSid {
    let message: Value = serde_json::from_str(text(vector, "message")).unwrap();
    let field = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    NatHoleSid {
        transaction_id: field("transaction_id"),
        sid: field("sid"),
        response: message["response"] == true,
        nonce: field("nonce"),
        features: Vec::new(),
    }
}

/// `null` is an empty one.
fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> Vec<T> {
    let items = value.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().parse().unwrap())
        .collect()
}
