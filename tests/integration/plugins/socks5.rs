//! The plugin socks5.

use std::net::{Ipv4Addr, SocketAddr};

use frp_tests::clients::{read_all, until_closed};
use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::curl::curl;
use super::{plugged, plugged_of};

const NEWEST: &str = "0.70.1";
const PLUGIN: &str = "type = \"socks5\"\nusername = \"abc\"\npassword = \"123\"";
const OPEN: &str = "type = \"socks5\"";

const LOGIN: &[u8] = b"\x01\x03abc\x03123";

/// Answers each datagram with the same, reversed.
async fn udp_service() -> (u16, JoinSet<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut buffer = vec![0; 65536];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            buffer[..len].reverse();
            socket.send_to(&buffer[..len], from).await.unwrap();
        }
    });
    (port, task)
}

/// Sends `bytes` and expects `answer`.
async fn exchange(user: &mut TcpStream, bytes: &[u8], answer: &[u8]) {
    user.write_all(bytes).await.unwrap();
    let mut got = vec![0; answer.len()];
    within(
        SOON,
        &format!("an answer to {bytes:?}"),
        user.read_exact(&mut got),
    )
    .await
    .unwrap();
    assert_eq!(got, answer, "to {bytes:?}");
}

/// A user who has said hello to a server that is open.
async fn greeted(port: u16) -> TcpStream {
    let mut user = connect(port).await;
    exchange(&mut user, &[5, 1, 0], &[5, 0]).await;
    user
}

/// A request for an IPv4 address.
fn request(command: u8, addr: SocketAddr) -> Vec<u8> {
    [&[5, command, 0][..], &address(addr)].concat()
}

