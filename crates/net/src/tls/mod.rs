//! TLS on both ends with frp's defaults (frp `pkg/transport/tls.go`): a server without certificate
//! files makes one in memory; a client without a CA file does not check who the server is.

pub(crate) mod binding;
mod files;
mod identity;
mod pipe;
mod renew;
mod session;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod session_tests;
pub mod shown;
pub(crate) mod validity;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_proto::address::ScopedIp;
use frp_proto::fingerprint::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;

pub use self::binding::{Channel, marked};
use self::files::certificates;
pub use self::files::{Fault, Wanted};
use self::identity::Judged;
pub use self::identity::{Checks, JudgesKeys, key_of};
pub use self::pipe::TlsPipe;
use self::renew::{OwnCertificate, Tickets};
pub use self::renew::{Renewed, look_at_certificates};
use crate::rewind::Rewind;

/// Certificate files of either end; every one is PEM.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Own certificate chain; needs `key` too.
    pub cert: Option<PathBuf>,
    /// Own private key (PKCS#8, PKCS#1 or SEC1).
    pub key: Option<PathBuf>,
    /// Whom to trust: a server then demands client certificates, a client checks the server's.
    pub trusted_ca: Option<PathBuf>,
}

/// Why TLS could not be set up from the files given.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A file could not be read.
    #[error("{}", files::unread(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file holds nothing that can be used.
    #[error("{}: {}", path.display(), files::explained(path, *wanted, fault))]
    File {
        /// The file.
        path: PathBuf,
        /// What it is to hold.
        wanted: Wanted,
        /// What is in the way.
        fault: Fault,
    },
    /// The certificate and the key do not go together.
    #[error(
        "the certificate in {} does not belong to the private key in {}: name the two that were made \
         together; where the file has several certificates, its own one must be the first",
        cert.display(), key.display()
    )]
    Pair {
        /// The file of the certificate.
        cert: PathBuf,
        /// That of the key.
        key: PathBuf,
    },
    /// The certificate cannot be read.
    #[error("{}: the certificate is not usable: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What rustls says of it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS not usable: {0}")]
    Unusable(#[from] rustls::Error),
    /// The CA file holds no usable CA.
    #[error("{}: {why}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What rustls says of it.
        why: String,
    },
    /// The in-memory certificate could not be made.
    #[error("make a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// The machine trusts nobody.
    #[error("no CA certificates on this machine: {0}")]
    SystemCas(String),
}

/// TLS for frps. Without `cert` and `key` it makes a self-signed certificate that lives in memory.
///
/// P-256 where frp has RSA-2048: peers that check nothing accept either, and each handshake is a
/// fifteenth of the work.
///
/// What is renewed in the files counts for handshakes from then on; tickets of before are void.
pub fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsSetupError> {
    server(files).map(|(config, _)| config)
}

/// The same, with the fingerprint of the key as it is now.
pub fn server(files: &TlsFiles) -> Result<(Arc<ServerConfig>, Fingerprint), TlsSetupError> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut renewed = Vec::new();
    let builder = match &files.trusted_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let cas = CaFileOfClients::load(ca)?;
            renewed.push(cas.0.watched());
            builder.with_client_cert_verifier(Arc::new(cas))
        }
    };
    let identity = match own_identity(files)? {
        Some(identity) => identity,
        None => Renewed::load(Vec::new(), self_signed)?,
    };
    renewed.push(identity.watched());
    let key = identity.now().cert.first().and_then(key_of);
    let key = key.ok_or_else(|| rustls::Error::from(CertificateError::BadEncoding))?;
    let mut config = builder.with_cert_resolver(Arc::new(OwnCertificate(identity)));
    // Stateless tickets: resumption costs the server no memory, and without the mux every work
    // connection resumes.
    config.ticketer = Arc::new(Tickets::new(renewed)?);
    config.send_tls13_tickets = 1;
    Ok((Arc::new(config), key))
}

/// TLS for whom any certificate does: with one of our own, and no tickets.
///
/// # Errors
/// The certificate cannot be made.
pub(crate) fn self_signed_config(provider: CryptoProvider) -> Result<ServerConfig, TlsSetupError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(self_signed()?)));
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// TLS for a client, as the files have it now.
pub fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsSetupError> {
    client(files, &Checks::default()).map(Arc::new)
}

