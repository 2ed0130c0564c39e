//! What a valid file means.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use frp_config::{
    BandwidthLimitMode, ClientConfig, LoadOptions, LogLevel, LogTarget, PortProxy, PortRange,
    ProxyKind, Purpose, ServerConfig, parse_client, parse_server,
};
use frp_proto::proxy_protocol::Version;
use frp_proto::wire::WireProtocol;

fn run() -> LoadOptions {
    LoadOptions::new(Purpose::Run)
}

fn client(text: &str) -> ClientConfig {
    let loaded = parse_client(text, "frpc", &run()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, []);
    loaded.settings
}

fn server(text: &str) -> ServerConfig {
    let loaded = parse_server(text, "frps", &run()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, []);
    loaded.settings
}

const STORY: &str = "\
[common]
server_addr = 1.2.3.4
server_port = 7000
token = 123456
tls_enable = true
protocol = tcp
[ssh]
type = tcp
local_ip = 127.0.0.1
local_port = 22
remote_port = 6000
";

#[test]
fn the_ini_file_of_2019_means_what_its_toml_twin_means() {
    let loaded = parse_client(STORY, "frpc.ini", &run()).unwrap();
    assert!(loaded.legacy_ini);
    assert_eq!(loaded.warnings, []);
    let twin = "\
serverAddr = '1.2.3.4'
serverPort = 7000
auth.token = '123456'
transport.tls.enable = true
transport.protocol = 'tcp'
[[proxies]]
name = 'ssh'
type = 'tcp'
localIP = '127.0.0.1'
localPort = 22
remotePort = 6000
";
    let twin = parse_client(twin, "frpc.toml", &run()).unwrap();
    assert!(!twin.legacy_ini);
    assert_eq!(loaded.settings, twin.settings);
    assert_eq!(twin.settings.auth.token.expose(), "123456");
}

#[test]
fn an_empty_file_gives_frps_defaults_of_the_client() {
    let c = client("");
    assert_eq!((c.server_addr.as_str(), c.server_port), ("0.0.0.0", 7000));
    assert!(c.login_fail_exit && c.user.is_empty() && c.client_id.is_empty());
    assert!(c.auth.token.expose().is_empty());
    assert!(c.auth.additional_scopes.is_empty());
    assert_eq!(
        (c.log.to, c.log.level, c.log.max_days),
        (LogTarget::Console, LogLevel::Info, 3)
    );
    let t = c.transport;
    assert_eq!(t.wire_protocol, WireProtocol::V1);
    assert_eq!(t.dial_server_timeout, Duration::from_secs(10));
    assert_eq!(t.dial_server_keepalive, Some(Duration::from_secs(7200)));
    assert_eq!(
        (t.connect_server_local_ip, t.pool_count, t.tcp_mux),
        (None, 1, true)
    );
    assert_eq!(t.tcp_mux_keepalive_interval, Duration::from_secs(30));
    assert_eq!((t.heartbeat_interval, t.heartbeat_timeout), (None, None));
    assert!(t.tls.enable && t.tls.disable_custom_first_byte);
    assert!(t.tls.cert_file.is_none() && t.tls.server_name.is_none());
    assert!(c.proxies.is_empty());
}

#[test]
fn an_empty_file_gives_frps_defaults_of_the_server() {
    let s = server("");
    assert_eq!((s.bind_addr.as_str(), s.bind_port), ("0.0.0.0", 7000));
    assert_eq!(s.proxy_bind_addr, "0.0.0.0");
    assert!(s.transport.tcp_mux && s.detailed_errors_to_client);
    assert_eq!(s.transport.tcp_keepalive, Some(Duration::from_secs(7200)));
    assert_eq!(s.transport.max_pool_count, 5);
    assert_eq!(s.transport.heartbeat_timeout, None);
    assert!(!s.transport.tls.force);
    assert_eq!(s.max_ports_per_client, 0);
    assert_eq!(s.user_conn_timeout, Duration::from_secs(10));
    assert!(s.allow_ports.is_empty());
}

