//! The seam as a later check uses it: one that waits, refuses, changes and is told of ends, in a
//! server with scripted clients.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use frp_config::{LoadOptions, Purpose, parse_server};
use frp_net::listen::listen;
use frp_net::rewind::Rewind;
use frp_net::stream::Stream;
use frp_net::tls::{self, TlsFiles};
use frp_proto::auth::token_key;
use frp_proto::crypto::cfb;
use frp_proto::msg::{
    CloseProxy, Login, Message, NewProxy, NewProxyResp, NewVisitorConn, NewWorkConn, Ping,
    StartWorkConn,
};
use frp_proto::wire::WireProtocol;
use frp_relay::layers::{ControlPipe, Side, control};
use frp_relay::msg_stream::MsgStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::check::*;
use super::guard::OnEnd;
use crate::{Server, Stop};

const PATIENCE: Duration = Duration::from_secs(20);

/// Asked about everything; what it does is set by the test.
#[derive(Debug, Clone)]
struct Watcher {
    told: watch::Sender<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// What waits until it is no longer in here.
    held: BTreeSet<String>,
    refused: BTreeSet<String>,
    asked: BTreeMap<String, usize>,
    passed: BTreeMap<String, usize>,
    ended: BTreeMap<String, usize>,
    /// As which name a proxy of that name is taken.
    renamed: BTreeMap<String, String>,
    /// From where users come.
    src: Option<SocketAddr>,
}

/// Tells of an end.
struct End(String, watch::Sender<Told>);

impl Drop for End {
    fn drop(&mut self) {
        let what = std::mem::take(&mut self.0);
        self.1.send_modify(|told| count(&mut told.ended, what));
    }
}

fn count(of: &mut BTreeMap<String, usize>, what: String) {
    *of.entry(what).or_default() += 1;
}

impl Watcher {
    fn new() -> Self {
        let told = watch::Sender::new(Told::default());
        Self { told }
    }

    fn hold(&self, what: &str) {
        self.told.send_modify(|told| {
            told.held.insert(what.to_owned());
        });
    }

    fn let_go(&self, what: &str) {
        self.told.send_modify(|told| {
            told.held.remove(what);
        });
    }

    fn refuse(&self, what: &str) {
        self.told.send_modify(|told| {
            told.refused.insert(what.to_owned());
        });
    }

    async fn until(&self, is_so: impl FnMut(&Told) -> bool) {
        let mut told = self.told.subscribe();
        let until = timeout(PATIENCE, told.wait_for(is_so)).await;
        assert!(until.is_ok(), "{:?}", self.told.borrow());
    }

    async fn asked(&self, what: &str) {
        self.until(|told| told.asked.contains_key(what)).await;
    }

    async fn ended(&self, what: &str) {
        self.until(|told| told.ended.contains_key(what)).await;
    }

    /// All that has passed has ended, and each as often as it has passed.
    async fn all_ended(&self) {
        self.until(|told| told.passed == told.ended).await;
    }

    fn times_asked(&self, what: &str) -> usize {
        self.told.borrow().asked.get(what).copied().unwrap_or(0)
    }

    fn decide(&self, what: String) -> impl Future<Output = Decided> + Send + use<> {
        let told = self.told.clone();
        async move {
            told.send_modify(|told| count(&mut told.asked, what.clone()));
            let _ = told
                .subscribe()
                .wait_for(|told| !told.held.contains(&what))
                .await;
            if told.borrow().refused.contains(&what) {
                return Err(Refusal {
                    peer: "not today".to_owned(),
                    log: "for its reasons".to_owned(),
                });
            }
            told.send_modify(|told| count(&mut told.passed, what.clone()));
            Ok(Some(Box::new(End(what, told)) as OnEnd))
        }
    }
}

impl Check for Watcher {
    fn login<'a>(&'a self, ask: &'a mut LoginAsk<'_>) -> Verdict<'a> {
        assert!(ask.peer.ip().is_loopback());
        Verdict::later(self.decide(format!("login {}", ask.login.run_id)))
    }

    fn new_proxy<'a>(&'a self, ask: &'a mut NewProxyAsk<'_>) -> Verdict<'a> {
        Verdict::later(async {
            let name = ask.message().proxy_name.clone();
            let decided = self.decide(format!("proxy {name}")).await?;
            let renamed = self.told.borrow().renamed.get(&name).cloned();
            if let Some(proxy_name) = renamed {
                let new = NewProxy {
                    proxy_name,
                    ..ask.message().clone()
                };
                ask.rewrite(new);
            }
            Ok(decided)
        })
    }

    fn ping<'a>(&'a self, ask: &'a mut PingAsk<'_>) -> Verdict<'a> {
        Verdict::later(self.decide(format!("ping {}", ask.client.run_id)))
    }

    fn work_conn<'a>(&'a self, ask: &'a mut WorkConnAsk<'_>) -> Verdict<'a> {
        Verdict::later(self.decide(format!("work {}", ask.client.run_id)))
    }

    fn user<'a>(&'a self, ask: &'a mut UserAsk<'_>) -> Verdict<'a> {
        Verdict::later(async {
            let decided = self.decide(format!("user {}", ask.proxy.name)).await?;
            ask.src = self.told.borrow().src.or(ask.src);
            Ok(decided)
        })
    }
}

