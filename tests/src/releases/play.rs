//! One case played by one cast, and what its users saw.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Release;
use super::case::{Case, Direction, Use};
use super::config::{Format, HOST, Locals, Ports};
use crate::backend::Backend;
use crate::program::Program;
use crate::rig::Rig;
use crate::{Service, UdpService, UdpUser, free_port, pattern};

/// How long everything may take to work, from the start of frpc on.
const LIMIT: Duration = Duration::from_secs(25);
/// How long one try of a user may take.
const TRY: Duration = Duration::from_secs(5);
/// How long users are away in [`Use::Stay`]: well over the timeout of 3 s and the second or two
/// that it is late.
const AWAY: Duration = Duration::from_secs(8);

/// What came of a play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that users tried works.
    Works,
    /// These do not.
    Without(Vec<&'static str>, String),
    /// Nothing works; the last that a program complained of.
    Fails(String),
    /// frps refused the login.
    Refused(String),
    /// It worked, and then the session was lost.
    Dropped,
    /// The old release cannot do it.
    None,
}

impl Outcome {
    /// Whether users have what they want.
    #[must_use]
    pub fn works(&self) -> bool {
        *self == Self::Works
    }

    /// What was complained of, if anything.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Without(_, reason) | Self::Fails(reason) | Self::Refused(reason) => reason,
            Self::Works | Self::Dropped | Self::None => "",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("ok"),
            Self::Without(kinds, _) => write!(f, "no {}", kinds.join("+")),
            Self::Fails(_) => f.write_str("fails"),
            Self::Refused(_) => f.write_str("refused"),
            Self::Dropped => f.write_str("dropped"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Plays `case` between `old` and `new`, which take the ends that the case says.
pub async fn play(case: &Case, old: &Release, new: &Release) -> Outcome {
    if old.version < case.since {
        return Outcome::None;
    }
    let (server, client) = match case.direction {
        Direction::OldServer => (old, new),
        Direction::OldClient => (new, old),
    };
    let stage = Stage::open().await;
    let (frps, ports) = match stage.server(case, server).await {
        Ok(started) => started,
        Err(reason) => return Outcome::Fails(reason),
    };
    let start = |release: &Release, visits: bool| {
        let format = Format::of(release.version);
        let text = format.client(case.client, ports, stage.locals(), case.usage, visits);
        stage.rig.start(&release.side, "frpc", &text)
    };
    // The owner of a proxy that an old frpc visits is new.
    let visited = matches!(case.usage, Use::Visit { .. });
    let owner = visited.then(|| start(new, false));
    let frpc = start(client, visited);

    let (missing, ended) = tokio::select! {
        missing = uses(case.usage, ports) => (missing, false),
        () = frpc.log().ended() => (tried(case.usage).to_vec(), true),
    };
    if !missing.is_empty() {
        let reason = complaint(&frpc)
            .or_else(|| frpc.log().lines().pop().filter(|_| ended))
            .or_else(|| owner.as_ref().and_then(complaint))
            .or_else(|| complaint(&frps))
            .unwrap_or_else(|| "no word".to_owned());
        return if reason.contains("token in login doesn't match") {
            Outcome::Refused(reason)
        } else if missing.len() < tried(case.usage).len() {
            Outcome::Without(missing, reason)
        } else {
            Outcome::Fails(reason)
        };
    }
    if case.usage == Use::Stay && !stays(&frps, &frpc, ports).await {
        return Outcome::Dropped;
    }
    Outcome::Works
}

/// The services behind the tunnels, and the place for files.
struct Stage {
    rig: Rig,
    echo: Service,
    datagrams: UdpService,
    page: Backend,
}

impl Stage {
    async fn open() -> Self {
        Self {
            rig: Rig::new(),
            echo: Service::echo().await,
            datagrams: UdpService::echo().await,
            page: Backend::saying("a page").await,
        }
    }

    fn locals(&self) -> Locals {
        Locals {
            echo: self.echo.port,
            datagrams: self.datagrams.port,
            page: self.page.port(),
        }
    }

    /// Starts frps; again on other ports where somebody else was faster.
    async fn server(&self, case: &Case, release: &Release) -> Result<(Program, Ports), String> {
        let mut reason = String::new();
        for _ in 0..5 {
            let ports = Ports {
                bind: free_port(),
                vhost: free_port(),
                tcp: free_port(),
                sealed: free_port(),
                udp: free_port(),
                visitor: free_port(),
            };
            let text = Format::of(release.version).server(case.server, ports);
            let frps = self.rig.start(&release.side, "frps", &text);
            let up = |line: &str| {
                line.contains("frps started successfully") || line.contains("tart frps success")
            };
            if frps.log().wait(0, LIMIT, up).await.is_some() {
                return Ok((frps, ports));
            }
            reason = complaint(&frps).unwrap_or_else(|| "frps does not start".to_owned());
            if !frps.log().text().contains("address already in use") {
                break;
            }
        }
        Err(reason)
    }
}

fn tried(usage: Use) -> &'static [&'static str] {
    match usage {
        Use::EveryKind => &["tcp", "sealed tcp", "udp", "http", "stcp"],
        Use::Tcp | Use::Stay => &["tcp"],
        Use::Visit { .. } => &["stcp"],
    }
}

/// Tries all again and again until [`LIMIT`]; returns what never worked.
async fn uses(usage: Use, ports: Ports) -> Vec<&'static str> {
    let end = Instant::now() + LIMIT;
    let every = usage == Use::EveryKind;
    let visits = every || matches!(usage, Use::Visit { .. });
    let tcp = !matches!(usage, Use::Visit { .. });
    let works = tokio::join!(
        until(end, tcp, async || echoes(ports.tcp).await),
        until(end, every, async || echoes(ports.sealed).await),
        until(end, every, async || datagram(ports.udp).await),
        until(end, every, async || page(ports.vhost).await),
        until(end, visits, async || echoes(ports.visitor).await),
    );
    let works = [works.0, works.1, works.2, works.3, works.4];
    let kinds = ["tcp", "sealed tcp", "udp", "http", "stcp"];
    let missing = kinds.into_iter().zip(works).filter(|(_, works)| !works);
    missing.map(|(kind, _)| kind).collect()
}

