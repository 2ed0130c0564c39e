//! QUIC connections and streams over loopback: how they end, and what strangers may take.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use frp_net::dial::DialOptions;
use frp_net::limits::MAX_STRANGER_STREAMS;
use frp_net::quic::{
    self, Listener, NO_APPLICATION_PROTOCOL, Options, QuicConn, QuicDialError, QuicEnd, QuicStream,
    ResetSecret, ServerSettings,
};
use frp_net::tls::{self, TlsFiles};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::TaskTracker;

const LIMIT: Duration = Duration::from_secs(60);

const OPTIONS: Options = Options {
    keepalive: Some(Duration::from_secs(10)),
    idle: Duration::from_secs(30),
    max_streams: 2000,
};

fn listener() -> Listener {
    Listener::bind(
        "127.0.0.1",
        0,
        &settings(),
        &ResetSecret::random(),
        &TaskTracker::new(),
    )
    .unwrap()
}

fn settings() -> ServerSettings {
    let tls = tls::server_config(&TlsFiles::default()).unwrap();
    ServerSettings::new(&tls, &OPTIONS).unwrap()
}

async fn dial(listener: &Listener) -> Result<QuicConn, QuicDialError> {
    let tls = tls::client_config(&TlsFiles::default()).unwrap();
    dial_with(listener, &tls).await
}

async fn dial_with(
    listener: &Listener,
    tls: &rustls::ClientConfig,
) -> Result<QuicConn, QuicDialError> {
    let dial = DialOptions {
        timeout: LIMIT,
        keepalive: None,
        local_ip: None,
    };
    let port = listener.addr().unwrap().port();
    let tasks = TaskTracker::new();
    quic::connect("127.0.0.1", port, &dial, tls, "127.0.0.1", &OPTIONS, &tasks).await
}

async fn pair(listener: &Listener) -> (QuicConn, QuicConn) {
    let accepting = async {
        let arriving = listener.accept().await.unwrap();
        arriving.accept(&settings(), LIMIT).await.unwrap()
    };
    let (client, server) = tokio::join!(dial(listener), accepting);
    (client.unwrap(), server)
}

