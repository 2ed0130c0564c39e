//! udp proxies: users' datagrams go through one work connection, whole or not at all.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use frp_tests::dns::{Answer, DnsServer};
use frp_tests::http::get;
use frp_tests::rig::udp_proxy;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

const NEWEST: &str = "0.70.1";
const SINGLE: &str = "transport.tcpMux = false\n";
const SEALED: &str = "transport.useEncryption = true\ntransport.useCompression = true";

/// One datagram, an empty one, many users and a long exchange.
async fn carries_everything(port: u16) {
    let user = UdpUser::of(port).await;
    for datagram in [&b"x"[..], b"", &pattern(1400, 1), &[0; 1400]] {
        user.echo(datagram).await;
    }
    let mut users = tokio::task::JoinSet::new();
    for n in 0..20 {
        users.spawn(async move {
            let user = UdpUser::of(port).await;
            for round in 0..5 {
                user.echo(format!("user {n} round {round}").as_bytes())
                    .await;
            }
        });
    }
    while let Some(done) = users.join_next().await {
        done.unwrap();
    }
    // A megabyte.
    UdpUser::of(port).await.echo_sequence(875, 1200).await;
}

async fn pair(server: Side, client: Side, wire: &str, common: &str) {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let common = format!("auth.token = \"udp\"\n{common}");
    let frps = rig.frps_of(&server, &common).await;
    let ports = [free_port(), free_port(), free_port()];
    let limited = "transport.bandwidthLimit = \"20MB\"\ntransport.bandwidthLimitMode = \"server\"";
    let mut text = format!("{common}user = \"me\"\ntransport.wireProtocol = \"{wire}\"\n");
    for (i, lines) in ["", SEALED, limited].into_iter().enumerate() {
        text += &udp_proxy(&format!("udp{i}"), service.port, ports[i], lines);
    }
    let frpc = rig.frpc_of(&client, frps.port, &text);
    for i in 0..3 {
        frpc.expect(&format!("[udp{i}] start proxy success")).await;
    }
    for port in ports {
        carries_everything(port).await;
    }
}

macro_rules! table {
    ($($name:ident: $server:ident $client:ident $wire:literal $common:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (Some(server), Some(client)) = ($server(), $client()) else { return };
            pair(server, client, $wire, $common).await;
        }
    )*};
}

fn ours() -> Option<Side> {
    Some(Side::Ours)
}

fn theirs() -> Option<Side> {
    Side::reference(NEWEST)
}

table! {
    ours_with_ours_v1: ours ours "v1" "";
    ours_with_ours_v2: ours ours "v2" "";
    ours_with_ours_single: ours ours "v1" SINGLE;
    our_server_with_their_client_v1: ours theirs "v1" "";
    our_server_with_their_client_v2: ours theirs "v2" "";
    our_server_with_their_client_single: ours theirs "v2" SINGLE;
    their_server_with_our_client_v1: theirs ours "v1" "";
    their_server_with_our_client_v2: theirs ours "v2" "";
    their_server_with_our_client_single: theirs ours "v1" SINGLE;
}

/// Our pair with one udp proxy to `service_port`.
async fn tunnel(rig: &Rig, common: &str, lines: &str, service_port: u16) -> (Frps, Program, u16) {
    let frps = rig.frps(common).await;
    let port = free_port();
    let text = format!("{common}{}", udp_proxy("udp", service_port, port, lines));
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[udp] start proxy success").await;
    (frps, frpc, port)
}

#[tokio::test]
async fn big_datagrams_arrive_whole_where_both_sides_allow_them() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let frps = rig.frps("udpPacketSize = 40000\n").await;
    let port = free_port();
    let text = "udpPacketSize = 40000\ntransport.wireProtocol = \"v2\"\n".to_owned()
        + &udp_proxy("udp", service.port, port, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[udp] start proxy success").await;
    let user = UdpUser::of(port).await;
    for length in [1501, 9000, 40_000] {
        user.echo(&pattern(length, 3)).await;
    }
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_whole_and_said() {
    let rig = Rig::new();
    // The service answers more than it was asked.
    let mut service = UdpService::new(|asked| Some(pattern(asked.len() + 200, 5))).await;
    let (frps, frpc, port) = tunnel(&rig, "", "", service.port).await;
    let user = UdpUser::of(port).await;
    user.send(&pattern(4000, 1)).await;
    let said = "1 longer than udpPacketSize, the longest 4000 bytes";
    frps.program.expect(said).await;
    user.send(&pattern(1400, 2)).await;
    assert_eq!(
        service.next().await.0,
        pattern(1400, 2),
        "nothing of the first one has come"
    );
    let said = "1 longer than udpPacketSize, the longest 1600 bytes";
    frpc.expect(said).await;
    user.send(&pattern(100, 3)).await;
    let answer = user.recv_within(wait::SOON).await;
    assert_eq!(
        answer,
        Some(pattern(300, 5)),
        "nothing of the second answer has come"
    );
}

#[tokio::test]
async fn what_does_not_fit_wire_v1_is_dropped_whole_and_said() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let (frps, _frpc, port) = tunnel(&rig, "udpPacketSize = 9000\n", "", service.port).await;
    let user = UdpUser::of(port).await;
    user.echo(&pattern(7600, 1)).await;
    user.send(&pattern(8000, 1)).await;
    let said = "1 longer than a message of the wire protocol holds, the longest 8000 bytes";
    frps.program.expect(said).await;
    user.echo(&pattern(7600, 2)).await;
}

