//! Websockets over real sockets: the bytes, the ends, and what a peer may do wrong.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use frp_net::rewind::Rewind;
use frp_net::stream::Stream;
use frp_net::websocket::handshake::{Accepted, FRP_PATH, Request};
use frp_net::websocket::{AcceptError, ConnectError, WebsocketPipe, accept, connect};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(60);

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = tokio::join!(client, listener.accept());
    (client.unwrap(), server.unwrap().0)
}

fn request() -> Request {
    Request {
        path: FRP_PATH.to_owned(),
        host: "127.0.0.1:7000".to_owned(),
        fields: Vec::new(),
    }
}

type Pipe = WebsocketPipe<Stream>;

fn fresh(tcp: TcpStream) -> Rewind<Stream> {
    Rewind::new(Bytes::new(), Stream::Tcp(tcp))
}

async fn pair() -> (Pipe, Pipe) {
    let (client, server) = sockets().await;
    let asked = request();
    let accepted = Accepted::default();
    let (client, server) = tokio::join!(
        connect(Stream::Tcp(client), &asked, LIMIT),
        accept(fresh(server), &accepted, LIMIT),
    );
    (client.unwrap(), server.unwrap())
}

/// A peer that speaks frames by hand to our server.
async fn by_hand() -> (TcpStream, Pipe) {
    let (mut client, server) = sockets().await;
    let (text, expected) = request().write([7; 16]);
    client.write_all(text.as_bytes()).await.unwrap();
    let server = accept(fresh(server), &Accepted::default(), LIMIT)
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    expected.check(&answer).unwrap();
    (client, server)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[tokio::test]
async fn much_data_goes_both_ways_at_once() {
    let (client, server) = pair().await;
    let (up, down) = (pattern(5_000_000), pattern(7_000_003));
    let run = |mut pipe: Pipe, send: Vec<u8>, expect: usize| async move {
        let mut got = Vec::new();
        let (mut reader, mut writer) = tokio::io::split(&mut pipe);
        let sending = async {
            // Sizes around those where the length field changes.
            let mut rest = &send[..];
            for len in [1, 125, 126, 65_535, 65_536].into_iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(len));
                writer.write_all(now).await.unwrap();
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            writer.flush().await.unwrap();
        };
        let receiving = async {
            while got.len() < expect {
                assert!(reader.read_buf(&mut got).await.unwrap() > 0);
            }
        };
        tokio::join!(sending, receiving);
        got
    };
    let (at_client, at_server) = tokio::join!(
        run(client, up.clone(), down.len()),
        run(server, down.clone(), up.len()),
    );
    assert!(at_client == down && at_server == up);
}

#[tokio::test]
async fn one_direction_may_end_before_the_other() {
    for client_first in [true, false] {
        let (client, server) = pair().await;
        let (mut first, mut second) = match client_first {
            true => (client, server),
            false => (server, client),
        };
        first.write_all(b"question").await.unwrap();
        first.shutdown().await.unwrap();
        let mut heard = Vec::new();
        second.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        assert_eq!(
            first.write(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );

        let answer = pattern(2_000_000);
        let mut heard = Vec::new();
        let (said, listened) = tokio::join!(
            async {
                second.write_all(&answer).await?;
                second.shutdown().await
            },
            first.read_to_end(&mut heard),
        );
        said.unwrap();
        listened.unwrap();
        assert!(heard == answer);
    }
}

#[tokio::test]
async fn a_cut_connection_is_no_end() {
    let (client, mut server) = pair().await;
    drop(client);
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

    let (client, mut server) = pair().await;
    Stream::Websocket(Box::new(client)).abort();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn text_in_parts_with_pings_between_is_data() {
    let (mut peer, mut server) = by_hand().await;
    // "\xff" and "\xfe": not UTF-8. The mask is 0, so what is sent is what is meant.
    let frames = [
        &[0x01, 0x81, 0, 0, 0, 0, 0xff][..],
        &[0x89, 0x82, 0, 0, 0, 0, b'h', b'i'],
        &[0x80, 0x81, 0, 0, 0, 0, 0xfe],
    ];
    peer.write_all(&frames.concat()).await.unwrap();
    let mut got = [0; 2];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(got, [0xff, 0xfe]);
    let mut pong = [0; 4];
    peer.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0x8A, 2, b'h', b'i']);

    server.write_all(b"data").await.unwrap();
    let mut frame = [0; 6];
    peer.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x82\x04data");

    peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xE8])
        .await
        .unwrap();
    assert_eq!(server.read(&mut got).await.unwrap(), 0);
    server.shutdown().await.unwrap();
    let mut close = [0; 4];
    peer.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 3, 0xE8]);
}

