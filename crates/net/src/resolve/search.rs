//! A look-up by `dnsServer`: the names that the machine itself knows, then the name and what a short
//! one may stand for, one after the other until one has an address. As for Go and glibc, a name for
//! which the server fails is passed over like one that does not exist, and both families are asked
//! for the same name: an address of another name would be somebody else's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::vec;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::dns::Family;
use super::files::{self, SearchList};
use super::{LookupFailure, query};

/// A look-up on its way.
pub(super) struct Search {
    server: SocketAddr,
    host: String,
    /// Those that were not asked for yet; `None`: nothing was begun.
    names: Option<vec::IntoIter<String>>,
    /// The questions for one name.
    asked: FuturesUnordered<Question>,
    found: bool,
    /// Why the name as it was given has no address.
    why: Option<LookupFailure>,
}

type Answer = Result<Vec<IpAddr>, LookupFailure>;
/// Whether it is about the name as it was given, and the answer.
type Question = Pin<Box<dyn Future<Output = (bool, Answer)> + Send>>;

impl Search {
    pub(super) fn new(server: SocketAddr, host: String) -> Self {
        Self {
            server,
            host,
            names: None,
            asked: FuturesUnordered::new(),
            found: false,
            why: None,
        }
    }

    /// The addresses of one family, as soon as they are known; `None` at the end. Where there are
    /// none, one error says why.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        if self.names.is_none() {
            let begun = self.begin().await;
            let known = match begun {
                Ok(known) => known,
                Err(error) => return Some(Err(error.into())),
            };
            if !known.is_empty() {
                self.found = true;
                return Some(Ok(known));
            }
        }
        loop {
            while let Some((as_given, answer)) = self.asked.next().await {
                match answer {
                    Ok(found) if !found.is_empty() => {
                        self.found = true;
                        return Some(Ok(found));
                    }
                    Ok(_) if as_given => self.keep(LookupFailure::NoSuchHost),
                    Err(why) if as_given => self.keep(why),
                    Ok(_) | Err(_) => {}
                }
            }
            if self.found {
                return None;
            }
            match self.names.as_mut().and_then(Iterator::next) {
                Some(name) => self.ask(&name),
                None => return self.why.take().map(Err),
            }
        }
    }

    /// What the machine itself knows; where that is nothing, it is known what to ask for.
    async fn begin(&mut self) -> io::Result<Vec<IpAddr>> {
        let name = self.host.clone();
        // Two short files, but they may lie on a disk that sleeps.
        let read = tokio::task::spawn_blocking(move || (files::hosts(&name), SearchList::read()));
        let names = self.names.insert(Vec::new().into_iter());
        let (known, search) = read.await.map_err(io::Error::other)?;
        if known.is_empty() && self.host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        if known.is_empty() {
            *names = search.names(&self.host).into_iter();
        }
        Ok(known)
    }

    fn ask(&mut self, name: &str) {
        let (server, as_given) = (self.server, name == self.host);
        for family in [Family::V6, Family::V4] {
            let name = name.to_owned();
            self.asked.push(Box::pin(async move {
                (as_given, query(server, &name, family).await)
            }));
        }
    }

    /// A failure says more than that there is no such name.
    fn keep(&mut self, why: LookupFailure) {
        if matches!(self.why, None | Some(LookupFailure::NoSuchHost)) {
            self.why = Some(why);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tokio::net::UdpSocket;

    use super::*;

    const SERVFAIL: u8 = 2;
    const NXDOMAIN: u8 = 3;

    /// What a server says of a name: its code and its addresses.
    type Zone = Vec<(&'static str, u8, Vec<IpAddr>)>;

    fn ips(of: &[&str]) -> Vec<IpAddr> {
        of.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    async fn serve(socket: UdpSocket, zone: Zone, asked: Arc<Mutex<Vec<String>>>) {
        let mut question = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut question).await.unwrap();
            let question = &question[..length];
            let kind = question[length - 3];
            let mut name = String::new();
            let mut labels = &question[12..length - 4];
            while let Some((&length, rest)) = labels.split_first().filter(|(l, _)| **l > 0) {
                let (label, rest) = rest.split_at(usize::from(length));
                name.push_str(str::from_utf8(label).unwrap());
                name.push('.');
                labels = rest;
            }
            let name = name.trim_end_matches('.');
            asked.lock().unwrap().push(name.to_owned());
            let known = zone.iter().find(|(known, ..)| *known == name);
            let (code, addresses) = known.map_or((NXDOMAIN, &[][..]), |(_, c, a)| (*c, a));
            let records: Vec<Vec<u8>> = addresses
                .iter()
                .filter_map(|ip| {
                    let bytes = match (ip, kind) {
                        (IpAddr::V4(ip), 1) => ip.octets().to_vec(),
                        (IpAddr::V6(ip), 28) => ip.octets().to_vec(),
                        _ => return None,
                    };
                    let head = [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, bytes.len() as u8];
                    Some([&head[..], &bytes].concat())
                })
                .collect();
            let mut answer = question.to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
            answer[7] = records.len() as u8;
            answer.extend(records.concat());
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    /// Looks `office` up, which may be short for `office.corp`, too. Gives the answers, and the names
    /// that were asked for.
    async fn look_up(zone: Zone) -> (Vec<Result<Vec<IpAddr>, String>>, Vec<String>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let serving = tokio::spawn(serve(socket, zone, asked.clone()));
        let mut search = Search::new(server, "office".to_owned());
        let names = vec!["office.corp".to_owned(), "office".to_owned()];
        search.names = Some(names.into_iter());
        let mut answers = Vec::new();
        while let Some(answer) = search.next().await {
            answers.push(answer.map_err(|e| e.to_string()));
        }
        serving.abort();
        let mut asked = asked.lock().unwrap().clone();
        asked.dedup();
        (answers, asked)
    }

    #[tokio::test]
    async fn a_name_that_fails_or_has_no_address_is_passed_over() {
        for (code, why) in [(SERVFAIL, "fails"), (5, "refuses"), (0, "has no address")] {
            let here = ips(&["127.0.0.9"]);
            let zone = vec![("office.corp", code, vec![]), ("office", 0, here.clone())];
            let (answers, asked) = look_up(zone).await;
            assert_eq!(answers, [Ok(here)], "{why}");
            assert_eq!(asked, ["office.corp", "office"], "{why}");
        }
    }

    /// Else an address of one family would be taken from the wildcard of a domain.
    #[tokio::test]
    async fn both_families_are_those_of_one_name() {
        let first = ips(&["127.0.0.1"]);
        let zone = vec![
            ("office.corp", 0, first.clone()),
            ("office", 0, ips(&["::1", "127.0.0.9"])),
        ];
        let (answers, asked) = look_up(zone).await;
        assert_eq!(answers, [Ok(first)]);
        assert_eq!(asked, ["office.corp"]);
    }

    #[tokio::test]
    async fn the_error_told_is_that_of_the_name_as_given() {
        let failed = "server misbehaving (code 2)";
        let (answers, _) = look_up(vec![("office.corp", SERVFAIL, vec![])]).await;
        assert_eq!(answers, [Err("no such host".to_owned())]);
        let (answers, _) = look_up(vec![("office", SERVFAIL, vec![])]).await;
        assert_eq!(answers, [Err(failed.to_owned())]);
        let (answers, _) = look_up(vec![]).await;
        assert_eq!(answers, [Err("no such host".to_owned())]);
    }
}
