//! The layers against bytes recorded from frp 0.70.1, and against every way to split a stream.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../net/tests/support/mod.rs"]
mod support;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use frp_net::below::Below;
use frp_net::mux::{self, MuxStream};
use frp_net::stream::Stream;
use frp_proto::crypto::aead::Algorithm;
use frp_proto::crypto::cfb::{Encryptor, IV_LEN, Key};
use frp_relay::layers::{
    AeadStream, Bucket, Carried, CipherStream, LayerOptions, LimitStream, Side, SnappyStream, wrap,
};
use proptest::prelude::*;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::time::Instant;

const SNAPPY: &str = include_str!("layers/snappy.json");
const CFB: &str = include_str!("../../proto/tests/golden/cfb.json");
const AEAD: &str = include_str!("../../proto/tests/golden/aead.json");

// ---- snappy

#[tokio::test]
async fn snappy_reads_what_go_wrote_however_it_is_split() {
    let golden: Value = serde_json::from_str(SNAPPY).unwrap();
    let cases = golden["reading"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let stream = hex(&case["stream"]);
        for step in 1..=stream.len().max(1) {
            let (plain, error) = read_all(SnappyStream::new(Pieces::new(&stream, step))).await;
            assert_eq!(plain, hex(&case["output"]), "{} by {step}", case["case"]);
            assert_eq!(
                error.is_some(),
                !case["error"].as_str().unwrap().is_empty(),
                "{} by {step}: {error:?}",
                case["case"]
            );
        }
    }
}

#[tokio::test]
async fn what_came_before_a_damaged_chunk_arrives_however_it_is_split() {
    // "hello" in a chunk with its checksum, then one whose checksum is wrong.
    let (near, mut far) = duplex(1000);
    let mut good = SnappyStream::new(near);
    good.write_all(b"hello").await.unwrap();
    drop(good);
    let mut stream = Vec::new();
    far.read_to_end(&mut stream).await.unwrap();
    stream.extend_from_slice(b"\x01\x09\x00\x00\0\0\0\0world");
    for step in 1..=stream.len() {
        let mut io = SnappyStream::new(Pieces::new(&stream, step));
        let mut plain = Vec::new();
        let error = io.read_to_end(&mut plain).await.unwrap_err();
        assert_eq!(plain, b"hello", "by {step}");
        assert!(error.to_string().contains("checksum"), "by {step}: {error}");
    }
}

#[tokio::test]
async fn snappy_reads_the_streams_of_the_go_encoder() {
    let golden: Value = serde_json::from_str(SNAPPY).unwrap();
    let mut read = 0;
    for case in golden["writing"].as_array().unwrap() {
        let Some(stream) = case.get("stream") else {
            continue;
        };
        let (plain, error) = read_all(SnappyStream::new(&hex(stream)[..])).await;
        assert!(error.is_none(), "{}: {error:?}", case["case"]);
        assert!(
            plain == input(case).concat(),
            "{} decodes otherwise",
            case["case"]
        );
        read += 1;
    }
    assert!(read >= 9, "only {read} whole streams are in the file");
}

#[tokio::test]
async fn snappy_sends_every_write_at_once() {
    let golden: Value = serde_json::from_str(SNAPPY).unwrap();
    let mut same_bytes = 0;
    for case in golden["writing"].as_array().unwrap() {
        let sink = Sink::default();
        let mut stream = SnappyStream::new(sink.clone());
        let mut plain_so_far = Vec::new();
        for write in input(case) {
            stream.write_all(&write).await.unwrap();
            plain_so_far.extend_from_slice(&write);
            let (plain, error) = read_all(SnappyStream::new(&sink.bytes()[..])).await;
            assert!(error.is_none(), "{}: {error:?}", case["case"]);
            assert!(
                plain == plain_so_far,
                "{}: something was held back",
                case["case"]
            );
        }
        // Any encoding will do; where there is nothing to compress there is but one.
        if let Some(go) = case.get("stream")
            && hex(go) == sink.bytes()
        {
            same_bytes += 1;
        }
    }
    assert!(same_bytes >= 5, "only {same_bytes} as Go encodes them");
}