/// Frames of nothing, of which a peer may send as many as it likes.
#[tokio::test]
async fn a_reader_gives_way_to_others_where_there_is_nothing_to_read() {
    let (mut peer, mut server) = by_hand().await;
    let nothing = [0x82, 0x80, 1, 2, 3, 4].repeat(1000);
    let one = [0x82, 0x81, 0, 0, 0, 0, b'x'];
    peer.write_all(&[&nothing[..], &one].concat())
        .await
        .unwrap();
    let mut polls = 0;
    let mut space = [0; 60];
    std::future::poll_fn(|cx| {
        polls += 1;
        let mut buf = ReadBuf::new(&mut space);
        let read = Pin::new(&mut server).poll_read(cx, &mut buf);
        read.map(|read| assert!(read.is_ok() && buf.filled() == b"x"))
    })
    .await;
    assert!(polls >= 25, "{polls}");
}

#[tokio::test]
async fn a_client_that_does_not_mask_is_told_and_dropped() {
    let (mut peer, mut server) = by_hand().await;
    peer.write_all(b"\x82\x01x").await.unwrap();
    let error = server.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let mut close = [0; 4];
    peer.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 3, 0xEA]);
}

#[tokio::test]
async fn a_refused_client_reads_why() {
    let (mut client, server) = sockets().await;
    client
        .write_all(b"GET /~!frp HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let accepted = Accepted::default();
    let judging = accept(fresh(server), &accepted, LIMIT);
    let mut answer = String::new();
    let reading = async {
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
    };
    let (judged, ()) = tokio::join!(judging, reading);
    assert!(matches!(judged, Err(AcceptError::Refused(_))));
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_request_has_to_end_and_in_time() {
    let (mut client, server) = sockets().await;
    client.write_all(b"GET /~!frp HTTP/1.1\r\n").await.unwrap();
    let accepted = Accepted::default();
    let judged = accept(fresh(server), &accepted, Duration::from_millis(50)).await;
    assert!(matches!(judged, Err(AcceptError::TimedOut)));

    let (mut client, server) = sockets().await;
    let flood = async { while client.write_all(b"a: b\r\n").await.is_ok() {} };
    let judged = async {
        let judged = accept(fresh(server), &accepted, LIMIT).await;
        assert!(matches!(judged, Err(AcceptError::TooLong)));
    };
    tokio::join!(flood, judged);
}

#[tokio::test]
async fn what_is_no_answer_is_shown() {
    let (client, mut server) = sockets().await;
    let asked = request();
    let asking = connect(Stream::Tcp(client), &asked, LIMIT);
    let answering = async {
        server
            .write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n")
            .await
            .unwrap();
        server.shutdown().await.unwrap();
    };
    let (asked, ()) = tokio::join!(asking, answering);
    let Err(ConnectError::Answer { first_bytes, .. }) = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(first_bytes, b"SSH-2.0-OpenSSH_");
}

/// The answer and the first frames may come in one piece.
#[tokio::test]
async fn what_comes_right_behind_the_answer_is_read() {
    let (client, mut server) = sockets().await;
    let asked = request();
    let asking = connect(Stream::Tcp(client), &asked, LIMIT);
    let answering = async {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(server.read_u8().await.unwrap());
        }
        let mut answer = frp_net::websocket::handshake::judge(&text, &Accepted::default())
            .unwrap()
            .into_bytes();
        answer.extend(b"\x82\x03abc\x82\x01d");
        server.write_all(&answer).await.unwrap();
    };
    let (pipe, ()) = tokio::join!(asking, answering);
    let mut got = [0; 4];
    pipe.unwrap().read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcd");
}

/// The closing frame had to wait for the connection, and a write that came first let it out.
#[tokio::test]
async fn no_data_follows_the_closing_frame() {
    let (mut client, mut server) = by_hand().await;
    let bulk = vec![0; 64 * 1024];
    loop {
        let writing = server.write(&bulk);
        tokio::pin!(writing);
        if futures_util::poll!(writing).is_pending() {
            break;
        }
    }
    // Without a mask.
    client.write_all(&[0x82, 1, 0]).await.unwrap();
    let error = server.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    let error = server.write(b"more").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    server.flush().await.unwrap();
    drop(server);
    let all = reading.await.unwrap();
    assert!(all.ends_with(&[0x88, 2, 3, 0xea]), "1002: a protocol error");
}
