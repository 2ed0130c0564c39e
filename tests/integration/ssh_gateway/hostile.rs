//! Ssh clients that mean harm: whatever they send, others are served, and frps stays small.

use std::sync::Arc;
use std::time::Duration;

use frp_tests::clients::until_echoes;
use frp_tests::*;
use russh::client::{Config, Handle, Handler};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelMsg};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Office, SOON};
use crate::strangers::{CROWD, crowd};

/// A client that takes whatever key the server shows, and agrees to whatever it opens.
struct Scripted;

impl Handler for Scripted {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn log_in(port: u16) -> Handle<Scripted> {
    let config = Arc::new(Config::default());
    let mut client = russh::client::connect(config, ("127.0.0.1", port), Scripted)
        .await
        .unwrap();
    assert!(client.authenticate_none("v0").await.unwrap().success());
    client
}

/// That an honest client gets in meanwhile.
async fn is_well(office: &Office) {
    let service = Service::echo().await;
    let port = free_port();
    let ssh = office.ssh(service.port, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    until_echoes(port, SOON).await;
}

#[tokio::test]
async fn a_crowd_of_half_open_handshakes_locks_nobody_out() {
    let office = Office::open("").await;
    for first in [&b""[..], b"SSH-2.0-x\r\n", b"\0\0\0\0garbage\xff\xfe"] {
        let crowd = crowd(office.port, CROWD, first).await;
        is_well(&office).await;
        // They count among all strangers: who comes to the other port gets in as well.
        let service = Service::echo().await;
        let port = free_port();
        let frpc = office.rig.frpc(
            office.frps.port,
            &rig::tcp_proxy("t", service.port, port, ""),
        );
        frpc.expect("start proxy success").await;
        drop(crowd);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_closed() {
    let office = Office::open("").await;
    let mut silent = connect(office.port).await;
    clients::until_closed(&mut silent, Duration::from_secs(20), "a silent client").await;
    let mut endless = connect(office.port).await;
    let writing = async {
        let line = [b'x'; 4096];
        while endless.write_all(&line).await.is_ok() {}
    };
    within(SOON, "an endless first line is refused", writing).await;
}

#[tokio::test]
async fn floods_of_channels_and_requests_are_refused() {
    let office = Office::open("").await;
    let client = log_in(office.port).await;
    let (mut taken, mut refused) = (Vec::new(), 0);
    for _ in 0..200 {
        match client.channel_open_session().await {
            Ok(channel) => taken.push(channel),
            Err(_) => refused += 1,
        }
    }
    assert!(refused >= 180 && !taken.is_empty(), "{refused} refused");
    assert!(
        client
            .channel_open_direct_tcpip("127.0.0.1", 1, "x", 1)
            .await
            .is_err()
    );
    let mut forwarded = 0;
    for port in 1..500 {
        forwarded += u32::from(client.tcpip_forward("", port).await.is_ok());
    }
    assert!(forwarded <= 16, "{forwarded} ports");
    is_well(&office).await;
}

/// The text that a command is answered with.
async fn answer(mut channel: Channel<russh::client::Msg>, command: &[u8]) -> String {
    let asked = channel.exec(true, command).await;
    let mut text = Vec::new();
    if asked.is_ok() {
        let reading = async {
            while let Some(message) = channel.wait().await {
                match message {
                    ChannelMsg::Data { data } => text.extend_from_slice(&data),
                    ChannelMsg::Failure => return text.extend_from_slice(b"refused"),
                    _ => {}
                }
            }
        };
        within(SOON, "an answer", reading).await;
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn odd_commands_are_answered() {
    let office = Office::open("").await;
    let huge = [b"tcp --proxy_name ".to_vec(), vec![b'x'; 100_000]].concat();
    let long = [b"tcp --proxy_name ".to_vec(), vec![b'x'; 10_000]].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"tcp \xff\xfe", "the command is not in UTF-8"),
        (b"\0", "invalid proxy type"),
        (b" tcp", "invalid proxy type: , support types"),
        (&huge, "refused"),
        (&long, "name"),
        (b"tcp --remote_port 99999999", "port"),
    ];
    for (command, said) in cases {
        let client = log_in(office.port).await;
        client.tcpip_forward("", 80).await.unwrap();
        let channel = client.channel_open_session().await.unwrap();
        let text = answer(channel, command).await;
        let shown = String::from_utf8_lossy(&command[..command.len().min(40)]);
        assert!(text.contains(said), "{shown}: {text}");
    }
    is_well(&office).await;
}

/// A payload that is shorter than it says, of a request that is not even one.
#[tokio::test]
async fn what_is_no_ssh_at_all_is_closed() {
    let office = Office::open("").await;
    for first in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-1.5-x\r\n",
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff",
    ] {
        let mut stream = connect(office.port).await;
        stream.write_all(first).await.unwrap();
        let mut heard = Vec::new();
        let reading = async {
            let _ = stream.read_to_end(&mut heard).await;
        };
        within(SOON, "the end", reading).await;
    }
    is_well(&office).await;
}
