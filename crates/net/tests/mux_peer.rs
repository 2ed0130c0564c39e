//! A scripted peer that speaks raw frames at our mux: one test per rule of the protocol.
#![allow(clippy::unwrap_used)]

mod support;

use std::{future::poll_fn, io, time::Duration};

use frp_net::mux::{self, CloseReason, Config, Incoming, Mux, MuxError, ProtocolError, Role};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::Instant,
};

const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const GO_AWAY: u8 = 3;
const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
/// What frp announces beyond the initial 256 KiB; ours grows as it is used.
const ANNOUNCED: u32 = 6 * MIB - 256 * KIB;

/// (type, flags, stream, length) of a frame, then its payload.
type Frame = ((u8, u16, u32, u32), Vec<u8>);

struct Peer(DuplexStream);

impl Peer {
    async fn send(&mut self, kind: u8, flags: u16, stream: u32, length: u32) {
        self.0
            .write_all(&header(kind, flags, stream, length))
            .await
            .unwrap();
    }

    async fn data(&mut self, flags: u16, stream: u32, payload: &[u8]) {
        self.send(DATA, flags, stream, payload.len() as u32).await;
        self.0.write_all(payload).await.unwrap();
    }

    /// The next frame, `None` at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 12];
        if let Err(e) = self.0.read_exact(&mut header).await {
            assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
            return None;
        }
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = header;
        assert_eq!(version, 0);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let mut payload = vec![0; if kind == DATA { length as usize } else { 0 }];
        self.0.read_exact(&mut payload).await.unwrap();
        let flags = u16::from_be_bytes([f0, f1]);
        Some((
            (kind, flags, u32::from_be_bytes([s0, s1, s2, s3]), length),
            payload,
        ))
    }

    async fn expect(&mut self, kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
        let (head, payload) = self.next().await.expect("a frame, not the end");
        assert_eq!(head, (kind, flags, stream, length));
        payload
    }

    /// Everything sent so far has been handled, and nothing was answered but this.
    async fn sync(&mut self) {
        self.send(PING, SYN, 0, 0xfeed).await;
        self.expect(PING, ACK, 0, 0xfeed).await;
    }
}

fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

fn start(role: Role, keepalive: Option<u64>) -> (Mux, Incoming, Peer) {
    let (io, peer) = duplex(64 * 1024);
    let config = Config {
        keepalive_interval: keepalive.map(Duration::from_secs),
        stranger: false,
    };
    let (mux, incoming) = support::spawn(io, role, config);
    (mux, incoming, Peer(peer))
}

fn server() -> (Mux, Incoming, Peer) {
    start(Role::Server, None)
}

fn client() -> (Mux, Incoming, Peer) {
    start(Role::Client, None)
}

/// A server that has accepted stream 1.
async fn accepted() -> (Mux, Incoming, Peer, mux::MuxStream) {
    let (mux, mut incoming, mut peer) = server();
    peer.send(WINDOW, SYN, 1, ANNOUNCED).await;
    let stream = incoming.accept().await.unwrap();
    peer.expect(WINDOW, ACK, 1, 0).await;
    (mux, incoming, peer, stream)
}

#[tokio::test]
async fn open_announces_the_window_and_ends_with_one_fin() {
    let (mux, _incoming, mut peer) = client();
    let mut stream = mux.open().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    peer.expect(WINDOW, SYN, 1, 0).await;
    assert_eq!(peer.expect(DATA, 0, 1, 5).await, b"hello");
    peer.send(WINDOW, ACK, 1, ANNOUNCED).await;
    stream.write_all(b"bye").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(peer.expect(DATA, 0, 1, 3).await, b"bye");
    peer.expect(WINDOW, FIN, 1, 0).await;
    stream.shutdown().await.unwrap();
    drop(stream);
    peer.sync().await;
    assert_eq!(mux.open().await.unwrap().id(), 3);
}

#[tokio::test]
async fn the_server_opens_even_numbers() {
    let (mux, _incoming, mut peer) = server();
    assert_eq!(mux.open().await.unwrap().id(), 2);
    peer.expect(WINDOW, SYN, 2, 0).await;
}

