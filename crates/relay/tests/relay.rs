//! The relay over every kind of stream: what each side gets, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../net/tests/support/mod.rs"]
mod support;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use frp_net::memory;
use frp_net::mux::{self, MuxStream};
use frp_net::stream::Stream;
use frp_proto::crypto::cfb::Key;
use frp_relay::layers::{Bucket, Carried, LayerOptions, Pipe, Side, wrap};
use frp_relay::relay::{HALF_CLOSED_PATIENCE, RelayError, Relayed, Traffic, relay, serve};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Interest, ReadBuf, duplex,
    split,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// What lies behind the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// Copied until it comes in bulk, then spliced.
    Tcp,
    /// Chunks without a copy.
    Mux,
    /// Copied through limit, cipher and compression.
    Layered,
    /// Copied, within the program.
    Memory,
    /// Copied, over a pipe the relay knows nothing about.
    Other,
}

const ALL: [Far; 5] = [Far::Tcp, Far::Mux, Far::Layered, Far::Memory, Far::Other];

struct Rig {
    user: TcpStream,
    peer: Box<dyn Pipe>,
    relay: JoinHandle<Relayed>,
    traffic: Arc<Traffic>,
}

impl Rig {
    async fn new(far: Far) -> Self {
        let (user, near) = tcp_pair().await;
        let (far, peer): (Carried, Box<dyn Pipe>) = match far {
            Far::Tcp => {
                let (far, peer) = tcp_pair().await;
                (far.into(), Box::new(peer))
            }
            Far::Mux => {
                let (far, peer) = mux_pair().await;
                (Stream::Mux(far).into(), Box::new(peer))
            }
            Far::Layered => {
                let (far, peer) = tcp_pair().await;
                let opts = LayerOptions {
                    cipher: Some(Key::derive(b"token")),
                    compress: true,
                    limit: Some(Arc::new(Bucket::new(1 << 40))),
                };
                let layered = |tcp, side| wrap(Stream::Tcp(tcp), Bytes::new(), &opts, side);
                let peer = Box::new(layered(peer, Side::Client));
                (layered(far, Side::Server), peer)
            }
            Far::Memory => {
                let (far, peer) = memory::pair();
                (Stream::Memory(Box::new(far)).into(), Box::new(peer))
            }
            Far::Other => {
                let (far, peer) = duplex(64 * 1024);
                (Carried::other(far), Box::new(peer))
            }
        };
        Self::of(user, near.into(), far, peer)
    }

