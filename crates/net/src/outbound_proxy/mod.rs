//! The way out of a network that lets nothing through but a proxy: how a connection to a server
//! comes about by it (frp's `transport.proxyURL`; golib `net/dial_option.go`).
//!
//! What is said to a proxy, and what its answers mean, is in [`http_connect`], [`socks5`] and
//! [`ntlm`]; here are the reads, the writes and the deadlines. Nothing is read that belongs to the
//! tunnel, so the connection is handed on as it is.

pub mod http_connect;
pub mod ntlm;
pub mod socks5;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::io;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frp_proto::proxy_url::{ProxyLogin, ProxyScheme, ProxyUrl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::http_connect::{Answer, Body, NoHttp};
use self::ntlm::{Challenge, NtlmError};
use self::socks5::SocksError;
use crate::dial::{self, DialError, DialOptions};
use crate::go_text::{go_text, join_host_port};
use crate::limits::{HANDSHAKE_WAIT, MAX_PROXY_ANSWER, MAX_PROXY_HEAD, PROXY_ANSWER};
use crate::stream::Stream;
use crate::tls::{self, HandshakeError, TlsSetupError};

/// Why a proxy gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The proxy itself was not reached.
    #[error("{0}")]
    Dial(#[source] DialError),
    /// TLS cannot be spoken to it.
    #[error("{0}")]
    Trust(#[source] TlsSetupError),
    /// The TLS handshake with it failed.
    #[error("{0}")]
    Tls(#[source] HandshakeError),
    /// The connection to it broke.
    #[error("{}", go_text(.0))]
    Io(#[source] io::Error),
    /// It took the request, and did not answer in time.
    #[error("i/o timeout")]
    TimedOut,
    /// It answered with something else; the first bytes of it.
    #[error("its answer is no HTTP ({})", .0.escape_ascii())]
    NoHttp(Vec<u8>),
    /// Its answer is larger than an answer to CONNECT can reasonably be.
    #[error("its answer is too long")]
    TooLong,
    /// It answered CONNECT with another status than 200.
    #[error("it refused CONNECT: {status} {reason}")]
    Refused {
        /// The status code.
        status: u16,
        /// Its text.
        reason: String,
    },
    /// Its NTLM cannot be answered.
    #[error("{0}")]
    Ntlm(#[source] NtlmError),
    /// What SOCKS5 came to.
    #[error("{0}")]
    Socks(#[source] SocksError),
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SocksError> for ProxyError {
    fn from(error: SocksError) -> Self {
        Self::Socks(error)
    }
}

/// A connection to `host:port` that `proxy` has made. `options` are for the connection to the
/// proxy; its answer has a deadline of its own, for the proxy dials, too.
pub(crate) async fn dial(
    proxy: &ProxyUrl,
    host: &str,
    port: u16,
    options: &DialOptions,
) -> Result<Stream, ProxyError> {
    let login = proxy.login.as_ref();
    let target = join_host_port(host, port);
    match proxy.scheme {
        ProxyScheme::Http => {
            let mut conn = Stream::Tcp(reach(proxy, options).await?);
            connect(&mut conn, &target, login).await?;
            Ok(conn)
        }
        ProxyScheme::Https => {
            let mut conn = secure(proxy, reach(proxy, options).await?).await?;
            connect(&mut conn, &target, login).await?;
            Ok(conn)
        }
        ProxyScheme::Socks5 => {
            let mut conn = Stream::Tcp(reach(proxy, options).await?);
            in_time(ask_socks5(&mut conn, host, port, login)).await?;
            Ok(conn)
        }
        ProxyScheme::Ntlm => connect_by_ntlm(proxy, &target, options).await,
    }
}

async fn reach(proxy: &ProxyUrl, options: &DialOptions) -> Result<TcpStream, ProxyError> {
    dial::dial(&proxy.host, proxy.port, options)
        .await
        .map_err(ProxyError::Dial)
}

/// TLS to the proxy, which must have a certificate of a CA that the machine trusts, as for Go.
async fn secure(proxy: &ProxyUrl, conn: TcpStream) -> Result<Stream, ProxyError> {
    let config = tls::client_config_of_system()
        .await
        .map_err(ProxyError::Trust)?;
    let pipe = tls::connect(config, &proxy.host, Stream::Tcp(conn), HANDSHAKE_WAIT)
        .await
        .map_err(ProxyError::Tls)?;
    Ok(Stream::Tls(Box::new(pipe)))
}

async fn in_time<T>(asked: impl Future<Output = Result<T, ProxyError>>) -> Result<T, ProxyError> {
    tokio::time::timeout(PROXY_ANSWER, asked)
        .await
        .unwrap_or(Err(ProxyError::TimedOut))
}

/// CONNECT, with Basic credentials where there are some.
pub async fn connect(
    conn: &mut Stream,
    target: &str,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyError> {
    let authorization = login.map(http_connect::basic);
    let answer = in_time(ask(conn, target, authorization.as_deref())).await?;
    accepted(answer)
}

async fn ask(
    conn: &mut Stream,
    target: &str,
    authorization: Option<&str>,
) -> Result<Answer, ProxyError> {
    let request = http_connect::request(target, authorization);
    conn.write_all(&request).await?;
    conn.flush().await?;
    read_head(conn).await
}

fn accepted(answer: Answer) -> Result<(), ProxyError> {
    match answer {
        Answer {
            status: 200..=299, ..
        } => Ok(()),
        Answer { status, reason, .. } => Err(ProxyError::Refused { status, reason }),
    }
}

/// Reads an answer to the end of its head and no further.
async fn read_head(conn: &mut Stream) -> Result<Answer, ProxyError> {
    const START: &[u8] = b"HTTP/1.";
    let mut head = Vec::new();
    while let Some(lacks) = http_connect::head_lacks(&head) {
        let mut next = [0; 2];
        let next = next.get_mut(..lacks).ok_or(ProxyError::TooLong)?;
        match conn.read_exact(next).await {
            Ok(_) => head.extend_from_slice(next),
            Err(error) if head.is_empty() => return Err(error.into()),
            Err(_) => return Err(ProxyError::NoHttp(head)),
        }
        // Whatever else speaks here may never say a line's end.
        if head.iter().zip(START).any(|(a, b)| a != b) {
            return Err(ProxyError::NoHttp(head));
        }
        if head.len() > MAX_PROXY_HEAD {
            return Err(ProxyError::TooLong);
        }
    }
    http_connect::parse(&head).map_err(|NoHttp| {
        head.truncate(START.len() + 8);
        ProxyError::NoHttp(head)
    })
}

/// Reads the body of an answer, which stands before the next one.
async fn skip_body(conn: &mut Stream, answer: &Answer) -> Result<(), ProxyError> {
    match answer.body {
        Body::Length(length) => skip(conn, length, &mut 0).await,
        Body::UntilEnd if answer.closes => Err(ProxyError::Ntlm(NtlmError::Closed)),
        // The dialogue is to go on, so no length must mean no body. golib reads none at all.
        Body::UntilEnd => Ok(()),
        Body::Chunked => {
            let mut skipped = 0;
            loop {
                let line = read_line(conn).await?;
                let size =
                    http_connect::chunk_size(&line).map_err(|NoHttp| ProxyError::NoHttp(line))?;
                if size == 0 {
                    break;
                }
                skip(conn, size, &mut skipped).await?;
                read_line(conn).await?;
            }
            // Trailing fields.
            while !read_line(conn).await?.is_empty() {
                skip(conn, 0, &mut skipped).await?;
            }
            Ok(())
        }
    }
}

/// Reads `length` bytes, of all that may come.
async fn skip(conn: &mut Stream, length: u64, skipped: &mut u64) -> Result<(), ProxyError> {
    // Each piece costs something, or empty ones had no end.
    *skipped = skipped.saturating_add(length).saturating_add(1);
    if *skipped > MAX_PROXY_ANSWER {
        return Err(ProxyError::TooLong);
    }
    let read = tokio::io::copy(&mut conn.take(length), &mut tokio::io::sink()).await?;
    if read < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

/// A line without its end.
async fn read_line(conn: &mut Stream) -> Result<Vec<u8>, ProxyError> {
    const LONGEST: usize = 1024;
    let mut line = Vec::new();
    loop {
        match conn.read_u8().await? {
            b'\n' => break,
            byte => line.push(byte),
        }
        if line.len() > LONGEST {
            return Err(ProxyError::TooLong);
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// The names under which NTLM goes over HTTP. frp knows only the first, which Windows proxies offer;
/// others offer only the second.
const NTLM_SCHEMES: [&str; 2] = ["Negotiate", "NTLM"];

/// CONNECT with NTLM, which authenticates the connection that it is spoken on.
async fn connect_by_ntlm(
    proxy: &ProxyUrl,
    target: &str,
    options: &DialOptions,
) -> Result<Stream, ProxyError> {
    let mut conn = Stream::Tcp(reach(proxy, options).await?);
    let Some(login) = &proxy.login else {
        connect(&mut conn, target, None).await?;
        return Ok(conn);
    };
    let [first, second] = NTLM_SCHEMES;
    match in_time(ask_ntlm(&mut conn, target, login, first)).await? {
        Asked::Through => return Ok(conn),
        Asked::NotBy(answer) if offers(&answer, second) => {}
        Asked::NotBy(answer) => accepted(answer)?,
    }
    // The proxy may have closed the first connection.
    conn = Stream::Tcp(reach(proxy, options).await?);
    match in_time(ask_ntlm(&mut conn, target, login, second)).await? {
        Asked::Through => {}
        Asked::NotBy(answer) => accepted(answer)?,
    }
    Ok(conn)
}

/// What became of a request with NTLM.
enum Asked {
    /// The tunnel is there.
    Through,
    /// The proxy sent no challenge, but this.
    NotBy(Answer),
}

async fn ask_ntlm(
    conn: &mut Stream,
    target: &str,
    login: &ProxyLogin,
    scheme: &str,
) -> Result<Asked, ProxyError> {
    let message = |bytes: Vec<u8>| format!("{scheme} {}", STANDARD.encode(bytes));
    let answer = ask(conn, target, Some(&message(ntlm::negotiate()))).await?;
    if answer.status != 407 {
        return accepted(answer).map(|()| Asked::Through);
    }
    let Some(challenge) = challenge(&answer, scheme) else {
        return Ok(Asked::NotBy(answer));
    };
    let challenge = STANDARD
        .decode(challenge)
        .map_err(|_| NtlmError::Malformed)
        .and_then(|bytes| Challenge::parse(&bytes))
        .map_err(ProxyError::Ntlm)?;
    skip_body(conn, &answer).await?;
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let third = challenge
        .answer(login, random, windows_time())
        .map_err(ProxyError::Ntlm)?;
    let answer = ask(conn, target, Some(&message(third))).await?;
    accepted(answer).map(|()| Asked::Through)
}

/// What stands behind the name of the scheme in an answer that asks for it.
fn challenge<'a>(answer: &'a Answer, scheme: &str) -> Option<&'a str> {
    answer.challenges.iter().find_map(|challenge| {
        let (name, token) = challenge.split_once(' ')?;
        let token = token.split([',', ' ']).next()?;
        (name.eq_ignore_ascii_case(scheme) && !token.is_empty()).then_some(token)
    })
}

fn offers(answer: &Answer, scheme: &str) -> bool {
    let mut named = answer.challenges.iter().flat_map(|c| c.split([',', ' ']));
    named.any(|word| word.eq_ignore_ascii_case(scheme))
}

/// In 100 ns since 1601 (MS-DTYP, FILETIME).
fn windows_time() -> u64 {
    const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(UNIX_EPOCH, |since| {
        UNIX_EPOCH + u64::try_from(since.as_nanos() / 100).unwrap_or(0)
    })
}

async fn ask_socks5(
    conn: &mut Stream,
    host: &str,
    port: u16,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyError> {
    say(conn, &socks5::greeting(login)).await?;
    let answer = read_array(conn).await?;
    if let Some(message) = socks5::after_greeting(answer, login)? {
        say(conn, &message).await?;
        socks5::after_login(read_array(conn).await?)?;
    }
    say(conn, &socks5::request(host, port)?).await?;
    let more = socks5::after_request(read_array(conn).await?)?;
    skip(conn, more as u64, &mut 0).await
}

async fn say(conn: &mut Stream, message: &[u8]) -> Result<(), ProxyError> {
    conn.write_all(message).await?;
    Ok(conn.flush().await?)
}

async fn read_array<const N: usize>(conn: &mut Stream) -> Result<[u8; N], ProxyError> {
    let mut array = [0; N];
    conn.read_exact(&mut array).await?;
    Ok(array)
}