#[tokio::test]
async fn snappy_refuses_what_would_need_unbounded_memory() {
    for bad in [
        &b"\xff\x06\x00\x00sNaPpY\x00\xff\xff\xff"[..],
        // A block that claims to become 4 GiB.
        &b"\xff\x06\x00\x00sNaPpY\x00\x0a\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x0f\x00"[..],
        &b"\xff\x07\x00\x00sNaPpY!"[..],
        &b"\xff\x06\x00\x00sNaPpX"[..],
    ] {
        let (_, error) = read_all(SnappyStream::new(bad)).await;
        assert_eq!(error.unwrap().kind(), io::ErrorKind::InvalidData);
    }
}

/// Chunks of nothing and chunks to skip, of which a peer may send as many as it likes.
#[tokio::test]
async fn snappy_gives_way_to_others_where_there_is_nothing_to_read() {
    let nothing = b"\x01\x04\x00\x00\xd8\xea\x82\xa2";
    for idle in [
        &nothing[..],
        b"\xfe\x04\x00\x00pads",
        b"\xff\x06\x00\x00sNaPpY",
    ] {
        let chunk = compressed(b"x").await.split_off(MAGIC.len());
        let stream = [MAGIC, &idle.repeat(100), &chunk].concat();
        let ready = Ready(&stream, idle.len());
        assert!(polls_until_read(SnappyStream::new(ready)).await >= 25);
    }
}

const MAGIC: &[u8] = b"\xff\x06\x00\x00sNaPpY";

async fn compressed(plain: &[u8]) -> Vec<u8> {
    let sink = Sink::default();
    SnappyStream::new(sink.clone())
        .write_all(plain)
        .await
        .unwrap();
    sink.bytes()
}

/// How often a reader is called until it gets its `x`.
async fn polls_until_read(mut stream: impl AsyncRead + Unpin) -> usize {
    let mut polls = 0;
    let mut space = [0; 64];
    std::future::poll_fn(|cx| {
        polls += 1;
        let mut buf = ReadBuf::new(&mut space);
        let read = Pin::new(&mut stream).poll_read(cx, &mut buf);
        read.map(|read| assert!(read.is_ok() && buf.filled().starts_with(b"x")))
    })
    .await;
    polls
}

// ---- cipher

#[tokio::test]
async fn cipher_reads_what_go_wrote_however_it_is_split() {
    let golden: Value = serde_json::from_str(CFB).unwrap();
    for case in golden["streams"].as_array().unwrap() {
        let stream = hex(&case["stream"]);
        let plain: Vec<u8> = input(case).concat();
        for step in 1..stream.len() {
            let io = CipherStream::new(Pieces::new(&stream, step), key(case));
            let (got, error) = read_all(io).await;
            assert!(error.is_none(), "{error:?}");
            assert_eq!(got, plain, "in steps of {step}");
        }
    }
}

#[tokio::test]
async fn cipher_sends_its_iv_with_the_first_data_and_not_before() {
    let sink = Sink::default();
    let mut io = CipherStream::new(sink.clone(), Key::derive(b"12345678"));
    io.flush().await.unwrap();
    assert!(sink.bytes().is_empty());
    for piece in [
        &b"hello"[..],
        b"",
        b" ",
        b"world, this is more than one block",
    ] {
        io.write_all(piece).await.unwrap();
    }
    let wire = sink.bytes();
    let (iv, data) = wire.split_first_chunk::<IV_LEN>().unwrap();
    let mut expected = *b"hello world, this is more than one block";
    Encryptor::new(&Key::derive(b"12345678"), *iv).encrypt(&mut expected);
    assert_eq!(data, expected);
}