    fn of(user: TcpStream, near: Carried, far: Carried, peer: Box<dyn Pipe>) -> Self {
        let traffic = Arc::new(Traffic::default());
        let counted = Arc::clone(&traffic);
        let relay = tokio::spawn(async move { relay(near, far, &counted).await });
        Self {
            user,
            peer,
            relay,
            traffic,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carries_fifty_megabytes_both_ways_unchanged() {
    for far in ALL {
        let rig = Rig::new(far).await;
        let (user_in, user_out) = rig.user.into_split();
        let (peer_in, peer_out) = split(rig.peer);
        let sent_up = tokio::spawn(send_pattern(user_out, 1));
        let sent_down = tokio::spawn(send_pattern(peer_out, 2));
        let got_up = tokio::spawn(check_pattern(peer_in, 1));
        let got_down = tokio::spawn(check_pattern(user_in, 2));
        sent_up.await.unwrap();
        sent_down.await.unwrap();
        assert_eq!(got_up.await.unwrap(), PATTERN_LEN, "{far:?} up");
        assert_eq!(got_down.await.unwrap(), PATTERN_LEN, "{far:?} down");
        let relayed = rig.relay.await.unwrap();
        relayed.end.unwrap();
        assert_eq!(relayed.near_to_far, PATTERN_LEN);
        assert_eq!(relayed.far_to_near, PATTERN_LEN);
        assert_eq!(rig.traffic.near_to_far(), PATTERN_LEN);
        assert_eq!(rig.traffic.far_to_near(), PATTERN_LEN);
    }
}

#[tokio::test]
async fn carries_every_small_message_at_once() {
    for far in ALL {
        let mut rig = Rig::new(far).await;
        for round in 0..200_u8 {
            let message = vec![round; 1 + usize::from(round)];
            exchange(&mut rig.user, &mut rig.peer, &message).await;
            exchange(&mut rig.peer, &mut rig.user, &message).await;
        }
        // The dashboard reads these while the connection lives.
        assert_eq!(rig.traffic.near_to_far(), rig.traffic.far_to_near());
        assert!(rig.traffic.near_to_far() > 0);
    }
}

#[tokio::test]
async fn switches_between_bulk_and_small_without_loss() {
    for far in ALL {
        let mut rig = Rig::new(far).await;
        for len in [1, 200_000, 1, 3_000_000, 64, 65_536, 65_537, 1] {
            let message: Vec<u8> = (0..len).map(|i: u32| (i / 7) as u8).collect();
            exchange(&mut rig.user, &mut rig.peer, &message).await;
            exchange(&mut rig.peer, &mut rig.user, &message).await;
        }
    }
}

#[tokio::test]
async fn what_was_read_before_comes_first_on_both_sides() {
    for far_is_tcp in [true, false] {
        let (user, near) = tcp_pair().await;
        let (far, peer): (Stream, Box<dyn Pipe>) = if far_is_tcp {
            let (far, peer) = tcp_pair().await;
            (Stream::Tcp(far), Box::new(peer))
        } else {
            let (far, peer) = mux_pair().await;
            (Stream::Mux(far), Box::new(peer))
        };
        let near = Carried::Plain {
            stream: Stream::Tcp(near),
            leftover: Bytes::from_static(b"GET "),
        };
        let far = Carried::Plain {
            stream: far,
            leftover: Bytes::from_static(b"220 "),
        };
        let mut rig = Rig::of(user, near, far, peer);
        rig.user.write_all(b"/ HTTP").await.unwrap();
        rig.peer.write_all(b"ready").await.unwrap();
        assert_eq!(read_n(&mut rig.peer, 10).await, b"GET / HTTP");
        assert_eq!(read_n(&mut rig.user, 9).await, b"220 ready");
    }
}

#[tokio::test]
async fn joins_two_tunnels_as_for_a_visitor() {
    let (visitor, near) = mux_pair().await;
    let (far, owner) = mux_pair().await;
    let (unused, _) = tcp_pair().await;
    let mut visitor: Box<dyn Pipe> = Box::new(visitor);
    let near = Stream::Mux(near).into();
    let mut rig = Rig::of(unused, near, Stream::Mux(far).into(), Box::new(owner));
    let message = vec![7; 1_000_000];
    exchange(&mut visitor, &mut rig.peer, &message).await;
    exchange(&mut rig.peer, &mut visitor, &message).await;
    visitor.shutdown().await.unwrap();
    rig.peer.shutdown().await.unwrap();
    rig.relay.await.unwrap().end.unwrap();
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_answer_still_comes() {
    for far in ALL {
        let mut rig = Rig::new(far).await;
        rig.user.write_all(b"question").await.unwrap();
        rig.user.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut rig.peer).await.unwrap(), b"question");
        let answer = vec![9; 300_000];
        let (mut reader, mut writer) = (rig.user, rig.peer);
        let (read, ()) = tokio::join!(read_to_end(&mut reader), async {
            writer.write_all(&answer).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        assert_eq!(read.unwrap(), answer, "{far:?}");
        rig.relay.await.unwrap().end.unwrap();
    }
}

#[tokio::test]
async fn a_half_close_by_the_far_side_is_passed_on_too() {
    for far in ALL {
        let mut rig = Rig::new(far).await;
        rig.peer.write_all(b"banner").await.unwrap();
        rig.peer.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut rig.user).await.unwrap(), b"banner");
        rig.user.write_all(b"still here").await.unwrap();
        assert_eq!(read_n(&mut rig.peer, 10).await, b"still here");
        rig.user.shutdown().await.unwrap();
        assert!(read_to_end(&mut rig.peer).await.unwrap().is_empty());
        rig.relay.await.unwrap().end.unwrap();
    }
}

/// Go's frp closes both directions at its first end, and goes on to take what is sent to it.
#[tokio::test]
async fn the_end_of_a_peer_that_does_not_half_close_is_that_of_both_directions() {
    let (user, near) = tcp_pair().await;
    let (far, mut peer) = mux_pair().await;
    let far = Carried::from(Stream::Mux(far)).of_peer(false);
    let mut rig = Rig::of(user, near.into(), far, Box::new(duplex(1).0));
    rig.user.write_all(b"request").await.unwrap();
    assert_eq!(read_n(&mut peer, 7).await, b"request");
    let answer = vec![3; 500_000];
    let (read, ()) = tokio::join!(read_to_end(&mut rig.user), async {
        peer.write_all(&answer).await.unwrap();
        peer.shutdown().await.unwrap();
    });
    assert!(read.unwrap() == answer, "what came before the end");
    rig.relay.await.unwrap().end.unwrap();
    // The user is let go of without having ended its own direction.
    let mut sent = Ok(());
    while sent.is_ok() {
        sent = rig.user.write_all(b"more").await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_visitor_that_does_not_half_close_ends_both_directions() {
    let (mut visitor, near) = mux_pair().await;
    let (far, mut owner) = mux_pair().await;
    let (unused, _) = tcp_pair().await;
    let near = Carried::from(Stream::Mux(near)).of_peer(false);
    let rig = Rig::of(unused, near, Stream::Mux(far).into(), Box::new(duplex(1).0));
    visitor.write_all(b"request").await.unwrap();
    visitor.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut owner).await.unwrap(), b"request");
    rig.relay.await.unwrap().end.unwrap();
}

/// The service is silent, so nothing is written that could fail.
#[tokio::test]
async fn a_far_side_that_reads_no_more_ends_a_half_closed_pair_at_once() {
    let (mut service, near) = tcp_pair().await;
    let (far, mut peer) = mux_pair().await;
    let far = Stream::Mux(far).into();
    let rig = Rig::of(service, near.into(), far, Box::new(duplex(1).0));
    service = rig.user;
    peer.write_all(b"request").await.unwrap();
    peer.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut service).await.unwrap(), b"request");
    peer.reset();
    let end = rig.relay.await.unwrap().end;
    assert!(matches!(end, Err(RelayError::Far(_))), "{end:?}");
}

