//! A keystroke beside bulk data: what waits in front of it.

use std::time::Duration;

use frp_tests::clients::{echo_on, until_echoes};
use frp_tests::rig::tcp_proxy;
use frp_tests::slow_link::SlowLink;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What may pass a slow link between a keystroke and its echo: what the link itself holds each way, and what it
/// passes in some ten milliseconds.
const IN_FRONT: u64 = 256 * 1024;

/// Two connections that send or fetch without end.
fn bulk(port: u16, upload: bool) -> JoinSet<()> {
    let mut both = JoinSet::new();
    for _ in 0..2 {
        both.spawn(async move {
            let mut user = connect(port).await;
            let mut chunk = vec![0; 64 * 1024];
            if upload {
                chunk[0] = UPLOAD;
                while user.write_all(&chunk).await.is_ok() {}
            } else {
                user.write_all(&[DOWNLOAD]).await.unwrap();
                while user.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
            }
        });
    }
    both
}

const UPLOAD: u8 = b'u';
const DOWNLOAD: u8 = b'd';

/// Does what the first byte says: takes or sends without end, or echoes.
async fn service() -> Service {
    Service::new(|mut user: TcpStream| async move {
        let mut chunk = vec![0; 64 * 1024];
        let mut first = [0];
        if user.read_exact(&mut first).await.is_err() {
            return;
        }
        match first[0] {
            UPLOAD => while user.read(&mut chunk).await.is_ok_and(|n| n > 0) {},
            DOWNLOAD => while user.write_all(&chunk).await.is_ok() {},
            _ => {
                let _ = user.write_all(&first).await;
                let (mut from, mut to) = user.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn little_waits_in_front_of_a_keystroke_on_a_slow_link() {
    for (name, settings) in [
        ("TLS", ""),
        ("no TLS", "transport.tls.enable = false\n"),
        ("websocket", "transport.protocol = \"websocket\"\n"),
    ] {
        for upload in [false, true] {
            let (rig, service, port) = (Rig::new(), service().await, free_port());
            let frps = rig.frps("").await;
            let link = SlowLink::start(frps.port);
            let proxy = tcp_proxy("any", service.port, port, "");
            let _frpc = rig.frpc(link.port(), &format!("{settings}{proxy}"));
            until_echoes(port, Duration::from_secs(20)).await;
            let mut user = connect(port).await;
            echo_on(&mut user, &[0; 64]).await;
            let _bulk = bulk(port, upload);
            let begin = link.passed();
            eventually("bulk flows", || async { link.passed() > begin + IN_FRONT }).await;
            let what = format!("{name}, upload {upload}: little passes between a key and its echo");
            within(Duration::from_secs(30), &what, async {
                let mut in_a_row = 0;
                while in_a_row < 3 {
                    let before = link.passed();
                    echo_on(&mut user, &[0; 64]).await;
                    in_a_row += 1;
                    if link.passed() - before > IN_FRONT {
                        in_a_row = 0;
                    }
                }
            })
            .await;
        }
    }
}

/// Bytes of bulk that may pass between a keystroke and its echo where nothing is slow but the programs
/// themselves: some turns of each of them.
const TURNS: u64 = 8 * 1024 * 1024;

#[tokio::test]
async fn a_keystroke_waits_for_no_more_than_some_turns_of_bulk() {
    for settings in [
        "",
        "transport.tls.enable = false\ntransport.tcpMux = false\n",
    ] {
        let (rig, service, port) = (Rig::new(), service().await, free_port());
        let server = if settings.is_empty() {
            ""
        } else {
            "transport.tcpMux = false\n"
        };
        let frps = rig.frps(server).await;
        let proxy = tcp_proxy("any", service.port, port, "");
        let _frpc = rig.frpc(frps.port, &format!("{settings}{proxy}"));
        until_echoes(port, Duration::from_secs(20)).await;
        let mut user = connect(port).await;
        echo_on(&mut user, &[0; 64]).await;
        let fetched = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = || fetched.load(std::sync::atomic::Ordering::Relaxed);
        // Threads of their own, so that the users do not wait for each other.
        #[allow(clippy::disallowed_types, reason = "a thread of its own may block")]
        for _ in 0..4 {
            let fetched = fetched.clone();
            std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let mut user = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                user.write_all(&[DOWNLOAD]).unwrap();
                let mut chunk = vec![0; 256 * 1024];
                while let Ok(n @ 1..) = user.read(&mut chunk) {
                    fetched.fetch_add(n as u64, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
        eventually("bulk flows", || async { count() > TURNS }).await;
        within(
            Duration::from_secs(30),
            "few turns pass for most echoes",
            async {
                loop {
                    let mut passed = Vec::new();
                    for _ in 0..21 {
                        let before = count();
                        echo_on(&mut user, &[0; 64]).await;
                        passed.push(count() - before);
                    }
                    passed.sort_unstable();
                    if passed[10] <= TURNS {
                        break;
                    }
                }
            },
        )
        .await;
    }
}