/// A stream, seen by the client and by the server.
async fn streams(client: &QuicConn, server: &QuicConn) -> (QuicStream, QuicStream) {
    let mut ours = client.open().await.unwrap();
    ours.write_all(b"!").await.unwrap();
    let mut theirs = server.accept().await.unwrap();
    assert_eq!(theirs.read_u8().await.unwrap(), b'!');
    (ours, theirs)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[tokio::test]
async fn one_direction_may_end_before_the_other() {
    let listener = listener();
    let (client, server) = pair(&listener).await;
    let (mut ours, mut theirs) = streams(&client, &server).await;
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut heard = Vec::new();
    theirs.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");

    let answer = pattern(9_000_000);
    let mut heard = Vec::new();
    let (said, listened) = tokio::join!(
        async {
            theirs.write_all(&answer).await?;
            // Drop is a clean end, too, after all data.
            drop(theirs);
            Ok::<_, std::io::Error>(())
        },
        ours.read_to_end(&mut heard),
    );
    said.unwrap();
    listened.unwrap();
    assert!(heard == answer);
}

#[tokio::test]
async fn a_peer_that_has_gone_is_a_broken_pipe_and_its_data_arrives() {
    let listener = listener();
    let (client, server) = pair(&listener).await;
    let (mut ours, mut theirs) = streams(&client, &server).await;
    theirs.write_all(b"last words").await.unwrap();
    drop(theirs);
    let error = loop {
        if let Err(e) = ours.write_all(&[0; 1000]).await {
            break e;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut heard = Vec::new();
    ours.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");
}

#[tokio::test]
async fn a_stream_that_is_cut_off_fails_behind_its_data() {
    let listener = listener();
    let (client, server) = pair(&listener).await;
    let (mut ours, mut theirs) = streams(&client, &server).await;
    theirs.write_all(&pattern(100_000)).await.unwrap();
    theirs.abort();
    let mut heard = vec![0; 100_000];
    ours.read_exact(&mut heard).await.unwrap();
    assert!(heard == pattern(100_000));
    assert_eq!(
        ours.read_u8().await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    let error = ours.write_all(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    // The connection is as before.
    let (mut ours, mut theirs) = streams(&client, &server).await;
    ours.write_all(b"x").await.unwrap();
    assert_eq!(theirs.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_on_both_sides() {
    let listener = listener();
    let (client, server) = pair(&listener).await;
    let (mut ours, _theirs) = streams(&client, &server).await;
    assert_eq!(client.close_reason(), None);
    server.close();
    assert_eq!(client.closed().await, QuicEnd::Peer(0));
    assert_eq!(client.close_reason(), Some(QuicEnd::Peer(0)));
    assert_eq!(server.close_reason(), Some(QuicEnd::Local));
    assert_eq!(
        ours.read_u8().await.unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
    assert_eq!(client.open().await.unwrap_err(), QuicEnd::Peer(0));
    assert!(server.accept().await.is_none());
}

#[tokio::test]
async fn strangers_have_few_streams_and_clients_many() {
    let listener = listener();
    let (client, server) = pair(&listener).await;
    let mut open = Vec::new();
    let mut count = 0;
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), client.open()).await {
        open.push(stream.unwrap());
        count += 1;
        assert!(count < 100);
    }
    assert_eq!(count, MAX_STRANGER_STREAMS);

    server.admit();
    let accepting = async {
        let mut accepted = Vec::new();
        while accepted.len() < 1500 {
            accepted.push(server.accept().await.unwrap());
        }
        accepted
    };
    let opening = async {
        for stream in &mut open {
            stream.write_all(b"!").await.unwrap();
        }
        while open.len() < 1500 {
            let mut stream = client.open().await.unwrap();
            stream.write_all(b"!").await.unwrap();
            open.push(stream);
        }
    };
    let (accepted, ()) = tokio::time::timeout(LIMIT, async { tokio::join!(accepting, opening) })
        .await
        .unwrap();
    // They come and go beyond any limit.
    drop((accepted, open));
    for _ in 0..3000 {
        let _ = streams(&client, &server).await;
    }
}

#[tokio::test]
async fn one_unread_stream_stops_nobody_else() {
    let listener = listener();
    let (client, server) = pair(&listener).await;
    server.admit();
    let mut unread = Vec::new();
    for _ in 0..4 {
        let (mut ours, theirs) = streams(&client, &server).await;
        let filling = ours.write_all(&[7; 7_000_000]);
        assert!(
            tokio::time::timeout(Duration::from_secs(2), filling)
                .await
                .is_err()
        );
        unread.push((ours, theirs));
    }
    let (mut ours, mut theirs) = streams(&client, &server).await;
    let data = pattern(3_000_000);
    let mut heard = vec![0; data.len()];
    let (said, listened) = tokio::join!(ours.write_all(&data), theirs.read_exact(&mut heard));
    said.unwrap();
    listened.unwrap();
    assert!(heard == data);
}

#[tokio::test]
async fn clients_get_in_while_forged_packets_have_taken_all_places() {
    let listener = Arc::new(listener());
    let mut forged = Vec::new();
    let mut dialling = Vec::new();
    for _ in 0..64 {
        let listener = listener.clone();
        dialling.push(tokio::spawn({
            let listener = listener.clone();
            async move { dial(&listener).await.map(drop) }
        }));
        forged.push(listener.accept().await.unwrap());
    }
    let (client, server) = pair(&listener).await;
    let (mut ours, mut theirs) = streams(&client, &server).await;
    ours.write_all(b"x").await.unwrap();
    assert_eq!(theirs.read_u8().await.unwrap(), b'x');
    for task in dialling {
        task.abort();
    }
}

#[tokio::test]
async fn refusals_say_why() {
    let listener = listener();
    let serve = async {
        while let Some(arriving) = listener.accept().await {
            let _ = arriving.accept(&settings(), LIMIT).await;
        }
    };
    let client = async {
        // Another protocol.
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut tls = (*tls::client_config(&TlsFiles::default()).unwrap()).clone();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(tls));
        let addr = listener.addr().unwrap();
        let connecting = endpoint.connect_with(config, addr, "frps").unwrap();
        let end = QuicEnd::from(connecting.await.unwrap_err());
        let QuicEnd::Tls { alert, remote, .. } = end else {
            panic!("{end:?}");
        };
        assert_eq!((alert, remote), (NO_APPLICATION_PROTOCOL, true));

        // A certificate that is not trusted.
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let file = std::env::temp_dir().join(format!("frp-quic-{}.crt", std::process::id()));
        std::fs::write(&file, cert.pem()).unwrap();
        let files = TlsFiles {
            trusted_ca: Some(file.clone()),
            ..TlsFiles::default()
        };
        let tls = tls::client_config(&files).unwrap();
        std::fs::remove_file(file).unwrap();
        let error = dial_with(&listener, &tls).await.unwrap_err();
        let QuicDialError::Handshake(QuicEnd::Tls {
            remote: false,
            text,
            ..
        }) = &error
        else {
            panic!("{error:?}");
        };
        assert!(text.contains("invalid peer certificate"), "{text}");
    };
    tokio::select! {
        () = serve => panic!("the listener ended"),
        () = client => {}
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    // A port that takes what comes, and answers nothing.
    let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let dial = DialOptions {
        timeout: Duration::from_millis(300),
        keepalive: None,
        local_ip: None,
    };
    let tls = tls::client_config(&TlsFiles::default()).unwrap();
    let tasks = TaskTracker::new();
    let dialled = quic::connect(
        "127.0.0.1",
        port,
        &dial,
        &tls,
        "127.0.0.1",
        &OPTIONS,
        &tasks,
    )
    .await;
    assert!(
        matches!(dialled, Err(QuicDialError::TimedOut)),
        "{dialled:?}"
    );
}

/// What a writer gets rid of while nobody reads, and what all of it then is to the reader.
#[tokio::test]
async fn a_stream_that_nobody_reads_holds_little_and_goes_on_when_it_is_read() {
    const FIRST: usize = 256 * 1024;
    let listener = listener();
    let (client, server) = pair(&listener).await;
    server.admit();
    for from_client in [true, false] {
        let (ours, theirs) = streams(&client, &server).await;
        let (mut writer, mut reader) = match from_client {
            true => (ours, theirs),
            false => (theirs, ours),
        };
        let data = pattern(9_000_000);
        // What quinn takes of a writer before the peer does is no matter of the window.
        let all = data.clone();
        let writing = tokio::spawn(async move {
            writer.write_all(&all).await.unwrap();
            writer.shutdown().await.unwrap();
            writer
        });
        // Another one is not held up by it.
        let (mut small, mut theirs) = streams(&client, &server).await;
        small.write_all(b"question").await.unwrap();
        let mut heard = [0; 8];
        theirs.read_exact(&mut heard).await.unwrap();
        let mut heard = vec![0; FIRST];
        reader.read_exact(&mut heard).await.unwrap();
        reader.read_to_end(&mut heard).await.unwrap();
        assert!(heard == data);
        writing.await.unwrap();
    }
}

/// Both ends have a socket already, as after punching a hole.
#[tokio::test]
async fn a_connection_runs_over_sockets_that_are_open_already() {
    let socket = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (ours, theirs) = (socket(), socket());
    let (us, them) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
    ours.send_to(b"punch", them).unwrap();
    // Bursts find room there, as in those that are opened for QUIC.
    let room = |of: &std::net::UdpSocket| socket2::SockRef::from(of).recv_buffer_size().unwrap();
    let (before, same) = (
        room(&ours),
        [&ours, &theirs].map(|of| of.try_clone().unwrap()),
    );
    let listener = Listener::over(
        theirs,
        &settings(),
        &ResetSecret::random(),
        &TaskTracker::new(),
    )
    .unwrap();
    let tls = tls::client_config(&TlsFiles::default()).unwrap();
    let tasks = TaskTracker::new();
    let (client, server) = tokio::join!(
        quic::connect_over(ours, them, &tls, "peer", &OPTIONS, &tasks),
        async {
            let arriving = listener.accept().await.unwrap();
            assert_eq!(arriving.peer(), us);
            arriving.accept(&settings(), LIMIT).await.unwrap()
        },
    );
    assert!(same.iter().all(|of| room(of) > before));
    let (client, server) = (client.unwrap(), server);
    let (mut ours, mut theirs) = streams(&client, &server).await;
    ours.write_all(b"question").await.unwrap();
    let mut heard = [0; 8];
    theirs.read_exact(&mut heard).await.unwrap();
}