/// Whether `attempt` succeeds before `end`; true without one if it is not wanted.
async fn until(end: Instant, wanted: bool, attempt: impl AsyncFn() -> bool) -> bool {
    while wanted && !attempt().await {
        if Instant::now() > end {
            return false;
        }
        sleep(Duration::from_millis(50)).await;
    }
    true
}

async fn echoes(port: u16) -> bool {
    let data = pattern(100_000, port.into());
    let attempt = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        let mut back = vec![0; data.len()];
        let (mut reader, mut writer) = stream.split();
        let (sent, received) = tokio::join!(writer.write_all(&data), reader.read_exact(&mut back));
        (sent.is_ok() && received.is_ok() && back == data).then_some(())
    };
    timeout(TRY, attempt).await.ok().flatten().is_some()
}

async fn datagram(port: u16) -> bool {
    let user = UdpUser::of(port).await;
    user.send(b"a datagram").await;
    let back = user.recv_within(Duration::from_secs(1)).await;
    back.as_deref() == Some(b"a datagram")
}

async fn page(port: u16) -> bool {
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let attempt = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        (answer.starts_with("HTTP/1.1 200") && answer.ends_with("a page")).then_some(())
    };
    timeout(TRY, attempt).await.ok().flatten().is_some()
}

/// Whether the session is the same after [`AWAY`], and serves.
async fn stays(frps: &Program, frpc: &Program, ports: Ports) -> bool {
    let lost = async {
        tokio::select! {
            line = frps.log().wait(0, AWAY, |line| line.contains("heartbeat timeout")) => line.is_some(),
            () = frpc.log().ended() => true,
        }
    };
    !lost.await && frpc.log().count("login to server success") == 1 && echoes(ports.tcp).await
}

/// The last line that is a warning or an error, and not of a user who comes before the proxy.
fn complaint(program: &Program) -> Option<String> {
    let signs = ["[W]", "[E]", "rror:", "invalid", "failed"];
    let lines = program.log().lines();
    let line = lines
        .iter()
        .rev()
        .find(|line| signs.iter().any(|sign| line.contains(sign)) && !line.contains(HOST))?;
    // Without date, time, source, and what ends a colour.
    let text = line
        .rsplit_once("] ")
        .map_or(line.as_str(), |(_, text)| text);
    Some(text.trim_end_matches("\x1b[0m").to_owned())
}
