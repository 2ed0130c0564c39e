//! frps on an internet of a test's own, and a visitor and an owner who look for a direct path (xtcp) through
//! the NAT boxes that they are behind.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::network::NatNetwork;
use crate::program::{Program, Side};
use crate::rig::Rig;
use crate::service::Service;

/// Whose programs play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// frps.
    pub frps: Side,
    /// The frpc with the proxy.
    pub owner: Side,
    /// The frpc that visits it.
    pub visitor: Side,
}

/// What else their configurations have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines<'a> {
    /// Plain keys of frps.
    pub frps: &'a str,
    /// Plain keys of both frpc.
    pub frpc: &'a str,
    /// Keys of the proxy, and tables behind it.
    pub owner: &'a str,
    /// Keys of the visitor, and tables behind it.
    pub visitor: &'a str,
}

/// The programs, at work.
pub struct Hole {
    /// Where they are.
    pub net: NatNetwork,
    /// frps.
    pub frps: Program,
    /// The frpc with the proxy `hole`: an echo service, which sends without end to who begins with [`FLOOD`].
    pub owner: Program,
    /// The frpc that visits it.
    pub visitor: Program,
    _service: Service,
    _rig: Rig,
}

/// Where users of the visitor connect, on its host.
const USERS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9001);

/// Asks the service for as much as it can send.
pub const FLOOD: u8 = b'!';

/// The bindPort of frps.
const FRPS: u16 = 7000;

/// What came of the first user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first byte came back after so long, at the attempt of this number to connect.
    Echo {
        /// Since the user's first attempt.
        after: Duration,
        /// From 1.
        attempt: u32,
    },
    /// None came.
    Nothing,
}

impl Cast {
    /// All are of the same side.
    #[must_use]
    pub fn all(side: &Side) -> Self {
        Self {
            frps: side.clone(),
            owner: side.clone(),
            visitor: side.clone(),
        }
    }
}

impl Hole {
    /// Starts the programs, the data going over `protocol` (quic or kcp), and waits until the proxy is there.
    pub async fn begin(net: NatNetwork, cast: &Cast, protocol: &str, lines: Lines<'_>) -> Self {
        let rig = Rig::new();
        let log = "log.level = \"trace\"\nlog.disablePrintColor = true\n";
        let server = format!("bindPort = {FRPS}\n{log}{}\n", lines.frps);
        let frps = net.server.start(&rig, &cast.frps, "frps", &server);
        let started = |line: &str| line.contains("frps started successfully");
        let up = frps.log().wait(0, crate::wait::SOON, started).await;
        assert!(up.is_some(), "frps did not start");
        let client = format!(
            "serverAddr = \"{}\"\nserverPort = {FRPS}\nnatHoleStunServer = \"{}\"\n\
             loginFailExit = false\n{log}{}\n",
            net.server.ip, net.stun.addr, lines.frpc,
        );
        let service = service(&net);
        let owner = format!(
            "{client}[[proxies]]\nname = \"hole\"\ntype = \"xtcp\"\nsecretKey = \"secret\"\n\
             localPort = {}\n{}\n",
            service.port, lines.owner,
        );
        let owner = net.owner.start(&rig, &cast.owner, "frpc", &owner);
        owner.expect("[hole] start proxy success").await;
        let visitor = format!(
            "{client}[[visitors]]\nname = \"looking\"\ntype = \"xtcp\"\nserverName = \"hole\"\n\
             secretKey = \"secret\"\nbindPort = {}\nprotocol = \"{protocol}\"\n{}\n",
            USERS.port(),
            lines.visitor,
        );
        let visitor = net.visitor.start(&rig, &cast.visitor, "frpc", &visitor);
        visitor.expect("start visitor success").await;
        Self {
            net,
            frps,
            owner,
            visitor,
            _service: service,
            _rig: rig,
        }
    }

    /// A user of the visitor.
    pub async fn user(&self) -> std::io::Result<TcpStream> {
        let stream = self.net.visitor.connect(USERS).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// How long it takes until a user's first byte comes back. One whose connection ends comes again.
    pub async fn first_byte(&self, patience: Duration) -> Outcome {
        let begin = Instant::now();
        let mut attempt = 0;
        loop {
            let left = patience.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Outcome::Nothing;
            }
            attempt += 1;
            let echoed = async {
                let mut user = self.user().await.ok()?;
                user.write_all(b"?").await.ok()?;
                user.read_u8().await.ok()
            };
            if timeout(left, echoed).await == Ok(Some(b'?')) {
                let after = begin.elapsed();
                return Outcome::Echo { after, attempt };
            }
            // A visitor that refuses at once is not asked without end.
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// See [`Hole::owner`].
#[must_use]
pub fn service(net: &NatNetwork) -> Service {
    net.owner.service(0, |mut stream| async move {
        let Ok(first) = stream.read_u8().await else {
            return;
        };
        if first == FLOOD {
            let chunk = vec![0; 65_536];
            while stream.write_all(&chunk).await.is_ok() {}
            return;
        }
        let (mut reader, mut writer) = stream.split();
        if writer.write_all(&[first]).await.is_ok() {
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    })
}

impl Outcome {
    /// Whether a byte came.
    #[must_use]
    pub fn works(self) -> bool {
        self != Self::Nothing
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo { after, attempt: 1 } => write!(f, "{:.1} s", after.as_secs_f64()),
            Self::Echo { after, attempt } => {
                write!(f, "{:.1} s, attempt {attempt}", after.as_secs_f64())
            }
            Self::Nothing => f.write_str("no"),
        }
    }
}