#[tokio::test]
async fn the_acknowledgement_is_sent_at_accept_not_before() {
    let (_mux, mut incoming, mut peer) = server();
    peer.send(WINDOW, SYN, 1, ANNOUNCED).await;
    peer.data(0, 1, b"early").await;
    peer.sync().await;
    let mut stream = incoming.accept().await.unwrap();
    peer.expect(WINDOW, ACK, 1, 0).await;
    let mut data = [0; 5];
    stream.read_exact(&mut data).await.unwrap();
    assert_eq!(&data, b"early");
}

#[tokio::test]
async fn a_syn_may_carry_data() {
    let (_mux, mut incoming, mut peer) = server();
    peer.data(SYN, 1, b"first").await;
    let mut stream = incoming.accept().await.unwrap();
    let mut data = [0; 5];
    stream.read_exact(&mut data).await.unwrap();
    assert_eq!(&data, b"first");
}

#[tokio::test]
async fn the_window_is_given_back_when_half_of_it_has_been_used() {
    let (_mux, _incoming, mut peer, mut stream) = accepted().await;
    let frame = vec![7; 56 * 1024];
    let mut buf = frame.clone();
    for _ in 0..4 {
        peer.sync().await;
        peer.data(0, 1, &frame).await;
        stream.read_exact(&mut buf).await.unwrap();
    }
    // A reader may have kept 96 KiB. The rest is used once it comes back for more.
    tokio::select! {
        more = stream.read(&mut buf) => panic!("{more:?}"),
        _ = peer.expect(WINDOW, 0, 1, 128 * KIB) => {}
    }
}

#[tokio::test]
async fn a_frame_of_the_whole_window_is_streamed_through() {
    let (_mux, _incoming, mut peer, mut stream) = accepted().await;
    peer.send(DATA, 0, 1, 256 * KIB).await;
    let send = async {
        for n in 0..16u32 {
            peer.0.write_all(&[n as u8; 16 * 1024]).await.unwrap();
        }
    };
    let read = async {
        let mut buf = vec![0; 16 * 1024];
        for n in 0..16u32 {
            stream.read_exact(&mut buf).await.unwrap();
            assert!(buf.iter().all(|&b| b == n as u8));
        }
    };
    tokio::join!(send, read);
    // The update at half of the window, then the rest of it: no more than 256 KiB in all.
    let ((kind, flags, id, length), _) = peer.next().await.unwrap();
    assert_eq!((kind, flags, id), (WINDOW, 0, 1));
    assert!((128 * KIB..=256 * KIB).contains(&length), "{length}");
}

#[tokio::test]
async fn data_beyond_the_window_ends_the_session() {
    let (mux, mut incoming, mut peer) = server();
    peer.send(WINDOW, SYN, 1, 0).await;
    peer.send(DATA, 0, 1, 256 * KIB + 1).await;
    peer.expect(GO_AWAY, 0, 0, 1).await;
    assert!(peer.next().await.is_none());
    let expected = ProtocolError::Window {
        stream: 1,
        length: 256 * KIB + 1,
        window: 256 * KIB,
    };
    drop(peer);
    assert!(matches!(mux.closed().await, CloseReason::Protocol(e) if e == expected));
    assert!(incoming.accept().await.is_none());
}