struct Running {
    addr: SocketAddr,
    tcpmux: SocketAddr,
    stop: Stop,
    server: JoinHandle<()>,
}

impl Running {
    /// bindPort is that of http and https, too.
    fn start(watcher: &Watcher) -> Self {
        let text = "bindAddr = \"127.0.0.1\"\ntransport.tcpMux = false\n";
        // Another process may take the port before it is bound.
        for _ in 0..5 {
            let loaded = parse_server(text, "frps.toml", &LoadOptions::new(Purpose::Run));
            let mut settings = loaded.unwrap().settings;
            let free = || listen("127.0.0.1", 0).unwrap().local_addr().unwrap().port();
            settings.bind_port = free();
            settings.vhost_http_port = Some(settings.bind_port);
            settings.vhost_https_port = Some(settings.bind_port);
            let tcpmux = free();
            settings.tcpmux_http_connect_port = Some(tcpmux);
            let Ok(server) = Server::bind_with(settings, None, vec![Box::new(watcher.clone())])
            else {
                continue;
            };
            let addr = server.addr().unwrap();
            let stop = Stop::new();
            let server = tokio::spawn(server.run(stop.clone()));
            let tcpmux = SocketAddr::new(addr.ip(), tcpmux);
            return Self {
                addr,
                tcpmux,
                stop,
                server,
            };
        }
        panic!("no free port five times");
    }

    async fn connect(&self) -> MsgStream<Stream> {
        let conn = TcpStream::connect(self.addr).await.unwrap();
        MsgStream::new(Stream::Tcp(conn), WireProtocol::V1, BytesMut::new())
    }

    async fn say(&self, message: impl Into<Message>) -> MsgStream<Stream> {
        let mut conn = self.connect().await;
        conn.queue(&message.into()).unwrap();
        conn.flush_within(PATIENCE).await.unwrap();
        conn
    }

    async fn login(&self, run_id: &str) -> Client {
        let login = Login {
            run_id: run_id.to_owned(),
            privilege_key: token_key("", 0),
            ..Login::default()
        };
        let mut conn = self.say(login).await;
        match heard(&mut conn).await {
            Message::LoginResp(answer) => assert_eq!(answer.error, ""),
            other => panic!("{other:?}"),
        }
        let (conn, rest) = conn.into_parts();
        let key = cfb::Key::derive(b"");
        let pipe = control(conn, rest, None, &key, b"", Side::Client);
        let control = MsgStream::new(pipe, WireProtocol::V1, BytesMut::new());
        let run_id = run_id.to_owned();
        Client { control, run_id }
    }

    async fn work_conn(&self, client: &Client) -> MsgStream<Stream> {
        let run_id = client.run_id.clone();
        self.say(NewWorkConn {
            run_id,
            ..NewWorkConn::default()
        })
        .await
    }
}

struct Client {
    control: MsgStream<ControlPipe>,
    run_id: String,
}

impl Client {
    async fn send(&mut self, message: impl Into<Message>) {
        self.control.queue(&message.into()).unwrap();
        self.control.flush_within(PATIENCE).await.unwrap();
    }

    async fn heard(&mut self) -> Message {
        let message = timeout(PATIENCE, self.control.recv()).await;
        message.unwrap().unwrap()
    }

    /// Whatever else has come before is of no interest.
    async fn answer(&mut self) -> NewProxyResp {
        loop {
            if let Message::NewProxyResp(answer) = self.heard().await {
                return answer;
            }
        }
    }

    async fn ping(&mut self) {
        self.send(Ping::default()).await;
        match self.heard().await {
            Message::Pong(pong) => assert_eq!(pong.error, ""),
            other => panic!("{other:?}"),
        }
    }

