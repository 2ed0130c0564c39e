//! One way to the server, ready to be taken: the settings that hold on it, and its TLS.

use std::ops::Deref;
use std::sync::Arc;

use frp_config::{ClientConfig, TransportProtocol};
#[cfg(feature = "doctor")]
use frp_net::tls::Checks;
use frp_net::tls::{Renewed, TlsFiles, TlsSetupError, checked_client_config};

use crate::identity::Identity;

/// See the module. Its settings are those of the client, but for what the way decides.
#[derive(Debug)]
pub(crate) struct OneWay {
    cfg: Arc<ClientConfig>,
    /// `transport.protocol`, or what `auto` stands for here.
    pub(crate) protocol: TransportProtocol,
    pub(crate) tls: Option<Renewed<rustls::ClientConfig>>,
    pub(crate) identity: Arc<Identity>,
}

impl OneWay {
    /// Reads the files of `transport.tls`.
    pub(crate) fn new(
        cfg: Arc<ClientConfig>,
        protocol: TransportProtocol,
    ) -> Result<Self, TlsSetupError> {
        Self::beside(cfg, protocol, &[])
    }

    /// The same for one of several: `all` are the names of the server on each of them.
    pub(crate) fn beside(
        cfg: Arc<ClientConfig>,
        protocol: TransportProtocol,
        all: &[String],
    ) -> Result<Self, TlsSetupError> {
        let identity = Arc::new(Identity::new(&cfg, all));
        Ok(Self {
            tls: tls(&cfg, protocol, &identity)?,
            identity,
            cfg,
            protocol,
        })
    }

    /// The same way for a look at the certificate: any is taken, or any that the CAs of this machine vouch for. Nothing
    /// may be said on it.
    #[cfg(feature = "doctor")]
    pub(crate) fn for_a_look(&self, by_system: bool) -> Result<Self, TlsSetupError> {
        let settings = &self.cfg.transport.tls;
        let files = TlsFiles {
            cert: settings.cert_file.clone(),
            key: settings.key_file.clone(),
            trusted_ca: None,
        };
        let checks = Checks {
            by_system,
            judge: None,
        };
        let tls = self.tls.as_ref();
        let tls = tls.map(|_| checked_client_config(files, checks));
        Ok(Self {
            cfg: self.cfg.clone(),
            protocol: self.protocol,
            tls: tls.transpose()?,
            identity: Arc::new(Identity::of_anybody()),
        })
    }
}

impl Deref for OneWay {
    type Target = ClientConfig;

    fn deref(&self) -> &ClientConfig {
        &self.cfg
    }
}

/// `wss` and `quic` have TLS whatever `transport.tls.enable` is; `quic` then takes the files only where
/// that is on, as in frp.
fn tls(
    cfg: &ClientConfig,
    protocol: TransportProtocol,
    identity: &Arc<Identity>,
) -> Result<Option<Renewed<rustls::ClientConfig>>, TlsSetupError> {
    let settings = &cfg.transport.tls;
    let files = match protocol {
        TransportProtocol::Quic if !settings.enable => TlsFiles::default(),
        TransportProtocol::Tcp | TransportProtocol::Kcp | TransportProtocol::Websocket
            if !settings.enable =>
        {
            return Ok(None);
        }
        _ => TlsFiles {
            cert: settings.cert_file.clone(),
            key: settings.key_file.clone(),
            trusted_ca: settings.trusted_ca_file.clone(),
        },
    };
    checked_client_config(files, identity.checks(cfg)).map(Some)
}
