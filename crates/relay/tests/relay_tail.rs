//! The end of an answer whose sender closed with input unread: the relay must close the tunnel only
//! once the peer has everything, for the system discards what is on its way from a connection that
//! is closed with input unread.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_net::dial::DialOptions;
use frp_net::kcp::{Accepted, KcpListener, KcpStream, dial};
use frp_net::rewind::Rewind;
use frp_net::strangers::Strangers;
use frp_net::stream::Stream;
use frp_net::tls::{TlsFiles, accept, client_config, connect, server_config};
use frp_net::udp_socket::bind;
use frp_proto::crypto::cfb::Key;
use frp_relay::layers::{Carried, LayerOptions, Pipe, Side, wrap};
use frp_relay::relay::{Relayed, Traffic, relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug)]
enum Far {
    Tcp,
    Tls,
    /// TLS below cipher and compression.
    Layered,
    Kcp,
}

/// No more than both ends of a kcp session take without a reader.
const ANSWER: usize = 150_000;

/// A relay whose far peer sends without end and has not begun to read, and a near side that does
/// not read either: there is always input unread.
struct Scene {
    service: TcpStream,
    peer: ReadHalf<Box<dyn Pipe>>,
    traffic: Arc<Traffic>,
    relay: JoinHandle<Relayed>,
    sending: JoinHandle<()>,
}

impl Scene {
    async fn new(far: Far) -> Self {
        let (service, near) = tcp_pair().await;
        let (far, peer): (Carried, Box<dyn Pipe>) = match far {
            Far::Tcp => {
                let (far, peer) = tcp_pair().await;
                (far.into(), Box::new(peer))
            }
            Far::Tls => {
                let (far, peer) = tls_pair().await;
                (far.into(), Box::new(peer))
            }
            Far::Layered => {
                let opts = LayerOptions {
                    cipher: Some(Key::derive(b"token")),
                    compress: true,
                    limit: None,
                };
                let layered = |stream, side| wrap(stream, Bytes::new(), &opts, side);
                let (far, peer) = tls_pair().await;
                let peer = Box::new(layered(peer, Side::Server));
                (layered(far, Side::Client), peer)
            }
            Far::Kcp => {
                let (far, peer) = kcp_pair().await;
                (Stream::Kcp(far).into(), Box::new(peer))
            }
        };
        let (peer, mut to_far) = split(peer);
        let traffic = Arc::new(Traffic::default());
        let counted = traffic.clone();
        let relay = tokio::spawn(async move { relay(near, far, &counted).await });
        let (told, mut hears) = tokio::sync::watch::channel(0_usize);
        let sending = tokio::spawn(async move {
            let mut noise: u32 = 1;
            loop {
                // Nothing that compresses away.
                let chunk: Vec<u8> = std::iter::repeat_with(|| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (noise >> 24) as u8
                })
                .take(10_000)
                .collect();
                if to_far.write_all(&chunk).await.is_err() || to_far.flush().await.is_err() {
                    return;
                }
                told.send_modify(|sent| *sent += chunk.len());
            }
        });
        // Until nothing more fits anywhere.
        while let Ok(Ok(())) = timeout(Duration::from_millis(200), hears.changed()).await {}
        Self {
            service,
            peer,
            traffic,
            relay,
            sending,
        }
    }

    /// The service has answered and is gone; now the peer reads.
    async fn arrives(mut self, answer: &[u8], what: &str) {
        let mut got = Vec::new();
        let mut piece = vec![0; 8192];
        while got.len() < answer.len() {
            match timeout(Duration::from_secs(20), self.peer.read(&mut piece)).await {
                Ok(Ok(n)) if n > 0 => got.extend_from_slice(&piece[..n]),
                other => panic!("{what}: {other:?} after {} bytes", got.len()),
            }
            tokio::task::yield_now().await;
        }
        assert!(got == answer, "{what}");
        drop(self.peer);
        self.sending.abort();
        let _ = self.sending.await;
        timeout(Duration::from_secs(20), self.relay)
            .await
            .expect(what)
            .unwrap();
    }
}

#[tokio::test]
async fn an_answer_before_a_reset_arrives_whole() {
    for far in [Far::Tcp, Far::Tls, Far::Layered, Far::Kcp] {
        let mut scene = Scene::new(far).await;
        let answer = answer();
        scene.service.write_all(&answer).await.unwrap();
        wait_for(|| scene.traffic.near_to_far() == answer.len() as u64).await;
        scene.service.set_zero_linger().unwrap();
        scene.service = tcp_pair().await.0;
        scene.arrives(&answer, &format!("{far:?}")).await;
    }
}

#[tokio::test]
async fn an_answer_before_an_end_and_a_reset_arrives_whole() {
    for far in [Far::Tcp, Far::Tls, Far::Layered, Far::Kcp] {
        let mut scene = Scene::new(far).await;
        let answer = answer();
        scene.service.write_all(&answer).await.unwrap();
        scene.service.shutdown().await.unwrap();
        wait_for(|| scene.traffic.near_to_far() == answer.len() as u64).await;
        // The end is passed on in the same poll as the last data, or the next.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        scene.service = tcp_pair().await.0;
        scene.arrives(&answer, &format!("{far:?}")).await;
    }
}

fn answer() -> Vec<u8> {
    (0..ANSWER as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

async fn wait_for(condition: impl Fn() -> bool) {
    timeout(Duration::from_secs(20), async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the relay takes the answer");
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

/// frpc's end and frps's.
async fn tls_pair() -> (Stream, Stream) {
    let (client, server) = tcp_pair().await;
    let files = TlsFiles::default();
    let limit = Duration::from_secs(20);
    let server = Rewind::new(Bytes::new(), Stream::Tcp(server));
    let (client, server) = tokio::join!(
        connect(
            client_config(&files).unwrap(),
            "frps",
            Stream::Tcp(client),
            limit
        ),
        accept(server_config(&files).unwrap(), server, limit),
    );
    let tls = |pipe| Stream::Tls(Box::new(pipe));
    (tls(client.unwrap()), tls(server.unwrap()))
}

/// The same over kcp, after a login.
async fn kcp_pair() -> (KcpStream, KcpStream) {
    let listener = KcpListener::new(bind("127.0.0.1", 0).unwrap(), Strangers::default()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, mut accepted) = mpsc::unbounded_channel();
    tokio::spawn(
        listener.run(CancellationToken::new(), move |new: Accepted| {
            tokio::spawn(new.driver.run());
            let _ = send.send((new.stream, new.stranger));
        }),
    );
    let options = DialOptions {
        timeout: Duration::from_secs(20),
        keepalive: None,
        local_ip: None,
    };
    let (mut client, driver) = dial("127.0.0.1", port, &options).await.unwrap();
    tokio::spawn(driver);
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    let (mut server, stranger) = accepted.recv().await.unwrap();
    stranger.admit();
    server.read_u8().await.unwrap();
    (client, server)
}