    /// Its port.
    async fn register(&mut self, new: NewProxy) -> u16 {
        let name = new.proxy_name.clone();
        self.send(new).await;
        let answer = self.answer().await;
        assert_eq!((answer.error, answer.proxy_name), (String::new(), name));
        let port = answer.remote_addr.rsplit_once(':').map(|(_, port)| port);
        port.map_or(0, |port| port.parse().unwrap())
    }
}

async fn heard(conn: &mut MsgStream<Stream>) -> Message {
    timeout(PATIENCE, conn.recv()).await.unwrap().unwrap()
}

async fn started(conn: &mut MsgStream<Stream>) -> StartWorkConn {
    match heard(conn).await {
        Message::StartWorkConn(start) => start,
        other => panic!("{other:?}"),
    }
}

async fn until_closed(user: &mut TcpStream) {
    let read = timeout(PATIENCE, user.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

fn proxy(kind: &str, name: &str) -> NewProxy {
    NewProxy {
        proxy_name: name.to_owned(),
        proxy_type: kind.to_owned(),
        ..NewProxy::default()
    }
}

fn close(name: &str) -> CloseProxy {
    CloseProxy {
        proxy_name: name.to_owned(),
    }
}

#[tokio::test]
async fn a_proxy_that_waits_delays_nobody_else() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    watcher.hold("proxy slow");
    client.send(proxy("tcp", "slow")).await;
    watcher.asked("proxy slow").await;

    client.ping().await;
    client.register(proxy("tcp", "other")).await;
    let mut another = server.login("b").await;
    another.register(proxy("tcp", "its")).await;
    another.ping().await;

    // frpc asks again where it has no answer for some time.
    client.send(proxy("tcp", "slow")).await;
    client.ping().await;
    assert_eq!(watcher.times_asked("proxy slow"), 1);
    watcher.let_go("proxy slow");
    let answer = client.answer().await;
    assert_eq!((answer.proxy_name.as_str(), &*answer.error), ("slow", ""));
    client.ping().await;
}

#[tokio::test]
async fn a_ping_that_waits_delays_no_proxy() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    watcher.hold("ping a");
    client.send(Ping::default()).await;
    client.register(proxy("tcp", "p")).await;
    watcher.let_go("ping a");
    assert!(matches!(client.heard().await, Message::Pong(_)));
}

#[tokio::test]
async fn a_proxy_that_is_closed_before_it_is_there_never_comes() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    watcher.hold("proxy p");
    client.send(proxy("tcp", "p")).await;
    watcher.asked("proxy p").await;
    client.send(close("p")).await;
    client.ping().await;
    watcher.let_go("proxy p");
    // Its name is free, and the first one is not answered beside this one.
    client.register(proxy("udp", "p")).await;
    client.ping().await;
    let told = watcher.told.borrow();
    let of = |counts: &BTreeMap<String, usize>| counts.get("proxy p").copied();
    assert_eq!((of(&told.asked), of(&told.passed)), (Some(2), Some(1)));
}

#[tokio::test]
async fn what_a_client_waits_for_ends_with_its_session() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    watcher.hold("proxy p");
    client.send(proxy("tcp", "p")).await;
    watcher.asked("proxy p").await;
    // The successor is answered when all of it is over.
    let mut again = server.login("a").await;
    watcher.let_go("proxy p");
    again.register(proxy("tcp", "p")).await;
    watcher
        .until(|told| told.ended.get("login a") == Some(&1))
        .await;
    assert_eq!(watcher.told.borrow().passed.get("proxy p"), Some(&1));
}

#[tokio::test]
async fn who_is_refused_reads_the_reason_that_is_for_it() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    for what in ["login bad", "proxy p", "ping a", "work a"] {
        watcher.refuse(what);
    }
    let mut bad = server
        .say(Login {
            run_id: "bad".to_owned(),
            privilege_key: token_key("", 0),
            ..Login::default()
        })
        .await;
    match heard(&mut bad).await {
        Message::LoginResp(answer) => assert_eq!(answer.error, "not today"),
        other => panic!("{other:?}"),
    }
    let mut client = server.login("a").await;
    client.send(proxy("tcp", "p")).await;
    assert_eq!(client.answer().await.error, "not today");
    client.send(Ping::default()).await;
    match client.heard().await {
        Message::Pong(pong) => assert_eq!(pong.error, "not today"),
        other => panic!("{other:?}"),
    }
    let mut work = server.work_conn(&client).await;
    assert_eq!(started(&mut work).await.error, "not today");
}

