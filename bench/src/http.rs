//! Requests through a http proxy.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::load::{self, Failures, RUN_UP};
use crate::mode::DOMAIN;
use crate::pair::Pair;
use crate::service::{BODY, FILL};

/// How users keep their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Many requests on each of 32 connections.
    KeepAlive,
    /// A new connection for each request, by eight workers.
    OneShot,
}

impl Style {
    fn workers(self) -> usize {
        match self {
            Self::KeepAlive => 32,
            Self::OneShot => 8,
        }
    }

    fn request(self) -> String {
        let close = match self {
            Self::KeepAlive => "",
            Self::OneShot => "Connection: close\r\n",
        };
        format!(
            "GET /page HTTP/1.1\r\n\
             Host: {DOMAIN}\r\n\
             User-Agent: frp-bench\r\n\
             Accept: */*\r\n\
             {close}\r\n"
        )
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeepAlive => "keep-alive",
            Self::OneShot => "one-shot",
        })
    }
}

/// What a request costs.
pub(crate) struct Http {
    pub(crate) per_second: f64,
    pub(crate) p99_us: f64,
    /// CPU microseconds of both programs per request.
    pub(crate) cpu_us: f64,
}

/// Requests one after the other by each worker.
pub(crate) fn requests(pair: &Pair, style: Style, window: Duration) -> Result<Http, Error> {
    let (done, failures) = (AtomicU64::new(0), Failures::default());
    let stop = AtomicBool::new(false);
    let begin = Instant::now() + RUN_UP;
    let times = begin..begin + window;
    let (measured, mut samples) = thread::scope(|scope| {
        let worker = || {
            let mut user = User::new(pair.user_addr(), style);
            let mut samples = Vec::with_capacity(50_000);
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                match user.get() {
                    Ok(()) => {
                        done.fetch_add(1, Ordering::Relaxed);
                        let received = Instant::now();
                        if sent >= times.start && received < times.end {
                            samples.push(received - sent);
                        }
                    }
                    Err(e) => failures.add(e),
                }
            }
            samples
        };
        let workers = (0..style.workers())
            .map(|_| scope.spawn(worker))
            .collect::<Vec<_>>();
        let measured = load::measure(pair, window, || done.load(Ordering::Relaxed));
        stop.store(true, Ordering::Relaxed);
        let samples = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_default());
        (measured, samples.collect::<Vec<_>>())
    });
    failures.check(done.into_inner() as usize)?;
    match (measured?, load::at(&mut samples, 0.99)) {
        ((count, spent), Some(p99_us)) if count > 0 => Ok(Http {
            per_second: spent.per_second(count),
            p99_us,
            cpu_us: spent.cpu_us_each(count),
        }),
        _ => Err(Error::NoBytes),
    }
}

/// One request by a connection of its own.
pub(crate) fn get_once(addr: SocketAddr) -> io::Result<()> {
    User::new(addr, Style::OneShot).get()
}

struct User {
    addr: SocketAddr,
    style: Style,
    request: String,
    open: Option<TcpStream>,
    buf: Vec<u8>,
}

impl User {
    fn new(addr: SocketAddr, style: Style) -> Self {
        Self {
            addr,
            style,
            request: style.request(),
            open: None,
            buf: vec![0; BUF],
        }
    }

    /// One request and its whole answer, with the end of the connection if that was asked for.
    fn get(&mut self) -> io::Result<()> {
        let mut stream = match self.open.take() {
            Some(open) => open,
            None => load::connect(self.addr)?,
        };
        stream.write_all(self.request.as_bytes())?;
        read_answer(&mut stream, &mut self.buf)?;
        match self.style {
            Style::KeepAlive => self.open = Some(stream),
            Style::OneShot if stream.read(&mut self.buf)? > 0 => {
                return Err(invalid("something follows the answer"));
            }
            Style::OneShot => {}
        }
        Ok(())
    }
}

/// Reads one answer and checks that it is the page.
fn read_answer(stream: &mut impl Read, buf: &mut [u8]) -> io::Result<()> {
    let mut have = 0;
    loop {
        let n = stream.read(buf.get_mut(have..).unwrap_or_default())?;
        if n == 0 {
            return Err(invalid("no end of the answer"));
        }
        have += n;
        let received = buf.get(..have).unwrap_or_default();
        let Some((head, body)) = split_head(received) else {
            continue;
        };
        if !head.starts_with(b"HTTP/1.1 200 ") {
            return Err(invalid("the status is not 200"));
        }
        if content_length(head) != Some(BODY) || body.len() > BODY {
            return Err(invalid("the answer differs"));
        }
        if body.len() == BODY {
            let is_page = body.iter().all(|byte| *byte == FILL);
            return is_page
                .then_some(())
                .ok_or_else(|| invalid("the page differs"));
        }
    }
}

/// The head, with its last empty line, and what follows; None while that line is missing.
fn split_head(received: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    received.split_at_checked(end)
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        let is_length = name.eq_ignore_ascii_case(NAME);
        let value = str::from_utf8(value).ok().filter(|_| is_length)?;
        value.trim().parse().ok()
    })
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

const BUF: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out one piece a read.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            buf[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn read(pieces: &[&str]) -> io::Result<()> {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec());
        read_answer(&mut Pieces(pieces.collect()), &mut [0; BUF])
    }

    #[test]
    fn an_answer_counts_when_it_is_whole_and_the_page() {
        let (head, page) = ("HTTP/1.1 200 OK\r\ncontent-length: 1024", "x".repeat(BODY));
        assert!(read(&[&format!("{head}\r\n\r\n{page}")]).is_ok());
        assert!(read(&[head, "\r\nServer: x\r\n\r", "\n", &page[1..], "x"]).is_ok());

        let result = |pieces: &[&str]| read(pieces).map_err(|e| e.to_string());
        let short = [head, "\r\n\r\n", &page[1..]];
        assert_eq!(result(&short), Err("no end of the answer".to_owned()));
        let other = [head, "\r\n\r\n", &page[1..], "y"];
        assert_eq!(result(&other), Err("the page differs".to_owned()));
        let long = [head, "\r\n\r\n", &page, "x"].concat();
        assert_eq!(result(&[&long]), Err("the answer differs".to_owned()));
        let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 1024\r\n\r\n";
        assert_eq!(result(&[missing]), Err("the status is not 200".to_owned()));
    }
}
