//! The quick way of datagrams is the general way, only quicker.

use bytes::{Bytes, BytesMut};
use frp_proto::msg::{Message, MessageType, UdpAddr, UdpPacket};
use frp_proto::wire::datagram::{self, AddrText, Payload};
use frp_proto::wire::{WireProtocol, decode, encode};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::inputs::{hostile, message, protocol, udp_addr};

fn frame(protocol: WireProtocol, body: &[u8]) -> Vec<u8> {
    let kind = MessageType::UdpPacket;
    match protocol {
        WireProtocol::V1 => [
            &[kind.v1_byte()],
            &(body.len() as u64).to_be_bytes()[..],
            body,
        ]
        .concat(),
        WireProtocol::V2 => [
            &[0, 16, 0, 0],
            &(body.len() as u32 + 2).to_be_bytes()[..],
            &kind.v2_id().to_be_bytes(),
            body,
        ]
        .concat(),
    }
}

/// Both ways read the same from the start of `bytes`.
fn same(protocol: WireProtocol, bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut buf = BytesMut::from(bytes);
    let mut content = b"before".to_vec();
    let quick = datagram::decode(protocol, bytes, &mut content);
    match (decode(protocol, &mut buf), quick) {
        (Ok(None), Ok(None)) => prop_assert_eq!(&content, b"before"),
        (Err(general), Err(quick)) => prop_assert_eq!(general.to_string(), quick.to_string()),
        (Ok(Some(message)), Ok(Some((used, payload)))) => {
            prop_assert_eq!(used, bytes.len() - buf.len());
            let expected = match message {
                Message::UdpPacket(packet) => {
                    prop_assert_eq!(content, [b"before", &packet.c[..]].concat());
                    Payload::Datagram(packet.r)
                }
                Message::Ping(_) => Payload::Ping,
                other => Payload::Other(other.kind()),
            };
            prop_assert_eq!(payload, expected);
        }
        (general, quick) => prop_assert!(false, "{general:?} but {quick:?}"),
    }
    Ok(())
}

/// Bodies that are nearly what frp writes.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![
        vec(any::<u8>(), 0..100),
        vec(any::<u8>(), 2990..3010),
        Just(Vec::new())
    ];
    let common = (content, udp_addr(), udp_addr(), any::<bool>()).prop_map(|(c, l, r, zone)| {
        let mut packet = UdpPacket {
            c: c.into(),
            l: l.filter(|_| zone),
            r,
        };
        if let Some(r) = packet.r.as_mut().filter(|_| !zone) {
            r.zone.clear();
        }
        serde_json::to_vec(&packet).unwrap()
    });
    let common = common.boxed();
    let pieces = [
        "{",
        "}",
        "\"c\":\"",
        "AAAA",
        "AA==",
        "AB==",
        "A",
        "=",
        "\\n",
        "\"",
        ",",
        "\"r\":",
        "{\"IP\":\"",
        "1.2.3.4",
        "01.2.3.4",
        "::1",
        "::ffff:1.2.3.4",
        "fe80::1",
        "\"",
        "\"Port\":",
        "0",
        "53",
        "053",
        "65536",
        "-1",
        ",\"Zone\":\"\"}",
        "eth0",
        "null",
        " ",
        "\"R\":",
        "\"c\":null",
    ];
    let assembled = vec(proptest::sample::select(pieces.to_vec()), 0..14)
        .prop_map(|pieces| pieces.concat().into_bytes());
    let changed = (common.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut body, at, byte)| {
            let at = at.index(body.len());
            body[at] = byte;
            body
        },
    );
    prop_oneof![common, assembled, changed]
}

proptest! {
    #[test]
    fn datagrams_are_read_as_the_general_way_reads_them(body in nearly(), protocol in protocol()) {
        same(protocol, &frame(protocol, &body))?;
    }

    #[test]
    fn other_messages_and_rubbish_are_read_as_the_general_way_reads_them(
        message in message(),
        protocol in protocol(),
        rubbish in hostile(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = BytesMut::new();
        encode(protocol, &message, &mut bytes).unwrap();
        same(protocol, &bytes)?;
        same(protocol, &bytes[..cut.index(bytes.len())])?;
        same(protocol, &rubbish)?;
    }

    #[test]
    fn datagrams_are_written_as_the_general_way_writes_them(
        content in prop_oneof![vec(any::<u8>(), 0..100), vec(any::<u8>(), 7500..7700)],
        remote in udp_addr(),
        protocol in protocol(),
    ) {
        let remote = remote.unwrap_or_default();
        let (mut general, mut quick) = (BytesMut::from("x"), BytesMut::from("x"));
        let packet = UdpPacket {
            c: Bytes::from(content.clone()),
            l: None,
            r: Some(remote.clone()),
        };
        let expected = encode(protocol, &packet.into(), &mut general);
        let done = datagram::encode(protocol, &content, &AddrText::from(&remote), &mut quick);
        prop_assert_eq!(done.map_err(|e| e.to_string()), expected.map_err(|e| e.to_string()));
        prop_assert_eq!(quick, general);
    }
}

#[test]
fn a_datagram_of_the_longest_kind_is_refused_only_where_it_must_be() {
    let remote = AddrText::from(&UdpAddr::from(
        "192.0.2.1:53".parse::<std::net::SocketAddr>().unwrap(),
    ));
    let longest = |protocol| {
        (0..65_536).rev().find(|n| {
            datagram::encode(protocol, &vec![0; *n], &remote, &mut BytesMut::new()).is_ok()
        })
    };
    assert_eq!(longest(WireProtocol::V1), Some(7_641));
    assert_eq!(longest(WireProtocol::V2), Some(49_110));
}