/// TLS for a client: as the files have it when a connection is made.
pub fn renewed_client_config(files: TlsFiles) -> Result<Renewed<ClientConfig>, TlsSetupError> {
    checked_client_config(files, Checks::default())
}

/// The same for frpc, which may ask more of the server.
pub fn checked_client_config(
    files: TlsFiles,
    checks: Checks,
) -> Result<Renewed<ClientConfig>, TlsSetupError> {
    let paths = [&files.cert, &files.key, &files.trusted_ca];
    let paths = paths.into_iter().flatten().cloned().collect();
    Renewed::load(paths, move || client(&files, &checks))
}

fn client(files: &TlsFiles, checks: &Checks) -> Result<ClientConfig, TlsSetupError> {
    let by_cas: Option<Arc<dyn ServerCertVerifier>> = match &files.trusted_ca {
        Some(ca) => Some(Arc::new(CaFileOfServer::load(ca)?)),
        None if checks.by_system => Some(by_system()?),
        None => None,
    };
    let verifier: Arc<dyn ServerCertVerifier> = match (&checks.judge, by_cas) {
        (Some(judge), by_cas) => Arc::new(Judged::new(judge.clone(), by_cas, provider())),
        (None, Some(by_cas)) => by_cas,
        (None, None) => Arc::new(AnyServer),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone());
    let mut config = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let identity = files::identity(cert, key, &provider())?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
        }
        _ => builder.with_no_client_auth(),
    };
    binding::watch(&mut config, verifier);
    Ok(config)
}

/// TLS to servers that the CAs of this machine vouch for, as Go does it: `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name them, else they are where the distribution keeps them. They are read once.
///
/// # Errors
/// There are none.
pub async fn client_config_of_system() -> Result<Arc<ClientConfig>, TlsSetupError> {
    static CONFIG: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    // Some hundred kB of files, and as many certificates to parse.
    let read = || async {
        let read = tokio::task::spawn_blocking(read_system_cas).await;
        read.unwrap_or_else(|e| Err(TlsSetupError::SystemCas(e.to_string())))
    };
    CONFIG.get_or_try_init(read).await.cloned()
}

fn read_system_cas() -> Result<Arc<ClientConfig>, TlsSetupError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(system_cas()?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Why a handshake failed, with what the peer sent first.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct HandshakeError {
    /// rustls's or the socket's error; a rustls error is inside as its source.
    #[source]
    pub source: io::Error,
    /// The first bytes (at most 16) that came from the peer; empty where none came.
    pub first_bytes: Vec<u8>,
}

impl HandshakeError {
    /// The TLS error, where it is one.
    pub fn tls(&self) -> Option<&rustls::Error> {
        self.source.get_ref()?.downcast_ref()
    }
}

/// The server's handshake on a connection whose first bytes have been read already.
///
/// # Errors
/// The connection failed or closed, `limit` ran out, or either side refuses the other; the peer
/// has got its alert then.
pub async fn accept<T>(
    config: Arc<ServerConfig>,
    io: Rewind<T>,
    limit: Duration,
) -> Result<TlsPipe<T>, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (prefix, io) = io.into_parts();
    handshake(TlsPipe::server(io, config), prefix, limit).await
}

/// The client's handshake. `server_name` goes into the hello and is what the certificate is
/// checked against; a name that is no DNS name or address is replaced by one that is, as Go sends
/// none then.
///
/// # Errors
/// As [`accept`].
pub async fn connect<T>(
    config: Arc<ClientConfig>,
    server_name: &str,
    io: T,
    limit: Duration,
) -> Result<TlsPipe<T>, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    // The zone is known on this machine only.
    let ip = server_name.parse::<ScopedIp>().map(|scoped| scoped.ip);
    let name = ip.map_or_else(
        |_| ServerName::try_from(server_name.to_owned()),
        |ip| Ok(ip.into()),
    );
    let name = name.unwrap_or_else(|_| ServerName::from(std::net::Ipv4Addr::UNSPECIFIED));
    let pipe = TlsPipe::client(io, config, name);
    handshake(pipe, Bytes::new(), limit).await
}