#[test]
fn the_web_server_of_frps() {
    let keys = "webServer.port = 7500\nwebServer.user = 'a'\nwebServer.password = 'b'\n\
                webServer.tls.certFile = 'c'\nwebServer.tls.keyFile = 'k'\n";
    let web = server(keys).web_server.unwrap();
    assert_eq!((web.addr.as_str(), web.port), ("127.0.0.1", 7500));
    assert_eq!((web.user.as_str(), web.password.expose()), ("a", "b"));
    let tls = web.tls.unwrap();
    assert_eq!(tls.cert_file.to_str(), Some("c"));
    assert_eq!(tls.key_file.to_str(), Some("k"));
    assert_eq!(server("webServer.user = 'a'\n").web_server, None);
}

#[test]
fn the_dashboard_in_the_old_format() {
    let keys = "[common]\ndashboard_port = 7500\ndashboard_user = a\npprof_enable = true\n\
                dashboard_tls_cert_file = c\ndashboard_tls_key_file = k\n";
    // Keys that have no effect are told.
    let loaded = |text: &str| parse_server(text, "frps", &run()).unwrap().settings;
    let web = loaded(keys).web_server.unwrap();
    assert_eq!(web.addr, "0.0.0.0");
    assert_eq!((web.tls, web.pprof_enable), (None, false));
    let web = server(&format!("{keys}dashboard_tls_mode = true\n"));
    let web = web.web_server.unwrap();
    assert!(web.tls.is_some() && web.pprof_enable);
}

#[test]
fn zero_and_empty_mean_the_default() {
    let c = client("serverAddr = ''\nserverPort = 0\ntransport.poolCount = 0\nlog.to = ''\n");
    assert_eq!(c, client(""));
    assert_eq!(
        server("bindPort = 0\nkcpBindPort = 0\nwebServer.port = 0\n"),
        server("")
    );
}

#[test]
fn defaults_of_one_key_that_depend_on_another() {
    let s = server("bindAddr = '::1'\ntransport.tls.trustedCaFile = 'ca.crt'\n");
    assert_eq!(s.proxy_bind_addr, "::1");
    assert!(s.transport.tls.force);
    let seconds = |n| Some(Duration::from_secs(n));
    let t = client("transport.tcpMux = false").transport;
    assert_eq!(
        (t.heartbeat_interval, t.heartbeat_timeout),
        (seconds(30), seconds(90))
    );
    let t = client("transport.tcpMux = false\ntransport.heartbeatTimeout = -1").transport;
    assert_eq!(
        (t.heartbeat_interval, t.heartbeat_timeout),
        (seconds(30), None)
    );
    let t = client("transport.heartbeatInterval = 5\ntransport.heartbeatTimeout = 20").transport;
    assert_eq!(
        (t.heartbeat_interval, t.heartbeat_timeout),
        (seconds(5), seconds(20))
    );
    let s = server("transport.tcpMux = false");
    assert_eq!(s.transport.heartbeat_timeout, seconds(90));
}

#[test]
fn negative_numbers_switch_off() {
    let t = client("transport.dialServerKeepalive = -1\ntransport.poolCount = -3").transport;
    assert_eq!((t.dial_server_keepalive, t.pool_count), (None, -3));
    let s = server("transport.tcpKeepalive = -1\nmaxPortsPerClient = -1");
    assert_eq!(
        (s.transport.tcp_keepalive, s.max_ports_per_client),
        (None, 0)
    );
}

#[test]
fn enormous_times_do_not_overflow() {
    let t = client("transport.dialServerTimeout = 9223372036854775807").transport;
    assert!(
        std::time::Instant::now()
            .checked_add(t.dial_server_timeout)
            .is_some()
    );
}