#[tokio::test]
async fn a_check_may_change_what_is_asked_for() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    let elsewhere: SocketAddr = "192.0.2.1:7".parse().unwrap();
    watcher.told.send_modify(|told| {
        told.renamed.insert("mine".to_owned(), "ours".to_owned());
        told.src = Some(elsewhere);
    });
    client.send(proxy("tcp", "mine")).await;
    let answer = client.answer().await;
    assert_eq!((answer.proxy_name.as_str(), &*answer.error), ("ours", ""));
    let (_, port) = answer.remote_addr.rsplit_once(':').unwrap();
    let _user = TcpStream::connect(("127.0.0.1", port.parse().unwrap()))
        .await
        .unwrap();
    let mut work = server.work_conn(&client).await;
    let start = started(&mut work).await;
    assert_eq!((&*start.src_addr, start.src_port), ("192.0.2.1", 7));
    assert_eq!(start.proxy_name, "ours");
    // By the name that the client knows it by.
    client.send(close("mine")).await;
    watcher.ended("proxy mine").await;
}

/// No work connection is asked for, and one that is there stays.
#[tokio::test]
async fn a_user_that_is_refused_costs_no_work_connection() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    let grouped = NewProxy {
        group: "g".to_owned(),
        ..proxy("tcp", "grouped")
    };
    let ports = [
        ("tcp", client.register(proxy("tcp", "tcp")).await),
        ("grouped", client.register(grouped).await),
    ];
    let mut work = server.work_conn(&client).await;
    watcher
        .until(|told| told.passed.contains_key("work a"))
        .await;
    for (name, port) in ports {
        watcher.refuse(&format!("user {name}"));
        let mut user = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        until_closed(&mut user).await;
    }
    client.ping().await;
    let nothing = timeout(Duration::from_millis(1), work.recv()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    assert!(
        watcher
            .told
            .borrow()
            .passed
            .keys()
            .all(|what| !what.starts_with("user"))
    );
}

async fn read_head(conn: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, conn.read_u8()).await;
        head.push(byte.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Once for each user, however many requests it has, and also where a work connection is kept from
/// the request of another.
#[tokio::test]
async fn users_of_http_enter_once_for_a_proxy() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    let new = NewProxy {
        custom_domains: vec!["a.test".to_owned()],
        ..proxy("http", "h")
    };
    client.register(new).await;
    let mut work = server.work_conn(&client).await;
    let mut user = TcpStream::connect(server.addr).await.unwrap();
    user.write_all(REQUEST).await.unwrap();
    started(&mut work).await;
    let (service, rest) = work.into_parts();
    let mut service = Rewind::new(rest, service);
    for _ in 0..2 {
        read_head(&mut service).await;
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        service.write_all(answer).await.unwrap();
        assert!(read_head(&mut user).await.starts_with("HTTP/1.1 204"));
        user.write_all(REQUEST).await.unwrap();
    }
    read_head(&mut service).await;
    assert_eq!(watcher.times_asked("user h"), 1);
    service
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    read_head(&mut user).await;

    watcher.refuse("user h");
    let mut other = TcpStream::connect(server.addr).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    let refusal = read_head(&mut other).await;
    assert!(refusal.starts_with("HTTP/1.1 403"), "{refusal}");
    let mut rest = Vec::new();
    let closed = timeout(PATIENCE, other.read_to_end(&mut rest)).await;
    closed
        .expect("the connection ends with the refusal")
        .unwrap();
    let nothing = timeout(Duration::from_millis(1), service.read_u8()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    drop(user);
    watcher.ended("user h").await;
}

/// As those of a port: whoever waits for a decision holds up nobody, and who is refused costs no work
/// connection.
#[tokio::test]
async fn users_of_https_and_tcpmux_enter_by_the_same_door() {
    const CONNECT: &[u8] = b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    for kind in ["https", "tcpmux"] {
        let new = NewProxy {
            custom_domains: vec!["a.test".to_owned()],
            multiplexer: "httpconnect".to_owned(),
            ..proxy(kind, kind)
        };
        client.register(new).await;
    }
    // What the user sees, once it is over.
    let visit = async |kind: &str| {
        if kind == "https" {
            let user = TcpStream::connect(server.addr).await.unwrap();
            let config = tls::client_config(&TlsFiles::default()).unwrap();
            let tunnel = tls::connect(config, "a.test", user, PATIENCE).await;
            return tunnel.unwrap_err().to_string();
        }
        let mut user = TcpStream::connect(server.tcpmux).await.unwrap();
        user.write_all(CONNECT).await.unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, user.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        answer
    };
    for (kind, refusal) in [("https", "eof"), ("tcpmux", "HTTP/1.1 502")] {
        let asked = format!("user {kind}");
        watcher.hold(&asked);
        let (_, ()) = tokio::join!(visit(kind), async {
            watcher.asked(&asked).await;
            client.ping().await;
            watcher.let_go(&asked);
            let mut work = server.work_conn(&client).await;
            assert_eq!(started(&mut work).await.proxy_name, kind);
            drop(work);
            watcher.ended(&asked).await;
        });
        // Work connections were asked for.
        client.send(Ping::default()).await;
        while !matches!(client.heard().await, Message::Pong(_)) {}
        watcher.refuse(&asked);
        let seen = visit(kind).await;
        assert!(seen.contains(refusal), "{kind}: {seen}");
        assert_eq!(watcher.times_asked(&asked), 2);
        client.ping().await;
    }
}

#[tokio::test]
async fn every_visitor_comes_by_the_same_door() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    for kind in ["stcp", "sudp"] {
        let new = NewProxy {
            sk: "secret".to_owned(),
            ..proxy(kind, kind)
        };
        client.register(new).await;
        let visit = |key: &str| NewVisitorConn {
            run_id: "a".to_owned(),
            proxy_name: kind.to_owned(),
            sign_key: token_key(key, 0),
            ..NewVisitorConn::default()
        };
        let error = async |key: &str| match heard(&mut server.say(visit(key)).await).await {
            Message::NewVisitorConnResp(answer) => answer.error,
            other => panic!("{other:?}"),
        };
        assert_eq!(error("secret").await, "");
        let wrong = format!("visitor connection of [{kind}] auth failed");
        assert_eq!(error("wrong").await, wrong);
        watcher.refuse(&format!("user {kind}"));
        assert_eq!(error("secret").await, "not today");
        // Who does not know the secret makes work for nobody else.
        assert_eq!(watcher.times_asked(&format!("user {kind}")), 2);
    }
}

