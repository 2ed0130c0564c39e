//! Proxies of type tcp: ports and their errors, layers, limits, what the local service sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frp_tests::clients::{echo_on, read_all};
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

#[tokio::test]
async fn a_random_port_is_announced_and_given_again() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tcpMux = false\n").await;
    let proxy = json!({"proxy_name": "web", "proxy_type": "tcp"});
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    let port = announced_port(&mut control, &proxy).await;
    drop(connect(port).await);
    drop(control);
    frps.program.expect("client exit success").await;

    // While it is free, the same name gets the same port again.
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    assert_eq!(announced_port(&mut control, &proxy).await, port);
}

/// Registers `proxy` and returns the port of the answer's `remote_addr`.
async fn announced_port(control: &mut Control<TcpStream>, proxy: &Value) -> u16 {
    control.send(wire::NEW_PROXY, proxy).await;
    loop {
        let (kind, body) = control.recv().await.expect("an answer to NewProxy");
        if kind == wire::NEW_PROXY_RESP {
            let address = body["remote_addr"].as_str().unwrap_or_default();
            return address
                .strip_prefix(':')
                .and_then(|p| p.parse().ok())
                .expect(address);
        }
    }
}

#[tokio::test]
async fn refused_ports_are_named_with_frps_own_texts() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let allowed = ports::free_ports(3);
    let other = free_port();
    let frps = rig
        .frps(&format!(
            "allowPorts = [{{ start = {allowed}, end = {} }}, {{ single = {} }}]\n",
            allowed + 1,
            allowed + 2
        ))
        .await;
    let occupied = TcpListener::bind(("127.0.0.1", allowed + 1)).await.unwrap();
    let proxies = [
        ("fine", allowed),
        ("forbidden", other),
        ("occupied", allowed + 1),
        ("taken", allowed),
        ("single", allowed + 2),
    ];
    // One client each: the order of registration within one is not given.
    let mut clients = Vec::new();
    for (name, port) in proxies {
        let frpc = rig.frpc(frps.port, &tcp_proxy(name, service.port, port, ""));
        frpc.expect(&format!("[{name}] start ")).await;
        clients.push(frpc);
    }
    clients[0].expect("[fine] start proxy success").await;
    clients[1]
        .expect("[forbidden] start error: port not allowed")
        .await;
    clients[2]
        .expect("[occupied] start error: port unavailable")
        .await;
    clients[3]
        .expect("[taken] start error: port already used")
        .await;
    clients[4].expect("[single] start proxy success").await;
    echo(allowed, b"fine").await;
    drop(occupied);
}

#[tokio::test]
async fn a_random_port_comes_from_the_allowed_ones() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let allowed = free_port();
    let frps = rig
        .frps(&format!("allowPorts = [{{ single = {allowed} }}]\n"))
        .await;
    let frpc = rig.frpc(frps.port, &tcp_proxy("a", service.port, 0, ""));
    frpc.expect("[a] start proxy success").await;
    echo(allowed, b"here").await;
    let second = rig.frpc(frps.port, &tcp_proxy("b", service.port, 0, ""));
    second.expect("[b] start error: no available port").await;
}

#[tokio::test]
async fn a_client_has_no_more_ports_than_its_maximum() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("maxPortsPerClient = 2\n").await;
    let names = ["a", "b", "c"];
    let proxies: String = names
        .iter()
        .map(|n| tcp_proxy(n, service.port, free_port(), ""))
        .collect();
    let frpc = rig.frpc(frps.port, &proxies);
    frpc.expect("start error: exceed the max_ports_per_client")
        .await;
    let log = frpc.log();
    eventually("two of three proxies", || async {
        log.count("start proxy success") == 2
    })
    .await;
    // Another client has its own count.
    let other = rig.frpc(frps.port, &tcp_proxy("d", service.port, free_port(), ""));
    other.expect("[d] start proxy success").await;
}

#[tokio::test]
async fn a_name_is_unique_and_free_again_when_its_owner_leaves() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let mut first = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    first.expect("[web] start proxy success").await;
    let mut second = rig.frpc(frps.port, &tcp_proxy("web", service.port, free_port(), ""));
    second
        .expect("[web] start error: proxy [web] already exists")
        .await;
    // With a user in front it is another name.
    let text = format!(
        "user = \"ann\"\n{}",
        tcp_proxy("web", service.port, free_port(), "")
    );
    let third = rig.frpc(frps.port, &text);
    third.expect("[web] start proxy success").await;
    frps.program
        .expect("new proxy [ann.web] type [tcp] success")
        .await;

    first.signal("TERM").await;
    first.exit_status_within(wait::SOON).await;
    frps.program.expect("client exit success").await;
    second.kill().await;
    second.start_again();
    second.expect("[web] start proxy success").await;
}