async fn handshake<T>(
    pipe: Result<TlsPipe<T>, rustls::Error>,
    prefix: Bytes,
    limit: Duration,
) -> Result<TlsPipe<T>, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut first_bytes = Vec::new();
    let mut pipe = pipe.map_err(|e| HandshakeError {
        source: io::Error::new(io::ErrorKind::InvalidData, e),
        first_bytes: Vec::new(),
    })?;
    match tokio::time::timeout(limit, pipe.handshake(prefix, &mut first_bytes)).await {
        Ok(Ok(())) => Ok(pipe),
        Ok(Err(source)) => Err(HandshakeError {
            source,
            first_bytes,
        }),
        Err(_) => Err(HandshakeError {
            source: io::Error::new(io::ErrorKind::TimedOut, "TLS handshake: i/o timeout"),
            first_bytes,
        }),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The first certificate of a PEM file, DER: that of whoever has the file.
///
/// # Errors
/// The file cannot be read, or has none.
pub fn first_certificate(path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    let all = certificates(path)?;
    Ok(all.first().map(|cert| cert.to_vec()).unwrap_or_default())
}

fn own_identity(files: &TlsFiles) -> Result<Option<Renewed<CertifiedKey>>, TlsSetupError> {
    let (Some(cert), Some(key)) = (files.cert.clone(), files.key.clone()) else {
        return Ok(None);
    };
    let load = {
        let (cert, key) = (cert.clone(), key.clone());
        move || files::identity(&cert, &key, &provider())
    };
    Renewed::load(vec![cert, key], load).map(Some)
}

/// The key of the first certificate in a file, which is that of the server.
///
/// # Errors
/// There is none.
pub fn key_in_file(path: &Path) -> Result<Fingerprint, TlsSetupError> {
    let all = certificates(path)?;
    let key = all.first().and_then(key_of);
    key.ok_or_else(|| TlsSetupError::Certificate {
        path: path.to_owned(),
        why: "it has no public key".to_owned(),
    })
}

/// PEM of a new key and a certificate that it signs itself, which has no end.
///
/// # Errors
/// They cannot be made.
pub fn make_identity() -> Result<String, TlsSetupError> {
    let (key, cert) = identity::made()?;
    Ok(format!("{}{}", key.serialize_pem(), cert.pem()))
}

/// The same, for as long as the program runs.
fn self_signed() -> Result<CertifiedKey, TlsSetupError> {
    let (key, cert) = identity::made()?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|e| TlsSetupError::Unusable(rustls::Error::General(e.to_owned())))?;
    let chain = vec![cert.der().clone()];
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// The CAs of this machine, as they are now.
fn system_cas() -> Result<RootCertStore, TlsSetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "none is where distributions keep them".to_owned());
        return Err(TlsSetupError::SystemCas(why));
    }
    Ok(roots)
}

/// Takes whom those vouch for.
fn by_system() -> Result<Arc<WebPkiServerVerifier>, TlsSetupError> {
    let built = server_verifier(Arc::new(system_cas()?));
    built.map_err(|e| TlsSetupError::SystemCas(e.to_string()))
}