#[tokio::test]
async fn datagrams_wait_until_their_user_is_let_in() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    watcher.hold("user u");
    let port = client.register(proxy("udp", "u")).await;
    let user = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    user.connect(("127.0.0.1", port)).await.unwrap();
    user.send(b"first").await.unwrap();
    watcher.asked("user u").await;
    user.send(b"second").await.unwrap();
    let mut work = server.work_conn(&client).await;
    started(&mut work).await;
    watcher.let_go("user u");
    for expected in [&b"first"[..], b"second"] {
        loop {
            match heard(&mut work).await {
                Message::UdpPacket(packet) => {
                    assert_eq!(&packet.c[..], expected);
                    break;
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(watcher.times_asked("user u"), 1);

    watcher.refuse("user u");
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    other.connect(("127.0.0.1", port)).await.unwrap();
    other.send(b"other").await.unwrap();
    watcher
        .until(|told| told.asked.get("user u") == Some(&2))
        .await;
    user.send(b"third").await.unwrap();
    match heard(&mut work).await {
        Message::UdpPacket(packet) => assert_eq!(&packet.c[..], b"third"),
        other => panic!("{other:?}"),
    }
    client.send(close("u")).await;
    watcher.ended("user u").await;
}

#[tokio::test]
async fn every_end_is_told_once() {
    let watcher = Watcher::new();
    let server = Running::start(&watcher);
    let mut client = server.login("a").await;
    client.ping().await;
    watcher.ended("ping a").await;
    let port = client.register(proxy("tcp", "p")).await;
    let mut user = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut work = server.work_conn(&client).await;
    assert_eq!(started(&mut work).await.proxy_name, "p");
    user.write_all(b"x").await.unwrap();

    // By the client: users that are there stay.
    client.send(close("p")).await;
    watcher.ended("proxy p").await;
    assert!(!watcher.told.borrow().ended.contains_key("user p"));
    drop(work);
    watcher.ended("user p").await;
    watcher.ended("work a").await;

    // By a successor.
    client.register(proxy("tcp", "q")).await;
    let mut again = server.login("a").await;
    assert_eq!(watcher.told.borrow().ended.get("proxy q"), Some(&1));
    assert_eq!(watcher.told.borrow().ended.get("login a"), Some(&1));

    // By the end of the server, under way or idle.
    let port = again.register(proxy("tcp", "q")).await;
    let _idle = server.work_conn(&again).await;
    watcher
        .until(|told| told.passed.get("work a") == Some(&2))
        .await;
    let _user = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    watcher
        .until(|told| told.passed.contains_key("user q"))
        .await;
    server.stop.now();
    timeout(PATIENCE, server.server).await.unwrap().unwrap();
    watcher.all_ended().await;
    assert_eq!(watcher.told.borrow().ended.get("login a"), Some(&2));
}
