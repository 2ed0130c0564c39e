//! Our mux against an independent implementation, in both roles.
#![allow(clippy::unwrap_used)]

mod support;

use std::{future::poll_fn, time::Duration};

use frp_net::mux::{CloseReason, Config, Role};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    task::JoinSet,
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Connection, Mode};

const STREAMS: usize = 16;
const LEN: usize = 2 * 1024 * 1024;

type Theirs = Compat<yamux::Stream>;

fn config() -> Config {
    Config {
        keepalive_interval: Some(Duration::from_secs(30)),
        stranger: false,
    }
}

async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

async fn transfer(stream: impl AsyncRead + AsyncWrite, seed: usize) {
    let data: Vec<u8> = (0..LEN).map(|i| (i * (2 * seed + 1) / 7) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = Vec::new();
    let write = async {
        writer.write_all(&data).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(write, reader.read_to_end(&mut received));
    read.unwrap();
    assert!(received == data, "stream {seed} differs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_their_server() {
    let (a, b) = duplex(64 * 1024);
    let (mux, _incoming) = support::spawn(a, Role::Client, config());
    let mut theirs = Connection::new(b.compat(), yamux::Config::default(), Mode::Server);
    let server = tokio::spawn(async move {
        while let Some(stream) = poll_fn(|cx| theirs.poll_next_inbound(cx)).await {
            tokio::spawn(echo(Theirs::from(stream.unwrap().compat())));
        }
    });
    let mut transfers = JoinSet::new();
    for seed in 0..STREAMS {
        transfers.spawn(transfer(mux.open().await.unwrap(), seed));
    }
    while let Some(result) = transfers.join_next().await {
        result.unwrap();
    }
    assert!(!mux.is_closed());
    mux.close();
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_client_our_server() {
    let (a, b) = duplex(64 * 1024);
    let (mux, mut incoming) = support::spawn(a, Role::Server, config());
    tokio::spawn(async move {
        while let Some(stream) = incoming.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    let mut theirs = Connection::new(b.compat(), yamux::Config::default(), Mode::Client);
    let mut transfers = JoinSet::new();
    for seed in 0..STREAMS {
        let stream = poll_fn(|cx| theirs.poll_new_outbound(cx)).await.unwrap();
        transfers.spawn(transfer(stream.compat(), seed));
    }
    let driver =
        tokio::spawn(
            async move { while poll_fn(|cx| theirs.poll_next_inbound(cx)).await.is_some() {} },
        );
    while let Some(result) = transfers.join_next().await {
        result.unwrap();
    }
    driver.abort();
    // Its drop sends a GoAway(0) or just closes.
    assert!(matches!(mux.closed().await, CloseReason::PeerClosed));
}
