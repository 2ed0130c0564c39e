//! What a user reads about a file that is wrong or doubtful.
//!
//! Numbers of issues are those of frp, where users met these mistakes.
#![allow(clippy::unwrap_used)]

mod legacy;

use frp_config::{LoadError, LoadOptions, Problem, Purpose, parse_client, parse_server};

fn run() -> LoadOptions {
    LoadOptions::new(Purpose::Run)
}

fn lenient() -> LoadOptions {
    LoadOptions {
        strict: false,
        ..run()
    }
}

/// The lines about `text` as the file `f`: the errors, or `WARNING: ` lines when it is valid.
fn frpc(text: &str) -> Vec<String> {
    lines(parse_client(text, "f", &run()).map(|loaded| loaded.warnings))
}

fn frps(text: &str) -> Vec<String> {
    lines(parse_server(text, "f", &run()).map(|loaded| loaded.warnings))
}

fn lines(result: Result<Vec<Problem>, LoadError>) -> Vec<String> {
    match result {
        Ok(warnings) => warnings.iter().map(|w| format!("WARNING: {w}")).collect(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

const TCP: &str = "[[proxies]]\nname = 'a'\ntype = 'tcp'\nlocalPort = 22\nremotePort = 6000\n";
const LATER: &str = "is not supported yet: frp knows it, this version does not; \
                     remove it, or keep using frp for this";

#[test]
fn keys_of_the_whole_file_below_proxies() {
    // #5317, #4294
    let text = format!("serverAddr = 'x'\n{TCP}webServer.port = 7400\n");
    assert_eq!(
        frpc(&text),
        [
            "f:7:1: proxy a: json: unknown field \"webServer\": webServer.port is a key of the whole \
          file, but stands inside [[proxies]] \"a\" (line 2); move it above line 2"
        ]
    );
    // #4931
    let text = format!(
        "{TCP}{}transport.tls.certFile = 'c'\n",
        TCP.replace("'a'", "'b'")
    );
    assert_eq!(
        frpc(&text)[0],
        "f:11:11: proxy b: json: unknown field \"tls\": transport.tls.certFile is a key of the \
         whole file, but stands inside [[proxies]] \"b\" (line 6); move it above line 1"
    );
}

#[test]
fn keys_of_another_type_of_proxy() {
    // #4293, #4877, #4105
    let text = "[[proxies]]\nname = 'u'\ntype = 'stcp'\nsecretKey = 'k'\nremotePort = 8000\n";
    assert_eq!(
        frpc(text),
        [
            "f:5:1: proxy u: json: unknown field \"remotePort\": remotePort is for proxies of \
             type tcp, udp; this one is stcp; remove it or change the type"
        ]
    );
    // #4732, #4724, #4143
    let text = "[[proxies]]\nname = 'n'\ntype = 'http'\nsubdomain = 's'\nremotePort = 7100\n";
    assert!(frpc(text)[0].contains("is for proxies of type tcp, udp; this one is http"));
    // #5056
    let text = format!("{TCP}customDomains = ['a.b.c']\n");
    assert_eq!(
        frpc(&text),
        [
            "f:6:1: proxy a: json: unknown field \"customDomains\": customDomains is for proxies of \
          type http, https, tcpmux; this one is tcp; remove it or change the type"
        ]
    );
    // #4096
    let text = "[[proxies]]\nname = 'j'\ntype = 'https'\nsubdomain = 's'\nlocations = ['/j']\n";
    assert!(frpc(text)[0].contains("locations is for proxies of type http; this one is https"));
}

#[test]
fn misspelled_and_misplaced_keys() {
    let cases = [
        (
            "servrAddr = 'x'",
            "frpc has no key servrAddr; did you mean serverAddr?",
        ),
        (
            "auth.tokn = 'x'",
            "frpc has no key auth.tokn; did you mean auth.token?",
        ),
        (
            "token = 'x'",
            "frpc has no key token; did you mean auth.token?",
        ),
        (
            "[transport]\ntcpMx = true",
            "no key transport.tcpMx; did you mean transport.tcpMux?",
        ),
        (
            "bindPort = 7000",
            "bindPort is a key of frps; frpc has no such key; is this the right file?",
        ),
        (
            "localPort = 22",
            "localPort is a key of a proxy, not of the whole file; write it below a line [[proxies]]",
        ),
        (
            "remotePort = 22",
            "remotePort is a key of a proxy, not of the whole file",
        ),
        (
            "server_addr = 'x'",
            "server_addr is the name in the legacy INI form; in this format write serverAddr",
        ),
        (
            "tls_enable = true",
            "in this format write transport.tls.enable",
        ),
        ("meta_a = 'x'", "in this format write metadatas.a"),
        (
            "zzz = 1",
            "frpc has no key zzz; remove it or correct its name",
        ),
        ("'auth.token' = 'x'", "json: unknown field \"auth.token\""),
    ];
    for (text, expected) in cases {
        let lines = frpc(text);
        assert_eq!(lines.len(), 1, "{text}: {lines:?}");
        assert!(
            lines[0].contains("json: unknown field "),
            "{text}: {lines:?}"
        );
        assert!(lines[0].contains(expected), "{text}: {lines:?}");
    }
    let in_proxy = [
        ("local_port = 1", "in this format write localPort"),
        ("localIpp = 'x'", "did you mean localIP?"),
        (
            "bandwidthLimit = '1MB'",
            "did you mean transport.bandwidthLimit?",
        ),
        (
            "serverName = 'x'",
            "serverName is a key of a visitor, not of a proxy",
        ),
        ("serverAddr = 'x'", "move it above line 1"),
    ];
    for (line, expected) in in_proxy {
        let lines = frpc(&format!("{TCP}{line}\n"));
        assert!(
            lines[0].starts_with("f:6:1: proxy a: json: unknown field "),
            "{lines:?}"
        );
        assert!(lines[0].contains(expected), "{line}: {lines:?}");
    }
    assert!(frps("serverAddr = 'x'")[0].contains("serverAddr is a key of frpc"));
}

#[test]
fn unknown_keys_are_warnings_when_not_strict() {
    let loaded = parse_client("zzz = 1\nuser = 'u'\n", "f", &lenient()).unwrap();
    assert_eq!(loaded.settings.user, "u");
    let [warning] = &loaded.warnings[..] else {
        panic!("{:?}", loaded.warnings)
    };
    assert!(
        warning
            .to_string()
            .starts_with("f:1:1: json: unknown field \"zzz\"")
    );
}

#[test]
fn all_problems_at_once_in_the_order_of_the_file() {
    let text = "bindPort = 99999\nauth.method = 'x'\nauth.additionalScopes = ['heartbeats']\n\
                log.level = 'DEBUG'\nfoo = 1\nmaxPortsPerClient = 'ten'\n\
                allowPorts = [{ start = 5, end = 3 }]\n";
    assert_eq!(
        frps(text),
        [
            "f:1:12: bindPort: port number 99999 must be in the range 0..65535; \
             choose a port in that range",
            "f:2:15: invalid auth method, optional values are [token oidc]: this is \"x\"; \
             auth.method is one of token, oidc",
            "f:3:26: invalid auth additional scopes, optional values are [HeartBeats \
             NewWorkConns]: this is \"heartbeats\"; write \"HeartBeats\"",
            "f:4:13: invalid log level, optional values are [trace debug info warn error]: \
             this is \"DEBUG\"; write \"debug\"",
            "f:5:1: json: unknown field \"foo\": frps has no key foo; \
             remove it or correct its name",
            "f:6:21: field \"maxPortsPerClient\": cannot unmarshal string \"ten\" into int; \
             maxPortsPerClient takes a whole number, without quotes",
            "f:7:15: allowPorts: the range from 5 to 3 holds no port; \
             give start and end with start <= end, or single",
        ]
    );
}

#[test]
fn wrong_kinds_of_values() {
    let cases = [
        (
            "serverPort = '7000'",
            "1:14: field \"serverPort\": cannot unmarshal string \"7000\" into int; serverPort takes a whole number, without quotes",
        ),
        (
            "serverPort = 7000.5",
            "cannot unmarshal number 7000.5 into int",
        ),
        (
            "serverPort = 2026-01-01",
            "cannot unmarshal string \"2026-01-01\" into int",
        ),
        (
            "serverPort = 99999999999999999999",
            "cannot unmarshal string (a number beyond 64 bits) into int",
        ),
        (
            "serverAddr = 5",
            "cannot unmarshal number 5 into string; put the value in quotes",
        ),
        (
            "loginFailExit = 'yes'",
            "cannot unmarshal string \"yes\" into bool; loginFailExit takes true or false, without quotes",
        ),
        (
            "auth = 5",
            "cannot unmarshal number 5 into an object; auth takes a table",
        ),
        (
            "start = 'a'",
            "cannot unmarshal string \"a\" into []string; put it in brackets: start = [\"...\"]",
        ),
        (
            "start = [1]",
            "1:10: field \"start\": cannot unmarshal number 1 into string",
        ),
        (
            "metadatas.a = 1",
            "field \"metadatas.a\": cannot unmarshal number into string",
        ),
        (
            "[proxies]\nname = 'a'",
            "cannot unmarshal object into a list; write [[proxies]] with two brackets on each side",
        ),
        ("proxies = [1]", "cannot unmarshal number 1 into an object"),
    ];
    for (text, expected) in cases {
        let lines = frpc(text);
        assert_eq!(lines.len(), 1, "{text}: {lines:?}");
        assert!(lines[0].contains(expected), "{text}: {lines:?}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let files = [
        "auth.token = 271828\n",
        "auth.token = ['271828']\n",
        "auth.token = 271828 x\n",
        "[[proxies]]\nname = 'a'\ntype = 'stcp'\nsecretKey = 271828\n",
        "[common]\ntoken = 271828\nfoo\n",
    ];
    for text in files {
        let lines = frpc(text).join("\n");
        assert!(lines.starts_with("f:"), "{text}: {lines}");
        assert!(!lines.contains("271828"), "{text}: {lines}");
    }
    let valid = parse_client("auth.token = '271828'", "f", &run()).unwrap();
    assert!(!format!("{valid:?}").contains("271828"));
}

#[test]
fn values_out_of_their_rules() {
    let cases = [
        (
            "transport.protocol = 'udp'",
            "invalid transport.protocol, optional values are [tcp kcp quic websocket wss]: this is \"udp\"; transport.protocol is one of tcp, kcp, quic, websocket, wss, auto",
        ),
        (
            "transport.wireProtocol = 'V2'",
            "invalid transport.wireProtocol, optional values are [v1 v2]: this is \"V2\"; write \"v2\"",
        ),
        (
            "transport.heartbeatInterval = 30\ntransport.heartbeatTimeout = 20",
            "f:2:30: invalid transport.heartbeatTimeout, heartbeat timeout should not less than heartbeat interval: these are 20 and 30 seconds",
        ),
        (
            "transport.connectServerLocalIP = 'eth0'",
            "transport.connectServerLocalIP: \"eth0\" is not an IP address",
        ),
        (
            "transport.dialServerTimeout = -1",
            "transport.dialServerTimeout is -1 seconds: it cannot be switched off",
        ),
        (
            "serverPort = 70000",
            "serverPort: port number 70000 must be in the range 0..65535",
        ),
    ];
    for (text, expected) in cases {
        let lines = frpc(text);
        assert_eq!(lines.len(), 1, "{text}: {lines:?}");
        assert!(lines[0].contains(expected), "{text}: {lines:?}");
    }
    let in_proxy = [
        (
            "transport.bandwidthLimit = '1GB'",
            "f:4:28: proxy a: transport.bandwidthLimit \"1GB\": unit not support; write a number with KB or MB",
        ),
        (
            "transport.bandwidthLimit = 'xMB'",
            "strconv.ParseFloat: parsing \"x\": invalid syntax",
        ),
        (
            "transport.bandwidthLimitMode = 'both'",
            "bandwidth limit mode should be client or server",
        ),
        (
            "transport.proxyProtocolVersion = 'v3'",
            "not support proxy protocol version: v3",
        ),
        (
            "localPort = -3",
            "f:4:13: proxy a: localPort: localPort: port number -3 must be in the range 0..65535",
        ),
        (
            "remotePort = 65536",
            "proxy a: remotePort: port number 65536 must be in the range 0..65535",
        ),
        (
            "annotations.'a b' = ''",
            "proxy a: annotation key a b is invalid: name part must consist of",
        ),
    ];
    for (line, expected) in in_proxy {
        let lines = frpc(&format!("[[proxies]]\nname = 'a'\ntype = 'tcp'\n{line}\n"));
        assert_eq!(lines.len(), 1, "{line}: {lines:?}");
        assert!(lines[0].contains(expected), "{line}: {lines:?}");
    }
}

#[test]
fn names_and_types_of_proxies() {
    assert_eq!(
        frpc(&format!("{TCP}{TCP}"))[0],
        "f:7:8: proxy name [a] is duplicated: line 2 has it, too; give each its own name"
    );
    assert_eq!(
        frpc("[[proxies]]\ntype = 'tcp'\n"),
        ["f:1:1: proxy : name should not be empty; add name = \"...\""]
    );
    assert_eq!(
        frpc("[[proxies]]\nname = 'a'\n"),
        ["f:1:1: decode proxy at index 0: unknown proxy type: ; \
          add the key type, one of tcp, udp, http, https, tcpmux, stcp, sudp, xtcp"]
    );
    assert_eq!(
        frpc("[[proxies]]\nname = 'a'\ntype = 'TCP'\n"),
        ["f:3:8: decode proxy at index 0: unknown proxy type: TCP; \
          write type = \"tcp\", in lower case"]
    );
}

#[test]
fn doubtful_files_work_with_warnings() {
    let same_port = format!("{TCP}{}", TCP.replace("'a'", "'b'"));
    assert_eq!(
        frpc(&same_port),
        [
            "WARNING: f:10:14: proxy b: remote port 6000 is also that of proxy a (line 5); \
          frps gives it to the first of them only; choose another port"
        ]
    );
    assert_eq!(
        frpc(&format!("start = ['ssh']\n{TCP}")),
        [
            "WARNING: f:1:9: start names \"ssh\", but there is no such proxy; \
          correct the name; only the proxies named here run"
        ]
    );
    assert_eq!(
        frpc("transport.tls.enable = false\ntransport.tls.keyFile = 'k'\n"),
        [
            "WARNING: f:2:15: transport.tls.keyFile is invalid when transport.tls.enable is false; \
          turn TLS on, or remove the key"
        ]
    );
    assert_eq!(
        frpc("serverPort = 1\nServerPort = 2\n"),
        [
            "WARNING: f:1:1: serverPort is the same key as ServerPort in line 2, and replaces it; \
          remove one of the two"
        ]
    );
}

#[test]
fn the_virtual_network() {
    let none: [String; 0] = [];
    let gate = "featureGates = { VirtualNet = true }\n";
    for address in ["10.0.0.1/24", "fd00::1/64", "100.86.0.1/32"] {
        assert_eq!(
            frpc(&format!("{gate}virtualNet.address = '{address}'\n")),
            none
        );
    }
    for address in [
        "10.0.0.1",
        "10.0.0.1/33",
        "10.0.0.1/+8",
        "fd00::1/129",
        "a/8",
        "10.0.0.1/",
    ] {
        assert_eq!(
            frpc(&format!("{gate}virtualNet.address = '{address}'\n")),
            [format!(
                "f:2:22: virtualNet.address: invalid CIDR address: {address}; give the address of this machine \
                 and the prefix of the network, such as 100.86.0.1/24"
            )]
        );
    }
    assert_eq!(
        frpc(&format!("{TCP}plugin = {{ type = 'virtual_net' }}\n")),
        none
    );
    let visitor = "[[visitors]]\nname = 'v'\ntype = 'stcp'\nserverName = 's'\nbindPort = -1\n";
    let plugin = |keys: &str| {
        frpc(&format!(
            "{visitor}plugin = {{ type = 'virtual_net'{keys} }}\n"
        ))
    };
    assert_eq!(plugin(", destinationIP = 'fd00::2'"), none);
    assert_eq!(
        plugin(""),
        [
            "f:6:1: visitor v: plugin virtual_net: destinationIP is required; add plugin.destinationIP, the \
             address of the other machine in the virtual network"
        ]
    );
    assert!(plugin(", destinationIP = 'x'")[0].contains("destinationIP"));
}

#[test]
fn the_order_of_transports() {
    let none: [String; 0] = [];
    let auto = "transport.protocol = 'auto'\n";
    assert_eq!(frpc(auto), none);
    let order = |list: &str| format!("{auto}transport.order = {list}\n");
    assert_eq!(frpc(&order("['wss:443', 'tcp', 'tcp-plain:7001']")), none);
    assert_eq!(frpc(&order("[]")), none);
    let advice = "write one of tcp, quic, wss, kcp, websocket, tcp-plain, or with a port: wss:443";
    for (entry, why) in [
        ("tls", "unknown transport \"tls\""),
        ("TCP", "unknown transport \"TCP\""),
        ("wss:0", "\"0\" is no port from 1 to 65535"),
        ("wss:https", "\"https\" is no port from 1 to 65535"),
    ] {
        assert_eq!(
            frpc(&order(&format!("['tcp', '{entry}']"))),
            [format!("f:2:27: transport.order: {why}; {advice}")]
        );
    }
    assert_eq!(
        frpc("transport.order = ['tcp']\n"),
        [
            "WARNING: f:1:11: transport.order has no effect without transport.protocol = \"auto\"; \
             set that, or remove the key"
        ]
    );
}

#[test]
fn the_way_to_frps() {
    let url = "transport.proxyURL = 'socks4://me:secret@p:1'\n";
    assert_eq!(
        frpc(url),
        [
            "f:1:22: transport.proxyURL is no URL of a proxy: proxy type must be http, https, \
             socks5 or ntlm, not [socks4]; write scheme://user:password@host:port"
        ]
    );
    assert_eq!(
        frpc("auth.oidc.proxyURL = 'http://me:sec#ret@p:1'\n"),
        [
            "f:1:22: auth.oidc.proxyURL is no URL of a proxy: an @ comes too late: in user and \
             password # is written %23, / is written %2F and ? is written %3F; write \
             scheme://user:password@host:port"
        ]
    );
    let none: [String; 0] = [];
    let fine = "dnsServer = '::1'\ntransport.proxyURL = 'ntlm://me:secret@p'\n";
    assert_eq!(frpc(fine), none);
    assert_eq!(
        frpc("dnsServer = '10.0.0.1:x'\n"),
        [
            "f:1:13: dnsServer: \"10.0.0.1:x\" is not an IP address, with or without a port; \
             give an address such as 192.0.2.53 or 192.0.2.53:5353"
        ]
    );
}

#[test]
fn a_websocket_needs_a_path_and_headers_that_can_be_sent() {
    let path = "transport.websocket.path";
    for wrong in ["tunnel", "/a b", "/a#b", "/\u{e9}"] {
        for check in [frpc, frps] {
            let text = format!("{path} = '{wrong}'\n");
            let said = format!(
                "f:1:28: {path} {wrong:?} is no path of a URL; begin it with /, and write %20 and \
                 the like for other characters"
            );
            assert_eq!(check(&text), [said]);
        }
    }
    let none: [String; 0] = [];
    let query = format!("{path} = '/a?b=c'\n");
    assert_eq!(frpc(&query), none);
    assert_eq!(
        frps(&query),
        [format!(
            "f:1:28: {path} has a query; leave out what follows the ?; frps does not look at it"
        )]
    );
    for (header, why) in [
        (
            "'a b' = 'x'",
            "\"a b\" is no name of an HTTP header; use letters, digits and -",
        ),
        (
            "a = \"x\\ny\"",
            "\"a\" has a value with control characters; remove them",
        ),
        (
            "Upgrade = 'x'",
            "\"Upgrade\" is written by the websocket itself; remove it",
        ),
        (
            "Sec-WebSocket-Key = 'x'",
            "\"Sec-WebSocket-Key\" is written by the websocket itself; remove it",
        ),
    ] {
        let text = format!("transport.websocket.headers = {{ {header} }}\n");
        assert_eq!(
            frpc(&text),
            [format!("f:1:31: transport.websocket.headers: {why}")]
        );
    }
}

#[test]
fn the_web_server_of_frps() {
    let none: [String; 0] = [];
    assert_eq!(frps("webServer.port = 1\n"), none);
    assert_eq!(
        frps("webServer.port = 1\nwebServer.addr = '0.0.0.0'\n"),
        [
            "WARNING: f:1:11: the dashboard at 0.0.0.0 is open to everybody who reaches that \
          address: neither webServer.user nor webServer.password is set; set webServer.user and \
          webServer.password, or listen on 127.0.0.1"
        ]
    );
    assert_eq!(
        frps("webServer.port = 1\nwebServer.addr = '0.0.0.0'\nwebServer.password = 'x'\n"),
        none
    );
    assert_eq!(
        frps("webServer.port = 1\nwebServer.tls.certFile = 'c'\n"),
        [
            "f:2:15: tls.keyFile must be specified when tls is enabled; set \
          webServer.tls.keyFile, too, or neither"
        ]
    );
    assert_eq!(
        frps("webServer.port = 1\nwebServer.assetsDir = 'd'\n"),
        none
    );
}

#[test]
fn the_web_server_of_frpc() {
    let none: [String; 0] = [];
    assert_eq!(
        frpc("webServer.port = 1\nwebServer.pprofEnable = true\n"),
        none
    );
    let open = "webServer.port = 1\nwebServer.addr = '0.0.0.0'\n";
    assert_eq!(
        frpc(open),
        [
            "WARNING: f:1:11: the admin interface at 0.0.0.0 is open to everybody who reaches \
             that address: neither webServer.user nor webServer.password is set; set \
             webServer.user and webServer.password, or listen on 127.0.0.1"
        ]
    );
    assert_eq!(frpc(&format!("{open}webServer.user = 'x'\n")), none);
    let [legacy] = &frpc("[common]\nadmin_addr = 0.0.0.0\nadmin_port = 1\n")[..] else {
        panic!("one warning")
    };
    assert!(
        legacy.contains("set admin_user and admin_pwd, or"),
        "{legacy}"
    );
    assert_eq!(
        frpc("webServer.port = 1\nwebServer.assetsDir = 'd'\n"),
        none
    );
}

#[test]
fn what_is_off_or_has_no_effect_is_accepted() {
    let none: [String; 0] = [];
    assert_eq!(
        frpc(
            "version = '1'\nincludes = []\nwebServer.addr = '0.0.0.0'\nwebServer.port = 0\n\
             webServer.user = 'u'\nudpPacketSize = 1500\nnatHoleStunServer = 'x:1'\n\
             auth.oidc.clientID = ''\ntransport.quic.keepalivePeriod = 10\nvisitors = []\n"
        ),
        none
    );
    assert_eq!(
        frps("kcpBindPort = 0\nenablePrometheus = true\nsubDomainHost = 'x'\nhttpPlugins = []\n"),
        none
    );
    assert_eq!(frpc(&format!("{TCP}healthCheck.maxFailed = 3\n")), none);
    let shared = "loadBalancer.group = 'g'\nhealthCheck.type = 'tcp'\n";
    assert_eq!(frpc(&format!("{TCP}{shared}")), none);
}

#[test]
fn syntax_errors_of_toml() {
    let lines = frpc("serverAddr = 1.2.3.4\nuser = \"a\nserverPort = \n");
    assert!(lines.len() >= 2, "all of them: {lines:?}");
    assert!(lines[0].starts_with("f:1:"), "{lines:?}");
    assert!(lines[0].contains(": toml: "), "{lines:?}");
    assert!(
        lines[0].ends_with("text stands in quotes: serverAddr = \"...\""),
        "{lines:?}"
    );
    // The legacy form without its first line.
    let lines = frpc("server_addr = a.b\n[ssh]\ntype = tcp\n");
    assert!(
        lines[0].ends_with(
            "server_addr is a name of the legacy INI form; such a file begins with a line [common]"
        ),
        "{lines:?}"
    );
}

#[test]
fn toml_and_ini_mixed() {
    // TOML names in an INI file: frp would dial 0.0.0.0:7000.
    assert_eq!(
        frpc("[common]\nserverAddr = \"x\"\n"),
        [
            "WARNING: f:2:1: serverAddr is the name in TOML, YAML and JSON; \
          in this INI file (it has a section [common]) write server_addr"
        ]
    );
    let lines = frpc("[common]\nserver_addr = x\n[[proxies]]\nname = \"a\"\n");
    assert_eq!(
        lines,
        [
            "f:3:1: [[proxies]] is TOML, but the section [common] (line 1) makes this a legacy INI \
          file; for TOML, remove the line [common] and use the TOML names of the keys"
        ]
    );
    assert_eq!(
        frpc("[common]\nserver_addr = x\nfoo\n"),
        [
            "f:3:1: this is no legacy INI: the line is neither a section, a comment nor key = value; \
          in that format every line is a [section], a # comment or key = value"
        ]
    );
}

#[test]
fn plugins_of_the_server_have_a_place_and_operations() {
    let plugin = |lines: &str| frps(&format!("[[httpPlugins]]\nname = 'x'\n{lines}"));
    let none: [String; 0] = [];
    for good in [
        "addr = '127.0.0.1:9000'\npath = '/handler'\nops = ['Login', 'NewUserConn']\n",
        "addr = 'http://a.test/base'\npath = 'handler'\n",
        "addr = 'https://a.test'\ntlsVerify = false\n",
    ] {
        assert_eq!(plugin(good), none, "{good}");
    }
    assert_eq!(
        plugin("path = '/handler'\n"),
        [
            "f:1:1: http plugin [x]: addr has no host; set it to host:port, or to a URL such as \
          https://host:port"
        ]
    );
    assert_eq!(
        plugin("addr = 'a.test:1'\npath = 'handler'\n"),
        ["f:4:8: http plugin [x]: path \"handler\" is no path of a URL; begin it with /"]
    );
    assert_eq!(
        plugin("addr = 'https://a.test'\n"),
        [
            "WARNING: f:3:8: the certificate of http plugin [x] is not verified: whoever can answer \
          in its place decides for it; set tlsVerify to true, or to false to leave it so"
        ]
    );
    let refused = plugin("addr = 'a.test:1'\nops = ['Nothing']\n").remove(0);
    assert!(
        refused.contains(
            "invalid http plugin ops, optional values are [Login NewProxy CloseProxy Ping \
             NewWorkConn NewUserConn]"
        ),
        "{refused}"
    );
}
