//! Do users reach a proxy? Tried as they do: by the port of frps that it has, or by its host names.

use std::net::SocketAddr;
use std::time::Duration;

use frp_ask::doctor::{Mark, Step};
use frp_config::{ClientConfig, ProxyConfig, ProxyKind};
use frp_net::dial::{DialError, DialOptions, dial};
use frp_net::go_text::go_text;
use frp_net::listen::any;
use frp_net::resolve::lookup;
use frp_net::tls::{TlsFiles, client_config, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

use super::names::ips;
use super::patient::{explained, failed};
use crate::client::Client;
use crate::diagnose::path;
use crate::limits::DOCTOR_STEP;

const STEP: &str = "remotePort";

/// For a user to come through frps to us.
const COMES: Duration = Duration::from_secs(3);

/// A port that leads nowhere closes by then.
const STAYS: Duration = Duration::from_millis(300);

/// Where a proxy is looked for.
pub(super) struct Place<'a> {
    pub(super) cfg: &'a ClientConfig,
    /// Those of the server.
    pub(super) addrs: &'a [SocketAddr],
    /// As frps or the program says it: `:PORT`, `HOST:PORT`, or host names.
    pub(super) remote: &'a str,
}

/// The doctor's own session, where users of the proxy come to that.
#[derive(Clone, Copy)]
pub(super) struct Served<'a> {
    pub(super) client: &'a Client,
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
}