/// Accepts every server, as frp does where no CA is set. The handshake's signature is not checked
/// either: whoever can present any certificate can also sign with its key, so the check would stop
/// nobody, and frps before 0.35 presents RSA-1024 keys that rustls cannot check.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The certificates of a CA file: CAs, or the very certificates of the peers. Go takes both; webpki
/// refuses a certificate that vouches for itself, so those are compared byte for byte.
struct CaFile {
    listed: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl CaFile {
    fn load(path: &Path) -> Result<Self, TlsSetupError> {
        let listed = certificates(path)?;
        let what = match listed[..] {
            [_] => "the certificate",
            _ => "a certificate in it",
        };
        // One will do: a bundle may have hundreds.
        let mut listing = listed.iter();
        listing.any(|cert| files::warn_if_out_of_time(path, what, cert));
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(listed.iter().cloned());
        if added == 0 {
            let why = "no certificate in it can be used as a CA".to_owned();
            return Err(TlsSetupError::Ca {
                path: path.to_owned(),
                why,
            });
        }
        Ok(Self {
            listed,
            roots: Arc::new(roots),
        })
    }

    /// Whether the file has `cert` itself.
    ///
    /// # Errors
    /// It has, but the time of `cert` is over or yet to come.
    fn lists(&self, cert: &CertificateDer<'_>, now: UnixTime) -> Result<bool, rustls::Error> {
        let listed = self.listed.iter().any(|listed| listed == cert);
        if listed {
            validity::check(cert, now)?;
        }
        Ok(listed)
    }

    /// The CAs whose time it is, if it is not that of all: like Go, and unlike webpki, we have a CA whose
    /// time is over vouch for nobody.
    ///
    /// # Errors
    /// It is the time of none.
    fn roots_at(&self, now: UnixTime) -> Result<Option<Arc<RootCertStore>>, rustls::Error> {
        let out_of_time = |cert: &CertificateDer<'_>| {
            let checked = validity::check(cert, now);
            checked
                .err()
                .filter(|e| *e != CertificateError::BadEncoding)
        };
        let Some(why) = self.listed.iter().find_map(out_of_time) else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        let good = self
            .listed
            .iter()
            .filter(|cert| out_of_time(cert).is_none());
        match roots.add_parsable_certificates(good.cloned()) {
            (0, _) => Err(why.into()),
            _ => Ok(Some(Arc::new(roots))),
        }
    }
}

struct CaFileOfServer {
    file: CaFile,
    webpki: Arc<WebPkiServerVerifier>,
}

impl CaFileOfServer {
    fn load(path: &Path) -> Result<Self, TlsSetupError> {
        let file = CaFile::load(path)?;
        let webpki = server_verifier(file.roots.clone()).map_err(|error| unusable(path, &error))?;
        Ok(Self { file, webpki })
    }
}

fn server_verifier(
    roots: Arc<RootCertStore>,
) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(roots, provider()).build()
}

fn client_verifier(
    roots: Arc<RootCertStore>,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    WebPkiClientVerifier::builder_with_provider(roots, provider()).build()
}

fn unusable(path: &Path, error: &VerifierBuilderError) -> TlsSetupError {
    TlsSetupError::Ca {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

fn untrusting(error: VerifierBuilderError) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

impl fmt::Debug for CaFileOfServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaFileOfServer")
            .field("certificates", &self.file.listed.len())
            .finish()
    }
}

impl ServerCertVerifier for CaFileOfServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.file.lists(end_entity, now)? {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let webpki = match self.file.roots_at(now)? {
            None => self.webpki.clone(),
            Some(roots) => server_verifier(roots).map_err(untrusting)?,
        };
        webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Whom frps takes for a client that may connect.
struct CasOfClients {
    file: CaFile,
    webpki: Arc<dyn ClientCertVerifier>,
}

impl CasOfClients {
    fn load(path: &Path) -> Result<Self, TlsSetupError> {
        let file = CaFile::load(path)?;
        let webpki = client_verifier(file.roots.clone()).map_err(|error| unusable(path, &error))?;
        Ok(Self { file, webpki })
    }
}

#[derive(Debug)]
struct CaFileOfClients(Renewed<CasOfClients>);

impl CaFileOfClients {
    fn load(path: &Path) -> Result<Self, TlsSetupError> {
        let file = path.to_owned();
        Renewed::load(vec![file.clone()], move || CasOfClients::load(&file)).map(Self)
    }
}

impl ClientCertVerifier for CaFileOfClients {
    /// None: a client that heeds them, as Go's, would send no certificate of a CA that came later.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let cas = self.0.now();
        if cas.file.lists(end_entity, now)? {
            return Ok(ClientCertVerified::assertion());
        }
        let webpki = match cas.file.roots_at(now)? {
            None => cas.webpki.clone(),
            Some(roots) => client_verifier(roots).map_err(untrusting)?,
        };
        webpki.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .now()
            .webpki
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .now()
            .webpki
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.now().webpki.supported_verify_schemes()
    }
}
