//! One way to the server, ready to be taken: the settings that hold on it, and its TLS.

use std::ops::Deref;
use std::sync::Arc;

use frp_config::{ClientConfig, TransportProtocol};
use frp_net::tls::{Renewed, TlsFiles, TlsSetupError, renewed_client_config};

/// See the module. Its settings are those of the client, but for what the way decides.
#[derive(Debug)]
pub(crate) struct OneWay {
    cfg: Arc<ClientConfig>,
    /// `transport.protocol`, or what `auto` stands for here.
    pub(crate) protocol: TransportProtocol,
    pub(crate) tls: Option<Renewed<rustls::ClientConfig>>,
}

impl OneWay {
    /// Reads the files of `transport.tls`.
    pub(crate) fn new(
        cfg: Arc<ClientConfig>,
        protocol: TransportProtocol,
    ) -> Result<Self, TlsSetupError> {
        Ok(Self {
            tls: tls(&cfg, protocol)?,
            cfg,
            protocol,
        })
    }
}

impl OneWay {
    /// The same way, on which any certificate is taken: for a look at it. Nothing may be said on it.
    pub(crate) fn unchecked(&self) -> Result<Self, TlsSetupError> {
        let settings = &self.cfg.transport.tls;
        let files = TlsFiles {
            cert: settings.cert_file.clone(),
            key: settings.key_file.clone(),
            ..TlsFiles::default()
        };
        let tls = self.tls.is_some().then(|| renewed_client_config(files));
        Ok(Self {
            cfg: self.cfg.clone(),
            protocol: self.protocol,
            tls: tls.transpose()?,
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
    renewed_client_config(files).map(Some)
}
