//! Certificates made on the fly, and TLS clients and servers for scripted peers.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::clients::connect;
use crate::service::Service;

/// A certificate authority in a directory.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub file: PathBuf,
}

/// A certificate and its key as PEM files.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority whose certificate is `directory/NAME.crt`.
    #[must_use]
    pub fn new(directory: &Path, name: &str) -> Self {
        Self::until(directory, name, 4096)
    }

    /// The same, whose time ended with this year.
    #[must_use]
    pub fn until(directory: &Path, name: &str, year: i32) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 12, 31);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let file = directory.join(format!("{name}.crt"));
        std::fs::write(&file, certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// A certificate for `names` (DNS names or addresses), good for both ends of a connection.
    #[must_use]
    pub fn issue(&self, directory: &Path, file: &str, names: &[&str]) -> Identity {
        self.issue_until(
            directory,
            file,
            names,
            SystemTime::now() + Duration::from_secs(31_536_000),
        )
    }

    /// The same, whose time ends then.
    #[must_use]
    pub fn issue_until(
        &self,
        directory: &Path,
        file: &str,
        names: &[&str],
        end: SystemTime,
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        params.not_after = end.into();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            cert: directory.join(format!("{file}.crt")),
            key: directory.join(format!("{file}.key")),
        };
        std::fs::write(&identity.cert, certificate.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

/// A client that trusts anybody, as frpc without a CA does. `versions` restricts it.
#[must_use]
pub fn client(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll(provider)))
        .with_no_client_auth()
}

/// A server with a certificate of `identity`.
#[must_use]
pub fn server(identity: &Identity) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(&identity.cert).unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// A TLS connection to `port` of 127.0.0.1 that trusts anybody.
///
/// # Errors
/// When the handshake fails.
pub async fn connect_tls(port: u16, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(connect(port).await, config).await
}

/// The TLS handshake over a connection that is there already.
///
/// # Errors
/// When the handshake fails.
pub async fn handshake(
    stream: TcpStream,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// The same as a client that asks for the server `name`.
///
/// # Errors
/// When the handshake fails.
pub async fn handshake_for(
    stream: TcpStream,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// A TLS service that sends `greeting` after the handshake, then what it gets.
pub async fn greeting_service(identity: &Identity, greeting: &str) -> Service {
    let acceptor = TlsAcceptor::from(Arc::new(server(identity)));
    let greeting = greeting.to_owned();
    Service::new(move |stream| {
        let (acceptor, greeting) = (acceptor.clone(), greeting.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.write_all(greeting.as_bytes()).await.is_ok() {
                let (mut reader, mut writer) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            }
        }
    })
    .await
}

#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
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
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
