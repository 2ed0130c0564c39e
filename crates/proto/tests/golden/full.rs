//! The messages of the vectors' case `full`, field by field.

use std::collections::BTreeMap;

use bytes::Bytes;
use frp_proto::msg::*;

pub(super) fn messages() -> Vec<Message> {
    vec![
        Login {
            version: "0.70.1".into(),
            hostname: "host-1".into(),
            os: "linux".into(),
            arch: "amd64".into(),
            user: "alice".into(),
            privilege_key: DIGEST.into(),
            timestamp: 1_700_000_000,
            run_id: "run-id-1".into(),
            client_id: "client-1".into(),
            metas: map(&[("zeta", "last"), ("alpha", "first"), ("Beta", "upper")]),
            client_spec: ClientSpec {
                r#type: "ssh-tunnel".into(),
                always_auth_pass: true,
            },
            pool_count: 5,
            ..Login::default()
        }
        .into(),
        LoginResp {
            version: "0.70.1".into(),
            run_id: "run-id-1".into(),
            error: "some error".into(),
            ..LoginResp::default()
        }
        .into(),
        NewProxy {
            proxy_name: "alice.ssh".into(),
            proxy_type: "tcp".into(),
            use_encryption: true,
            use_compression: true,
            bandwidth_limit: "1MB".into(),
            bandwidth_limit_mode: "server".into(),
            group: "g".into(),
            group_key: "gk".into(),
            metas: map(&[("zeta", "last"), ("alpha", "first"), ("Beta", "upper")]),
            annotations: map(&[("frp.dev/a", "1"), ("b", "2")]),
            remote_port: 6000,
            custom_domains: list(&["a.example.com", "b.example.com"]),
            subdomain: "sub".into(),
            locations: list(&["/", "/pic"]),
            http_user: "hu".into(),
            http_pwd: "hp".into(),
            host_header_rewrite: "dev.example.com".into(),
            headers: map(&[("x-from-where", "frp")]),
            response_headers: map(&[("foo", "bar")]),
            route_by_http_user: "rb".into(),
            sk: "secret".into(),
            allow_users: list(&["*", "bob"]),
            multiplexer: "httpconnect".into(),
            ..NewProxy::default()
        }
        .into(),
        NewProxyResp {
            proxy_name: "alice.ssh".into(),
            remote_addr: ":6000".into(),
            error: "port already used".into(),
        }
        .into(),
        CloseProxy {
            proxy_name: "alice.ssh".into(),
        }
        .into(),
        NewWorkConn {
            run_id: "run-id-1".into(),
            privilege_key: DIGEST.into(),
            timestamp: 1_700_000_001,
            ..NewWorkConn::default()
        }
        .into(),
        ReqWorkConn {}.into(),
        StartWorkConn {
            proxy_name: "alice.ssh".into(),
            src_addr: "192.0.2.1".into(),
            dst_addr: "192.0.2.2".into(),
            src_port: 65_535,
            dst_port: 6000,
            error: "no such proxy".into(),
            conn_id: String::new(),
        }
        .into(),
        NewVisitorConn {
            run_id: "run-id-1".into(),
            proxy_name: "alice.stcp".into(),
            sign_key: "sign".into(),
            timestamp: 1_700_000_002,
            use_encryption: true,
            use_compression: true,
            ..NewVisitorConn::default()
        }
        .into(),
        NewVisitorConnResp {
            proxy_name: "alice.stcp".into(),
            error: "visitor error".into(),
        }
        .into(),
        Ping {
            privilege_key: DIGEST.into(),
            timestamp: 1_700_000_003,
        }
        .into(),
        Pong {
            error: "token in heartbeat doesn't match token from configuration".into(),
        }
        .into(),
        UdpPacket {
            c: Bytes::from_static(&[0x00, 0x01, 0x02, 0xfb, 0xff, 0xfe]),
            l: Some(UdpAddr {
                ip: Some("127.0.0.1".parse().unwrap()),
                port: 53,
                zone: String::new(),
            }),
            r: Some(UdpAddr {
                ip: Some("fe80::1".parse().unwrap()),
                port: 65_535,
                zone: "eth0".into(),
            }),
        }
        .into(),
        NatHoleVisitor {
            transaction_id: "t1".into(),
            proxy_name: "alice.xtcp".into(),
            pre_check: true,
            protocol: "quic".into(),
            sign_key: "sign".into(),
            timestamp: 1_700_000_004,
            mapped_addrs: list(&["192.0.2.1:1", "192.0.2.1:2"]),
            assisted_addrs: list(&["10.0.0.1:3"]),
        }
        .into(),
        NatHoleClient {
            transaction_id: "t1".into(),
            proxy_name: "alice.xtcp".into(),
            sid: "sid".into(),
            mapped_addrs: list(&["192.0.2.1:1"]),
            assisted_addrs: list(&["10.0.0.1:3"]),
        }
        .into(),
        NatHoleResp {
            transaction_id: "t1".into(),
            sid: "sid".into(),
            protocol: "kcp".into(),
            candidate_addrs: list(&["192.0.2.9:1"]),
            assisted_addrs: list(&["10.0.0.9:3"]),
            detect_behavior: NatHoleDetectBehavior {
                role: "sender".into(),
                mode: 2,
                ttl: 7,
                send_delay_ms: 100,
                read_timeout: 5000,
                candidate_ports: vec![
                    PortsRange {
                        from: 1000,
                        to: 2000,
                    },
                    PortsRange { from: 0, to: 5 },
                ],
                send_random_ports: 256,
                listen_random_ports: 90,
            },
            error: "nat error".into(),
        }
        .into(),
        NatHoleSid {
            transaction_id: "t1".into(),
            sid: "sid".into(),
            response: true,
            nonce: "nonce".into(),
            features: Vec::new(),
        }
        .into(),
        NatHoleReport {
            sid: "sid".into(),
            success: true,
        }
        .into(),
    ]
}

pub(super) fn zero(kind: MessageType) -> Message {
    match kind {
        MessageType::Login => Login::default().into(),
        MessageType::LoginResp => LoginResp::default().into(),
        MessageType::NewProxy => NewProxy::default().into(),
        MessageType::NewProxyResp => NewProxyResp::default().into(),
        MessageType::CloseProxy => CloseProxy::default().into(),
        MessageType::NewWorkConn => NewWorkConn::default().into(),
        MessageType::ReqWorkConn => ReqWorkConn::default().into(),
        MessageType::StartWorkConn => StartWorkConn::default().into(),
        MessageType::NewVisitorConn => NewVisitorConn::default().into(),
        MessageType::NewVisitorConnResp => NewVisitorConnResp::default().into(),
        MessageType::Ping => Ping::default().into(),
        MessageType::Pong => Pong::default().into(),
        MessageType::UdpPacket => UdpPacket::default().into(),
        MessageType::NatHoleVisitor => NatHoleVisitor::default().into(),
        MessageType::NatHoleClient => NatHoleClient::default().into(),
        MessageType::NatHoleResp => NatHoleResp::default().into(),
        MessageType::NatHoleSid => NatHoleSid::default().into(),
        MessageType::NatHoleReport => NatHoleReport::default().into(),
        MessageType::UserReport => UserReport::default().into(),
    }
}

const DIGEST: &str = "0123456789abcdef0123456789abcdef";

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn map(items: &[(&str, &str)]) -> BTreeMap<String, String> {
    items
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