#[tokio::test]
async fn broken_rules_end_the_session_with_a_go_away() {
    type Frames<'a> = &'a [(u8, u16, u32)];
    let cases: [(Frames<'_>, ProtocolError); 4] = [
        (
            &[(WINDOW, SYN, 1), (WINDOW, FIN, 1), (WINDOW, FIN, 1)],
            ProtocolError::SecondFin(1),
        ),
        (
            &[(WINDOW, SYN, 1), (WINDOW, SYN, 1)],
            ProtocolError::DuplicateStream(1),
        ),
        (&[(WINDOW, SYN, 2)], ProtocolError::StreamId(2)),
        (&[(WINDOW, SYN, 0)], ProtocolError::StreamId(0)),
    ];
    for (frames, expected) in cases {
        let (mux, _incoming, mut peer) = server();
        for &(kind, flags, stream) in frames {
            peer.send(kind, flags, stream, 0).await;
        }
        peer.expect(GO_AWAY, 0, 0, 1).await;
        assert!(peer.next().await.is_none());
        drop(peer);
        assert!(matches!(mux.closed().await, CloseReason::Protocol(e) if e == expected));
    }
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_session_in_silence() {
    for (bytes, expected) in [
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
            ProtocolError::Version(0x16),
        ),
        (b"\x00\x09\0\0\0\0\0\0\0\0\0\0", ProtocolError::Kind(9)),
    ] {
        let (mux, _incoming, mut peer) = server();
        peer.0.write_all(bytes).await.unwrap();
        peer.0.shutdown().await.unwrap();
        assert!(peer.next().await.is_none());
        assert!(matches!(mux.closed().await, CloseReason::Protocol(e) if e == expected));
    }
}

#[tokio::test]
async fn frames_of_unknown_streams_are_drained() {
    let (_mux, mut incoming, mut peer) = server();
    peer.data(0, 99, &[1; 100_000]).await;
    peer.data(FIN, 98, b"x").await;
    peer.send(WINDOW, RST, 97, 0).await;
    peer.send(WINDOW, 0, 96, 5).await;
    peer.sync().await;
    peer.send(WINDOW, SYN, 1, 0).await;
    assert_eq!(incoming.accept().await.unwrap().id(), 1);
}

#[tokio::test]
async fn data_with_fin_is_delivered_before_the_end() {
    let (_mux, _incoming, mut peer, mut stream) = accepted().await;
    peer.data(FIN, 1, b"last").await;
    // Go can send this when a write and a close race.
    peer.data(0, 1, b"too late").await;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");
    // The other direction goes on.
    stream.write_all(b"answer").await.unwrap();
    assert_eq!(peer.expect(DATA, 0, 1, 6).await, b"answer");
}

#[tokio::test]
async fn data_before_a_reset_is_delivered() {
    let (_mux, _incoming, mut peer, mut stream) = accepted().await;
    peer.data(0, 1, b"last words").await;
    peer.send(WINDOW, RST, 1, 0).await;
    peer.sync().await;
    let mut all = Vec::new();
    let error = stream.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(
        (all.as_slice(), error.kind()),
        (&b"last words"[..], io::ErrorKind::ConnectionReset)
    );
    drop(stream);
    peer.sync().await;
}

#[tokio::test]
async fn a_sender_waits_for_the_window() {
    let (mux, _incoming, mut peer) = client();
    let mut stream = mux.open().await.unwrap();
    let writer = tokio::spawn(async move {
        stream.write_all(&[5; 1_000_000]).await.unwrap();
        stream
    });
    peer.expect(WINDOW, SYN, 1, 0).await;
    let mut received = 0;
    while received < 256 * KIB {
        let ((kind, flags, id, length), _) = peer.next().await.unwrap();
        assert_eq!((kind, flags, id), (DATA, 0, 1));
        received += length;
    }
    assert_eq!(received, 256 * KIB);
    peer.sync().await;
    peer.send(WINDOW, ACK, 1, 1000).await;
    peer.expect(DATA, 0, 1, 1000).await;
    peer.send(WINDOW, 0, 1, 5 * MIB).await;
    received += 1000;
    while received < 1_000_000 {
        received += peer.next().await.unwrap().0.3;
    }
    assert_eq!(received, 1_000_000);
    drop(writer.await.unwrap());
    peer.expect(WINDOW, FIN, 1, 0).await;
}

#[tokio::test]
async fn streams_beyond_the_backlog_are_reset() {
    let (_mux, mut incoming, mut peer) = server();
    for n in 0..258 {
        peer.send(WINDOW, SYN, 2 * n + 1, 0).await;
    }
    peer.expect(WINDOW, RST, 513, 0).await;
    peer.expect(WINDOW, RST, 515, 0).await;
    let _stream = incoming.accept().await.unwrap();
    peer.expect(WINDOW, ACK, 1, 0).await;
    peer.send(WINDOW, SYN, 517, 0).await;
    peer.sync().await;
}

#[tokio::test]
async fn who_accepts_nothing_refuses_at_once() {
    let (_mux, incoming, mut peer) = client();
    peer.send(WINDOW, SYN, 2, 0).await;
    peer.sync().await;
    drop(incoming);
    peer.expect(WINDOW, RST, 2, 0).await;
    peer.send(WINDOW, SYN, 4, 0).await;
    peer.expect(WINDOW, RST, 4, 0).await;
}

#[tokio::test]
async fn go_away_zero_stops_new_streams_only() {
    let (mux, _incoming, mut peer) = client();
    let mut stream = mux.open().await.unwrap();
    peer.expect(WINDOW, SYN, 1, 0).await;
    peer.send(GO_AWAY, 0, 0, 0).await;
    peer.sync().await;
    assert!(matches!(mux.open().await, Err(MuxError::GoAway)));
    stream.write_all(b"x").await.unwrap();
    peer.expect(DATA, 0, 1, 1).await;
    peer.data(0, 1, b"y").await;
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
}

#[tokio::test]
async fn other_go_aways_end_the_session() {
    for code in [1, 2, 77] {
        let (mux, _incoming, mut peer) = client();
        let mut stream = mux.open().await.unwrap();
        peer.send(GO_AWAY, 0, 0, code).await;
        assert!(matches!(mux.closed().await, CloseReason::GoAway(c) if c == code));
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}

#[tokio::test]
async fn go_away_fails_the_opens_that_wait() {
    let (mux, _incoming, mut peer) = client();
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(mux.open().await.unwrap());
    }
    let mut waiting = tokio_util::task::AbortOnDropHandle::new(tokio::spawn({
        let mux = mux.clone();
        async move { mux.open().await.map(|stream| stream.id()) }
    }));
    peer.expect(WINDOW, SYN, 1, 0).await;
    assert!(
        poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut waiting).poll(cx).is_pending())
        })
        .await
    );
    peer.send(GO_AWAY, 0, 0, 0).await;
    assert!(matches!(waiting.await.unwrap(), Err(MuxError::GoAway)));
}