/// The last 16 bytes of a v2 header before the payload: addresses and ports.
fn proxy_v2(user: &UdpUser, service: u16) -> Vec<u8> {
    let from = user.0.local_addr().unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c".to_vec();
    header.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    header.extend(from.port().to_be_bytes());
    header.extend(service.to_be_bytes());
    header
}

#[tokio::test]
async fn the_service_learns_each_users_address_from_its_first_datagram() {
    let rig = Rig::new();
    let mut service = UdpService::echo().await;
    let lines = "transport.proxyProtocolVersion = \"v2\"";
    let (_frps, _frpc, port) = tunnel(&rig, "", lines, service.port).await;
    let mut addresses = HashSet::new();
    for _ in 0..3 {
        let user = UdpUser::of(port).await;
        user.send(b"first").await;
        user.send(b"second").await;
        let (first, address) = service.next().await;
        assert_eq!(
            first,
            [&proxy_v2(&user, service.port)[..], b"first"].concat()
        );
        assert_eq!(service.next().await, (b"second".to_vec(), address));
        addresses.insert(address);
    }
    assert_eq!(addresses.len(), 3, "each user has a socket of its own");
}

#[tokio::test]
async fn a_service_that_comes_up_late_is_reached() {
    let rig = Rig::new();
    let port_of_service = free_port();
    let (_frps, frpc, port) = tunnel(&rig, "", "", port_of_service).await;
    let user = UdpUser::of(port).await;
    // The system tells of a refused datagram when the next is sent.
    let said = "nobody listens at the local service's address";
    eventually("frpc says that nobody listens", async || {
        user.send(b"too early").await;
        frpc.log().count(said) > 0
    })
    .await;
    let _service = UdpService::at(port_of_service, |datagram| Some(datagram.to_vec())).await;
    user.echo(b"in time").await;
}

/// A local name that does not exist yet, at our server and at frp's.
#[tokio::test]
async fn a_name_that_appears_late_is_found_and_until_then_the_status_says_why() {
    for side in [ours(), theirs()].into_iter().flatten() {
        let rig = Rig::new();
        let service = UdpService::echo().await;
        let dns = DnsServer::start([]).await;
        let frps = rig.frps_of(&side, "").await;
        let (port, web) = (free_port(), free_port());
        let proxy = udp_proxy("udp", service.port, port, "localIP = \"late.test\"");
        let lines = format!(
            "dnsServer = \"127.0.0.1:{}\"\nwebServer.port = {web}\nwebServer.user = \"admin\"\n\
             webServer.password = \"secret\"\n{proxy}",
            dns.port
        );
        let frpc = rig.frpc(frps.port, &lines);
        let status = async || get(web, "/api/status").await.json()["udp"][0].clone();
        let said = format!(
            "connect to local service [late.test:{}] error: ",
            service.port
        );
        frpc.expect(&said).await;
        let shown = status().await;
        assert_eq!(shown["status"], "running");
        let err = shown["err"].as_str().unwrap_or_default();
        assert!(err.starts_with(&said), "{shown}");
        let user = UdpUser::of(port).await;
        // Three look-ups take three seconds, in which frp's server would ask for thousands.
        eventually("it is looked up again", async || {
            user.send(b"too early").await;
            dns.asked_for("late.test") >= 6
        })
        .await;
        assert_eq!(frpc.log().count(&said), 1, "{}", frpc.log().text());
        let asked = frpc.log().count("incoming a new work connection");
        assert!(asked <= 2, "{asked} work connections");
        dns.set(
            "late.test",
            Answer::Addresses(vec![Ipv4Addr::LOCALHOST.into()]),
        );
        let limit = Duration::from_secs(30);
        wait::eventually_within(limit, "the name is found", async || {
            user.send(b"in time").await;
            let heard = user.recv_within(Duration::from_millis(300)).await;
            heard.as_deref() == Some(b"in time")
        })
        .await;
        frpc.expect("the local service can be reached again").await;
        assert_eq!(status().await["err"], "");
    }
}

