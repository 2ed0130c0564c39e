//! Arbitrary bytes as the peer of a mux session, with applications that accept, read and answer.
#![no_main]

use std::time::Duration;

use frp_net::mux::{self, Config, Role};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, sink, split};

fuzz_target!(|data: &[u8]| {
    let Some((&first, frames)) = data.split_first() else {
        return;
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    else {
        return;
    };
    runtime.block_on(session(first, frames));
});

async fn session(first: u8, frames: &[u8]) {
    let role = if first & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let piece = usize::from(first >> 1) * 8 + 1;
    let (ours, theirs) = duplex(64 * 1024);
    let config = Config {
        keepalive_interval: Some(Duration::from_secs(30)),
        stranger: false,
    };
    let (mux, mut incoming, driver) = mux::session(ours, role, config);
    let (mut answers, mut peer) = split(theirs);

    let send = async {
        for piece in frames.chunks(piece) {
            if peer.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = peer.shutdown().await;
    };
    let receive = async {
        let _ = tokio::io::copy(&mut answers, &mut sink()).await;
    };
    let accept = async {
        while let Some(mut stream) = incoming.accept().await {
            let mut some = [0; 100];
            if let Ok(n) = stream.read(&mut some).await {
                let _ = stream.write(some.get(..n).unwrap_or_default()).await;
            }
        }
    };
    let open = async {
        if let Ok(mut stream) = mux.open().await {
            let _ = stream.write(b"hello").await;
            let _ = stream.read(&mut [0; 100]).await;
            stream.reset();
        }
    };
    tokio::join!(driver, send, receive, accept, open);
}
