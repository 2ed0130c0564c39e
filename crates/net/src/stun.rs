//! As which addresses do others see a UDP socket (frp `pkg/nathole/discovery.go`)? A STUN server is asked,
//! then its other address from the same socket: what differs shows the kind of NAT on the way.

use std::io;
use std::net::SocketAddr;

use frp_proto::address::split_port;
use frp_proto::nathole::reach::may_be_sent_to;
use frp_proto::stun::{Answer, AnswerError, TransactionId, binding_request, read_answer};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::go_text::go_text;
use crate::limits::{MAX_STUN_ANSWER, STUN_ANSWER, STUN_REPEATS};
use crate::resolve::{LookupError, lookup};

/// Why the addresses are not known; where frp has the same error, in its words.
#[derive(Debug, thiserror::Error)]
pub enum StunError {
    /// The server's address has no port.
    #[error("address {0}: missing port in address")]
    NoPort(String),
    /// Its port is none.
    #[error("address {0}: invalid port")]
    Port(String),
    /// Its name is not known.
    #[error("{0}")]
    Lookup(#[from] LookupError),
    /// It has no address of the socket's family.
    #[error("address {0}: no suitable address found")]
    Family(String),
    /// The socket does not do.
    #[error("ask stun server {server}: {}", go_text(.why))]
    Io {
        /// Who was to be asked.
        server: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// It has not answered: it is not there, or UDP does not get through.
    #[error("wait response from stun server timeout")]
    NoAnswer {
        /// Who was asked.
        server: SocketAddr,
    },
    /// It has answered something else.
    #[error("{why}")]
    Answer {
        /// Who was asked.
        server: SocketAddr,
        /// What is wrong with it.
        why: AnswerError,
    },
    /// It does not say what it sees.
    #[error("no external address found")]
    NoAddress {
        /// Who was asked.
        server: SocketAddr,
    },
}

/// As which addresses the STUN server `server` (`host:port`) sees `socket`, which is not connected: at its
/// first address and, where it has one, at its other. Datagrams of others that arrive meanwhile are lost.
///
/// # Errors
/// One of them does not answer, or says nothing.
pub async fn discover(socket: &UdpSocket, server: &str) -> Result<Vec<SocketAddr>, StunError> {
    let server = find(server, socket).await?;
    let answer = ask(socket, server).await?;
    let mut seen = vec![answer.mapped.ok_or(StunError::NoAddress { server })?];
    // Whoever runs the server does not have us send anywhere else.
    let other = answer.other.filter(|other| {
        other.is_ipv4() == server.is_ipv4() && may_be_sent_to(*other, &[server.ip()])
    });
    if let Some(other) = other {
        seen.extend(ask(socket, other).await?.mapped);
    }
    Ok(seen)
}

/// What the STUN server at `server` answers to whoever asks from `socket`. It is asked again after a while,
/// for datagrams may be lost.
///
/// # Errors
/// It does not answer in time, or something else.
pub async fn ask(socket: &UdpSocket, server: SocketAddr) -> Result<Answer, StunError> {
    let failed = |why| StunError::Io { server, why };
    let mut id = TransactionId::default();
    aws_lc_rs::rand::fill(&mut id).map_err(|_| failed(io::Error::other("no random bytes")))?;
    let question = binding_request(&id);
    let began = Instant::now();
    let ends = STUN_REPEATS.iter().chain([&STUN_ANSWER]);
    for end in ends.map(|after| began + *after) {
        socket.send_to(&question, server).await.map_err(failed)?;
        match timeout_at(end, answer(socket, server, &id)).await {
            Ok(read) => {
                let read = read.map_err(failed)?;
                return read.map_err(|why| StunError::Answer { server, why });
            }
            Err(_) => continue,
        }
    }
    Err(StunError::NoAnswer { server })
}

async fn find(server: &str, socket: &UdpSocket) -> Result<SocketAddr, StunError> {
    let owned = || server.to_owned();
    let (host, port) = split_port(server);
    let port = port.ok_or_else(|| StunError::NoPort(owned()))?;
    let port = port.map_err(|_| StunError::Port(owned()))?;
    let is_v4 = socket.local_addr().is_ok_and(|own| own.is_ipv4());
    let found = lookup(host, port).await?;
    let mut suitable = found.into_iter().filter(|addr| addr.is_ipv4() == is_v4);
    suitable.next().ok_or_else(|| StunError::Family(owned()))
}

async fn answer(
    socket: &UdpSocket,
    server: SocketAddr,
    id: &TransactionId,
) -> io::Result<Result<Answer, AnswerError>> {
    let mut datagram = [0; MAX_STUN_ANSWER];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await?;
        let datagram = datagram.get(..length).unwrap_or_default();
        let is_servers = from.ip() == server.ip() && from.port() == server.port();
        if let Some(read) = read_answer(datagram, id).filter(|_| is_servers) {
            return Ok(read);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    /// Bytes before the attributes (RFC 8489, section 5).
    const HEADER: usize = 20;

    type Reply = fn(&[u8], SocketAddr, SocketAddr) -> Vec<Vec<u8>>;

    /// A server at loopback that answers what `reply` makes of a question, its source and the server's other
    /// address; at the other address it answers as it should.
    async fn server(reply: Reply) -> SocketAddr {
        let local = (Ipv4Addr::LOCALHOST, 0);
        let (first, second) = (
            UdpSocket::bind(local).await.unwrap(),
            UdpSocket::bind(local).await.unwrap(),
        );
        let (at, other) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        for (socket, reply) in [(first, reply), (second, honest as Reply)] {
            tokio::spawn(async move {
                let mut question = [0; 64];
                while let Ok((length, from)) = socket.recv_from(&mut question).await {
                    for answer in reply(&question[..length], from, other) {
                        socket.send_to(&answer, from).await.unwrap();
                    }
                }
            });
        }
        at
    }

    fn message(kind: u16, question: &[u8], attributes: &[(u16, SocketAddr)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, addr) in attributes {
            let SocketAddr::V4(addr) = addr else { panic!() };
            body.extend(kind.to_be_bytes());
            body.extend([0, 8, 0, 1]);
            body.extend(addr.port().to_be_bytes());
            body.extend(addr.ip().octets());
        }
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [
            &kind.to_be_bytes()[..],
            &length,
            &question[4..HEADER],
            &body,
        ]
        .concat()
    }

    fn honest(question: &[u8], from: SocketAddr, other: SocketAddr) -> Vec<Vec<u8>> {
        vec![message(0x101, question, &[(1, from), (0x802c, other)])]
    }

    async fn socket() -> UdpSocket {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
    }

    #[tokio::test]
    async fn both_addresses_of_a_server_say_what_they_see() {
        let (socket, server) = (socket().await, server(honest).await);
        let own = socket.local_addr().unwrap();
        let by_name = format!("localhost:{}", server.port());
        assert_eq!(discover(&socket, &by_name).await.unwrap(), [own, own]);
    }

    #[tokio::test]
    async fn only_the_answer_counts() {
        let server = server(|question, from, other| {
            let mut forged = honest(question, ([192, 0, 2, 1], 9).into(), other).remove(0);
            forged[8] ^= 1;
            let mut answers = vec![vec![0; 3], question.to_vec(), forged];
            answers.append(&mut honest(question, from, other));
            answers
        })
        .await;
        let socket = socket().await;
        // Nor that of another than was asked, though it knows the question.
        let own = socket.local_addr().unwrap();
        assert_eq!(ask(&socket, server).await.unwrap().mapped, Some(own));
    }

    #[tokio::test]
    async fn a_server_cannot_have_others_asked() {
        let server = server(|question, from, _| {
            let group = ([239, 1, 2, 3], 9).into();
            vec![message(0x101, question, &[(1, from), (0x802c, group)])]
        })
        .await;
        let seen = discover(&socket().await, &server.to_string()).await;
        assert_eq!(seen.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_a_server_does_not_say_is_told() {
        let silent = server(|_, _, _| Vec::new()).await;
        let empty = server(|question, _, _| vec![message(0x101, question, &[])]).await;
        let socket = socket().await;
        for (server, text) in [
            (empty.to_string(), "no external address found"),
            (
                "127.0.0.1".to_owned(),
                "address 127.0.0.1: missing port in address",
            ),
            (
                "[::1]:9".to_owned(),
                "address [::1]:9: no suitable address found",
            ),
        ] {
            let error = discover(&socket, &server).await.unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        tokio::time::pause();
        let began = Instant::now();
        let error = discover(&socket, &silent.to_string()).await.unwrap_err();
        assert_eq!(error.to_string(), "wait response from stun server timeout");
        assert!(began.elapsed() < STUN_ANSWER + Duration::from_millis(50));
    }

    #[tokio::test]
    async fn a_lost_question_is_asked_again() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let server = server(
            |question, from, other| match ASKED.fetch_add(1, Ordering::Relaxed) {
                0 => Vec::new(),
                _ => honest(question, from, other),
            },
        )
        .await;
        assert!(ask(&socket().await, server).await.is_ok());
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    }
}