/// Whatever carries the user's bytes says that the user was reset, although nobody takes them.
#[tokio::test]
async fn a_user_that_is_reset_while_nobody_takes_anything_takes_the_service_along() {
    for far in [Far::Tcp, Far::Mux, Far::Memory] {
        for answers in [true, false] {
            let (one, other): (Carried, Carried) = match far {
                Far::Mux => {
                    let (one, other) = mux_pair().await;
                    (Stream::Mux(one).into(), Stream::Mux(other).into())
                }
                Far::Memory => {
                    let (one, other) = memory::pair();
                    let stream = |pipe| Stream::Memory(Box::new(pipe));
                    (stream(one).into(), stream(other).into())
                }
                _ => {
                    let (one, other) = tcp_pair().await;
                    (one.into(), other.into())
                }
            };
            let ((user, near), (service, local)) = (tcp_pair().await, tcp_pair().await);
            let (visited, served) = (Traffic::default(), Traffic::default());
            let relays =
                async { tokio::join!(relay(near, one, &visited), serve(local, other, &served)) };
            let leaving = async {
                fill(&user, &service, answers).await;
                user.set_zero_linger().unwrap();
                drop(user);
                service.ready(Interest::ERROR).await.unwrap();
            };
            let both = async { tokio::join!(relays, leaving) };
            let what = format!("{far:?}, answers: {answers}");
            timeout(Duration::from_secs(15), both).await.expect(&what);
        }
    }
}