impl Served<'_> {
    /// Whether a user has come to us, served or not.
    fn has_come(&self) -> bool {
        let served = self.client.live.served(self.name, self.kind);
        // Users of datagrams do not come one by one.
        if served.ever() > 0 || served.bytes() != (0, 0) {
            return true;
        }
        let registrations = self.client.registrations();
        let mut all = registrations.all();
        all.any(|known| known.proxy().cfg.name == self.name && known.unreachable().is_some())
    }

    async fn comes(&self) -> bool {
        let end = Instant::now() + COMES;
        while Instant::now() < end {
            if self.has_come() {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

/// Where users reach a proxy by what the file says; `None`: that is up to frps.
pub(super) fn configured(proxy: &ProxyConfig) -> Option<String> {
    match &proxy.kind {
        ProxyKind::Tcp(port) | ProxyKind::Udp(port) if port.remote_port > 0 => {
            Some(format!(":{}", port.remote_port))
        }
        ProxyKind::Stcp(_) | ProxyKind::Sudp(_) | ProxyKind::Xtcp(_) => Some(String::new()),
        _ => None,
    }
}

/// Looks. `serves`: the local service is there.
pub(super) async fn look(
    proxy: &ProxyConfig,
    at: &Place<'_>,
    served: Option<Served<'_>>,
    serves: bool,
) -> Vec<Step> {
    let name = &proxy.name;
    let shares = proxy.load_balancer.is_some();
    let look = Look {
        name,
        at,
        served,
        serves,
        shares,
    };
    match &proxy.kind {
        ProxyKind::Tcp(_) => vec![look.tcp().await],
        ProxyKind::Udp(_) => vec![look.udp().await],
        ProxyKind::Http(http) => {
            let step = look.http(!http.http_user.is_empty()).await;
            look.with_dns(step).await
        }
        ProxyKind::Https(_) => {
            let step = look.https().await;
            look.with_dns(step).await
        }
        ProxyKind::Tcpmux(_) => vec![look.tcpmux().await],
        ProxyKind::Stcp(_) | ProxyKind::Sudp(_) | ProxyKind::Xtcp(_) => {
            let found = "only visitors reach it: run frpc doctor where the visitor is";
            vec![Step::new(STEP, name, Mark::NotChecked, found)]
        }
    }
}

struct Look<'a> {
    name: &'a str,
    at: &'a Place<'a>,
    served: Option<Served<'a>>,
    serves: bool,
    shares: bool,
}

impl Look<'_> {
    fn ok(&self, found: impl Into<String>) -> Step {
        Step::new(STEP, self.name, Mark::Ok, found)
    }

    /// The first host name, and the port: those of http and https leave out their own.
    fn host(&self, port: u16) -> (String, u16) {
        let first = self.at.remote.split(',').next().unwrap_or_default();
        let first = first.split('/').next().unwrap_or_default();
        let (host, port) = match first.rsplit_once(':') {
            Some((host, given)) => (host, given.parse().unwrap_or(port)),
            None => (first, port),
        };
        (host.replace('*', "frpc-doctor"), port)
    }

    async fn connect(&self, port: u16) -> Result<TcpStream, Step> {
        let options = DialOptions {
            timeout: DOCTOR_STEP,
            keepalive: None,
            local_ip: None,
        };
        let dialled = dial(&self.at.cfg.server_addr, port, &options).await;
        dialled.map_err(|error| self.closed(&error, port))
    }

    fn closed(&self, error: &DialError, port: u16) -> Step {
        if self.at.cfg.transport.proxy_url.is_some() {
            // This machine reaches frps only by the proxy.
            let found = format!("not reached from here without the proxy: {error}");
            return Step::new(STEP, self.name, Mark::NotChecked, found);
        }
        failed(STEP, self.name, &path::closed_outside(error, "TCP", port))
    }

    /// A user was sent to `port`: whether it came to us.
    async fn judged(&self, port: u16, found: String) -> Step {
        match self.served {
            None => self.ok(found),
            Some(served) if served.comes().await => match self.serves {
                true => self.ok(format!("{found}, and leads to this frpc")),
                false => {
                    let found = format!(
                        "{found} and leads to this frpc, whose local service does not answer"
                    );
                    Step::new(STEP, self.name, Mark::Warning, found)
                }
            },
            Some(_) if self.shares => {
                self.ok(format!("{found}; another of its group took the user"))
            }
            Some(_) => failed(STEP, self.name, &path::other_service(port)),
        }
    }

    /// Where users come, as frps has said.
    fn port(&self) -> Result<u16, Step> {
        let port = self.at.remote.rsplit(':').next();
        let port = port.and_then(|port| port.parse().ok());
        port.ok_or_else(|| Step::new(STEP, self.name, Mark::NotChecked, "its port is not known"))
    }

    async fn tcp(&self) -> Step {
        let port = match self.port() {
            Ok(port) => port,
            Err(step) => return step,
        };
        let mut conn = match self.connect(port).await {
            Ok(conn) => conn,
            Err(step) => return step,
        };
        let found = format!("TCP port {port} is open");
        if self.served.is_some() {
            let step = self.judged(port, found).await;
            if step.mark != Mark::Failed {
                return step;
            }
            return match timeout(STAYS, conn.read(&mut [0; 1])).await {
                Ok(Ok(0) | Err(_)) => failed(STEP, self.name, &path::turned_away(port)),
                _ => step,
            };
        }
        match timeout(STAYS, conn.read(&mut [0; 1])).await {
            Ok(Ok(0) | Err(_)) if self.serves => {
                let found = format!("{found} and closes at once");
                Step::new(STEP, self.name, Mark::Warning, found).because(
                    "frps takes the user and has nobody to send it to",
                    "look at the log of the frpc that runs",
                )
            }
            _ => self.ok(found),
        }
    }

    async fn udp(&self) -> Step {
        let port = match self.port() {
            Ok(port) => port,
            Err(step) => return step,
        };
        let sent = async {
            let found = lookup(&self.at.cfg.server_addr, port).await;
            let found = found.map_err(|e| e.to_string())?;
            let addr = *found.first().ok_or("no such host")?;
            let io = |e: std::io::Error| go_text(&e).to_string();
            let socket = UdpSocket::bind(any(addr.ip())).await.map_err(io)?;
            socket.connect(addr).await.map_err(io)?;
            for _ in 0..3 {
                socket.send(&[0]).await.map_err(io)?;
                if let Ok(answer) = timeout(STAYS, socket.recv(&mut [0; 1])).await {
                    return answer.map(|_| true).map_err(io);
                }
            }
            Ok(false)
        };
        let open = format!("UDP port {port}");
        match (sent.await, self.served) {
            (Ok(true), _) => self.ok(format!("{open} answers")),
            (Ok(false), Some(served)) if served.comes().await => {
                self.ok(format!("{open} is open, and leads to this frpc"))
            }
            (Ok(false), Some(_)) => {
                let found = "datagrams get lost on their way to frps and back to this frpc";
                failed(STEP, self.name, &path::closed_outside(found, "UDP", port))
            }
            (Ok(false), None) => {
                let found = format!("{open}: no answer, which services of UDP need not give");
                Step::new(STEP, self.name, Mark::NotChecked, found)
            }
            (Err(error), _) => failed(STEP, self.name, &path::closed_outside(error, "UDP", port)),
        }
    }

    async fn http(&self, password: bool) -> Step {
        let (host, port) = self.host(80);
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: frpc-doctor\r\nConnection: close\r\n\r\n"
        );
        match self.status(port, &request).await {
            Err(step) => step,
            Ok(Some(401)) if password => {
                self.ok(format!("{host}: asks for the password, as configured"))
            }
            Ok(status) => {
                let status = status.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
                self.judged(
                    port,
                    format!("{host} at port {port} answers with HTTP {status}"),
                )
                .await
            }
        }
    }

    async fn tcpmux(&self) -> Step {
        let (host, port) = self.host(80);
        let request = format!("CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\n\r\n");
        match self.status(port, &request).await {
            Err(step) => step,
            Ok(_) => {
                self.judged(port, format!("{host} is known at port {port}"))
                    .await
            }
        }
    }

    /// The status of the answer to a request, if one comes.
    async fn status(&self, port: u16, request: &str) -> Result<Option<u16>, Step> {
        let mut conn = self.connect(port).await?;
        let answer = async {
            conn.write_all(request.as_bytes()).await.ok()?;
            let mut head = [0; 12];
            conn.read_exact(&mut head).await.ok()?;
            std::str::from_utf8(head.get(9..)?).ok()?.parse().ok()
        };
        Ok(timeout(DOCTOR_STEP, answer).await.unwrap_or(None))
    }

    async fn https(&self) -> Step {
        let (host, port) = self.host(443);
        let conn = match self.connect(port).await {
            Ok(conn) => conn,
            Err(step) => return step,
        };
        let Ok(tls) = client_config(&TlsFiles::default()) else {
            return Step::new(STEP, self.name, Mark::NotChecked, "there is no TLS here");
        };
        let began = connect(tls, &host, conn, DOCTOR_STEP);
        let (shaken, step) = tokio::join!(
            began,
            self.judged(port, format!("{host} is known at port {port}"))
        );
        match shaken {
            Err(error) if step.mark == Mark::Ok => Step::new(
                STEP,
                self.name,
                Mark::Warning,
                format!("{host}: {error}"),
            )
            .because(
                "users come to the local service, which does not speak TLS with them",
                "have the local service speak TLS, or use type http or a plugin such as https2http",
            ),
            _ => step,
        }
    }

    /// And whether the host name leads to frps for users.
    async fn with_dns(&self, step: Step) -> Vec<Step> {
        let (host, port) = self.host(0);
        let mut steps = vec![step];
        if host.is_empty() || host.starts_with("frpc-doctor") || self.at.addrs.is_empty() {
            return steps;
        }
        let found = timeout(DOCTOR_STEP, lookup(&host, port)).await;
        let found = match found {
            Ok(Ok(found)) => {
                let is_there =
                    |addr: &SocketAddr| self.at.addrs.iter().any(|at| at.ip() == addr.ip());
                if found.iter().any(is_there) {
                    return steps;
                }
                ips(&found)
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        let why = path::not_there(&host, &found, self.at.cfg);
        steps.push(explained("dns", host, Mark::Warning, &why));
        steps
    }
}
