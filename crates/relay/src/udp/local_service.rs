//! Where the local service is.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use frp_proto::address::without_brackets;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{LOCAL_DIAL, LOOK_UP_AGAIN};
use frp_net::literal::literal;
use frp_net::resolve::lookup;

/// A name is looked up again for new users after this time.
const LOOK_UP_AFTER: Duration = Duration::from_secs(10);

/// `localIP` and `localPort`. A name is looked up again from time to time, beside the traffic.
pub struct LocalService {
    host: String,
    port: u16,
    /// `None` as long as the name has not been found.
    addr: Option<SocketAddr>,
    /// `None`: the host is an address.
    looked_up: Option<Instant>,
    looking_up: Option<LookUp>,
    /// Why it has not been found, until that is told.
    failed: Option<io::Error>,
    failures: usize,
}

type LookUp = Pin<Box<dyn Future<Output = io::Result<SocketAddr>> + Send>>;

impl fmt::Debug for LocalService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LocalService({}:{} at {:?})",
            self.host, self.port, self.addr
        )
    }
}

impl LocalService {
    /// Looks `host` up where it is a name, for at most [`LOCAL_DIAL`]. Where that fails, it is looked
    /// up again and again.
    pub async fn resolve(host: &str, port: u16) -> Self {
        let host = without_brackets(host);
        let literal = literal(host, port);
        let found = match literal {
            Some(addr) => Ok(addr),
            None => look_up(host.to_owned(), port).await,
        };
        let mut target = Self {
            host: host.to_owned(),
            port,
            addr: None,
            looked_up: literal.is_none().then(Instant::now),
            looking_up: None,
            failed: None,
            failures: 0,
        };
        target.take(found);
        target
    }

    fn take(&mut self, found: io::Result<SocketAddr>) {
        match found {
            Ok(addr) => self.addr = Some(addr),
            // What was found before may still be right.
            Err(_) if self.addr.is_some() => {}
            Err(e) => {
                let nth = self.failures.min(LOOK_UP_AGAIN.len() - 1);
                let wait = LOOK_UP_AGAIN.get(nth).copied().unwrap_or(LOOK_UP_AFTER);
                self.failures += 1;
                self.failed = Some(e);
                let (host, port) = (self.host.clone(), self.port);
                self.looking_up = Some(Box::pin(async move {
                    sleep(wait).await;
                    look_up(host, port).await
                }));
            }
        }
    }

    /// The address for a new user; none while the name has not been found.
    pub(super) fn addr(&mut self) -> io::Result<SocketAddr> {
        if self.looking_up.is_none()
            && self
                .looked_up
                .is_some_and(|at| at.elapsed() >= LOOK_UP_AFTER)
        {
            self.looking_up = Some(Box::pin(look_up(self.host.clone(), self.port)));
        }
        self.addr
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its address is not known"))
    }

    /// Goes on with a look-up. What comes of it while there is no address is told once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<io::Result<()>> {
        if let Some(e) = self.failed.take() {
            // The next look-up has to be polled for the first time.
            cx.waker().wake_by_ref();
            return Some(Err(e));
        }
        if let Some(looking_up) = &mut self.looking_up
            && let Poll::Ready(found) = looking_up.as_mut().poll(cx)
        {
            self.looking_up = None;
            self.looked_up = Some(Instant::now());
            let was_lost = self.addr.is_none();
            self.take(found);
            if self.addr.is_none() {
                cx.waker().wake_by_ref();
                return self.failed.take().map(Err);
            }
            return was_lost.then_some(Ok(()));
        }
        None
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
