//! `acceptProxyProtocol`: proxies in front of frps say from whom a connection is, at every port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use frp_tests::backend::{Backend, get};
use frp_tests::clients::{echo_on, until_closed};
use frp_tests::rig::{host_proxy, tcp_proxy};
use frp_tests::*;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Where the proxies of these tests are; all else is at 127.0.0.1.
const PROXY: &str = "127.0.0.2:0";
const V1: &[u8] = b"PROXY TCP4 198.51.100.9 198.51.100.1 4242 443\r\n";
/// The same in version 2, with a NOOP and a checksum behind it.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x09\xc6\x33\x64\x01\x10\x92\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const FROM: &str = "PROXY TCP4 198.51.100.9 198.51.100.1 4242 443\n";
const SOON: Duration = Duration::from_secs(10);

/// A connection from the proxy that begins with `first`.
async fn by_proxy(port: u16, first: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(PROXY.parse().unwrap()).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// The first line that comes back.
async fn line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line).await;
    read.unwrap();
    line.replace('\r', "")
}

/// A service that sends back the line that it reads first, which is the PROXY header of frpc.
async fn teller() -> Service {
    Service::new(|mut stream| async move {
        let (reader, mut writer) = stream.split();
        let mut line = String::new();
        let mut reader = BufReader::new(reader);
        let _ = reader.read_line(&mut line).await;
        let _ = writer.write_all(line.as_bytes()).await;
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

/// The ClientHello of a client that asks for a.test, as far as frps reads it.
fn client_hello() -> Vec<u8> {
    let name = b"a.test";
    let n = name.len() as u8;
    let sni = [&[0, 0, 0, n + 5, 0, n + 3, 0, 0, n], &name[..]].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0x13, 0x01, 1, 0, 0, sni.len() as u8],
        &sni,
    ]
    .concat();
    let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

#[tokio::test]
async fn every_port_takes_the_true_address() {
    let rig = Rig::new();
    let [http, https, mux, ssh, web, remote, grouped] = [(); 7].map(|()| free_port());
    let frps = rig
        .frps(&format!(
            "acceptProxyProtocol = [\"127.0.0.2\"]\nvhostHTTPPort = {http}\nvhostHTTPSPort = {https}\n\
             tcpmuxHTTPConnectPort = {mux}\nsshTunnelGateway.bindPort = {ssh}\nwebServer.port = {web}\n\
             webServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
        ))
        .await;
    // frpc itself comes through a load balancer.
    let to = frps.port;
    let balancer = Service::new(move |mut stream| async move {
        let header = b"PROXY TCP4 203.0.113.7 203.0.113.1 4000 7000\r\n";
        let mut onward = by_proxy(to, header).await;
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
    })
    .await;
    let service = teller().await;
    let backend = Backend::saying("hello").await;
    let tells = "transport.proxyProtocolVersion = \"v1\"\n";
    let host = "customDomains = [\"a.test\"]\n";
    let config = [
        tcp_proxy("tcp", service.port, remote, tells),
        tcp_proxy(
            "group",
            service.port,
            grouped,
            &format!("{tells}loadBalancer.group = \"g\"\n"),
        ),
        host_proxy("http", "http", backend.port(), host),
        host_proxy("https", "https", service.port, &(tells.to_owned() + host)),
        host_proxy(
            "tcpmux",
            "mux",
            service.port,
            &format!("{tells}{host}multiplexer = \"httpconnect\"\n"),
        ),
    ]
    .concat();
    let client = rig.frpc(balancer.port, &config);
    frps.program
        .expect("client login info: ip [203.0.113.7:4000]")
        .await;
    for name in ["tcp", "group", "http", "https", "mux"] {
        client
            .expect(&format!("[{name}] start proxy success"))
            .await;
    }
    for port in [remote, grouped] {
        for header in [V1, V2] {
            let mut user = by_proxy(port, header).await;
            assert_eq!(line(&mut user).await, FROM);
            echo_on(&mut user, b"and all that follows").await;
        }
    }
    frps.program
        .expect("get a user connection [198.51.100.9:4242]")
        .await;

    let mut user = by_proxy(http, &[V2, get("a.test", "/", &[]).as_bytes()].concat()).await;
    assert!(line(&mut user).await.contains("200"));
    assert_eq!(
        backend.last().header("x-forwarded-for"),
        Some("198.51.100.9")
    );
    let mut user = by_proxy(https, &[V1, &client_hello()].concat()).await;
    assert_eq!(line(&mut user).await, FROM);
    let connect = b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n";
    let mut user = by_proxy(mux, &[V2, connect].concat()).await;
    let mut all = Vec::new();
    while !all.ends_with(V1) {
        assert!(user.read_buf(&mut all).await.unwrap() > 0);
    }
    assert!(all.starts_with(b"HTTP/1.1 200 OK"));
    let mut ssh = by_proxy(ssh, V1).await;
    assert!(line(&mut ssh).await.starts_with("SSH-2.0-"));
    // frps itself is asked by the commands of its own machine, which send no header.
    for header in [V1, V2, LOCAL, b""] {
        let ask = b"GET /api/live/overview HTTP/1.1\r\nHost: 127.0.0.1\r\n\
            Authorization: Basic YWRtaW46c2VjcmV0\r\nConnection: close\r\n\r\n";
        let mut asked = by_proxy(web, &[header, ask].concat()).await;
        assert!(line(&mut asked).await.contains("200 OK"));
    }
}

#[tokio::test]
async fn others_are_not_believed_and_a_proxy_must_not_be_silent() {
    let rig = Rig::new();
    let [remote, other] = [(); 2].map(|()| free_port());
    let settings = |ports: &str| {
        format!("acceptProxyProtocol = [\"127.0.0.2/31\"]\nacceptProxyProtocolPorts = [{ports}]\n")
    };
    let one = format!("{{ single = {remote} }}");
    let frps = rig.frps(&settings(&one)).await;
    let service = teller().await;
    let tells = "transport.proxyProtocolVersion = \"v1\"\n";
    let echo = Service::echo().await;
    let config =
        tcp_proxy("told", service.port, remote, tells) + &tcp_proxy("other", echo.port, other, "");
    let client = rig.frpc(frps.port, &config);
    client.expect("[told] start proxy success").await;
    client.expect("[other] start proxy success").await;

    // From elsewhere, and at another port, a header is what users say.
    let mut user = connect(remote).await;
    let peer = user.local_addr().unwrap().port();
    user.write_all(V1).await.unwrap();
    let told = line(&mut user).await;
    assert_eq!(
        told,
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {peer} {remote}\n")
    );
    let mut user = by_proxy(other, V1).await;
    let mut back = vec![0; V1.len()];
    user.read_exact(&mut back).await.unwrap();
    assert_eq!(back, V1);

    // The proxy speaks for itself.
    for own in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut check = by_proxy(remote, own).await;
        assert!(line(&mut check).await.starts_with("PROXY TCP4 127.0.0.2 "));
    }
    let refused = [
        (&b"SSH-2.0-x\r\n"[..], "no PROXY protocol header came first"),
        (b"PROXY TCP4 a b c d\r\n", "malformed PROXY protocol line"),
        (b"", "no whole PROXY protocol header within 5 s"),
        (b"PROXY TCP4 ", "no whole PROXY protocol header within 5 s"),
    ];
    let mut conns = Vec::new();
    for (first, why) in refused {
        conns.push((by_proxy(remote, first).await, why));
    }
    for (mut conn, why) in conns {
        let at = conn.local_addr().unwrap();
        until_closed(&mut conn, SOON, "the proxy's connection").await;
        let line = format!("connection from the proxy [{at}] refused: {why}");
        frps.program.expect(&line).await;
    }
}

/// nginx's stream module, or `None`.
fn stream_module() -> Option<PathBuf> {
    let places = ["/usr/lib/nginx/modules", "/usr/share/nginx/modules"];
    let mut modules = places
        .iter()
        .map(|place| Path::new(place).join("ngx_stream_module.so"));
    modules.find(|module| module.is_file())
}

#[tokio::test]
async fn nginx_passes_users_on() {
    let Some(module) = stream_module() else {
        return skipped("nginx's stream module");
    };
    let rig = Rig::new();
    let [remote, front] = [(); 2].map(|()| free_port());
    let frps = rig.frps("acceptProxyProtocol = [\"127.0.0.2\"]\n").await;
    let service = teller().await;
    let tells = "transport.proxyProtocolVersion = \"v1\"\n";
    let client = rig.frpc(frps.port, &tcp_proxy("a", service.port, remote, tells));
    client.expect("[a] start proxy success").await;
    let text = format!(
        "stream {{ server {{ listen 127.0.0.1:{front}; proxy_bind 127.0.0.2; proxy_protocol on; \
         proxy_pass 127.0.0.1:{remote}; }} }}"
    );
    let Some(_nginx) = nginx::start_stream(rig.path(), &module, &text, front).await else {
        return;
    };
    let mut user = connect(front).await;
    let peer = user.local_addr().unwrap().port();
    user.write_all(b"x\n").await.unwrap();
    let told = line(&mut user).await;
    assert_eq!(
        told,
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {peer} {front}\n")
    );
}
