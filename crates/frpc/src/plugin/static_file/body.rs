//! What is sent: bytes at hand, or parts of a file that are read while the user takes them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinHandle;

/// Bytes read at a time, and the memory that one download has.
const CHUNK: usize = 64 * 1024;

/// A piece of a body.
#[derive(Debug)]
pub(super) enum Part {
    Bytes(Bytes),
    /// `len` bytes of the file from `start` on.
    File {
        start: u64,
        len: u64,
    },
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body {
    state: State,
    /// Bytes to come, where they are known.
    left: Option<u64>,
}

#[derive(Debug)]
enum State {
    Full(Bytes),
    /// Behind a box: most bodies are small.
    Idle(Box<Reader>),
    Reading(JoinHandle<(Box<Reader>, io::Result<Option<Bytes>>)>),
    Over,
}

/// Reads the parts one after the other.
#[derive(Debug)]
struct Reader {
    file: File,
    parts: VecDeque<Part>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::full(Bytes::new())
    }

    pub(super) fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            left: Some(bytes.len() as u64),
            state: State::Full(bytes),
        }
    }

    pub(super) fn parts(file: File, parts: impl Into<VecDeque<Part>>) -> Self {
        let parts = parts.into();
        Self {
            left: Some(parts.iter().map(Part::len).sum()),
            state: State::Idle(Box::new(Reader {
                file,
                parts,
                gzip: None,
            })),
        }
    }

    /// The first `len` bytes of the file, compressed on the way.
    pub(super) fn gzip(file: File, len: u64) -> Self {
        let parts = VecDeque::from([Part::File { start: 0, len }]);
        let gzip = GzEncoder::new(Vec::new(), Compression::fast());
        Self {
            left: None,
            state: State::Idle(Box::new(Reader {
                file,
                parts,
                gzip: Some(gzip),
            })),
        }
    }
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Full(bytes) if bytes.is_empty() => return Poll::Ready(None),
                State::Full(bytes) => return Poll::Ready(Some(Ok(this.frame(bytes)))),
                State::Idle(mut reader) => {
                    this.state = State::Reading(tokio::task::spawn_blocking(move || {
                        let read = reader.next();
                        (reader, read)
                    }));
                }
                State::Reading(mut task) => {
                    let Poll::Ready(done) = Pin::new(&mut task).poll(cx) else {
                        this.state = State::Reading(task);
                        return Poll::Pending;
                    };
                    let (reader, read) = done.map_err(io::Error::other)?;
                    return Poll::Ready(match read {
                        Ok(Some(bytes)) => {
                            this.state = State::Idle(reader);
                            Some(Ok(this.frame(bytes)))
                        }
                        Ok(None) => None,
                        Err(e) => Some(Err(e)),
                    });
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }
}

impl Body {
    fn frame(&mut self, bytes: Bytes) -> Frame<Bytes> {
        let len = bytes.len() as u64;
        self.left = self.left.map(|left| left.saturating_sub(len));
        Frame::data(bytes)
    }
}

impl Reader {
    /// The next bytes to send, at most about [`CHUNK`]. Blocks on the disk.
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some(part) = self.parts.front_mut() else {
                return self.trailer();
            };
            let (start, len) = match part {
                Part::File { len: 0, .. } => {
                    self.parts.pop_front();
                    continue;
                }
                Part::Bytes(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.parts.pop_front();
                    return Ok(Some(bytes));
                }
                Part::File { start, len } => (start, len),
            };
            let n = usize::try_from(*len).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = vec![0; n];
            self.file.seek(SeekFrom::Start(*start))?;
            // A file that became shorter cannot be served to the end that was promised.
            self.file.read_exact(&mut chunk)?;
            *start += n as u64;
            *len -= n as u64;
            let Some(gzip) = &mut self.gzip else {
                return Ok(Some(chunk.into()));
            };
            gzip.write_all(&chunk)?;
            if !gzip.get_ref().is_empty() {
                return Ok(Some(std::mem::take(gzip.get_mut()).into()));
            }
        }
    }

    fn trailer(&mut self) -> io::Result<Option<Bytes>> {
        let Some(gzip) = self.gzip.take() else {
            return Ok(None);
        };
        Ok(Some(gzip.finish()?.into()))
    }
}
