//! The network of the tests itself: what passes, how long it takes, and what its devices do.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use frp_tests::clients::{echo_on, until_closed};
use frp_tests::network::middlebox::{
    DropUdp, KillIdle, OnlyTlsTo443, OnlyToProxy, Open, ResetCustomByte, ResetPlainLogins,
};
use frp_tests::network::{ConnectProxy, Flow, Host, Middlebox, Network, Packet, Path, Verdict};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);

/// An echo service of the server.
fn echo_service(net: &Network, port: u16) -> (Service, SocketAddrV4) {
    let service = net.server.service(port, |mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    });
    let addr = SocketAddrV4::new(net.server.ip, service.port);
    (service, addr)
}

async fn connected(net: &Network, to: SocketAddrV4) -> std::io::Result<TcpStream> {
    within(LIMIT, "a connection or none", net.client.connect(to)).await
}

/// Whether `first` comes back on a new connection of the client to `to`.
async fn answers(net: &Network, to: SocketAddrV4, first: &[u8]) -> bool {
    let mut stream = connected(net, to).await.unwrap();
    let exchange = async {
        stream.write_all(first).await?;
        let mut back = vec![0; first.len()];
        stream.read_exact(&mut back).await
    };
    within(LIMIT, "an answer or a reset", exchange)
        .await
        .is_ok()
}

async fn datagram_passes(from: &Host, to: &Host) -> bool {
    let (sender, receiver) = (from.udp_socket(0), to.udp_socket(0));
    let addr = SocketAddrV4::new(to.ip, receiver.local_addr().unwrap().port());
    sender.send_to(&pattern(1400, 1), addr).await.unwrap();
    let mut back = [0; 2000];
    let received = receiver.recv_from(&mut back);
    match tokio::time::timeout(Duration::from_secs(2), received).await {
        Ok(got) => got.unwrap().0 == 1400,
        Err(_) => false,
    }
}

#[tokio::test]
async fn bytes_pass_whole() {
    let Some(net) = Network::new(Path::default(), Open) else {
        return;
    };
    let start = Instant::now();
    let (_service, addr) = echo_service(&net, 0);
    let mut stream = connected(&net, addr).await.unwrap();
    echo_on(&mut stream, &pattern(30_000_000, 1)).await;
    println!("30 MB there and back in {:?}", start.elapsed());
    assert!(datagram_passes(&net.client, &net.server).await);
    assert!(datagram_passes(&net.server, &net.proxy).await);
}

#[test]
fn namespaces_go_away_after_a_panic_too() {
    let failing = || {
        let net = Network::new(Path::default(), Open)?;
        let name = net.client.namespace().to_owned();
        assert!(std::path::Path::new("/run/netns").join(&name).exists());
        let failed = std::thread::spawn(move || {
            let _net = net;
            std::panic::resume_unwind(Box::new("as a failed assertion does"));
        });
        assert!(failed.join().is_err());
        Some(name)
    };
    if let Some(name) = failing() {
        assert!(!std::path::Path::new("/run/netns").join(name).exists());
    }
}