#[test]
fn keys_match_in_any_case_and_whole_floats_are_integers() {
    let c = client(
        "SERVERADDR = 'x'\nserverport = 7001.0\nAuth.Token = 't'\nclientid = 'c'\n\
         [[Proxies]]\nName = 'a'\nTYPE = 'tcp'\nlocalIp = '::1'\nlocalport = 1\nREMOTEPORT = 2\n",
    );
    assert_eq!((c.server_addr.as_str(), c.server_port), ("x", 7001));
    assert_eq!((c.auth.token.expose(), c.client_id.as_str()), ("t", "c"));
    let proxy = c.proxies.first().unwrap();
    assert_eq!((proxy.local_ip.as_str(), proxy.local_port), ("::1", 1));
    assert_eq!(proxy.kind, ProxyKind::Tcp(PortProxy { remote_port: 2 }));
}

#[test]
fn all_keys_of_a_proxy() {
    let c = client(
        "[[proxies]]\nname = 'a'\ntype = 'tcp'\nlocalPort = 1\nremotePort = 2\n\
         annotations.k = 'v'\nmetadatas.m = 'n'\n[proxies.transport]\nuseEncryption = true\n\
         useCompression = true\nbandwidthLimit = '1.5KB'\nbandwidthLimitMode = 'server'\n\
         proxyProtocolVersion = 'v1'\n",
    );
    let proxy = c.proxies.first().unwrap();
    assert_eq!(proxy.local_ip, "127.0.0.1");
    assert_eq!(
        proxy.annotations,
        BTreeMap::from([("k".into(), "v".into())])
    );
    assert!(proxy.transport.use_encryption && proxy.transport.use_compression);
    let limit = proxy.transport.bandwidth_limit.clone().unwrap();
    assert_eq!(
        (limit.text.as_str(), limit.bytes_per_second),
        ("1.5KB", 1536)
    );
    assert_eq!(
        proxy.transport.bandwidth_limit_mode,
        BandwidthLimitMode::Server
    );
    assert_eq!(proxy.transport.proxy_protocol, Some(Version::V1));

    let message = proxy.to_new_proxy("me");
    assert_eq!(
        (message.proxy_name.as_str(), message.proxy_type.as_str()),
        ("me.a", "tcp")
    );
    assert_eq!(
        (message.remote_port, message.bandwidth_limit.as_str()),
        (2, "1.5KB")
    );
    assert_eq!(message.bandwidth_limit_mode, "server");
    assert_eq!(message.metas, BTreeMap::from([("m".into(), "n".into())]));
    assert_eq!(proxy.to_new_proxy("").proxy_name, "a");
}

#[test]
fn start_and_enabled_choose_and_names_sort() {
    let proxy = |name: &str, more: &str| {
        format!("[[proxies]]\nname = '{name}'\ntype = 'tcp'\nlocalPort = 1\n{more}\n")
    };
    let all = proxy("c", "") + &proxy("b", "enabled = false") + &proxy("a", "enabled = true");
    let names = |text: &str| -> Vec<String> {
        client(text)
            .proxies
            .into_iter()
            .map(|proxy| proxy.name)
            .collect()
    };
    assert_eq!(names(&all), ["a", "c"]);
    assert_eq!(names(&format!("start = ['c', 'b']\n{all}")), ["c"]);
}

#[test]
fn what_does_not_run_may_be_unsupported_or_invalid() {
    let c = client(
        "start = ['a']\n[[proxies]]\nname = 'a'\ntype = 'tcp'\n\
         [[proxies]]\nname = 'b'\ntype = 'udp'\n\
         [[proxies]]\nname = 'c'\ntype = 'tcp'\nlocalPort = -1\n\
         [[visitors]]\nname = 'd'\ntype = 'stcp'\n",
    );
    assert_eq!(c.proxies.len(), 1);
}

#[test]
fn allowed_ports_in_both_forms() {
    let ranges = vec![
        PortRange {
            start: 2000,
            end: 3000,
        },
        PortRange {
            start: 4000,
            end: 4000,
        },
    ];
    let toml = server("allowPorts = [{ start = 2000, end = 3000 }, { single = 4000 }]");
    assert_eq!(toml.allow_ports, ranges);
    assert!(toml.allow_ports.iter().any(|range| range.contains(2500)));
    assert_eq!(
        server("[common]\nallow_ports = 2000-3000, 4000\n").allow_ports,
        ranges
    );
}

