//! A DNS server of a few names, mostly on 127.0.0.1, by UDP and TCP, whose answers a test may change.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// What a name leads to.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Addresses of either family.
    Addresses(Vec<IpAddr>),
    /// The same; nobody answers for those of IPv6.
    NoAnswerForV6(Vec<IpAddr>),
    /// The same, by TCP only: a datagram says that it is cut.
    ByTcp(Vec<IpAddr>),
    /// Another name, and in the same answer its addresses.
    Alias(&'static str, Vec<IpAddr>),
    /// This code, such as 2 for a server that has failed.
    Code(u8),
}

/// A running server; what it does not know does not exist.
#[derive(Debug)]
pub struct DnsServer {
    /// Its port, for both.
    pub port: u16,
    names: Arc<Mutex<Names>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Names {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
}

impl DnsServer {
    /// Starts one that knows these names.
    pub async fn start(answers: impl IntoIterator<Item = (&str, Answer)>) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // Another program may have the same port of the other kind.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        Self::on(udp, tcp, answers)
    }

    /// The same on sockets of the caller's.
    pub fn on<'a>(
        udp: UdpSocket,
        tcp: TcpListener,
        answers: impl IntoIterator<Item = (&'a str, Answer)>,
    ) -> Self {
        let port = udp.local_addr().unwrap().port();
        let names = Arc::new(Mutex::new(Names::default()));
        let server = Self {
            port,
            names: names.clone(),
            task: tokio::spawn(async move {
                tokio::join!(serve_udp(&udp, &names), serve_tcp(&tcp, &names));
            }),
        };
        answers
            .into_iter()
            .for_each(|(name, answer)| server.set(name, answer));
        server
    }

    /// From now on `name` has this answer.
    pub fn set(&self, name: &str, answer: Answer) {
        let mut names = self.names.lock().unwrap();
        names.answers.insert(name.to_owned(), answer);
    }

    /// How often it was asked for `name`.
    #[must_use]
    pub fn asked_for(&self, name: &str) -> usize {
        let names = self.names.lock().unwrap();
        names.asked.iter().filter(|asked| *asked == name).count()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_udp(socket: &UdpSocket, names: &Mutex<Names>) {
    let mut question = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        if let Some(answer) = answer(&question[..length], names, false) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn serve_tcp(listener: &TcpListener, names: &Mutex<Names>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let exchange = async {
            let mut question = vec![0; usize::from(stream.read_u16().await.ok()?)];
            stream.read_exact(&mut question).await.ok()?;
            let answer = answer(&question, names, true)?;
            stream.write_u16(answer.len() as u16).await.ok()?;
            stream.write_all(&answer).await.ok()
        };
        let _ = exchange.await;
    }
}

/// None: no answer.
fn answer(question: &[u8], names: &Mutex<Names>, tcp: bool) -> Option<Vec<u8>> {
    const A: u16 = 1;
    const AAAA: u16 = 28;
    let (name, end) = name_at(question, 12)?;
    let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
    let answer = {
        let mut names = names.lock().unwrap();
        names.asked.push(name.clone());
        names.answers.get(&name).cloned()
    };
    let (code, addresses, alias, cut) = match answer {
        None => (3, Vec::new(), None, false),
        Some(Answer::Code(code)) => (code, Vec::new(), None, false),
        Some(Answer::NoAnswerForV6(_)) if kind == AAAA => return None,
        Some(Answer::NoAnswerForV6(addresses) | Answer::Addresses(addresses)) => {
            (0, addresses, None, false)
        }
        Some(Answer::ByTcp(_)) if !tcp => (0, Vec::new(), None, true),
        Some(Answer::ByTcp(addresses)) => (0, addresses, None, false),
        Some(Answer::Alias(alias, addresses)) => (0, addresses, Some(alias), false),
    };
    let mut records: Vec<Vec<u8>> = Vec::new();
    // Where the owner of the addresses stands: the question's name, or the alias.
    let mut owner = vec![0xc0, 12];
    if let Some(alias) = alias {
        let target = name_bytes(alias);
        records.push(record(&owner, 5, &target));
        owner = target;
    }
    for address in addresses {
        match address {
            IpAddr::V4(ip) if kind == A => records.push(record(&owner, A, &ip.octets())),
            IpAddr::V6(ip) if kind == AAAA => records.push(record(&owner, AAAA, &ip.octets())),
            _ => {}
        }
    }
    let flags = 0x8180 | u16::from(code) | if cut { 0x200 } else { 0 };
    let mut message = question.get(..2)?.to_vec();
    message.extend(flags.to_be_bytes());
    message.extend([0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    message.extend(question.get(12..end + 4)?);
    message.extend(records.concat());
    Some(message)
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 60]);
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The name that begins at `at`, and where it ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}
