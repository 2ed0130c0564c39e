//! Where the local service is.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use frp_proto::address::without_brackets;
use tokio::time::{Instant, timeout};

use crate::limits::LOCAL_DIAL;
use crate::literal::literal;
use crate::resolve::lookup;

/// A name is looked up again for new users after this time.
const LOOK_UP_AFTER: Duration = Duration::from_secs(10);

/// `localIP` and `localPort`. A name is looked up again from time to time, beside the traffic.
pub struct Target {
    host: String,
    port: u16,
    addr: SocketAddr,
    /// `None`: the host is an address.
    looked_up: Option<Instant>,
    looking_up: Option<LookUp>,
}

type LookUp = Pin<Box<dyn Future<Output = io::Result<SocketAddr>> + Send>>;

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}:{} at {})", self.host, self.port, self.addr)
    }
}

impl Target {
    /// Looks `host` up where it is a name.
    ///
    /// # Errors
    /// The resolver's, or that it takes longer than [`LOCAL_DIAL`].
    pub async fn resolve(host: &str, port: u16) -> io::Result<Self> {
        let host = without_brackets(host);
        let literal = literal(host, port);
        let addr = match literal {
            Some(addr) => addr,
            None => look_up(host.to_owned(), port).await?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            addr,
            looked_up: literal.is_none().then(Instant::now),
            looking_up: None,
        })
    }

    /// The address for a new user.
    pub(super) fn addr(&mut self) -> SocketAddr {
        if self.looking_up.is_none()
            && self
                .looked_up
                .is_some_and(|at| at.elapsed() >= LOOK_UP_AFTER)
        {
            self.looking_up = Some(Box::pin(look_up(self.host.clone(), self.port)));
        }
        self.addr
    }

    /// Goes on with a look-up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(looking_up) = &mut self.looking_up
            && let Poll::Ready(found) = looking_up.as_mut().poll(cx)
        {
            self.looking_up = None;
            self.looked_up = Some(Instant::now());
            // What was found before may still be right.
            self.addr = found.unwrap_or(self.addr);
        }
    }
}

/// The first IPv4 address, else the first, as in Go.
async fn look_up(host: String, port: u16) -> io::Result<SocketAddr> {
    let found = timeout(LOCAL_DIAL, lookup(&host, port)).await?;
    let found = found.map_err(io::Error::other)?;
    let v4 = found.iter().find(|addr| addr.is_ipv4());
    v4.or_else(|| found.first())
        .copied()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))
}