#[test]
fn every_supported_key_has_its_legacy_name() {
    let c = client(
        "[common]\nserver_addr = h\nserver_port = 1\ntoken = t\nauthenticate_heartbeats = true\n\
         authenticate_new_work_conns = yes\nuser = u\nlogin_fail_exit = false\nlog_file = f.log\n\
         log_way = file\nlog_level = warn\nlog_max_days = 9\ndisable_log_color = 1\n\
         dial_server_timeout = 3\ndial_server_keepalive = -1\nconnect_server_local_ip = ::1\n\
         pool_count = 0x10\ntcp_mux = false\ntcp_mux_keepalive_interval = 4\n\
         heartbeat_interval = 5\nheartbeat_timeout = 6\ntls_enable = false\n\
         disable_custom_tls_first_byte = false\ntls_server_name = n\nmeta_a = b\n\
         [x]\nlocal_port = 7\nremote_port = 8\nuse_encryption = true\nuse_compression = true\n\
         bandwidth_limit = 1MB\nbandwidth_limit_mode = server\nproxy_protocol_version = v2\n\
         meta_c = d\nlocal_ip = ::1\n",
    );
    let twin = client(
        "serverAddr = 'h'\nserverPort = 1\nauth.token = 't'\nuser = 'u'\nloginFailExit = false\n\
         auth.additionalScopes = ['HeartBeats', 'NewWorkConns']\nlog.to = 'f.log'\n\
         log.level = 'warn'\nlog.maxDays = 9\nlog.disablePrintColor = true\nmetadatas.a = 'b'\n\
         [transport]\ndialServerTimeout = 3\ndialServerKeepalive = -1\n\
         connectServerLocalIP = '::1'\npoolCount = 16\ntcpMux = false\n\
         tcpMuxKeepaliveInterval = 4\nheartbeatInterval = 5\nheartbeatTimeout = 6\n\
         tls.enable = false\ntls.disableCustomTLSFirstByte = false\ntls.serverName = 'n'\n\
         [[proxies]]\nname = 'x'\ntype = 'tcp'\nlocalPort = 7\nremotePort = 8\nlocalIP = '::1'\n\
         transport.useEncryption = true\ntransport.useCompression = true\n\
         transport.bandwidthLimit = '1MB'\ntransport.bandwidthLimitMode = 'server'\n\
         transport.proxyProtocolVersion = 'v2'\nmetadatas.c = 'd'\n",
    );
    assert_eq!(c, twin);
    assert_eq!(c.log.to, LogTarget::File(PathBuf::from("f.log")));

    let s = server(
        "[common]\nbind_addr = ::\nbind_port = 1\nproxy_bind_addr = ::1\ntoken = t\n\
         log_level = debug\ntcp_mux = false\ntcp_mux_keepalive_interval = 2\ntcp_keepalive = 3\n\
         max_pool_count = 4\nheartbeat_timeout = 5\ntls_only = true\ntls_cert_file = c\n\
         tls_key_file = k\ntls_trusted_ca_file = a\ndetailed_errors_to_client = false\n\
         max_ports_per_client = 6\nuser_conn_timeout = 7\n",
    );
    let twin = server(
        "bindAddr = '::'\nbindPort = 1\nproxyBindAddr = '::1'\nauth.token = 't'\n\
         log.level = 'debug'\ndetailedErrorsToClient = false\nmaxPortsPerClient = 6\n\
         userConnTimeout = 7\n[transport]\ntcpMux = false\ntcpMuxKeepaliveInterval = 2\n\
         tcpKeepalive = 3\nmaxPoolCount = 4\nheartbeatTimeout = 5\n\
         tls = { force = true, certFile = 'c', keyFile = 'k', trustedCaFile = 'a' }\n",
    );
    assert_eq!(s, twin);
}

