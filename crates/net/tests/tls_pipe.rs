//! Our TLS pipe against tokio-rustls, over sockets, in both roles and versions.
#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_net::rewind::Rewind;
use frp_net::tls::{self, HandshakeError, TlsFiles, TlsPipe};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

const LIMIT: Duration = Duration::from_secs(20);
const CASES: [(bool, &SupportedProtocolVersion); 4] = [
    (true, &TLS12),
    (true, &TLS13),
    (false, &TLS12),
    (false, &TLS13),
];

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Our end and the peer's, after the handshake.
async fn pair(
    we_are_server: bool,
    version: &'static SupportedProtocolVersion,
) -> (TlsPipe<TcpStream>, TlsStream<TcpStream>) {
    let (client, server) = tcp_pair().await;
    if we_are_server {
        let config = tls::server_config(&TlsFiles::default()).unwrap();
        let peer = TlsConnector::from(peer_client(version));
        let name = ServerName::try_from("frps").unwrap();
        let (ours, peer) = tokio::join!(accept(config, server), peer.connect(name, client));
        (ours.unwrap(), peer.unwrap().into())
    } else {
        let config = tls::client_config(&TlsFiles::default()).unwrap();
        let peer = TlsAcceptor::from(peer_server(version));
        let ours = tls::connect(config, "frps", client, LIMIT);
        let (ours, peer) = tokio::join!(ours, peer.accept(server));
        (ours.unwrap(), peer.unwrap().into())
    }
}

async fn accept(
    config: Arc<ServerConfig>,
    io: TcpStream,
) -> Result<TlsPipe<TcpStream>, HandshakeError> {
    tls::accept(config, Rewind::new(Bytes::new(), io), LIMIT).await
}

fn peer_client(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    Arc::new(config)
}

fn peer_server(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["frps".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn pattern(n: usize, salt: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + i / 251 + salt) as u8).collect()
}

#[tokio::test]
async fn much_data_both_ways_at_once_arrives_whole() {
    for (we_are_server, version) in CASES {
        let (ours, peer) = pair(we_are_server, version).await;
        let (up, down) = (pattern(9_000_001, 1), pattern(7_000_003, 2));
        let (mut our_read, mut our_write) = tokio::io::split(ours);
        let (mut peer_read, mut peer_write) = tokio::io::split(peer);
        let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
        let (a, b, c, d) = tokio::join!(
            async {
                our_write.write_all(&up).await?;
                our_write.shutdown().await
            },
            async {
                peer_write.write_all(&down).await?;
                peer_write.shutdown().await
            },
            our_read.read_to_end(&mut got_down),
            peer_read.read_to_end(&mut got_up),
        );
        a.unwrap();
        b.unwrap();
        c.unwrap();
        d.unwrap();
        assert!(got_up == up && got_down == down);
    }
}

#[tokio::test]
async fn a_direction_ends_alone() {
    for (we_are_server, version) in CASES {
        let (mut ours, mut peer) = pair(we_are_server, version).await;
        let mut all = Vec::new();
        ours.shutdown().await.unwrap();
        peer.read_to_end(&mut all).await.unwrap();
        peer.write_all(b"after your end").await.unwrap();
        peer.shutdown().await.unwrap();
        ours.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"after your end");
        let error = ours.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);

        let (mut ours, mut peer) = pair(we_are_server, version).await;
        let mut all = Vec::new();
        peer.shutdown().await.unwrap();
        ours.read_to_end(&mut all).await.unwrap();
        ours.write_all(b"after the peer's").await.unwrap();
        ours.shutdown().await.unwrap();
        peer.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"after the peer's");
    }
}

#[tokio::test]
async fn an_end_without_its_record_is_an_error_after_the_data() {
    for (we_are_server, version) in CASES {
        let (mut ours, mut peer) = pair(we_are_server, version).await;
        peer.write_all(b"data").await.unwrap();
        peer.flush().await.unwrap();
        // The socket's end, below the session.
        peer.get_mut().0.shutdown().await.unwrap();
        let mut all = Vec::new();
        let error = ours.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(all, b"data");
    }
}

#[tokio::test]
async fn foreign_bytes_after_the_handshake_end_both_directions() {
    for (we_are_server, version) in CASES {
        let (mut ours, mut peer) = pair(we_are_server, version).await;
        peer.write_all(b"data").await.unwrap();
        peer.flush().await.unwrap();
        let (socket, _) = peer.get_mut();
        socket.write_all(&[0x17, 3, 3, 0, 32]).await.unwrap();
        socket.write_all(&[9; 32]).await.unwrap();
        let mut all = Vec::new();
        let error = ours.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(all, b"data");
        assert!(ours.write(b"x").await.is_err());
        let told = peer.read(&mut [0; 1]).await.unwrap_err();
        let told = told.get_ref().and_then(|e| e.downcast_ref());
        let alert = rustls::Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(told, Some(&alert));
    }
}

