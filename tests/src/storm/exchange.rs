//! What users and a service say to each other, so that both know whether all of it has arrived.
//!
//! A user says first what it wants, how many bytes, and of which pattern. Whoever then sees a clean end before all
//! of it was there has been lied to: a connection that broke has to end as one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clients::pattern;

/// What a user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Everything back, until its end.
    Echo,
    /// So many bytes.
    Download(u64),
    /// To leave so many bytes, and a receipt for them.
    Upload(u64),
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All has arrived.
    Whole,
    /// It broke off, and showed it.
    BrokenOff,
    /// It ended as if all had arrived.
    CutShort,
    /// Other bytes arrived.
    Wrong,
    /// Nothing more was heard.
    Silent,
}

/// How many exchanges ended how, at users and service.
#[derive(Debug, Default)]
pub struct Tally {
    counts: [AtomicU64; 5],
}

/// Which pattern.
type Seed = u64;

const HEAD: usize = 17;

/// What a receipt says in front of the number of bytes.
const RECEIPT: &[u8; 4] = b"got ";

impl Tally {
    /// One more.
    pub fn count(&self, end: End) {
        self.counts[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended so.
    #[must_use]
    pub fn of(&self, end: End) -> u64 {
        self.counts[end as usize].load(Ordering::Relaxed)
    }

    /// How many of those who were told that all had arrived were told wrong.
    #[must_use]
    pub fn lies(&self) -> u64 {
        self.of(End::CutShort) + self.of(End::Wrong)
    }
}

/// Serves one user. What of it went wrong without a sign is counted.
pub async fn serve(mut stream: TcpStream, tally: &Tally) {
    let mut head = [0; HEAD];
    if stream.read_exact(&mut head).await.is_err() {
        return;
    }
    let [kind, rest @ ..] = head;
    let number = |at: usize| u64::from_be_bytes(rest[at..at + 8].try_into().unwrap());
    let (len, seed) = (number(0), number(8));
    let _ = match kind {
        b'E' => {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await.map(drop)
        }
        b'D' => give(&mut stream, len, seed).await,
        _ => take(&mut stream, len, seed, tally).await,
    };
}

async fn give(stream: &mut TcpStream, len: u64, seed: Seed) -> io::Result<()> {
    stream.write_all(&content(len, seed)).await?;
    stream.shutdown().await?;
    // Unread input at close would make the kernel send a reset.
    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn take(stream: &mut TcpStream, len: u64, seed: Seed, tally: &Tally) -> io::Result<()> {
    let end = received(stream, len, seed).await;
    if end == End::Whole {
        stream.write_all(RECEIPT).await?;
        stream.write_u64(len).await?;
        stream.shutdown().await?;
    } else if end != End::BrokenOff {
        // What the user makes of it is counted there.
        tally.count(end);
    }
    Ok(())
}

/// One exchange of a user, by its end.
pub async fn exchange(stream: &mut TcpStream, want: Want, seed: Seed) -> End {
    let done = match want {
        Want::Echo => echo(stream, seed).await,
        Want::Download(len) => match say(stream, b'D', len, seed).await {
            Ok(()) => Ok(received(stream, len, seed).await),
            Err(e) => Err(e),
        },
        Want::Upload(len) => upload(stream, len, seed).await,
    };
    done.unwrap_or(End::BrokenOff)
}

async fn echo(stream: &mut TcpStream, seed: Seed) -> io::Result<End> {
    say(stream, b'E', 0, seed).await?;
    record(stream, seed).await
}

/// One record there and back on a connection that has said that it wants an echo.
pub async fn record(stream: &mut TcpStream, seed: Seed) -> io::Result<End> {
    let sent = content(64, seed);
    let mut back = vec![0; sent.len()];
    stream.write_all(&sent).await?;
    stream.read_exact(&mut back).await?;
    Ok(if back == sent { End::Whole } else { End::Wrong })
}

/// Has the service echo what follows.
pub async fn want_echoes(stream: &mut TcpStream) -> io::Result<()> {
    say(stream, b'E', 0, 0).await
}

async fn upload(stream: &mut TcpStream, len: u64, seed: Seed) -> io::Result<End> {
    say(stream, b'U', len, seed).await?;
    stream.write_all(&content(len, seed)).await?;
    stream.shutdown().await?;
    let mut receipt = Vec::new();
    stream.read_to_end(&mut receipt).await?;
    let mut due = RECEIPT.to_vec();
    due.extend(len.to_be_bytes());
    Ok(match receipt {
        receipt if receipt == due => End::Whole,
        // Nobody has said that it arrived.
        receipt if receipt.is_empty() => End::BrokenOff,
        receipt if due.starts_with(&receipt) => End::CutShort,
        _ => End::Wrong,
    })
}

async fn say(stream: &mut TcpStream, kind: u8, len: u64, seed: Seed) -> io::Result<()> {
    let mut head = vec![kind];
    head.extend(len.to_be_bytes());
    head.extend(seed.to_be_bytes());
    stream.write_all(&head).await
}

/// Reads to the end.
async fn received(stream: &mut TcpStream, len: u64, seed: Seed) -> End {
    let mut got = Vec::new();
    let read = stream.read_to_end(&mut got).await;
    let due = content(len, seed);
    match read {
        _ if !due.starts_with(&got) => End::Wrong,
        Ok(_) if got.len() == due.len() => End::Whole,
        // Who is not let in at all has been told nothing.
        Ok(0) | Err(_) => End::BrokenOff,
        Ok(_) => End::CutShort,
    }
}

fn content(len: u64, seed: Seed) -> Vec<u8> {
    pattern(usize::try_from(len).unwrap(), seed)
}
