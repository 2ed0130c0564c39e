//! A device on the path that resets connections which look like plain frp.

use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::service::Service;

/// What the device lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Resets a login in the clear (a mux header, a v1 Login, the v2 magic); TLS passes, with or
    /// without frp's 0x17 byte in front.
    ResetPlain,
    /// As [`Policy::ResetPlain`], and resets also at the 0x17 byte.
    ResetPlainAndCustomByte,
    /// Resets when it sees a TLS hello.
    ResetTls,
}

/// Starts one in front of `target` on 127.0.0.1. It listens on the port of the returned service.
pub async fn start(target: u16, policy: Policy) -> Service {
    Service::new(move |stream| async move {
        let mut first = [0; 10];
        // Some bytes must be there before anything can be judged.
        let Ok(n) = stream.peek(&mut first).await else {
            return;
        };
        if n > 0 && resets(policy, &first[..n]) {
            reset(stream).await;
            return;
        }
        let mut stream = stream;
        if let Ok(mut onward) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await {
            let _ = onward.set_nodelay(true);
            let _ = copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}

/// Ends a connection by RST, after its peer had time to send all of its first message.
pub async fn reset(mut stream: TcpStream) {
    let drain = async { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await };
    let _ = tokio::time::timeout(Duration::from_millis(50), drain).await;
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

fn resets(policy: Policy, first: &[u8]) -> bool {
    let tls = first.first() == Some(&0x16);
    let custom_byte = first.first() == Some(&0x17);
    match policy {
        Policy::ResetPlain => !tls && !custom_byte,
        Policy::ResetPlainAndCustomByte => !tls,
        Policy::ResetTls => tls || custom_byte,
    }
}
