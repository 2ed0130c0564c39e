//! Datagrams between sockets and a stream: idle users, heartbeats, many users at once.
#![allow(clippy::unwrap_used, reason = "a failure has to fail the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use frp_net::udp_socket::bind;
use frp_proto::msg::{Message, Ping, UdpAddr, UdpPacket};
use frp_proto::wire::WireProtocol::{self, V1, V2};
use frp_relay::limits::{UDP_PING, UDP_SILENCE, UDP_USER_IDLE};
use frp_relay::msg_stream::{MsgStream, RecvError};
use frp_relay::relay::{Tally, Traffic};
use frp_relay::udp::{
    CarryError, Datagrams, LocalOptions, LocalService, Locals, Tell, Users, bridge,
};
use tokio::io::{DuplexStream, duplex};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{advance, pause, resume, timeout};
use tracing::Span;
use tracing::span::{Attributes, Id, Record};

const SOON: Duration = Duration::from_secs(20);

/// The stream's other end.
struct Peer(MsgStream<DuplexStream>);

impl Peer {
    async fn send(&mut self, message: impl Into<Message>) {
        self.0.queue(&message.into()).unwrap();
        self.0.flush_within(SOON).await.unwrap();
    }

    async fn recv(&mut self) -> Message {
        timeout(SOON, self.0.recv()).await.unwrap().unwrap()
    }

    async fn recv_packet(&mut self) -> UdpPacket {
        match self.recv().await {
            Message::UdpPacket(packet) => packet,
            other => panic!("{}", other.name()),
        }
    }
}

/// Counts what is said of the one span that there is.
struct Told(Arc<AtomicUsize>);