fn address(addr: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(addr) = addr else {
        panic!("{addr}")
    };
    [&[1][..], &addr.ip().octets(), &addr.port().to_be_bytes()].concat()
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn named(name: &str, port: u16) -> Vec<u8> {
    let len = u8::try_from(name.len()).unwrap();
    [&[3, len][..], name.as_bytes(), &port.to_be_bytes()].concat()
}

/// Reads a reply: its code and address.
async fn reply(user: &mut TcpStream) -> (u8, SocketAddr) {
    let mut bytes = [0; 10];
    within(SOON, "a reply", user.read_exact(&mut bytes))
        .await
        .unwrap();
    let [5, code, 0, 1, a, b, c, d, high, low] = bytes else {
        panic!("{bytes:?}")
    };
    let port = u16::from_be_bytes([high, low]);
    (code, (Ipv4Addr::new(a, b, c, d), port).into())
}

#[tokio::test]
async fn curl_fetches_through_it() {
    let mut pairs = vec![[Side::Ours, Side::Ours]];
    if let Some(theirs) = Side::reference(NEWEST) {
        pairs.push([theirs.clone(), Side::Ours]);
        pairs.push([Side::Ours, theirs]);
    }
    for [server, client] in &pairs {
        let rig = Rig::new();
        let answer = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let site = Service::new(move |mut stream| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let web = plugged_of(&rig, [server, client], "", PLUGIN).await;
        let server = format!("127.0.0.1:{}", web.port);
        let by_ip = format!("http://127.0.0.1:{}/", site.port);
        let by_name = format!("http://localhost:{}/", site.port);
        for (option, url) in [
            ("--socks5", &by_ip),
            ("--socks5", &by_name),
            ("--socks5-hostname", &by_name),
        ] {
            let good = [option, &server, "--proxy-user", "abc:123", url];
            assert_eq!(curl(rig.path(), good).await.text(), "hello");
            let wrong = [option, &server, "--proxy-user", "abc:124", url];
            assert_eq!(curl(rig.path(), wrong).await.code, 97);
            assert_eq!(curl(rig.path(), [option, &server, url]).await.code, 97);
        }
        let dead = format!("http://127.0.0.1:{}/", free_port());
        let refused = ["--socks5", &server, "--proxy-user", "abc:123", &dead];
        let refused = curl(rig.path(), refused).await;
        assert_eq!(refused.code, 97);
        assert!(refused.err.contains("(5)"), "{}", refused.err);
    }
}

#[tokio::test]
async fn every_answer_by_the_byte() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let open = plugged(&rig, "", OPEN).await;
    let to_service = request(1, local(service.port));

    // In pieces, with methods that are not known.
    let mut user = connect(open.port).await;
    for byte in [5, 3, 1, 0x80] {
        user.write_all(&[byte]).await.unwrap();
    }
    exchange(&mut user, &[0], &[5, 0]).await;
    let (last, rest) = to_service.split_last().unwrap();
    for byte in rest {
        user.write_all(&[*byte]).await.unwrap();
    }
    // Data right behind the request is the target's.
    user.write_all(&[*last]).await.unwrap();
    user.write_all(b"early").await.unwrap();
    let (code, bound) = reply(&mut user).await;
    assert_eq!((code, bound.ip()), (0, Ipv4Addr::LOCALHOST.into()));
    let mut early = [0; 5];
    user.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
    clients::echo_on(&mut user, &pattern(500_000, 1)).await;

    let none = [0, 0, 0, 0, 0, 0];
    for (bytes, code) in [
        ([&[5, 1, 0][..], &address(local(free_port()))].concat(), 5),
        ([&[5, 1, 0][..], &named("nowhere.invalid", 80)].concat(), 4),
        ([&[5, 1, 0][..], &named("", 80)].concat(), 1),
        ([&[5, 1, 0][..], &named("a b", 80)].concat(), 1),
        (request(2, local(1)), 7),
        (request(9, local(1)), 7),
        (vec![5, 1, 0, 2], 8),
    ] {
        let mut user = greeted(open.port).await;
        exchange(&mut user, &bytes, &[&[5, code, 0, 1][..], &none].concat()).await;
        until_closed(&mut user, SOON, "after a refusal").await;
    }

    for bytes in [
        &[4, 1, 0, 80][..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[5, 0],
        &[5, 2, 1, 2],
    ] {
        let mut user = connect(open.port).await;
        user.write_all(bytes).await.unwrap();
        let said = read_all(&mut user).await;
        let expected: &[u8] = if bytes[0] == 5 { &[5, 0xff] } else { &[] };
        assert_eq!(said, expected, "to {bytes:?}");
    }
}

#[tokio::test]
async fn nobody_comes_in_without_the_password() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let web = plugged(&rig, "", PLUGIN).await;

    let mut user = connect(web.port).await;
    exchange(&mut user, &[5, 1, 0], &[5, 0xff]).await;
    until_closed(&mut user, SOON, "no method").await;
    for login in [
        &b"\x01\x03abc\x03124"[..],
        b"\x01\x03abd\x03123",
        b"\x01\0\0",
        b"\x01\x03abc\0",
    ] {
        let mut user = connect(web.port).await;
        exchange(&mut user, &[5, 2, 0, 2], &[5, 2]).await;
        exchange(&mut user, login, &[1, 1]).await;
        until_closed(&mut user, SOON, "wrong password").await;
    }
    // A request instead of a login.
    let mut user = connect(web.port).await;
    exchange(&mut user, &[5, 1, 2], &[5, 2]).await;
    user.write_all(&request(1, local(service.port)))
        .await
        .unwrap();
    assert_eq!(read_all(&mut user).await, b"");

    let mut user = connect(web.port).await;
    exchange(&mut user, &[5, 1, 2], &[5, 2]).await;
    exchange(&mut user, LOGIN, &[1, 0]).await;
    user.write_all(&request(1, local(service.port)))
        .await
        .unwrap();
    assert_eq!(reply(&mut user).await.0, 0);
    clients::echo_on(&mut user, b"in").await;
}

/// A datagram of a user, and of the relay.
fn datagram(addr: SocketAddr, data: &[u8]) -> Vec<u8> {
    [&[0, 0, 0][..], &address(addr), data].concat()
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65536];
    let received = within(SOON, "a datagram", socket.recv_from(&mut buffer)).await;
    let (len, _) = received.unwrap();
    buffer.truncate(len);
    buffer
}