#[test]
fn legacy_ranges_references_and_inheritance() {
    let c = client(
        "host = ::1\n[common]\nstart = r_0, r_1, base, base.more\n[range:r]\nlocal_port = 10-11,20\n\
         remote_port = 30,31-32\nmeta_a = b\n[base]\nlocal_ip = %(host)s\nlocal_port = 1\n\
         [base.more]\nremote_port = 2\n",
    );
    let shown: Vec<_> = c
        .proxies
        .iter()
        .map(|p| {
            let ProxyKind::Tcp(PortProxy { remote_port }) = p.kind else {
                panic!("{p:?}")
            };
            (
                p.name.as_str(),
                p.local_ip.as_str(),
                p.local_port,
                remote_port,
                p.metadatas.len(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("base", "::1", 1, 0, 0),
            ("base.more", "::1", 1, 2, 0),
            ("r_0", "127.0.0.1", 10, 30, 1),
            ("r_1", "127.0.0.1", 11, 31, 1),
        ]
    );
}

#[test]
fn the_format_does_not_depend_on_the_name() {
    assert!(parse_client(STORY, "frpc.toml", &run()).unwrap().legacy_ini);
    assert!(
        !parse_client("serverPort = 1", "frpc.ini", &run())
            .unwrap()
            .legacy_ini
    );
}

#[test]
fn line_ends_and_indents_of_other_editors() {
    let crlf = STORY.replace('\n', "\r\n");
    assert_eq!(client(&crlf), client(STORY));
    assert_eq!(client("\r\n\tuser = \"a\"\r\n").user, "a");
}

#[test]
fn the_examples_hold_only_valid_keys() {
    let text = include_str!("../../../frpc.toml.example");
    let c = client(text);
    assert_eq!(c.proxies.len(), 2);
    let s = server(include_str!("../../../frps.toml.example"));
    assert_eq!(s.allow_ports.len(), 2);
}

/// `# key = value` in an example is a key, too.
#[test]
fn the_examples_hold_only_valid_keys_when_everything_is_turned_on() {
    let turn_on = |text: &str| -> String {
        let line = |line: &str| {
            let is_key = |rest: &str| {
                rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
                })
            };
            match line.strip_prefix("# ") {
                Some(rest) if is_key(rest) => format!("{rest}\n"),
                _ => format!("{line}\n"),
            }
        };
        text.lines().map(line).collect()
    };
    let c = client(&turn_on(include_str!("../../../frpc.toml.example")));
    assert_eq!(
        c.transport.tls.server_name.as_deref(),
        Some("frps.example.com")
    );
    let s = server(&turn_on(include_str!("../../../frps.toml.example")));
    assert!(s.transport.tls.force);
}

#[test]
fn quic_and_websocket_have_their_settings_on_both_ends() {
    let none = "";
    let (c, s) = (client(none).transport, server(none).transport);
    assert_eq!((&c.quic, &c.websocket), (&s.quic, &s.websocket));
    assert_eq!(c.quic.keepalive_period, Some(Duration::from_secs(10)));
    assert_eq!(c.quic.max_idle_timeout, Duration::from_secs(30));
    assert_eq!(c.quic.max_incoming_streams, 100_000);
    assert_eq!(c.websocket.path, "/~!frp");
    assert!(c.websocket.headers.is_empty());

    let text = "transport.quic.keepalivePeriod = -1\ntransport.quic.maxIdleTimeout = 5\n\
                transport.quic.maxIncomingStreams = 7\ntransport.websocket.path = '/t'\n\
                transport.websocket.headers = { X-Key = ' sesame ' }\n";
    let (c, s) = (client(text).transport, server(text).transport);
    assert_eq!((&c.quic, &c.websocket), (&s.quic, &s.websocket));
    assert_eq!(c.quic.keepalive_period, None);
    assert_eq!(c.quic.max_idle_timeout, Duration::from_secs(5));
    assert_eq!(c.quic.max_incoming_streams, 7);
    assert_eq!(c.websocket.path, "/t");
    let headers: Vec<_> = c.websocket.headers.iter().collect();
    assert_eq!(
        (headers[0].0.as_str(), headers[0].1.expose()),
        ("X-Key", "sesame")
    );
    assert!(!format!("{c:?}").contains("sesame"));
}