#[tokio::test]
async fn a_path_takes_its_time_and_tcp_makes_up_for_losses() {
    let far = Path {
        delay: Duration::from_millis(100),
        lost_of_1000: 10,
        ..Path::default()
    };
    let Some(net) = Network::new(far, Open) else {
        return;
    };
    let (_service, addr) = echo_service(&net, 0);
    let start = Instant::now();
    let mut stream = connected(&net, addr).await.unwrap();
    echo_on(&mut stream, &pattern(200_000, 2)).await;
    assert!(start.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_plain_login_is_reset_in_every_form() {
    let Some(net) = Network::new(Path::default(), ResetPlainLogins) else {
        return;
    };
    let (_service, addr) = echo_service(&net, 0);
    let v1 = wire::v1(wire::LOGIN, &serde_json::json!({"version": "0.70.1"}));
    let mut in_mux = yamux::header(yamux::DATA, 1, 1, v1.len() as u32);
    in_mux.extend(&v1);
    for login in [v1, wire::MAGIC.to_vec(), in_mux] {
        assert!(!answers(&net, addr, &login).await);
    }
    assert!(answers(&net, addr, b"\x16\x03\x01\x02\x00 anything").await);
}

#[tokio::test]
async fn a_reset_reaches_both_ends() {
    let Some(net) = Network::new(Path::default(), ResetCustomByte) else {
        return;
    };
    let listener = net.server.listener(0);
    let port = listener.local_addr().unwrap().port();
    let to = SocketAddrV4::new(net.server.ip, port);
    let (user, served) = tokio::join!(net.client.connect(to), listener.accept());
    let (mut user, mut served) = (user.unwrap(), served.unwrap().0);
    user.write_all(&[0x17]).await.unwrap();
    until_closed(&mut user, LIMIT, "the user's end").await;
    until_closed(&mut served, LIMIT, "the server's end").await;
    let (_service, addr) = echo_service(&net, 0);
    assert!(answers(&net, addr, &[0x16]).await);
}

#[tokio::test]
async fn udp_is_dropped_and_tcp_passes() {
    let Some(net) = Network::new(Path::default(), DropUdp) else {
        return;
    };
    assert!(!datagram_passes(&net.client, &net.server).await);
    let (_service, addr) = echo_service(&net, 0);
    assert!(answers(&net, addr, b"hello").await);
}

#[tokio::test]
async fn only_the_proxy_is_a_way_out() {
    let device = |proxy, otherwise| OnlyToProxy {
        proxy,
        port: 3128,
        otherwise,
    };
    let Some(net) = Network::new(Path::default(), Open) else {
        return;
    };
    net.set_middlebox(device(net.proxy.ip, Verdict::Reset));
    let proxy = ConnectProxy::start(&net.proxy, 3128);
    let (_service, addr) = echo_service(&net, 0);
    let refused = connected(&net, addr).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let mut stream = net.client.connect(proxy.addr).await.unwrap();
    let ask = format!("CONNECT {addr} HTTP/1.1\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut head = [0; 39];
    stream.read_exact(&mut head).await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", head.escape_ascii());
    echo_on(&mut stream, &pattern(100_000, 3)).await;
    assert_eq!(proxy.carried(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_reset_or_forgotten() {
    for how in [Verdict::Reset, Verdict::Forget] {
        let after = Duration::from_secs(2);
        let device = KillIdle { after, how };
        let Some(net) = Network::new(Path::default(), device) else {
            return;
        };
        let (_service, addr) = echo_service(&net, 0);
        let mut stream = connected(&net, addr).await.unwrap();
        for _ in 0..4 {
            echo_on(&mut stream, b"alive").await;
            tokio::time::sleep(after / 4).await;
        }
        // What is tested is that nothing happens for as long.
        tokio::time::sleep(after + Duration::from_millis(300)).await;
        stream.write_all(b"anybody?").await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(2), stream.read_u8()).await;
        match how {
            Verdict::Reset => assert!(answer.expect("a reset").is_err()),
            _ => assert!(answer.is_err(), "{answer:?}"),
        }
    }
}

#[tokio::test]
async fn only_tls_to_port_443_passes() {
    let Some(net) = Network::new(Path::default(), OnlyTlsTo443) else {
        return;
    };
    let (_service, addr) = echo_service(&net, 443);
    assert!(answers(&net, addr, b"\x16\x03\x01\x02\x00 anything").await);
    assert!(!answers(&net, addr, b"GET / HTTP/1.1\r\n\r\n").await);
    let other = SocketAddrV4::new(net.server.ip, 444);
    let silent = net.client.connect(other);
    assert!(
        tokio::time::timeout(Duration::from_secs(2), silent)
            .await
            .is_err()
    );
}

/// A device is a rule like any other.
#[tokio::test]
async fn a_device_can_be_replaced() {
    struct Nothing;
    impl Middlebox for Nothing {
        fn judge(&mut self, _: &Flow, _: &Packet<'_>, _: Instant) -> Verdict {
            Verdict::Drop
        }
    }
    let Some(net) = Network::new(Path::default(), Open) else {
        return;
    };
    assert!(datagram_passes(&net.client, &net.server).await);
    net.set_middlebox(Nothing);
    assert!(!datagram_passes(&net.client, &net.server).await);
}
