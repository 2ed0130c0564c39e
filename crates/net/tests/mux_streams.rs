//! Two ends of our own mux: what an application of a stream sees.
#![allow(clippy::unwrap_used)]

mod support;

use std::{future::poll_fn, io, time::Duration};

use bytes::Bytes;
use frp_net::mux::{self, CloseReason, Config, Incoming, Mux, MuxStream, Role};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const MIB: usize = 1024 * 1024;

fn config() -> Config {
    Config {
        keepalive_interval: Some(Duration::from_secs(30)),
        stranger: false,
    }
}

/// A client and a server over a pipe of 64 KiB.
fn pair() -> (Mux, Incoming, Mux, Incoming) {
    let (a, b): (DuplexStream, DuplexStream) = duplex(64 * 1024);
    let (client, client_incoming) = support::spawn(a, Role::Client, config());
    let (server, server_incoming) = support::spawn(b, Role::Server, config());
    (client, client_incoming, server, server_incoming)
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (a, b) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    let (a, b) = (a.unwrap(), b.unwrap().0);
    a.set_nodelay(true).unwrap();
    b.set_nodelay(true).unwrap();
    (a, b)
}

async fn echo(stream: MuxStream) -> io::Result<u64> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let n = tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await?;
    Ok(n)
}

/// Bytes that no shift or swap leaves equal.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(len + 8);
    while data.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data.extend_from_slice(&x.to_le_bytes());
    }
    data.truncate(len);
    data
}