#[tokio::test]
async fn cipher_ends_cleanly_only_outside_its_iv() {
    let io = CipherStream::new(&b""[..], Key::derive(b""));
    assert!(read_all(io).await.1.is_none());
    let io = CipherStream::new(&b"half an iv"[..], Key::derive(b""));
    let error = read_all(io).await.1.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

// ---- aead

#[tokio::test]
async fn aead_reads_what_go_wrote_however_it_is_split() {
    let golden: Value = serde_json::from_str(AEAD).unwrap();
    let cases = golden["control_channel"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let stream = hex(&case["stream"]);
        for step in 1..stream.len() {
            let (plain, error) = read_all(aead(Pieces::new(&stream, step), case, false)).await;
            assert!(error.is_none(), "{error:?}");
            assert!(plain.windows(10).any(|w| w == b"1700000003"), "{plain:?}");
        }
        let (whole, _) = read_all(aead(&stream[..], case, false)).await;
        // What we write, the other end of ours reads, and begins otherwise every time.
        let sink = Sink::default();
        let mut writer = aead(sink.clone(), case, true);
        writer.write_all(&whole).await.unwrap();
        assert_ne!(sink.bytes()[..12], stream[..12]);
        let (again, error) = read_all(aead(&sink.bytes()[..], case, false)).await;
        assert!(error.is_none() && again == whole);
        // Cut and changed streams.
        let (_, error) = read_all(aead(&stream[..stream.len() - 1], case, false)).await;
        assert_eq!(error.unwrap().kind(), io::ErrorKind::UnexpectedEof);
        let mut changed = stream.clone();
        *changed.last_mut().unwrap() ^= 1;
        let (before, error) = read_all(aead(&changed[..], case, false)).await;
        assert_eq!(error.unwrap().kind(), io::ErrorKind::InvalidData);
        assert!(whole.starts_with(&before) && before.len() < whole.len());
    }
}

// ---- order

#[tokio::test]
async fn compression_goes_inside_encryption_on_both_sides() {
    let golden: Value = serde_json::from_str(SNAPPY).unwrap();
    let case = &golden["encryption_then_compression"];
    for side in [Side::Client, Side::Server] {
        let (mut wire, stream) = mux_pair().await;
        let opts = LayerOptions {
            cipher: Some(key(case)),
            compress: true,
            limit: Some(Arc::new(Bucket::new(1 << 30))),
        };
        // The first bytes come as left over from the last message.
        let bytes = hex(&case["stream"]);
        let (leftover, rest) = bytes.split_at(21);
        let io = wrap(
            Stream::Mux(stream),
            Bytes::copy_from_slice(leftover),
            &opts,
            side,
        );
        wire.write_all(rest).await.unwrap();
        wire.shutdown().await.unwrap();
        let (plain, error) = read_all(io).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(plain, input(case).concat());
    }
}

#[tokio::test]
async fn no_options_leave_the_stream_plain() {
    let (_peer, stream) = mux_pair().await;
    let carried = wrap(
        Stream::Mux(stream),
        Bytes::from_static(b"rest"),
        &LayerOptions::default(),
        Side::Server,
    );
    assert!(matches!(carried, Carried::Plain { leftover, .. } if leftover == "rest"));
}

#[tokio::test(start_paused = true)]
async fn frpc_limits_what_goes_over_the_wire_and_frps_what_the_user_gets() {
    for (side, seconds) in [(Side::Client, 0), (Side::Server, 4)] {
        let (mut wire, stream) = mux_pair().await;
        tokio::spawn(async move {
            let mut sink = [0; 4096];
            while wire.read(&mut sink).await.unwrap() > 0 {}
        });
        let opts = LayerOptions {
            cipher: None,
            compress: true,
            limit: Some(Arc::new(Bucket::new(10_240))),
        };
        let mut io = wrap(Stream::Mux(stream), Bytes::new(), &opts, side);
        let start = Instant::now();
        io.write_all(&[0; 5 * 10_240]).await.unwrap();
        io.flush().await.unwrap();
        assert_eq!(start.elapsed().as_secs(), seconds, "{side:?}");
    }
}

// ---- limit

#[tokio::test(start_paused = true)]
async fn limit_lets_a_burst_pass_and_then_its_rate() {
    let (inner, mut peer) = duplex(1 << 20);
    let mut io = LimitStream::new(inner, Arc::new(Bucket::new(1000)));
    let start = Instant::now();
    io.write_all(&[0; 1000]).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    io.write_all(&[0; 2500]).await.unwrap();
    assert_close(start.elapsed(), 2500);
    // Reading draws on the same bucket, and what was read counts before it is handed out.
    peer.write_all(&[0; 500]).await.unwrap();
    io.read_exact(&mut [0; 500]).await.unwrap();
    assert_close(start.elapsed(), 3000);
    // Idle time fills it up to one second's worth.
    tokio::time::advance(Duration::from_secs(60)).await;
    let start = Instant::now();
    io.write_all(&[0; 1500]).await.unwrap();
    assert_close(start.elapsed(), 500);
}

#[tokio::test(start_paused = true)]
async fn limit_is_shared_by_all_connections_of_a_proxy() {
    let bucket = Arc::new(Bucket::new(10_240));
    let start = Instant::now();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (inner, peer) = duplex(1 << 20);
            let mut io = LimitStream::new(inner, Arc::clone(&bucket));
            tokio::spawn(async move {
                io.write_all(&[0; 25_600]).await.unwrap();
                peer
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_close(start.elapsed(), 9000);
}

#[tokio::test(start_paused = true)]
async fn limit_slows_an_echo_by_both_directions() {
    let (inner, peer) = duplex(1 << 20);
    let (mut from, mut to) = tokio::io::split(peer);
    tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
    let mut io = LimitStream::new(inner, Arc::new(Bucket::new(10_240)));
    let start = Instant::now();
    io.write_all(&[0; 50 * 1024]).await.unwrap();
    io.read_exact(&mut [0; 50 * 1024]).await.unwrap();
    assert_close(start.elapsed(), 9000);
}

/// Timers count whole milliseconds.
fn assert_close(elapsed: Duration, millis: u128) {
    let elapsed = elapsed.as_millis();
    assert!(
        (millis..=millis + 20).contains(&elapsed),
        "{elapsed} ms instead of {millis}"
    );
}

// ---- all of them

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_layers_carry_any_writes_over_any_splits(
        writes in proptest::collection::vec((0usize..9000, 0u8..4), 1..12),
        encrypt: bool,
        compress: bool,
        limit: bool,
        step in 1usize..5000,
        side in prop_oneof![Just(Side::Client), Just(Side::Server)],
    ) {
        let writes: Vec<Vec<u8>> = writes
            .iter()
            .map(|&(len, kind)| noise(len).into_iter().map(|b| b >> (2 * kind)).collect())
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let all = writes.concat();
        let got = runtime.block_on(async move {
            let (ours, theirs) = duplex(step);
            let opts = LayerOptions {
                cipher: encrypt.then(|| Key::derive(b"token")),
                compress,
                limit: limit.then(|| Arc::new(Bucket::new(5000))),
            };
            let mut ours = over_mux(ours, mux::Role::Client, &opts, side).await;
            let other = if side == Side::Client { Side::Server } else { Side::Client };
            let theirs = tokio::spawn(async move {
                let theirs = over_mux(theirs, mux::Role::Server, &opts, other).await;
                read_all(theirs).await
            });
            for write in writes {
                ours.write_all(&write).await.unwrap();
            }
            ours.shutdown().await.unwrap();
            theirs.await.unwrap()
        });
        prop_assert!(got.1.is_none(), "{:?}", got.1);
        prop_assert!(got.0 == all);
    }
}

// ---- tools

async fn over_mux<T>(io: T, role: mux::Role, opts: &LayerOptions, side: Side) -> Carried
where
    T: Below + Send + 'static,
{
    let (mux, mut incoming) = support::spawn(io, role, quiet());
    let stream = match role {
        mux::Role::Client => mux.open().await.unwrap(),
        mux::Role::Server => incoming.accept().await.unwrap(),
    };
    wrap(Stream::Mux(stream), Bytes::new(), opts, side)
}

fn quiet() -> mux::Config {
    mux::Config {
        keepalive_interval: None,
        stranger: false,
    }
}

/// Both ends of one stream of a session in memory.
async fn mux_pair() -> (MuxStream, MuxStream) {
    let (a, b) = duplex(1 << 16);
    let (client, _) = support::spawn(a, mux::Role::Client, quiet());
    let (_, mut incoming) = support::spawn(b, mux::Role::Server, quiet());
    let ours = client.open().await.unwrap();
    let theirs = incoming.accept().await.unwrap();
    (ours, theirs)
}

fn aead<T>(io: T, case: &Value, writes: bool) -> AeadStream<T> {
    let algorithm = Algorithm::parse(case["algorithm"].as_str().unwrap()).unwrap();
    let by_client = case["written_by"] == "client";
    let side = if by_client == writes {
        Side::Client
    } else {
        Side::Server
    };
    let transcript = hex(&case["transcript_hash"]).try_into().unwrap();
    let token = case["token"].as_str().unwrap().as_bytes();
    AeadStream::new(io, side, algorithm, token, &transcript)
}

/// A long record in small pieces: nothing is left of any but the last.
#[tokio::test]
async fn aead_gives_way_to_others_where_there_is_nothing_to_read() {
    let golden: Value = serde_json::from_str(AEAD).unwrap();
    let case = &golden["control_channel"][0];
    let sink = Sink::default();
    let mut writer = aead(sink.clone(), case, true);
    writer.write_all(&[b'x'; 10_000]).await.unwrap();
    let stream = sink.bytes();
    let reader = aead(Ready(&stream, 40), case, false);
    assert!(polls_until_read(reader).await >= 60);
}

fn key(case: &Value) -> Key {
    Key::derive(case["token"].as_str().unwrap().as_bytes())
}

/// The writes of a golden case, from their hexadecimal digits or by their rule.
fn input(case: &Value) -> Vec<Vec<u8>> {
    const LINE: &[u8] = b"The quick brown fox jumps over the lazy dog. ";
    if let Some(writes) = case.get("writes") {
        return writes.as_array().unwrap().iter().map(hex).collect();
    }
    vec![match case["input_rule"].as_str().unwrap() {
        "noise(5000)" => noise(5000),
        "65536 zero bytes" => vec![0; 65_536],
        "65537 zero bytes" => vec![0; 65_537],
        "the line repeated and cut at 102400" => {
            LINE.iter().copied().cycle().take(102_400).collect()
        }
        rule => panic!("unknown rule {rule}"),
    }]
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(step).collect()
}

fn hex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

/// Everything up to the end or an error. Reads are of odd sizes.
async fn read_all(mut io: impl AsyncRead + Unpin) -> (Vec<u8>, Option<io::Error>) {
    let mut all = Vec::new();
    let mut buf = [0; 1777];
    for size in [1, 3, 1000, 1777].iter().cycle() {
        match io.read(&mut buf[..*size]).await {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) => return (all, Some(e)),
        }
    }
    (all, None)
}

/// Gives its bytes `step` at a time, and is not ready before each.
struct Pieces<'a> {
    rest: &'a [u8],
    step: usize,
    ready: bool,
}

impl<'a> Pieces<'a> {
    fn new(rest: &'a [u8], step: usize) -> Self {
        Self {
            rest,
            step,
            ready: false,
        }
    }
}

/// Bytes of which so many come with each read, without end.
struct Ready<'a>(&'a [u8], usize);

impl AsyncRead for Ready<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self
            .0
            .split_at(self.1.min(self.0.len()).min(buf.remaining()));
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.ready = !self.ready;
        if !self.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = self.step.min(self.rest.len()).min(buf.remaining());
        let (now, later) = self.rest.split_at(n);
        buf.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