/// Writes at both ends, or only at the user's, until nothing more is taken for a while.
async fn fill(user: &TcpStream, service: &TcpStream, answers: bool) {
    let data = [7; 64 * 1024];
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(1500) {
        let mut written = user.try_write(&data).is_ok();
        written |= answers && service.try_write(&data).is_ok();
        if written {
            last = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn both_ends_at_once_end_cleanly() {
    for far in ALL {
        let mut rig = Rig::new(far).await;
        rig.user.shutdown().await.unwrap();
        rig.peer.shutdown().await.unwrap();
        assert!(read_to_end(&mut rig.user).await.unwrap().is_empty());
        assert!(read_to_end(&mut rig.peer).await.unwrap().is_empty());
        rig.relay.await.unwrap().end.unwrap();
    }
}

#[tokio::test]
async fn a_reset_by_the_user_is_no_end_for_the_far_side() {
    for far in [Far::Tcp, Far::Mux, Far::Layered, Far::Memory] {
        let mut rig = Rig::new(far).await;
        exchange(&mut rig.user, &mut rig.peer, b"hello").await;
        rig.user.set_zero_linger().unwrap();
        drop(rig.user);
        let error = read_to_end(&mut rig.peer).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{far:?}");
        let end = rig.relay.await.unwrap().end;
        assert!(matches!(end, Err(RelayError::Near(_))), "{end:?}");
    }
}

#[cfg(target_os = "linux")]
/// A server that answers and closes with input unread is reset by its system right behind the
/// answer: a common end, which frp written in Go survives.
#[tokio::test]
async fn what_the_near_side_sent_before_its_reset_arrives_first() {
    for far in [Far::Tcp, Far::Mux, Far::Layered, Far::Memory] {
        let mut rig = Rig::new(far).await;
        exchange(&mut rig.user, &mut rig.peer, b"hello").await;
        // In one go, so that the relay finds the answer and the reset together.
        let answer = vec![7; 40_000];
        rig.user.writable().await.unwrap();
        let sent = rig.user.try_write(&answer).unwrap();
        assert!(sent > 0);
        while unacknowledged(&rig.user) > 0 {
            std::thread::yield_now();
        }
        rig.user.set_zero_linger().unwrap();
        drop(rig.user);
        let relayed = rig.relay.await.unwrap();
        assert!(matches!(relayed.end, Err(RelayError::Near(_))), "{far:?}");
        let mut got = Vec::new();
        let _ = rig.peer.read_to_end(&mut got).await;
        assert_eq!(got.len(), sent, "{far:?}");
    }
}

#[tokio::test]
async fn a_reset_by_the_far_side_comes_after_all_it_sent() {
    // More than the user's window, so that much is on its way when the reset is seen.
    let data = vec![5; 4_000_000];
    let (user, near) = tcp_pair().await;
    let (far, mut peer) = tcp_pair().await;
    let mut rig = Rig::of(user, near.into(), far.into(), Box::new(duplex(1).0));
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        peer.write_all(&sent).await.unwrap();
        while unacknowledged(&peer) > 0 {
            tokio::task::yield_now().await;
        }
        peer
    });
    // Reads no more than it takes for the far side to get rid of everything.
    let mut got = Vec::new();
    let mut buf = vec![0; 16_384];
    while !writer.is_finished() {
        if let Ok(n) = rig.user.try_read(&mut buf) {
            got.extend_from_slice(&buf[..n]);
        }
        tokio::task::yield_now().await;
    }
    let peer = writer.await.unwrap();
    peer.set_zero_linger().unwrap();
    drop(peer);
    let error = loop {
        match rig.user.read(&mut buf).await {
            Ok(0) => panic!("a clean end instead of a reset"),
            Ok(n) => got.extend_from_slice(&buf[..n]),
            Err(e) => break e,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(got == data, "{} of {} bytes", got.len(), data.len());
    assert!(matches!(
        rig.relay.await.unwrap().end,
        Err(RelayError::Far(_))
    ));
}

#[tokio::test]
async fn a_mux_reset_reaches_the_user() {
    let (user, near) = tcp_pair().await;
    let (far, peer) = mux_pair().await;
    let mut rig = Rig::of(
        user,
        near.into(),
        Stream::Mux(far).into(),
        Box::new(duplex(1).0),
    );
    let mut peer = peer;
    peer.write_all(b"data").await.unwrap();
    assert_eq!(read_n(&mut rig.user, 4).await, b"data");
    peer.reset();
    let error = read_to_end(&mut rig.user).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(
        rig.relay.await.unwrap().end,
        Err(RelayError::Far(_))
    ));
}

#[tokio::test]
async fn a_peer_that_closes_both_directions_at_once_loses_nothing_it_sent() {
    // As frp written in Go does at its first end of input, while the user is still sending.
    for far in [Far::Mux, Far::Other] {
        let mut rig = Rig::new(far).await;
        let answer = vec![3; 40_000];
        rig.peer.write_all(&answer).await.unwrap();
        drop(rig.peer);
        let (mut from_user, mut to_user) = rig.user.into_split();
        let sending = tokio::spawn(async move {
            // Ends when the relay lets go of the connection.
            while to_user.write_all(&[0; 10_000]).await.is_ok() {}
        });
        assert_eq!(read_n(&mut from_user, answer.len()).await, answer);
        assert!(matches!(from_user.read(&mut [0]).await, Ok(0)), "{far:?}");
        sending.abort();
        let _ = sending.await;
        drop(from_user);
        let _ = rig.relay.await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_write_does_not_cut_off_what_the_far_side_sent() {
    let (user, near) = tcp_pair().await;
    let (inner, mut backend) = duplex(1 << 20);
    let far = Carried::other(WritesFail(inner));
    let mut rig = Rig::of(user, near.into(), far, Box::new(duplex(1).0));
    rig.user.write_all(b"refused").await.unwrap();
    let answer = vec![1; 500_000];
    backend.write_all(&answer).await.unwrap();
    drop(backend);
    assert!(read_to_end(&mut rig.user).await.unwrap() == answer);
    rig.relay.await.unwrap().end.unwrap();
}

#[tokio::test]
async fn an_abandoned_download_ends_the_far_side() {
    for far in ALL {
        let mut rig = Rig::new(far).await;
        let sending =
            tokio::spawn(async move { while rig.peer.write_all(&[0; 100_000]).await.is_ok() {} });
        read_n(&mut rig.user, 1_000_000).await;
        drop(rig.user);
        let relayed = timeout(Duration::from_secs(20), rig.relay).await;
        let end = relayed.unwrap().unwrap().end;
        assert!(matches!(end, Err(RelayError::Near(_))), "{far:?}: {end:?}");
        timeout(Duration::from_secs(20), sending)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_pair_may_not_idle_for_ever() {
    let (near, mut user) = duplex(1024);
    let (far, peer) = duplex(1024);
    let traffic = Traffic::default();
    let relaying = relay(Carried::other(near), Carried::other(far), &traffic);
    let start = Instant::now();
    let using = async move {
        // An idle pair lives on.
        tokio::time::sleep(Duration::from_secs(100_000)).await;
        let mut peer = peer;
        peer.shutdown().await.unwrap();
        // A half-closed one in use, too.
        for _ in 0..10 {
            tokio::time::sleep(HALF_CLOSED_PATIENCE / 2).await;
            exchange(&mut user, &mut peer, b"upload").await;
        }
        let used_until = Instant::now();
        assert!(read_to_end(&mut user).await.unwrap().is_empty());
        (used_until, user, peer)
    };
    let (relayed, (used_until, ..)) = tokio::join!(relaying, using);
    assert!(matches!(relayed.end, Err(RelayError::HalfClosedIdle)));
    assert!(start.elapsed() > Duration::from_secs(100_000));
    let idle = used_until.elapsed();
    assert!(idle >= HALF_CLOSED_PATIENCE && idle <= HALF_CLOSED_PATIENCE * 2);
}

#[tokio::test]
async fn an_endless_relay_gives_way_to_other_tasks() {
    let traffic = Arc::new(Traffic::default());
    let counted = Arc::clone(&traffic);
    let endless = tokio::spawn(async move {
        relay(Carried::other(Endless), Carried::other(Endless), &counted).await
    });
    // On one thread, this returns only if the relay gives way.
    while traffic.near_to_far() < 10_000_000 || traffic.far_to_near() < 10_000_000 {
        tokio::task::yield_now().await;
    }
    endless.abort();
}

#[tokio::test]
async fn an_idle_relay_costs_less_than_a_kilobyte() {
    let (_user, near) = tcp_pair().await;
    let (far, _peer) = tcp_pair().await;
    let traffic = Traffic::default();
    let size = size_of_val(&relay(near, far.into(), &traffic));
    assert!(size <= 512, "{size} bytes");
}

// ---- tools

const PATTERN_LEN: u64 = 50_000_000;

/// Noise in one half of each block, so that compression has both cases.
struct Pattern {
    state: u64,
}

impl Pattern {
    fn new(seed: u64) -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15 ^ seed,
        }
    }

    fn fill(&mut self, block: &mut [u8; 10_000]) {
        block.fill(b'x');
        for word in block[..5_000].as_chunks_mut::<8>().0 {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            *word = self.state.to_le_bytes();
        }
    }
}

async fn send_pattern(mut to: impl AsyncWrite + Unpin, seed: u64) {
    let mut pattern = Pattern::new(seed);
    let mut block = [0; 10_000];
    for _ in 0..PATTERN_LEN / 10_000 {
        pattern.fill(&mut block);
        to.write_all(&block).await.unwrap();
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end and returns how much of it was right.
async fn check_pattern(mut from: impl AsyncRead + Unpin, seed: u64) -> u64 {
    let mut pattern = Pattern::new(seed);
    let mut expected = [0; 10_000];
    let mut got = [0; 10_000];
    let mut total = 0;
    while from.read_exact(&mut got).await.is_ok() {
        pattern.fill(&mut expected);
        if got != expected {
            break;
        }
        total += got.len() as u64;
    }
    total
}

async fn exchange(
    from: &mut (impl AsyncWrite + Unpin),
    to: &mut (impl AsyncRead + Unpin),
    message: &[u8],
) {
    let sending = async {
        from.write_all(message).await.unwrap();
        from.flush().await.unwrap();
    };
    let ((), got) = tokio::join!(sending, read_n(to, message.len()));
    assert!(got == message);
}

async fn read_n(from: &mut (impl AsyncRead + Unpin), n: usize) -> Vec<u8> {
    let mut got = vec![0; n];
    let read = timeout(Duration::from_secs(20), from.read_exact(&mut got)).await;
    read.unwrap().unwrap();
    got
}

async fn read_to_end(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut got = Vec::new();
    from.read_to_end(&mut got).await?;
    Ok(got)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap().0);
    dialled.set_nodelay(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    (dialled, accepted)
}

/// Both ends of one stream of a session over TCP.
async fn mux_pair() -> (MuxStream, MuxStream) {
    let config = mux::Config {
        keepalive_interval: None,
        stranger: false,
    };
    let (a, b) = tcp_pair().await;
    let (client, _) = support::spawn(a, mux::Role::Client, config.clone());
    let (server, mut incoming) = support::spawn(b, mux::Role::Server, config);
    // As ours tell each other at login.
    client.peer_half_closes();
    server.peer_half_closes();
    let ours = client.open().await.unwrap();
    let theirs = incoming.accept().await.unwrap();
    (ours, theirs)
}

/// Bytes that the peer's system has not taken.
#[cfg(target_os = "linux")]
fn unacknowledged(tcp: &TcpStream) -> u64 {
    use std::os::fd::AsRawFd;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", tcp.as_raw_fd())).unwrap();
    let link = link.to_str().unwrap();
    let inode = link.trim_start_matches("socket:[").trim_end_matches(']');
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(9) == Some(inode))
        .unwrap();
    let queues = line.split_whitespace().nth(4).unwrap();
    u64::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
}

/// Reads as its inner pipe does, refuses every write.
struct WritesFail(DuplexStream);

impl AsyncRead for WritesFail {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for WritesFail {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
}

/// Always has data and always takes it.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.put_slice(&[1; 100]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