#[tokio::test]
async fn request_and_answer_with_half_close() {
    let (client, _ci, _server, mut incoming) = pair();
    let mut stream = client.open().await.unwrap();
    stream.write_all(b"request").await.unwrap();
    stream.shutdown().await.unwrap();

    let mut accepted = incoming.accept().await.unwrap();
    assert_eq!((stream.id(), accepted.id()), (1, 1));
    let mut request = Vec::new();
    accepted.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"request");

    accepted.write_all(b"answer").await.unwrap();
    drop(accepted);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_each_way_arrive_intact() {
    let (a, b) = tcp_pair().await;
    let (client, _ci) = support::spawn(a, Role::Client, config());
    let (_server, mut incoming) = support::spawn(b, Role::Server, config());
    let server = tokio::spawn(async move {
        let mut echoes = JoinSet::new();
        for _ in 0..4 {
            echoes.spawn(echo(incoming.accept().await.unwrap()));
        }
        while let Some(result) = echoes.join_next().await {
            result.unwrap().unwrap();
        }
    });
    let mut transfers = JoinSet::new();
    for seed in 0..4 {
        let stream = client.open().await.unwrap();
        transfers.spawn(async move {
            let data = pattern(seed, 25 * MIB);
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut received = Vec::with_capacity(data.len());
            let write = async {
                for piece in data.chunks(50_000) {
                    writer.write_all(piece).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(write, reader.read_to_end(&mut received));
            read.unwrap();
            assert!(received == data, "stream {seed} differs");
        });
    }
    while let Some(result) = transfers.join_next().await {
        result.unwrap();
    }
    server.await.unwrap();
}

#[tokio::test]
async fn chunks_pass_without_a_copy_and_in_order() {
    let (client, _ci, _server, mut incoming) = pair();
    let mut stream = client.open().await.unwrap();
    let data = Bytes::from(pattern(7, 3 * MIB));
    let mut rest = data.clone();
    let writer = tokio::spawn(async move {
        while !rest.is_empty() {
            let before = rest.len();
            poll_fn(|cx| stream.poll_write_chunk(cx, &mut rest))
                .await
                .unwrap();
            assert!(rest.len() < before);
        }
        stream
    });
    let mut accepted = incoming.accept().await.unwrap();
    let mut received = Vec::new();
    while received.len() < data.len() {
        let chunk = poll_fn(|cx| accepted.poll_read_chunk(cx)).await.unwrap();
        received.extend_from_slice(&chunk.expect("the end comes after the data"));
    }
    assert!(received == data);
    drop(writer.await.unwrap());
    assert_eq!(
        poll_fn(|cx| accepted.poll_read_chunk(cx)).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_unread_stream_stalls_no_other() {
    let (client, _ci, _server, mut incoming) = pair();
    let mut stuck = client.open().await.unwrap();
    // Until the window and the send queue are full.
    let flood = tokio::spawn(async move {
        loop {
            stuck.write_all(&[1; 16 * 1024]).await.unwrap();
        }
    });
    let _unread = incoming.accept().await.unwrap();

    let mut stream = client.open().await.unwrap();
    let accepted = incoming.accept().await.unwrap();
    let server = tokio::spawn(echo(accepted));
    for _ in 0..100 {
        stream.write_all(&[2; 64 * 1024]).await.unwrap();
        let mut answer = vec![0; 64 * 1024];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.iter().all(|&b| b == 2));
    }
    stream.shutdown().await.unwrap();
    assert_eq!(server.await.unwrap().unwrap(), 100 * 64 * 1024);
    flood.abort();
}

#[tokio::test]
async fn a_thousand_streams_at_once() {
    let (client, _ci, _server, mut incoming) = pair();
    tokio::spawn(async move {
        while let Some(stream) = incoming.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let mut streams = Vec::new();
    for i in 0..1000u32 {
        let mut stream = client.open().await.unwrap();
        stream.write_all(&i.to_be_bytes()).await.unwrap();
        streams.push(stream);
    }
    for (i, mut stream) in streams.into_iter().enumerate() {
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, (i as u32).to_be_bytes());
    }
}

#[tokio::test]
async fn opens_beyond_the_backlog_wait_for_an_accept() {
    let (client, _ci, _server, mut incoming) = pair();
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(client.open().await.unwrap());
    }
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.open().await.unwrap() }
    });
    let mut first = incoming.accept().await.unwrap();
    let last = waiting.await.unwrap();
    assert_eq!(last.id(), 513);
    // The first stream is alive and well.
    first.write_all(b"x").await.unwrap();
    assert_eq!(open[0].read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_reset_comes_after_the_data_before_it() {
    let (client, _ci, _server, mut incoming) = pair();
    let mut stream = client.open().await.unwrap();
    let mut accepted = incoming.accept().await.unwrap();
    accepted.write_all(b"last words").await.unwrap();
    // Seen on the other side, so sent before the reset.
    assert_eq!(stream.read_u8().await.unwrap(), b'l');
    accepted.reset();

    let error = loop {
        match stream.write(b"x").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let mut words = Vec::new();
    let error = stream.read_to_end(&mut words).await.unwrap_err();
    assert_eq!(words, b"ast words");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_write_after_shutdown_is_a_broken_pipe() {
    let (client, _ci, _server, _incoming) = pair();
    let mut stream = client.open().await.unwrap();
    stream.shutdown().await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.write(b"x").await.unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn close_sends_what_is_queued_and_both_ends_know_why() {
    let (client, _ci, server, mut incoming) = pair();
    let mut stream = client.open().await.unwrap();
    let mut accepted = incoming.accept().await.unwrap();
    let data = pattern(3, 200_000);
    stream.write_all(&data).await.unwrap();
    client.close();
    assert!(client.is_closed());
    assert_eq!(
        stream.write(b"x").await.unwrap_err().kind(),
        io::ErrorKind::ConnectionAborted
    );
    assert!(client.open().await.is_err());

    let mut received = vec![0; data.len()];
    accepted.read_exact(&mut received).await.unwrap();
    assert!(received == data);
    assert_eq!(
        accepted.read(&mut [0]).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionAborted
    );
    assert!(matches!(client.closed().await, CloseReason::LocalClose));
    assert!(matches!(server.closed().await, CloseReason::PeerClosed));
    assert!(incoming.accept().await.is_none());
}

#[tokio::test]
async fn a_session_without_handles_ends_with_its_last_stream() {
    let (client, client_incoming, server, mut incoming) = pair();
    let mut stream = client.open().await.unwrap();
    let accepted = incoming.accept().await.unwrap();
    drop((client, client_incoming));
    let server_side = tokio::spawn(echo(accepted));
    stream.write_all(b"still here").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"still here");
    drop(stream);
    server_side.await.unwrap().unwrap();
    assert!(matches!(server.closed().await, CloseReason::PeerClosed));
}

#[tokio::test]
async fn a_cancelled_driver_leaves_no_one_waiting() {
    let (a, _b) = duplex(1024);
    let (client, mut incoming, driver) = mux::session(a, Role::Client, config());
    let driver = tokio::spawn(driver);
    let mut stream = client.open().await.unwrap();
    driver.abort();
    assert!(stream.read(&mut [0]).await.is_err());
    assert!(incoming.accept().await.is_none());
    assert!(matches!(client.closed().await, CloseReason::LocalClose));
}