#[tokio::test]
async fn keys_change_in_both_directions() {
    for we_are_server in [true, false] {
        let (mut ours, mut peer) = pair(we_are_server, &TLS13).await;
        for round in 0..5 {
            match &mut peer {
                TlsStream::Client(peer) => peer.get_mut().1.refresh_traffic_keys(),
                TlsStream::Server(peer) => peer.get_mut().1.refresh_traffic_keys(),
            }
            .unwrap();
            let data = pattern(50_000, round);
            let mut got = vec![0; data.len()];
            peer.write_all(&data).await.unwrap();
            peer.flush().await.unwrap();
            ours.read_exact(&mut got).await.unwrap();
            assert!(got == data);
            ours.write_all(&data).await.unwrap();
            ours.flush().await.unwrap();
            peer.read_exact(&mut got).await.unwrap();
            assert!(got == data);
        }
    }
}

#[tokio::test]
async fn sessions_resume() {
    let config = tls::server_config(&TlsFiles::default()).unwrap();
    let client = tls::client_config(&TlsFiles::default()).unwrap();
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let (c, s) = tcp_pair().await;
        let connect = tls::connect(client.clone(), "frps", c, LIMIT);
        let (server, ours) = tokio::join!(accept(config.clone(), s), connect);
        let (mut server, mut ours) = (server.unwrap(), ours.unwrap());
        assert_eq!(ours.handshake_kind(), Some(expected));
        assert_eq!(server.handshake_kind(), Some(expected));
        assert_eq!(ours.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        // The ticket comes with the first bytes.
        server.write_all(b"hello").await.unwrap();
        ours.read_exact(&mut [0; 5]).await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_gets_an_alert_and_is_remembered() {
    let config = tls::server_config(&TlsFiles::default()).unwrap();
    let (mut stranger, server) = tcp_pair().await;
    stranger
        .write_all(b"GET / HTTP/1.1\r\nHost: frps\r\n\r\n")
        .await
        .unwrap();
    let error = accept(config, server).await.unwrap_err();
    assert!(matches!(
        error.tls(),
        Some(rustls::Error::InvalidMessage(_))
    ));
    assert_eq!(error.first_bytes, b"GET / HTTP/1.1\r\n");
    let mut alert = [0; 5];
    stranger.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert[0], 0x15);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    let config = tls::server_config(&TlsFiles::default()).unwrap();
    let (mut peer, server) = tcp_pair().await;
    let flood = async move {
        // A client hello of 16 MiB, in full records.
        let mut record = vec![0x16, 3, 1, 0x40, 0];
        record.extend(vec![0; 0x4000]);
        record[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
        while peer.write_all(&record).await.is_ok() {}
    };
    let (result, ()) = tokio::join!(async { accept(config, server).await.map(|_| ()) }, flood);
    assert!(result.is_err());

    let config = tls::server_config(&TlsFiles::default()).unwrap();
    let (peer, server) = tcp_pair().await;
    drop(peer);
    let error = accept(config, server).await.unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::UnexpectedEof);

    let config = tls::server_config(&TlsFiles::default()).unwrap();
    let (_silent, server) = tcp_pair().await;
    let io = Rewind::new(Bytes::new(), server);
    let error = tls::accept(config, io, Duration::from_millis(1)).await;
    assert_eq!(error.unwrap_err().source.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn what_was_sniffed_is_read_first() {
    let config = tls::server_config(&TlsFiles::default()).unwrap();
    let (client, mut server) = tcp_pair().await;
    let peer = TlsConnector::from(peer_client(&TLS13));
    let name = ServerName::try_from("frps").unwrap();
    let ours = async {
        let mut prefix = vec![0; 7];
        server.read_exact(&mut prefix).await.unwrap();
        tls::accept(config, Rewind::new(prefix.into(), server), LIMIT).await
    };
    let (ours, peer) = tokio::join!(ours, async {
        let mut peer = peer.connect(name, client).await.unwrap();
        // Goes with the client's last flight, or close behind it.
        peer.write_all(b"at once").await.unwrap();
        peer.flush().await.unwrap();
        peer
    });
    let mut got = [0; 7];
    ours.unwrap().read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"at once");
    drop(peer);
}

/// Over a pipe of any kind, in parts where it has no room for more.
#[tokio::test]
async fn where_a_pipe_may_be_cut_an_end_between_two_records_is_one() {
    for (room, within) in [(64 * 1024, false), (64 * 1024, true), (512, false)] {
        let (client, server) = tokio::io::duplex(room);
        let config = tls::server_config(&TlsFiles::default()).unwrap();
        let peer = TlsConnector::from(peer_client(&TLS13));
        let name = ServerName::try_from("frps").unwrap();
        let (ours, peer) = tokio::join!(
            tls::accept(config, Rewind::new(Bytes::new(), server), LIMIT),
            peer.connect(name, client)
        );
        let (mut ours, mut peer) = (ours.unwrap().may_be_cut(), peer.unwrap());
        let (heard, ended) = (
            async {
                let mut heard = Vec::new();
                let end = ours.read_to_end(&mut heard).await;
                assert_eq!(heard, b"last words");
                end
            },
            async {
                peer.write_all(b"last words").await.unwrap();
                peer.flush().await.unwrap();
                let (mut io, _) = peer.into_inner();
                if within {
                    io.write_all(&[23, 3, 3]).await.unwrap();
                }
            },
        );
        let (end, ()) = tokio::join!(heard, ended);
        match within {
            true => assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
            false => assert_eq!(end.unwrap(), 10),
        }
    }
}