#[tokio::test]
async fn proxies_listen_on_their_own_address() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("proxyBindAddr = \"127.0.0.2\"\n").await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    let mut user = TcpStream::connect(("127.0.0.2", port)).await.unwrap();
    echo_on(&mut user, b"hello").await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn many_connections_at_once_each_get_their_own_bytes() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let lines = "transport.useEncryption = true\ntransport.useCompression = true";
    let proxy = tcp_proxy("web", service.port, port, lines);
    let frpc = rig.frpc(frps.port, &format!("transport.poolCount = 5\n{proxy}"));
    frpc.expect("[web] start proxy success").await;
    let mut users = tokio::task::JoinSet::new();
    for i in 0..200 {
        users.spawn(async move { echo(port, &pattern(20_000 + 37 * i, i as u64)).await });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
}

/// frp's suite: 50 KB echoed at 10 KB/s take more than 8 s. Here 12 KB at 4 KB/s: the bucket
/// starts full, so 24 - 4 KB (both directions count) at 4 KB/s are 5 s.
#[tokio::test]
async fn a_bandwidth_limit_holds_in_both_modes() {
    let limited = async |mode: &str| {
        let rig = Rig::new();
        let service = Service::echo().await;
        let frps = rig.frps("").await;
        let port = free_port();
        let lines = format!(
            "transport.bandwidthLimit = \"4KB\"\ntransport.bandwidthLimitMode = \"{mode}\""
        );
        let frpc = rig.frpc(frps.port, &tcp_proxy("slow", service.port, port, &lines));
        frpc.expect("[slow] start proxy success").await;
        let start = Instant::now();
        echo(port, &pattern(12 * 1024, 1)).await;
        let took = start.elapsed();
        assert!(took > Duration::from_secs(4), "{mode}: {took:?}");
        assert!(took < Duration::from_secs(12), "{mode}: {took:?}");
    };
    tokio::join!(limited("client"), limited("server"));
}

/// Also where it is frps that limits, and is in the middle of an answer.
#[tokio::test]
async fn a_user_who_has_left_lets_go_of_a_limited_work_connection() {
    let rig = Rig::new();
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    let service = Service::new(move |mut stream| {
        let open = counted.clone();
        async move {
            open.fetch_add(1, Ordering::Relaxed);
            while stream.write_all(&[7; 4096]).await.is_ok() {}
            open.fetch_sub(1, Ordering::Relaxed);
        }
    })
    .await;
    let frps = rig.frps("").await;
    let port = free_port();
    let lines = "transport.bandwidthLimit = \"64KB\"\ntransport.bandwidthLimitMode = \"server\"";
    let frpc = rig.frpc(frps.port, &tcp_proxy("slow", service.port, port, lines));
    frpc.expect("[slow] start proxy success").await;
    let mut user = connect(port).await;
    user.read_exact(&mut [0; 4096]).await.unwrap();
    assert_eq!(open.load(Ordering::Relaxed), 1);
    drop(user);
    eventually("the service is let go of", || async {
        open.load(Ordering::Relaxed) == 0
    })
    .await;
}

/// One bucket for all connections of a proxy: two at once take as long as one with both loads.
#[tokio::test]
async fn connections_share_the_limit_of_their_proxy_in_both_modes() {
    let limited = async |mode: &str| {
        let rig = Rig::new();
        let service = Service::echo().await;
        let frps = rig.frps("").await;
        let port = free_port();
        let lines = format!(
            "transport.bandwidthLimit = \"8KB\"\ntransport.bandwidthLimitMode = \"{mode}\""
        );
        let frpc = rig.frpc(frps.port, &tcp_proxy("slow", service.port, port, &lines));
        frpc.expect("[slow] start proxy success").await;
        let start = Instant::now();
        let (one, other) = (pattern(12 * 1024, 1), pattern(12 * 1024, 2));
        tokio::join!(echo(port, &one), echo(port, &other));
        let took = start.elapsed();
        assert!(took > Duration::from_secs(4), "{mode}: {took:?}");
    };
    tokio::join!(limited("client"), limited("server"));
}