#[tokio::test]
async fn datagrams_are_relayed_for_the_user_of_an_association_alone() {
    let rig = Rig::new();
    let (target, _service) = udp_service().await;
    let web = plugged(&rig, "", PLUGIN).await;
    let open = web.frpc.open_files();

    let mut user = connect(web.port).await;
    exchange(&mut user, &[5, 1, 2], &[5, 2]).await;
    exchange(&mut user, LOGIN, &[1, 0]).await;
    let any = (Ipv4Addr::UNSPECIFIED, 0).into();
    user.write_all(&request(3, any)).await.unwrap();
    let (code, relay) = reply(&mut user).await;
    assert_eq!((code, relay.ip()), (0, Ipv4Addr::LOCALHOST.into()));

    // From another address nothing is taken, even first.
    let stranger = UdpSocket::bind(("127.0.0.2", 0)).await.unwrap();
    stranger
        .send_to(&datagram(local(target), b"mine"), relay)
        .await
        .unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(relay).await.unwrap();
    socket.send(&datagram(local(target), b"abc")).await.unwrap();
    assert_eq!(receive(&socket).await, datagram(local(target), b"cba"));
    let name = [&[0, 0, 0][..], &named("localhost", target), b"xyz"].concat();
    socket.send(&name).await.unwrap();
    assert_eq!(receive(&socket).await, datagram(local(target), b"zyx"));

    // Fragments, garbage and another port of the user are passed over.
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    other
        .send_to(&datagram(local(target), b"mine"), relay)
        .await
        .unwrap();
    socket
        .send(&[&[0, 0, 1][..], &address(local(target)), b"part"].concat())
        .await
        .unwrap();
    for garbage in [
        &b""[..],
        b"\0",
        b"\0\0\0",
        b"\0\0\0\x01\x7f",
        b"\0\0\0\x09abc",
    ] {
        socket.send(garbage).await.unwrap();
    }
    let large = pattern(60_000, 2);
    socket.send(&datagram(local(target), &large)).await.unwrap();
    let reversed: Vec<u8> = large.iter().rev().copied().collect();
    assert!(receive(&socket).await == datagram(local(target), &reversed));
    for unheard in [&stranger, &other] {
        let nothing = unheard.try_recv(&mut [0; 10]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    // The association ends with the connection that asked for it.
    drop(user);
    eventually("its sockets are closed", || async {
        web.frpc.open_files() <= open
    })
    .await;
}

#[tokio::test]
async fn datagrams_go_through_the_tunnel_as_sing_box_sends_them() {
    let rig = Rig::new();
    let (target, _service) = udp_service().await;
    let (second, _service) = udp_service().await;
    let web = plugged(&rig, "", OPEN).await;
    let open = web.frpc.open_files();
    let magic = |name: &str| [&[5, 1, 0][..], &named(name, 0)].concat();
    let sing = |port: u16| [&[0, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();

    // Version 2, one target.
    let mut one = greeted(web.port).await;
    one.write_all(&magic("sp.v2.udp-over-tcp.arpa"))
        .await
        .unwrap();
    assert_eq!(reply(&mut one).await.0, 0);
    one.write_all(&[&[1][..], &address(local(target))].concat())
        .await
        .unwrap();
    exchange(&mut one, b"\0\x03abc", b"\0\x03cba").await;
    let large = pattern(60_000, 2);
    let reversed: Vec<u8> = large.iter().rev().copied().collect();
    let framed = |data: &[u8]| [&60_000_u16.to_be_bytes()[..], data].concat();
    exchange(&mut one, &framed(&large), &framed(&reversed)).await;

    // Version 2 with any target, and version 1, which are alike behind the request.
    let mut any = greeted(web.port).await;
    any.write_all(&magic("sp.v2.udp-over-tcp.arpa"))
        .await
        .unwrap();
    assert_eq!(reply(&mut any).await.0, 0);
    any.write_all(&[&[0][..], &address(local(target))].concat())
        .await
        .unwrap();
    let mut old = greeted(web.port).await;
    old.write_all(&magic("sp.udp-over-tcp.arpa")).await.unwrap();
    assert_eq!(reply(&mut old).await.0, 0);
    for user in [&mut any, &mut old] {
        for port in [target, second] {
            let packet = [&sing(port)[..], b"\0\x03abc"].concat();
            let expected = [&sing(port)[..], b"\0\x03cba"].concat();
            exchange(user, &packet, &expected).await;
        }
        let name = [&b"\x02\x09localhost"[..], &target.to_be_bytes(), b"\0\x01a"].concat();
        exchange(user, &name, &[&sing(target)[..], b"\0\x01a"].concat()).await;
    }
    // What is no packet ends it.
    old.write_all(&[9]).await.unwrap();
    until_closed(&mut old, SOON, "garbage").await;
    drop((one, any));
    eventually("all sockets are closed", || async {
        web.frpc.open_files() <= open
    })
    .await;
}

#[tokio::test]
async fn users_who_leave_at_any_stage_leave_nothing() {
    let rig = Rig::new();
    let silent = Service::silent().await;
    let web = plugged(&rig, "", OPEN).await;
    let open = web.frpc.open_files();
    let whole = [&[5, 1, 0][..], &request(1, local(silent.port))].concat();
    let mut users = Vec::new();
    for len in 0..=whole.len() {
        let mut user = connect(web.port).await;
        user.write_all(&whole[..len]).await.unwrap();
        users.push(user);
    }
    eventually("the target is reached", || async {
        web.frpc.open_files() > open
    })
    .await;
    drop(users);
    eventually("all is closed", || async { web.frpc.open_files() <= open }).await;
    greeted(web.port).await;
}