#[tokio::test]
async fn a_reset_stream_frees_its_place_for_another_open() {
    let (mux, _incoming, mut peer) = client();
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(mux.open().await.unwrap());
    }
    let waiting = tokio::spawn(async move { mux.open().await.unwrap().id() });
    peer.send(WINDOW, RST, 5, 0).await;
    assert_eq!(waiting.await.unwrap(), 513);
}

#[tokio::test]
async fn the_end_of_the_connection_inside_a_frame_ends_the_session() {
    let (mux, _incoming, mut peer, mut stream) = accepted().await;
    peer.send(DATA, 0, 1, 100).await;
    peer.0.write_all(b"half").await.unwrap();
    drop(peer);
    assert!(matches!(mux.closed().await, CloseReason::PeerClosed));
    let mut all = Vec::new();
    let error = stream.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(
        (all.as_slice(), error.kind()),
        (&b"half"[..], io::ErrorKind::ConnectionAborted)
    );
}

#[tokio::test]
async fn a_peer_that_floods_pings_and_never_reads_stalls_no_stream() {
    let (io, peer) = duplex(4 * 1024);
    let (_mux, mut incoming) = support::spawn(
        io,
        Role::Server,
        Config {
            keepalive_interval: None,
            stranger: false,
        },
    );
    let mut peer = Peer(peer);
    peer.send(WINDOW, SYN, 1, ANNOUNCED).await;
    let mut stream = incoming.accept().await.unwrap();
    // All answers together would be 12 MB; the pipe holds 4 KiB of them.
    for id in 0..1_000_000 / 64 {
        let pings: Vec<u8> = (0..64)
            .flat_map(|n| header(PING, SYN, 0, id * 64 + n))
            .collect();
        peer.0.write_all(&pings).await.unwrap();
    }
    peer.data(0, 1, b"through").await;
    let mut data = [0; 7];
    stream.read_exact(&mut data).await.unwrap();
    assert_eq!(&data, b"through");
}

// --- time ---

