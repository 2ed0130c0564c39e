//! Forward proxies that a client leaves its network by: scripted ones by HTTP CONNECT, which take
//! any name for this machine and remember what they were asked for, and real programs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::clients::connect;
use crate::ntlm::{Account, Server};
use crate::openssh::look_for;
use crate::ports::free_port;
use crate::program::{Program, skipped};
use crate::service::Service;
use crate::tls::{self, Identity};
use crate::wait::eventually;

/// Whom a scripted proxy lets through.
#[derive(Clone, Debug)]
pub enum Admits {
    /// Everybody.
    Everybody,
    /// By user and password.
    Basic(&'static str, &'static str),
    /// By NTLM under this name (`Negotiate` or `NTLM`): domain, user, password.
    Ntlm(&'static str, &'static str, &'static str, &'static str),
    /// Nobody: every request gets this status line.
    Nobody(&'static str),
}

/// What a proxy was asked for: its requests' first lines, and who asked.
pub type Asked = Arc<Mutex<Vec<(String, SocketAddr)>>>;

/// A scripted proxy.
#[derive(Debug)]
pub struct ForwardProxy {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// Requests so far.
    pub asked: Asked,
    _service: Service,
}

impl ForwardProxy {
    /// One that speaks plain HTTP.
    pub async fn start(admits: Admits) -> Self {
        Self::start_over(admits, None).await
    }

    /// One that speaks HTTP over TLS.
    pub async fn start_tls(admits: Admits, identity: &Identity) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(identity)));
        Self::start_over(admits, Some(acceptor)).await
    }

    async fn start_over(admits: Admits, acceptor: Option<TlsAcceptor>) -> Self {
        let asked = Asked::default();
        let seen = asked.clone();
        let service = Service::with_peer(move |stream, peer| {
            let (admits, acceptor, seen) = (admits.clone(), acceptor.clone(), seen.clone());
            async move {
                match acceptor {
                    None => serve(stream, peer, &admits, &seen).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, peer, &admits, &seen).await;
                        }
                    }
                }
            }
        })
        .await;
        Self {
            port: service.port,
            asked,
            _service: service,
        }
    }

    /// How many requests for `target` (`host:port`) it has got.
    #[must_use]
    pub fn asked_for(&self, target: &str) -> usize {
        let line = format!("CONNECT {target} HTTP/1.1");
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(asked, _)| *asked == line).count()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: SocketAddr,
    admits: &Admits,
    asked: &Asked,
) {
    let mut ntlm = None;
    while let Some(head) = read_head(&mut stream).await {
        let line = head.lines().next().unwrap_or_default().to_owned();
        asked.lock().unwrap().push((line.clone(), peer));
        let credentials = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("proxy-authorization")
                .then(|| value.trim().to_owned())
        });
        let refused = match admits {
            Admits::Everybody => None,
            Admits::Basic(user, password) => {
                let wanted = STANDARD.encode(format!("{user}:{password}"));
                (credentials != Some(format!("Basic {wanted}")))
                    .then(|| refusal("407 Proxy Authentication Required", "Basic realm=\"x\""))
            }
            Admits::Nobody(status) => Some(refusal(status, "Basic")),
            Admits::Ntlm(scheme, domain, user, password) => {
                let account = Account {
                    domain: (*domain).to_owned(),
                    user: (*user).to_owned(),
                    password: (*password).to_owned(),
                };
                by_ntlm(scheme, &account, credentials.as_deref(), &mut ntlm)
            }
        };
        if let Some(refused) = refused {
            if stream.write_all(refused.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        let port = line
            .split_whitespace()
            .nth(1)
            .and_then(|target| target.rsplit_once(':')?.1.parse::<u16>().ok());
        let onward = TcpStream::connect((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await;
        let Ok(mut onward) = onward else {
            let _ = stream
                .write_all(refusal("502 Bad Gateway", "x").as_bytes())
                .await;
            return;
        };
        let _ = onward.set_nodelay(true);
        if stream
            .write_all(b"HTTP/1.1 200 OK\r\nX-Proxy: test\r\n\r\n")
            .await
            .is_ok()
        {
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
        return;
    }
}

/// `None`: it is admitted.
fn by_ntlm(
    scheme: &str,
    account: &Account,
    credentials: Option<&str>,
    challenged: &mut Option<Server>,
) -> Option<String> {
    const STATUS: &str = "407 Proxy Authentication Required";
    let token = credentials
        .and_then(|value| value.strip_prefix(scheme)?.strip_prefix(' '))
        .and_then(|token| STANDARD.decode(token).ok());
    let Some(token) = token else {
        return Some(refusal(STATUS, scheme));
    };
    if let Some(server) = challenged.take() {
        return (!server.admits(&token, account)).then(|| refusal(STATUS, scheme));
    }
    let Some((server, challenge)) = Server::challenge(&token) else {
        return Some(refusal(STATUS, scheme));
    };
    *challenged = Some(server);
    // In chunks, with another scheme beside it: both are allowed. frp looks at the first only.
    let challenge = format!("{scheme} {}", STANDARD.encode(challenge));
    let [first, second] = match scheme {
        "Negotiate" => [challenge.as_str(), "Kerberos"],
        _ => ["Kerberos", challenge.as_str()],
    };
    Some(format!(
        "HTTP/1.1 {STATUS}\r\nProxy-Authenticate: {first}\r\n\
         Proxy-Authenticate: {second}\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nplea\n\r\n3\r\nse!\r\n0\r\nTrailer: x\r\n\r\n"
    ))
}

fn refusal(status: &str, challenge: &str) -> String {
    let page = "<html>no</html>";
    format!(
        "HTTP/1.1 {status}\r\nProxy-Authenticate: {challenge}\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A real proxy program on 127.0.0.1.
#[derive(Debug)]
pub struct RealProxy {
    /// Where it listens.
    pub port: u16,
    _program: Program,
}

impl RealProxy {
    /// tinyproxy, by CONNECT; None after a line that says `SKIPPED` where there is none.
    pub async fn tinyproxy(directory: &Path, login: Option<(&str, &str)>) -> Option<Self> {
        let program = find("tinyproxy")?;
        let port = free_port();
        let auth = login.map_or_else(String::new, |(user, pw)| format!("BasicAuth {user} {pw}\n"));
        let file = directory.join(format!("tinyproxy-{port}.conf"));
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\n{auth}");
        std::fs::write(&file, text).unwrap();
        let args = ["-d".into(), "-c".into(), file.into_os_string()];
        Some(Self::up(port, Program::spawn(&program, args, directory)).await)
    }

    /// microsocks, by SOCKS5; None after a line that says `SKIPPED` where there is none.
    pub async fn microsocks(directory: &Path, login: Option<(&str, &str)>) -> Option<Self> {
        let program = find("microsocks")?;
        let port = free_port();
        let mut args = vec![
            "-i".to_owned(),
            "127.0.0.1".into(),
            "-p".into(),
            port.to_string(),
        ];
        if let Some((user, password)) = login {
            args.extend(["-u".into(), user.into(), "-P".into(), password.into()]);
        }
        Some(Self::up(port, Program::spawn(&program, args, directory)).await)
    }

    async fn up(port: u16, program: Program) -> Self {
        let listens = || async {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_ok()
        };
        eventually("the proxy listens", listens).await;
        drop(connect(port).await);
        Self {
            port,
            _program: program,
        }
    }
}

fn find(name: &str) -> Option<std::path::PathBuf> {
    let found = look_for(name);
    if found.is_none() {
        skipped(name);
    }
    found
}
