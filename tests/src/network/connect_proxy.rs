//! A proxy that carries what asks for it by HTTP CONNECT (RFC 9110, 9.3.6).

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use super::host::Host;
use crate::service::Service;

/// One that runs on a host.
#[derive(Debug)]
pub struct ConnectProxy {
    /// Where it listens.
    pub addr: SocketAddrV4,
    carried: Arc<AtomicUsize>,
    _service: Service,
}

impl ConnectProxy {
    /// Starts one.
    #[must_use]
    pub fn start(host: &Host, port: u16) -> Self {
        let carried = Arc::new(AtomicUsize::new(0));
        let (here, count) = (host.clone(), carried.clone());
        let service = host.service(port, move |stream| {
            let (here, count) = (here.clone(), count.clone());
            async move {
                let _ = carry(&here, stream, &count).await;
            }
        });
        Self {
            addr: SocketAddrV4::new(host.ip, service.port),
            carried,
            _service: service,
        }
    }

    /// How many connections it has carried, or does.
    #[must_use]
    pub fn carried(&self) -> usize {
        self.carried.load(Ordering::Relaxed)
    }
}

async fn carry(here: &Host, mut user: TcpStream, count: &AtomicUsize) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 8192 {
            return Ok(());
        }
        head.push(user.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next()?.parse::<SocketAddrV4>().ok());
    let Some(target) = target else {
        return user.write_all(b"HTTP/1.1 405 Only CONNECT\r\n\r\n").await;
    };
    let Ok(mut onward) = here.connect(target).await else {
        return user.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    };
    count.fetch_add(1, Ordering::Relaxed);
    user.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    let _ = user.set_nodelay(true);
    let _ = onward.set_nodelay(true);
    copy_bidirectional(&mut user, &mut onward).await.map(|_| ())
}
