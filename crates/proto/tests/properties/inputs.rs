//! What the properties are tried on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use frp_proto::crypto::aead::Algorithm;
use frp_proto::msg::*;
use frp_proto::wire::WireProtocol::{self, V1, V2};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

pub(super) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![0..20_usize, 0..200_usize], 0..30)
}

pub(super) fn protocol() -> impl Strategy<Value = WireProtocol> {
    select(vec![V1, V2])
}

pub(super) fn algorithm() -> impl Strategy<Value = Algorithm> {
    select(vec![Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305])
}

/// Bytes that get past the header often enough to matter.
pub(super) fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let kind = select(MessageType::ALL.to_vec());
    let frame = (kind, json_like(), any::<bool>()).prop_map(|(kind, body, one)| {
        if one {
            let length = (body.len() as u64).to_be_bytes();
            [&[kind.v1_byte()], &length[..], body.as_bytes()].concat()
        } else {
            let length = (body.len() as u32 + 2).to_be_bytes();
            let id = kind.v2_id().to_be_bytes();
            [&[0, 16, 0, 0], &length[..], &id, body.as_bytes()].concat()
        }
    });
    vec(prop_oneof![frame, vec(any::<u8>(), 0..20)], 0..4).prop_map(|parts| parts.concat())
}

/// Text made of the words of JSON and of our fields, in any order.
pub(super) fn json_like() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "1",
        "-1",
        "65536",
        "1.5",
        "1e3",
        " ",
        "\\",
        "\\ud83d",
        "\\ude00",
        "\\u0041",
        "\"user\"",
        "\"USER\"",
        "\"c\":\"AA==\"",
        "\"r\":",
        "\"IP\":",
        "\"::1\"",
        "\"Port\"",
        "\"error\":\"x\"",
        "\"metas\":",
        "{}",
        "é",
        "\u{2028}",
        "\"client_spec\":",
    ];
    vec(select(words.to_vec()), 0..12).prop_map(|words| words.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z.]{0,8}",
        any::<String>(),
        Just("<&>\u{2028}\\\"\u{0}\u{fffd}".to_owned())
    ]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

pub(super) fn udp_addr() -> impl Strategy<Value = Option<UdpAddr>> {
    let addr =
        (any::<Option<IpAddr>>(), any::<u16>(), text()).prop_map(|(ip, port, zone)| UdpAddr {
            ip: ip.map(|ip| ip.to_canonical()),
            port,
            zone,
        });
    proptest::option::of(addr)
}

pub(super) fn message() -> impl Strategy<Value = Message> {
    let kind = select(MessageType::ALL.to_vec());
    let texts = (vec(text(), 14), texts(), texts(), map(), map());
    let numbers = (vec(any::<i64>(), 6), any::<[u16; 2]>(), any::<[bool; 2]>());
    let datagram = (vec(any::<u8>(), 0..100), udp_addr(), udp_addr());
    (kind, texts, numbers, datagram)
        .prop_map(|(kind, texts, numbers, datagram)| build(kind, texts, numbers, datagram))
}

type Texts = (
    Vec<String>,
    Vec<String>,
    Vec<String>,
    BTreeMap<String, String>,
    BTreeMap<String, String>,
);

