//! Somebody on the path who poses as frps: with a certificate of its own it ends the TLS of each client and relays
//! all that is inside to the real one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional, join};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::service::Service;
use crate::tls::{Identity, client, connect_tls, server};

/// See the module; for TLS over TCP, whatever is inside, and for QUIC.
#[derive(Debug)]
pub struct Impostor {
    /// Where it listens, over TCP and over UDP.
    pub port: u16,
    _tcp: Service,
    quic: JoinHandle<()>,
    relayed: Arc<AtomicUsize>,
}

impl Impostor {
    /// In front of `tcp` and of `quic`.
    pub async fn new(identity: &Identity, tcp: u16, quic: u16) -> Self {
        let relayed = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(server(identity)));
        let count = relayed.clone();
        let service = Service::new(move |stream| {
            let (acceptor, count) = (acceptor.clone(), count.clone());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let onward = connect_tls(tcp, client(rustls::ALL_VERSIONS)).await;
                let Ok(mut onward) = onward else { return };
                count.fetch_add(1, Ordering::Relaxed);
                let _ = copy_bidirectional(&mut stream, &mut onward).await;
            }
        })
        .await;
        let port = service.port;
        let mut tls = server(identity);
        tls.alpn_protocols = vec![b"frp".to_vec()];
        let tls = QuicServerConfig::try_from(tls).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(tls));
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let endpoint = Endpoint::server(config, here).unwrap();
        let task = tokio::spawn(relay_quic(endpoint, quic, relayed.clone()));
        Self {
            port,
            _tcp: service,
            quic: task,
            relayed,
        }
    }

    /// Connections that were relayed: clients that took it for frps.
    #[must_use]
    pub fn relayed(&self) -> usize {
        self.relayed.load(Ordering::Relaxed)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.quic.abort();
    }
}

async fn relay_quic(endpoint: Endpoint, target: u16, relayed: Arc<AtomicUsize>) {
    while let Some(incoming) = endpoint.accept().await {
        let relayed = relayed.clone();
        tokio::spawn(async move {
            let Ok(conn) = incoming.await else { return };
            let mut tls = client(&[&rustls::version::TLS13]);
            tls.alpn_protocols = vec![b"frp".to_vec()];
            let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
            let onward = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
            let onward = onward.connect_with(config, target, "127.0.0.1").unwrap();
            let Ok(onward) = onward.await else { return };
            relayed.fetch_add(1, Ordering::Relaxed);
            while let Ok((send, receive)) = conn.accept_bi().await {
                let Ok((to, from)) = onward.open_bi().await else {
                    return;
                };
                tokio::spawn(async move {
                    let (mut near, mut far) = (join(receive, send), join(from, to));
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                    let _ = near.shutdown().await;
                });
            }
        });
    }
}