#[tokio::test]
async fn the_port_is_free_when_the_client_is_gone() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let (frps, mut frpc, port) = tunnel(&rig, "", "", service.port).await;
    UdpUser::of(port).await.echo(b"x").await;
    assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err());
    frpc.kill().await;
    frps.program.expect("client exit success").await;
    drop(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    frpc.start_again();
    frpc.expect("[udp] start proxy success").await;
    UdpUser::of(port).await.echo(b"again").await;
}

#[tokio::test]
async fn users_find_the_way_again_when_the_server_was_killed() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let (mut frps, frpc, port) = tunnel(&rig, "", "", service.port).await;
    let user = UdpUser::of(port).await;
    user.echo(b"before").await;
    let mark = frpc.log().mark();
    frps.program.kill().await;
    frps.program.start_again();
    frpc.expect_from(mark, "[udp] start proxy success", wait::SOON)
        .await;
    user.echo(b"after").await;
}

/// A scripted client whose udp proxy is registered.
struct Client {
    control: Control<TcpStream>,
    run_id: Value,
    server: u16,
    port: u16,
}

impl Client {
    async fn of(server: u16, more: &Value) -> Self {
        let login = connect(server).await;
        let (control, answer) = Control::login(login, "", &json!({})).await;
        let mut proxy = json!({"proxy_name": "udp", "proxy_type": "udp", "remote_port": 0});
        for (name, value) in more.as_object().unwrap() {
            proxy[name] = value.clone();
        }
        let run_id = answer["run_id"].clone();
        let mut client = Self {
            control,
            run_id,
            server,
            port: 0,
        };
        client.control.send(wire::NEW_PROXY, &proxy).await;
        let answer = client.expect(wire::NEW_PROXY_RESP).await;
        let address = answer["remote_addr"].as_str().unwrap();
        client.port = address.strip_prefix(':').unwrap().parse().unwrap();
        client
    }

    /// The next message of this kind; others are passed over.
    async fn expect(&mut self, wanted: u8) -> Value {
        loop {
            let (kind, body) = self.control.recv().await.expect("a message");
            if kind == wanted {
                return body;
            }
        }
    }

    /// Answers the server's wish for a work connection.
    async fn work_conn(&mut self) -> TcpStream {
        self.expect(wire::REQ_WORK_CONN).await;
        let mut stream = connect(self.server).await;
        let hello = wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": self.run_id}));
        stream.write_all(&hello).await.unwrap();
        let (kind, start) = wire::read_v1(&mut stream).await.unwrap();
        assert_eq!(
            (kind, &start),
            (wire::START_WORK_CONN, &json!({"proxy_name": "udp"}))
        );
        stream
    }
}

/// A message with `content`, which is base64, for or of `user`.
fn packet(content: &str, user: SocketAddr) -> Value {
    json!({"c": content, "r": {"IP": user.ip().to_string(), "Port": user.port(), "Zone": ""}})
}

#[tokio::test]
async fn a_work_connection_that_ends_is_replaced_and_a_bad_one_harms_nobody() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let mut client = Client::of(frps.port, &json!({})).await;
    let user = UdpUser::of(client.port).await;
    let address = user.0.local_addr().unwrap();
    // Before there is a work connection datagrams wait for it.
    user.send(b"early").await;
    let mut work = client.work_conn().await;
    let heard = wire::read_v1(&mut work).await;
    assert_eq!(heard, Some((wire::UDP_PACKET, packet("ZWFybHk=", address))));
    let rubbish = [
        b"GET / HTTP/1.1\r\n".to_vec(),
        wire::v1_raw(wire::UDP_PACKET, -1, b""),
        wire::v1_raw(wire::UDP_PACKET, 1 << 40, b""),
        wire::v1_raw(wire::UDP_PACKET, 2, b"[]"),
        wire::v1_raw(wire::UDP_PACKET, 11, br#"{"c":"????"}"#),
        Vec::new(),
    ];
    for rubbish in rubbish {
        work.write_all(&rubbish).await.unwrap();
        work.shutdown().await.unwrap();
        work = client.work_conn().await;
        user.send(b"x").await;
        let heard = wire::read_v1(&mut work).await;
        assert_eq!(heard, Some((wire::UDP_PACKET, packet("eA==", address))));
    }
    // What has no meaning here changes nothing, whatever comes with it in one write.
    let mut bytes = wire::v1(wire::PING, &json!({}));
    bytes.extend(wire::v1(wire::PONG, &json!({})));
    bytes.extend(wire::v1(wire::UDP_PACKET, &json!({"c": "eA=="})));
    bytes.extend(wire::v1(wire::UDP_PACKET, &packet("YQ==", address)));
    bytes.extend(wire::v1(wire::UDP_PACKET, &packet("Yg==", address)));
    work.write_all(&bytes).await.unwrap();
    assert_eq!(user.recv_within(wait::SOON).await, Some(b"a".to_vec()));
    assert_eq!(user.recv_within(wait::SOON).await, Some(b"b".to_vec()));
}