#[tokio::test]
async fn the_service_sees_the_user_by_proxy_protocol() {
    let rig = Rig::new();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::sink(sender).await;
    let frps = rig.frps("").await;
    let (one, two) = (free_port(), free_port());
    let version = |v: &str| format!("transport.proxyProtocolVersion = \"{v}\"");
    let text = tcp_proxy("one", service.port, one, &version("v1"))
        + &tcp_proxy("two", service.port, two, &version("v2"));
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[one] start proxy success").await;
    frpc.expect("[two] start proxy success").await;

    let mut user = connect(one).await;
    let from = user.local_addr().unwrap().port();
    user.write_all(b"hello").await.unwrap();
    user.shutdown().await.unwrap();
    let seen = within(wait::SOON, "bytes", received.recv()).await.unwrap();
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {one}\r\nhello");
    assert_eq!(String::from_utf8_lossy(&seen), expected);

    let mut user = connect(two).await;
    let from = user.local_addr().unwrap().port();
    user.write_all(b"hello").await.unwrap();
    user.shutdown().await.unwrap();
    let seen = within(wait::SOON, "bytes", received.recv()).await.unwrap();
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    expected.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    expected.extend(from.to_be_bytes());
    expected.extend(two.to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(seen, expected);
}

/// Unlike frp, which closes both directions at the first end.
#[tokio::test]
async fn an_answer_after_the_users_end_still_arrives() {
    for common in [
        "",
        "transport.tcpMux = false\n",
        "transport.tcpMux = false\ntransport.tls.enable = false\n",
        "transport.tls.enable = false\n",
    ] {
        let rig = Rig::new();
        let service = Service::answer_after_end().await;
        let server = common.replace("transport.tls.enable = false\n", "");
        let frps = rig.frps(&server).await;
        let (plain, layered) = (free_port(), free_port());
        let lines = "transport.useEncryption = true\ntransport.useCompression = true";
        let text = tcp_proxy("plain", service.port, plain, "")
            + &tcp_proxy("layered", service.port, layered, lines);
        let frpc = rig.frpc(frps.port, &format!("{common}{text}"));
        frpc.expect("[plain] start proxy success").await;
        frpc.expect("[layered] start proxy success").await;
        for port in [plain, layered] {
            let question = pattern(300_000, 4);
            let mut user = connect(port).await;
            user.write_all(&question).await.unwrap();
            user.shutdown().await.unwrap();
            let mut answer = read_all(&mut user).await;
            answer.reverse();
            assert!(
                answer == question,
                "{common:?}: {} bytes came back",
                answer.len()
            );
        }
    }
}

/// The other way round: the service ends first and hears the user still.
#[tokio::test]
async fn the_user_may_go_on_after_the_services_end() {
    let rig = Rig::new();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::new(move |mut stream| {
        let sender = sender.clone();
        async move {
            stream.write_all(b"goodbye").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = sender.send(rest);
        }
    })
    .await;
    let frps = rig.frps("").await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    assert_eq!(read_all(&mut user).await, b"goodbye");
    user.write_all(&pattern(200_000, 5)).await.unwrap();
    user.shutdown().await.unwrap();
    let heard = within(wait::SOON, "the user's last words", received.recv())
        .await
        .unwrap();
    assert!(
        heard == pattern(200_000, 5),
        "{} bytes were heard",
        heard.len()
    );
}

#[tokio::test]
async fn a_service_that_is_down_ends_the_user_and_is_logged() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let (down, port) = (free_port(), free_port());
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", down, port, ""));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    assert!(read_all(&mut user).await.is_empty());
    frpc.expect(&format!(
        "connect to local service [127.0.0.1:{down}] error: "
    ))
    .await;

    // And it is served as soon as it is there.
    let listener = TcpListener::bind(("127.0.0.1", down)).await.unwrap();
    let mut user = connect(port).await;
    user.write_all(b"hi").await.unwrap();
    let (mut inside, _) = within(wait::SOON, "a connection", listener.accept())
        .await
        .unwrap();
    let mut heard = [0; 2];
    inside.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hi");
}

/// A reset inside must not leave the user hanging.
#[tokio::test]
async fn a_service_that_resets_ends_the_user() {
    let rig = Rig::new();
    let service = Service::new(middlebox::reset).await;
    let frps = rig.frps("").await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    user.write_all(b"hello").await.unwrap();
    assert!(read_all(&mut user).await.is_empty());
}

/// Defect 7 of frp: in server mode the work connection stayed open after its user had left.
#[tokio::test]
async fn the_service_learns_that_its_user_left_under_a_server_side_limit() {
    let rig = Rig::new();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::sink(sender).await;
    let frps = rig.frps("").await;
    let port = free_port();
    let lines = "transport.bandwidthLimit = \"1MB\"\ntransport.bandwidthLimitMode = \"server\"";
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, lines));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    user.write_all(b"hello").await.unwrap();
    drop(user);
    assert_eq!(
        within(wait::SOON, "the end", received.recv())
            .await
            .unwrap(),
        b"hello"
    );
}