fn build(
    kind: MessageType,
    (mut t, list, list2, map, map2): Texts,
    (n, ports, [flag, flag2]): (Vec<i64>, [u16; 2], [bool; 2]),
    (datagram, l, r): (Vec<u8>, Option<UdpAddr>, Option<UdpAddr>),
) -> Message {
    let mut t = || t.pop().unwrap();
    let bytes = Bytes::from(datagram.clone());
    match kind {
        MessageType::Login => Login {
            version: t(),
            hostname: t(),
            os: t(),
            arch: t(),
            user: t(),
            privilege_key: t(),
            timestamp: n[0],
            run_id: t(),
            client_id: t(),
            metas: map,
            client_spec: ClientSpec {
                r#type: t(),
                always_auth_pass: flag,
            },
            pool_count: n[1],
            features: list,
            scram: t(),
            run_key: bytes.clone(),
            signature: bytes,
        }
        .into(),
        MessageType::LoginResp => LoginResp {
            version: t(),
            run_id: t(),
            error: t(),
            features: list,
            scram: t(),
            run_id_lost: flag,
        }
        .into(),
        MessageType::NewProxy => NewProxy {
            proxy_name: t(),
            proxy_type: t(),
            use_encryption: flag,
            use_compression: flag2,
            bandwidth_limit: t(),
            bandwidth_limit_mode: t(),
            group: t(),
            group_key: t(),
            metas: map.clone(),
            annotations: map2.clone(),
            remote_port: n[0],
            custom_domains: list.clone(),
            subdomain: t(),
            locations: list2.clone(),
            http_user: t(),
            http_pwd: t(),
            host_header_rewrite: t(),
            headers: map2,
            response_headers: map,
            route_by_http_user: t(),
            sk: t(),
            allow_users: list,
            multiplexer: t(),
            guard_allow_ips: list2.clone(),
            guard_deny_ips: list2,
            guard_max_conns_per_minute: n[1],
            guard_max_conns_per_source: n[2],
            guard_max_conns: n[3],
            guard_reports: flag,
        }
        .into(),
        MessageType::NewProxyResp => NewProxyResp {
            proxy_name: t(),
            remote_addr: t(),
            error: t(),
        }
        .into(),
        MessageType::CloseProxy => CloseProxy { proxy_name: t() }.into(),
        MessageType::NewWorkConn => NewWorkConn {
            run_id: t(),
            privilege_key: t(),
            timestamp: n[0],
            count: n[1],
            proof: bytes,
        }
        .into(),
        MessageType::ReqWorkConn => ReqWorkConn {}.into(),
        MessageType::StartWorkConn => StartWorkConn {
            proxy_name: t(),
            src_addr: t(),
            dst_addr: t(),
            src_port: ports[0],
            dst_port: ports[1],
            error: t(),
            conn_id: t(),
        }
        .into(),
        MessageType::NewVisitorConn => NewVisitorConn {
            run_id: t(),
            proxy_name: t(),
            sign_key: t(),
            timestamp: n[0],
            use_encryption: flag,
            use_compression: flag2,
            count: n[1],
            proof: bytes,
        }
        .into(),
        MessageType::NewVisitorConnResp => NewVisitorConnResp {
            proxy_name: t(),
            error: t(),
        }
        .into(),
        MessageType::Ping => Ping {
            privilege_key: t(),
            timestamp: n[0],
        }
        .into(),
        MessageType::Pong => Pong { error: t() }.into(),
        MessageType::UdpPacket => UdpPacket {
            c: Bytes::from(datagram),
            l,
            r,
        }
        .into(),
        MessageType::NatHoleVisitor => NatHoleVisitor {
            transaction_id: t(),
            proxy_name: t(),
            pre_check: flag,
            protocol: t(),
            sign_key: t(),
            timestamp: n[0],
            mapped_addrs: list,
            assisted_addrs: list2,
        }
        .into(),
        MessageType::NatHoleClient => NatHoleClient {
            transaction_id: t(),
            proxy_name: t(),
            sid: t(),
            mapped_addrs: list,
            assisted_addrs: list2,
        }
        .into(),
        MessageType::NatHoleResp => NatHoleResp {
            transaction_id: t(),
            sid: t(),
            protocol: t(),
            candidate_addrs: list,
            assisted_addrs: list2,
            detect_behavior: NatHoleDetectBehavior {
                role: t(),
                mode: n[0],
                ttl: n[1],
                send_delay_ms: n[2],
                read_timeout: n[3],
                candidate_ports: vec![PortsRange {
                    from: n[4],
                    to: n[5],
                }],
                send_random_ports: n[4],
                listen_random_ports: n[5],
            },
            error: t(),
        }
        .into(),
        MessageType::NatHoleSid => NatHoleSid {
            transaction_id: t(),
            sid: t(),
            response: flag,
            nonce: t(),
            features: list,
        }
        .into(),
        MessageType::NatHoleReport => NatHoleReport {
            sid: t(),
            success: flag,
        }
        .into(),
        MessageType::UserReport => UserReport {
            proxy_name: t(),
            src_addr: t(),
            src_port: ports[0],
            failures: ports[1],
            accepted: flag,
        }
        .into(),
    }
}
