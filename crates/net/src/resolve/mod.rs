//! Names to addresses: by the system, or by the one server that `dnsServer` names, which then
//! answers for the whole process (frp `pkg/util/net/dns.go`). Nothing is kept: every look-up asks.

pub mod dns;
pub(crate) mod files;
mod search;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use frp_proto::address::without_brackets;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use self::dns::{Family, Reply};
use self::search::Search;
use crate::dial::race::preferred_first;
use crate::go_text::go_text;
use crate::limits::{DNS_ANSWER, DNS_OTHER_FAMILY, DNS_TRIES};
use crate::listen::any;
use crate::literal::literal;

static SERVER: RwLock<Option<SocketAddr>> = RwLock::new(None);

/// From now on every name of this process is looked up there; `None`: by the system.
pub fn use_server(server: Option<SocketAddr>) {
    *SERVER.write().unwrap_or_else(PoisonError::into_inner) = server;
}

/// The server that [`use_server`] has named.
pub fn server() -> Option<SocketAddr> {
    *SERVER.read().unwrap_or_else(PoisonError::into_inner)
}

/// Why a name has no address, in Go's words.
#[derive(Debug, thiserror::Error)]
#[error("lookup {host}{}: {why}", server.map_or_else(String::new, |at| format!(" on {at}")))]
pub struct LookupError {
    /// The name.
    pub host: String,
    /// The `dnsServer` that was asked; `None`: the system was.
    pub server: Option<SocketAddr>,
    /// What happened.
    pub why: LookupFailure,
}

/// What happened to a look-up.
#[derive(Debug, thiserror::Error)]
pub enum LookupFailure {
    /// There is no such name, or it has no address.
    #[error("no such host")]
    NoSuchHost,
    /// The server did not answer.
    #[error("i/o timeout")]
    TimedOut,
    /// The server could not or would not answer; its code.
    #[error("server misbehaving (code {0})")]
    Server(u8),
    /// What the system says; with a `dnsServer`, that it cannot be reached.
    #[error("{}", go_text(.0))]
    Io(#[from] io::Error),
}

/// All addresses of `host` at `port`; those of one family are not waited for long where the others
/// are known.
///
/// # Errors
/// There are none, or that cannot be found out.
pub async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
    let mut answers = answers(host, port);
    let (mut found, mut error) = (Vec::new(), None);
    loop {
        let next = if found.is_empty() {
            answers.next().await
        } else {
            timeout(DNS_OTHER_FAMILY, answers.next())
                .await
                .unwrap_or(None)
        };
        match next {
            Some(Ok(addrs)) => found.extend(addrs),
            Some(Err(e)) => error = Some(e),
            None => break,
        }
    }
    match error {
        Some(error) if found.is_empty() => Err(error),
        _ => {
            if server().is_some() {
                preferred_first(&mut found, has_route);
            }
            Ok(found)
        }
    }
}

/// The same by the system, whatever [`use_server`] says: what other programs of this machine get.
///
/// # Errors
/// As [`lookup`].
pub async fn lookup_by_system(host: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
    let host = without_brackets(host).to_owned();
    by_system(host.clone(), port)
        .await
        .map_err(|why| LookupError {
            host,
            server: None,
            why,
        })
}

/// The addresses as they become known: those of one family may be there before the others (RFC
/// 8305, section 3). At least one of the items is an error or has an address.
pub(crate) fn answers(
    host: &str,
    port: u16,
) -> impl Stream<Item = Result<Vec<SocketAddr>, LookupError>> + Send + Unpin + use<> {
    let host = without_brackets(host).to_owned();
    let server = asked_for(&host);
    let found = match (server, literal(&host, port)) {
        (_, Some(addr)) => stream::iter([Ok(vec![addr])]).boxed(),
        (Some(server), _) => {
            let search = Search::new(server, host.clone());
            let found = stream::unfold(search, |mut search| async move {
                let next = search.next().await?;
                Some((next, search))
            });
            let at_port = move |ip| SocketAddr::new(ip, port);
            found
                .map(move |ips| Ok(ips?.into_iter().map(at_port).collect()))
                .boxed()
        }
        (None, _) => stream::once(by_system(host.clone(), port)).boxed(),
    };
    found.map(move |found| {
        found.map_err(|why| LookupError {
            host: host.clone(),
            server,
            why,
        })
    })
}

/// Who is asked for `host`; `None`: the system. An address with a zone is none of a name server's.
pub(crate) fn asked_for(host: &str) -> Option<SocketAddr> {
    server().filter(|_| !host.contains('%'))
}

async fn by_system(host: String, port: u16) -> Result<Vec<SocketAddr>, LookupFailure> {
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    match found.is_empty() {
        true => Err(LookupFailure::NoSuchHost),
        false => Ok(found),
    }
}

/// None where there is no such name, or it has none of the family.
async fn query(
    server: SocketAddr,
    name: &str,
    family: Family,
) -> Result<Vec<IpAddr>, LookupFailure> {
    let mut failure = LookupFailure::TimedOut;
    for _ in 0..DNS_TRIES {
        let mut id = [0; 2];
        aws_lc_rs::rand::fill(&mut id)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let Ok(question) = dns::question(u16::from_be_bytes(id), name, family) else {
            return Ok(Vec::new());
        };
        let asked = async {
            match by_udp(server, &question).await? {
                Reply::Truncated => by_tcp(server, &question).await,
                reply => Ok(reply),
            }
        };
        failure = match timeout(DNS_ANSWER, asked).await {
            Ok(Ok(Reply::Addresses(found))) => return Ok(found),
            Ok(Ok(Reply::NoSuchName)) => return Ok(Vec::new()),
            Ok(Ok(Reply::Failed(code))) => LookupFailure::Server(code),
            Ok(Ok(Reply::Truncated)) => io::Error::other("its answer is cut, by TCP, too").into(),
            Ok(Err(error)) => error.into(),
            Err(_) => LookupFailure::TimedOut,
        };
    }
    Err(failure)
}

async fn by_udp(server: SocketAddr, question: &[u8]) -> io::Result<Reply> {
    // The system chooses a port that cannot be guessed, and takes datagrams of the server only.
    let socket = UdpSocket::bind(any(server.ip())).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut datagram = [0; 4096];
    loop {
        let length = socket.recv(&mut datagram).await?;
        let message = datagram.get(..length).unwrap_or_default();
        // What does not answer the question may be forged; the answer may still come.
        if let Ok(reply) = dns::reply(message, question) {
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Reply> {
    let mut conn = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let message = [&length.to_be_bytes(), question].concat();
    conn.write_all(&message).await?;
    let mut answer = vec![0; usize::from(conn.read_u16().await?)];
    conn.read_exact(&mut answer).await?;
    dns::reply(&answer, question).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Connecting a UDP socket sends nothing, and fails without a route.
pub(crate) fn has_route(addr: SocketAddr) -> bool {
    let socket = std::net::UdpSocket::bind(any(addr.ip()));
    socket.and_then(|socket| socket.connect(addr)).is_ok()
}