impl tracing::Subscriber for Told {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        if event.parent() == Some(&Id::from_u64(1)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn addr(text: &str) -> UdpAddr {
    text.parse::<SocketAddr>().unwrap().into()
}

fn packet(content: &'static [u8], remote: &str) -> UdpPacket {
    UdpPacket {
        c: Bytes::from_static(content),
        l: None,
        r: Some(addr(remote)),
    }
}

/// frpc's side with this service behind it.
async fn locals(service: SocketAddr) -> (Peer, JoinHandle<CarryError>) {
    let host = service.ip().to_string();
    let target = LocalService::resolve(&host, service.port());
    let locals = Locals::new(LocalOptions {
        target: target.await,
        proxy_protocol: None,
        udp_packet_size: 1500,
        tell: Tell::new(|_| {}),
        roll: None,
    });
    let (near, far) = duplex(64 * 1024);
    let task = tokio::spawn(async move {
        let mut datagrams = Datagrams::new(locals, Span::none());
        datagrams.carry(near, V1, &Traffic::default()).await
    });
    (Peer(MsgStream::new(far, V1, BytesMut::new())), task)
}

fn service() -> (UdpSocket, SocketAddr) {
    let socket = bind("127.0.0.1", 0).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

async fn heard(service: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buf = [0; 1500];
    let (n, from) = timeout(SOON, service.recv_from(&mut buf))
        .await
        .unwrap()
        .unwrap();
    (buf[..n].to_vec(), from)
}

/// Moves the clock by `by`, in steps that let everybody act.
async fn pass(by: Duration) {
    pause();
    let step = Duration::from_secs(1);
    for _ in 0..by.as_secs() {
        advance(step).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    resume();
}

#[tokio::test]
async fn a_user_keeps_its_socket_as_long_as_there_is_traffic_either_way() {
    let (service, at) = service();
    let (mut peer, task) = locals(at).await;
    peer.send(packet(b"one", "192.0.2.1:1000")).await;
    let (content, first) = heard(&service).await;
    assert_eq!(content, b"one");
    // An answer to the user counts as a datagram of the user does.
    for _ in 0..3 {
        pass(UDP_USER_IDLE / 2 + Duration::from_secs(4)).await;
        service.send_to(b"answer", first).await.unwrap();
        loop {
            match peer.recv().await {
                Message::Ping(_) => {}
                message => {
                    assert_eq!(message, packet(b"answer", "192.0.2.1:1000").into());
                    break;
                }
            }
        }
    }
    peer.send(packet(b"two", "192.0.2.1:1000")).await;
    assert_eq!(heard(&service).await.1, first, "the same socket");
    peer.send(packet(b"other", "192.0.2.2:1000")).await;
    assert_ne!(heard(&service).await.1, first, "another user's socket");

    pass(UDP_USER_IDLE + Duration::from_secs(2)).await;
    peer.send(packet(b"three", "192.0.2.1:1000")).await;
    assert_ne!(heard(&service).await.1, first, "the socket was closed");
    drop(peer);
    let ended = timeout(SOON, task).await.unwrap().unwrap();
    assert!(matches!(ended, CarryError::Recv(RecvError::Closed)));
}

#[tokio::test]
async fn the_proxys_side_pings() {
    let (_service, at) = service();
    let (mut peer, _task) = locals(at).await;
    for _ in 0..3 {
        pass(UDP_PING + Duration::from_secs(1)).await;
        assert_eq!(peer.recv().await, Ping::default().into());
    }
}

#[tokio::test]
async fn the_users_side_gives_a_silent_stream_up() {
    let socket = bind("127.0.0.1", 0).unwrap();
    let (near, far) = duplex(1024);
    let task = tokio::spawn(async move {
        let mut datagrams = Datagrams::new(Users::new(socket, 1500), Span::none());
        datagrams.carry(near, V2, &Traffic::default()).await
    });
    let mut peer = Peer(MsgStream::new(far, V2, BytesMut::new()));
    for _ in 0..3 {
        peer.send(Ping::default()).await;
        pass(UDP_SILENCE - Duration::from_secs(2)).await;
        assert!(!task.is_finished());
    }
    pass(UDP_SILENCE).await;
    let ended = timeout(SOON, task).await.unwrap().unwrap();
    assert!(matches!(ended, CarryError::Recv(RecvError::TimedOut)));
}

#[tokio::test]
async fn hundreds_of_users_each_get_their_own_answers() {
    const USERS: u16 = 300;
    let (service, at) = service();
    tokio::spawn(async move {
        let mut buf = [0; 1500];
        while let Ok((n, from)) = service.recv_from(&mut buf).await {
            let _ = service.send_to(&buf[..n], from).await;
        }
    });
    let (mut peer, _task) = locals(at).await;
    let user = |n: u16| addr(&format!("[2001:db8::{n:x}]:{}", 2000 + n));
    for n in 0..USERS {
        let content = Bytes::copy_from_slice(&n.to_be_bytes());
        let (l, r) = (None, Some(user(n)));
        peer.send(UdpPacket { c: content, l, r }).await;
        if n % 10 == 9 {
            for _ in 0..10 {
                let answer = peer.recv_packet().await;
                let n = u16::from_be_bytes(answer.c[..].try_into().unwrap());
                assert_eq!(answer.r, Some(user(n)));
            }
        }
    }
}

#[tokio::test]
async fn a_socket_for_both_families_answers_both() {
    let socket = bind("", 0).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut datagrams = Datagrams::new(Users::new(socket, 1500), Span::none());
        datagrams.carry(near, V1, &Traffic::default()).await
    });
    let mut peer = Peer(MsgStream::new(far, V1, BytesMut::new()));
    for host in ["127.0.0.1", "::1"] {
        let user = UdpSocket::bind((host, 0)).await.unwrap();
        user.connect((host, port)).await.unwrap();
        user.send(b"question").await.unwrap();
        let asked = peer.recv_packet().await;
        assert_eq!(asked.r, Some(user.local_addr().unwrap().into()));
        // Several at once go out in one system call.
        for content in [b"a", b"b", b"c"] {
            let (c, l, r) = (Bytes::from_static(content), None, asked.r.clone());
            peer.0.queue(&UdpPacket { c, l, r }.into()).unwrap();
        }
        peer.0.flush_within(SOON).await.unwrap();
        for content in [b"a", b"b", b"c"] {
            let mut buf = [0; 10];
            let n = timeout(SOON, user.recv(&mut buf)).await.unwrap().unwrap();
            assert_eq!(&buf[..n], content);
        }
    }
}

#[tokio::test]
async fn a_bridge_translates_datagrams_and_keeps_a_visitors_pings_to_itself() {
    let (visitor, visitor_end) = duplex(200_000);
    let (proxy, proxy_end) = duplex(200_000);
    let told = Arc::new(AtomicUsize::new(0));
    let _told = tracing::subscriber::set_default(Told(told.clone()));
    let traffic = Arc::new(Traffic::default());
    let counted = traffic.clone();
    let task = tokio::spawn(async move {
        let (visitor, proxy) = ((visitor_end, V2), (proxy_end, V1));
        let span = tracing::error_span!("proxy");
        bridge(visitor, proxy, Tally::from(&counted), &span).await
    });
    let new = |io, protocol: WireProtocol| Peer(MsgStream::new(io, protocol, BytesMut::new()));
    let (mut visitor, mut proxy) = (new(visitor, V2), new(proxy, V1));
    visitor.send(Ping::default()).await;
    visitor
        .send(UdpPacket {
            c: Bytes::from(vec![0; 20_000]),
            ..packet(b"", "192.0.2.1:1")
        })
        .await;
    visitor.send(packet(b"there", "192.0.2.1:1")).await;
    assert_eq!(proxy.recv().await, packet(b"there", "192.0.2.1:1").into());
    assert_eq!(told.load(Ordering::Relaxed), 1, "one does not fit wire v1");
    proxy.send(Ping::default()).await;
    proxy.send(packet(b"and back", "192.0.2.1:1")).await;
    assert_eq!(visitor.recv().await, Ping::default().into());
    assert_eq!(
        visitor.recv().await,
        packet(b"and back", "192.0.2.1:1").into()
    );
    assert_eq!((traffic.near_to_far(), traffic.far_to_near()), (5, 8));
    drop(visitor);
    timeout(SOON, task).await.unwrap().unwrap();
}