#[tokio::test]
async fn closing_the_proxy_closes_its_work_connection() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    for limit in [
        json!({}),
        json!({"bandwidth_limit": "1MB", "bandwidth_limit_mode": "server"}),
    ] {
        let mut client = Client::of(frps.port, &limit).await;
        let mut work = client.work_conn().await;
        let close = json!({"proxy_name": "udp"});
        client.control.send(wire::CLOSE_PROXY, &close).await;
        assert_eq!(wire::read_v1(&mut work).await, None);
        // Messages are handled in order: the answer follows the closing.
        client.control.send(wire::PING, &json!({})).await;
        client.expect(wire::PONG).await;
        drop(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, client.port)).unwrap());
    }
}

#[tokio::test]
async fn ports_are_refused_in_frps_words() {
    let rig = Rig::new();
    let allowed = free_port();
    let lines = format!(
        "{SINGLE}allowPorts = [{{ single = {allowed} }}]\nmaxPortsPerClient = 1\n\
         proxyBindAddr = \"127.0.0.1\"\n"
    );
    let frps = rig.frps(&lines).await;
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, allowed)).unwrap();
    let mut register = async |port: i64| {
        let proxy = json!({"proxy_name": "u", "proxy_type": "udp", "remote_port": port});
        control.send(wire::NEW_PROXY, &proxy).await;
        loop {
            let (kind, answer) = control.recv().await.expect("an answer");
            if kind == wire::NEW_PROXY_RESP {
                return answer;
            }
        }
    };
    let error = register(1).await["error"].clone();
    assert_eq!(error, "acquire port 1 error: port not allowed");
    let error = register(70_000).await["error"].clone();
    assert_eq!(error, "acquire port 70000 error: port not allowed");
    let error = register(allowed.into()).await["error"].clone();
    assert_eq!(
        error,
        format!("acquire port {allowed} error: port unavailable")
    );
    drop(taken);
    let answer = register(0).await;
    assert_eq!(answer["remote_addr"], format!(":{allowed}"), "{answer}");
    frps.program
        .expect(&format!("udp proxy listen port [{allowed}]"))
        .await;
    let error = register(0).await["error"].clone();
    assert_eq!(error, "exceed the max_ports_per_client");
}

#[tokio::test]
async fn datagrams_are_counted() {
    let rig = Rig::new();
    let service = UdpService::new(|_| Some(b"four".to_vec())).await;
    let web = free_port();
    let frps = rig
        .frps(&format!(
            "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
        ))
        .await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &udp_proxy("udp", service.port, port, ""));
    frpc.expect("[udp] start proxy success").await;
    let user = UdpUser::of(port).await;
    user.send(b"123456").await;
    assert_eq!(user.recv_within(wait::SOON).await, Some(b"four".to_vec()));
    let stats = get(web, "/api/proxy/udp/udp").await.json();
    assert_eq!(stats["todayTrafficIn"], 6, "{stats}");
    assert_eq!(stats["todayTrafficOut"], 4, "{stats}");
    assert_eq!(stats["conf"]["remotePort"], port, "{stats}");
}

/// The answer of a name server that knows one thing: everything is at 192.0.2.53.
fn dns_answer(question: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = question.split_at_checked(12)?;
    let name = rest.iter().position(|length| *length == 0)?;
    let question = rest.get(..name + 5)?;
    let mut answer = header.get(..2)?.to_vec();
    // A recursive answer without an error: one question, one record.
    answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    answer.extend(question);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 53]);
    Some(answer)
}

#[tokio::test]
async fn dig_asks_a_name_server_through_the_tunnel() {
    let rig = Rig::new();
    let service = UdpService::new(dns_answer).await;
    let (_frps, _frpc, port) = tunnel(&rig, "", "", service.port).await;
    let dig = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port.to_string(), "+short", "+tries=10"])
        .args(["+time=2", "www.example.org", "A"])
        .stdin(Stdio::null())
        .output();
    let dig = within(Duration::from_secs(30), "dig", dig).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&dig.stdout),
        "192.0.2.53\n",
        "{dig:?}"
    );
}
