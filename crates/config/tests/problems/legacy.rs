//! The same for files in the INI form of older releases.

use super::{frpc, frps};

#[test]
fn legacy_files_that_frp_takes_are_taken_with_warnings() {
    // #1986
    assert_eq!(
        frpc("[common]\n[a]\nlocal_post = 22\n"),
        ["WARNING: f:3:1: there is no key local_post; did you mean local_port?"]
    );
    assert_eq!(
        frpc("[common]\nserver_port = 7000 # main\n"),
        [
            "WARNING: f:2:15: server_port = \"7000 # main\" is not a whole number, so the default is \
          used, as frp does; comments stand on lines of their own in this format"
        ]
    );
    assert_eq!(
        frpc("[common]\n[a]\nlocal_port = 1\n[a]\nremote_port = 2\n"),
        [
            "WARNING: f:4:1: the section [a] is already in line 2; the two are taken as one; \
          give each proxy its own name"
        ]
    );
    assert_eq!(
        frpc("[common]\n[a]\nsk = x\nserver_port = 1\n"),
        [
            "WARNING: f:3:1: sk is for type stcp, sudp, xtcp; this one is tcp; \
             it has no effect here; remove it or change the type",
            "WARNING: f:4:1: server_port is a key of the section [common]; move it there",
        ]
    );
    assert_eq!(
        frps("[common]\n[ssh]\ntype = tcp\n"),
        [
            "WARNING: f:2:1: frps takes no notice of the section [ssh]; \
          remove it; if it is a proxy, it belongs in the file of frpc"
        ]
    );
    let none: [String; 0] = [];
    assert_eq!(
        frpc("[common]\nlog_way = file\noidc_client_id =\n[a]\nrole = server\n"),
        none
    );
}

#[test]
fn legacy_files_that_are_wrong() {
    let cases = [
        (
            "[common]\nprotocol = foo\n",
            "f:2:12: invalid protocol, optional values are [tcp kcp quic websocket wss]",
        ),
        (
            "[common]\ndns_server = dns.example\n",
            "f:2:14: dns_server: \"dns.example\" is not an IP address, with or without a port",
        ),
        (
            "[common]\nhttp_proxy = ftp://p\n",
            "f:2:14: http_proxy is no URL of a proxy: proxy type must be http, https, socks5 or \
             ntlm, not [ftp]",
        ),
        (
            "[common]\nheartbeat_interval = 9\nheartbeat_timeout = 3\n",
            "f:3:21: parse config error: invalid heartbeat_timeout, heartbeat_timeout is less than heartbeat_interval",
        ),
        (
            "[common]\n[x]\ntype = foo\n",
            "f:3:8: failed to parse proxy x, err: invalid type [foo]; types are tcp",
        ),
        (
            "[common]\n[x]\nrole = boss\n",
            "f:3:8: proxy x role should be 'server' or 'visitor': this is \"boss\"",
        ),
        (
            "[common]\n[x]\nbandwidth_limit = 1\n",
            "f:3:19: proxy x: bandwidth_limit \"1\": unit not support",
        ),
        (
            "[common]\n[x]\nlocal_port = 99999\n",
            "f:3:14: proxy x: localPort: localPort: port number 99999 must be in the range 0..65535",
        ),
        (
            "[common]\n[range:x]\nlocal_port = 1-2\nremote_port = 1-3\n",
            "f:2:1: failed to render template for proxy range:x: local ports number should be same with remote ports number: these are 2 and 3",
        ),
        (
            "[common]\n[range:x]\nlocal_port = 1-2\n",
            "local_port or remote_port is empty",
        ),
        (
            "[common]\n[range:x]\nlocal_port = 1-70000\nremote_port = 1\n",
            "local_port: more than 65536 numbers",
        ),
    ];
    for (text, expected) in cases {
        let lines = frpc(text);
        assert_eq!(lines.len(), 1, "{text}: {lines:?}");
        assert!(lines[0].contains(expected), "{text}: {lines:?}");
    }
    // frp would take this for "all ports".
    assert_eq!(
        frps("[common]\nallow_ports = 5-3\n"),
        [
            "f:2:15: allow_ports: range number is invalid: 3 is less than 5; \
          write ports such as 2000-3000,4000"
        ]
    );
    let none: [String; 0] = [];
    assert_eq!(
        frps("[common]\n[plugin.x]\naddr = y\npath = /p\nops = Login,Ping\n"),
        none
    );
    let [refused] = &frps("[common]\n[plugin.x]\npath = /p\n")[..] else {
        panic!("one problem");
    };
    assert!(
        refused.contains("http plugin [x]: addr has no host"),
        "{refused}"
    );
    assert_eq!(
        frpc("[common]\nstart = a\n[a]\n[b]\ntype = nonsense\n"),
        none,
        "b does not start"
    );
}