#[tokio::test(start_paused = true)]
async fn pings_go_out_at_the_interval_and_answers_keep_the_session() {
    for role in [Role::Client, Role::Server] {
        let (mux, _incoming, mut peer) = start(role, Some(30));
        let mut before = Instant::now();
        for id in 0..5 {
            peer.expect(PING, SYN, 0, id).await;
            let waited = before.elapsed();
            assert!((30..31).contains(&waited.as_secs()), "{waited:?}");
            tokio::time::sleep(Duration::from_secs(9)).await;
            peer.send(PING, ACK, 0, id).await;
            before = Instant::now();
        }
        assert!(!mux.is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_ping_ends_the_session_of_both_roles() {
    for role in [Role::Client, Role::Server] {
        let (mux, _incoming, mut peer) = start(role, Some(30));
        let start = Instant::now();
        peer.expect(PING, SYN, 0, 0).await;
        // The answer to another ping is none.
        peer.send(PING, ACK, 0, 7).await;
        assert!(peer.next().await.is_none());
        assert!(matches!(mux.closed().await, CloseReason::PingTimeout));
        assert!((40..41).contains(&start.elapsed().as_secs()));
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_silence_is_fine() {
    let (mux, _incoming, mut peer) = server();
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert!(!mux.is_closed());
    peer.sync().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_nothing_for_ten_seconds_ends_the_session() {
    let (mux, _incoming, peer, mut stream) = accepted().await;
    let start = Instant::now();
    let writer = tokio::spawn(async move { stream.write_all(&[0; 1_000_000]).await });
    assert!(matches!(mux.closed().await, CloseReason::WriteTimeout));
    assert!((10..11).contains(&start.elapsed().as_secs()));
    assert_eq!(
        writer.await.unwrap().unwrap_err().kind(),
        io::ErrorKind::ConnectionAborted
    );
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_is_no_dead_one() {
    let (mux, _incoming, mut peer, mut stream) = accepted().await;
    let writer = tokio::spawn(async move {
        stream.write_all(&[0; 256 * 1024]).await.unwrap();
        stream
    });
    for _ in 0..64 {
        tokio::time::sleep(Duration::from_secs(9)).await;
        let mut some = vec![0; 4096];
        peer.0.read_exact(&mut some).await.unwrap();
    }
    let _stream = writer.await.unwrap();
    assert!(!mux.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_open_without_acknowledgement_ends_the_session_after_75_s() {
    let (mux, _incoming, mut peer) = client();
    let start = Instant::now();
    let _stream = mux.open().await.unwrap();
    peer.expect(WINDOW, SYN, 1, 0).await;
    assert!(matches!(mux.closed().await, CloseReason::OpenTimeout));
    assert!((75..76).contains(&start.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_or_finished_open_may_stay_silent() {
    let (mux, _incoming, mut peer) = client();
    let _acknowledged = mux.open().await.unwrap();
    let _reset = mux.open().await.unwrap();
    let mut finished = mux.open().await.unwrap();
    // Go acknowledges no stream that was finished before its accept.
    finished.shutdown().await.unwrap();
    drop(mux.open().await.unwrap());
    peer.send(WINDOW, ACK, 1, ANNOUNCED).await;
    peer.send(WINDOW, RST, 3, 0).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!mux.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_finished_and_its_data_discarded() {
    let (_mux, _incoming, mut peer, mut stream) = accepted().await;
    stream.write_all(b"bye").await.unwrap();
    drop(stream);
    assert_eq!(peer.expect(DATA, 0, 1, 3).await, b"bye");
    peer.expect(WINDOW, FIN, 1, 0).await;
    peer.data(0, 1, &[0; 200_000]).await;
    // The peer reads at leisure what it has been sent: no reset disturbs it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    peer.send(WINDOW, FIN, 1, 0).await;
    peer.sync().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    peer.sync().await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_hangs_on_a_dropped_stream_is_reset_after_30_s() {
    let (_mux, _incoming, mut peer, stream) = accepted().await;
    let start = Instant::now();
    drop(stream);
    peer.expect(WINDOW, FIN, 1, 0).await;
    for _ in 0..4 {
        peer.data(0, 1, &[0; 64 * 1024]).await;
    }
    peer.expect(WINDOW, RST, 1, 0).await;
    assert!(
        (30..41).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_that_the_peer_forgets_is_reset_after_5_min() {
    let (_mux, _incoming, mut peer, stream) = accepted().await;
    let start = Instant::now();
    drop(stream);
    peer.expect(WINDOW, FIN, 1, 0).await;
    peer.expect(WINDOW, RST, 1, 0).await;
    assert!(
        (300..311).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
}
