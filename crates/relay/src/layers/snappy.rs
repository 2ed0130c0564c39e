//! Compression: the snappy framing format, as frp's `golang/snappy` reads and writes it.
//!
//! Every write makes its chunk at once and holds nothing back; every chunk is handed out as soon
//! as it is whole. Format: <https://github.com/google/snappy/blob/main/framing_format.txt>.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use snap::raw::{Decoder, Encoder, decompress_len};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbox::Outbox;
use frp_net::limits::MAX_FRUITLESS_READS;
use frp_net::scratch::with_scratch;
use frp_net::turn;

/// Most plain bytes in one chunk.
const MAX_BLOCK: usize = 65_536;
const CHECKSUM_LEN: usize = 4;
const HEADER_LEN: usize = 4;
/// Longest body of a data chunk: checksum and a block at its worst expansion (76,490 bytes).
const MAX_CHUNK: usize = CHECKSUM_LEN + 32 + MAX_BLOCK + MAX_BLOCK / 6;

const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;
const STREAM_ID: u8 = 0xff;
const STREAM_MAGIC: &[u8] = b"sNaPpY";
const STREAM_HEADER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

thread_local! {
    /// Its hash tables are empty between blocks, so one per thread serves all connections.
    static ENCODER: RefCell<Encoder> = RefCell::new(Encoder::new());
}

/// Why a compressed stream cannot be read on.
#[derive(Debug, Error)]
pub enum SnappyError {
    /// The first chunk is not the stream identifier.
    #[error("not a snappy stream (do both ends have transport.useCompression?)")]
    NotSnappy,
    /// A chunk type that the format forbids to skip.
    #[error("snappy chunk type {0:#04x} is not known")]
    UnknownChunk(u8),
    /// A chunk longer than any encoder makes.
    #[error("snappy chunk of {0} bytes is longer than the format allows")]
    Oversize(usize),
    /// A chunk whose content is no valid block.
    #[error("snappy chunk is damaged")]
    Damaged,
    /// A chunk whose content does not fit its checksum.
    #[error("snappy chunk does not match its checksum")]
    Checksum,
    /// The stream ended inside a chunk.
    #[error("compressed stream ended inside a chunk")]
    Truncated,
}

impl From<SnappyError> for io::Error {
    fn from(error: SnappyError) -> Self {
        let kind = match error {
            SnappyError::Truncated => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// A stream that is compressed on `inner` and plain outside.
#[derive(Debug)]
pub struct SnappyStream<S> {
    inner: S,
    header_sent: bool,
    out: Outbox,
    reader: ChunkReader,
    /// Bytes of `inner` that make no whole chunk yet.
    input: BytesMut,
}

impl<S> SnappyStream<S> {
    /// Wraps `inner`, on which neither side has sent anything yet.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            header_sent: false,
            out: Outbox::default(),
            reader: ChunkReader::default(),
            input: BytesMut::new(),
        }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SnappyStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        for _ in 0..MAX_FRUITLESS_READS {
            let consumed = this.reader.decode(&this.input, buf)?;
            this.input.advance(consumed);
            if this.input.is_empty() {
                this.input = BytesMut::new();
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            let more = with_scratch(|scratch| {
                let mut piece = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
                let mut piece = piece.filled();
                if piece.is_empty() {
                    return Poll::Ready(io::Result::Ok(false));
                }
                if this.input.is_empty() {
                    let consumed = this.reader.decode(piece, buf)?;
                    piece = piece.get(consumed..).unwrap_or_default();
                }
                this.input.extend_from_slice(piece);
                Poll::Ready(Ok(true))
            });
            if !ready!(more)? {
                this.reader.check_end(&this.input)?;
                return Poll::Ready(Ok(()));
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
        turn::give_way(cx);
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SnappyStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.inner))?;
        let block = buf.get(..buf.len().min(MAX_BLOCK)).unwrap_or_default();
        if block.is_empty() {
            return Poll::Ready(Ok(0));
        }
        with_scratch(|scratch| {
            let head = if this.header_sent {
                &[][..]
            } else {
                STREAM_HEADER
            };
            let len = encode_chunk(head, block, scratch)?;
            this.header_sent = true;
            this.out
                .send(cx, &mut this.inner, scratch.get(..len).unwrap_or_default())
        })?;
        Poll::Ready(Ok(block.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.out.poll_flush(cx, &mut this.inner)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.out.poll_shutdown(cx, &mut this.inner)
    }
}

/// Writes `head` and the chunk of `block` to `out` and returns the bytes used.
fn encode_chunk(head: &[u8], block: &[u8], out: &mut [u8]) -> io::Result<usize> {
    let too_small = || io::Error::other("no room for a snappy chunk");
    let (front, body) = out
        .split_at_mut_checked(head.len() + HEADER_LEN + CHECKSUM_LEN)
        .ok_or_else(too_small)?;
    let packed = ENCODER
        .with_borrow_mut(|encoder| encoder.compress(block, body))
        .map_err(io::Error::other)?;
    // As the Go encoder: a gain of less than an eighth is not worth the reader's work.
    let (kind, len) = if packed >= block.len() - block.len() / 8 {
        body.get_mut(..block.len())
            .ok_or_else(too_small)?
            .copy_from_slice(block);
        (UNCOMPRESSED, block.len())
    } else {
        (COMPRESSED, packed)
    };
    let size = u32::try_from(CHECKSUM_LEN + len)
        .map_err(io::Error::other)?
        .to_le_bytes();
    let (id, chunk_head) = front.split_at_mut(head.len());
    id.copy_from_slice(head);
    let (header, sum) = chunk_head.split_at_mut(HEADER_LEN);
    header.copy_from_slice(&[kind, size[0], size[1], size[2]]);
    sum.copy_from_slice(&masked_crc(block).to_le_bytes());
    Ok(front.len() + len)
}

fn masked_crc(plain: &[u8]) -> u32 {
    crc32c::crc32c(plain)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// Turns chunks into plain bytes. Bounded: input of at most one chunk is awaited, output of at most
/// one block is kept.
#[derive(Debug, Default)]
struct ChunkReader {
    identified: bool,
    /// Bytes of a skippable chunk still to come.
    skip: usize,
    /// A decoded block that did not fit the reader's buffer.
    plain: Bytes,
}

impl ChunkReader {
    /// Decodes whole chunks of `input` while `buf` has room; returns how many bytes it consumed.
    fn decode(&mut self, input: &[u8], buf: &mut ReadBuf<'_>) -> Result<usize, SnappyError> {
        let before = buf.filled().len();
        let mut rest = input;
        loop {
            self.hand_out(buf);
            if buf.remaining() == 0 {
                break;
            }
            if self.skip > 0 {
                let n = self.skip.min(rest.len());
                self.skip -= n;
                rest = rest.get(n..).unwrap_or_default();
            }
            match self.chunk(rest, buf) {
                Ok(Some(after)) => rest = after,
                Ok(None) => break,
                // What came before a bad chunk is handed out; the error comes with the next call.
                Err(_) if buf.filled().len() > before => break,
                Err(error) => return Err(error),
            }
        }
        Ok(input.len() - rest.len())
    }

    /// Takes the chunk at the start of `input`, and gives what is behind it. `None`: there is more of it to come.
    fn chunk<'a>(
        &mut self,
        input: &'a [u8],
        buf: &mut ReadBuf<'_>,
    ) -> Result<Option<&'a [u8]>, SnappyError> {
        let Some((header, after)) = input.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [kind, a, b, c] = *header;
        let len = u32::from_le_bytes([a, b, c, 0]) as usize;
        if !self.identified && kind != STREAM_ID {
            return Err(SnappyError::NotSnappy);
        }
        match kind {
            0x80..=0xfe => {
                self.skip = len;
                return Ok(Some(after));
            }
            0x02..=0x7f => return Err(SnappyError::UnknownChunk(kind)),
            STREAM_ID if len != STREAM_MAGIC.len() => return Err(SnappyError::NotSnappy),
            _ if len > MAX_CHUNK => return Err(SnappyError::Oversize(len)),
            _ => {}
        }
        let Some((body, after)) = after.split_at_checked(len) else {
            return Ok(None);
        };
        if kind != STREAM_ID {
            self.block(kind, body, buf)?;
        } else if body == STREAM_MAGIC {
            self.identified = true;
        } else {
            return Err(SnappyError::NotSnappy);
        }
        Ok(Some(after))
    }

    fn block(&mut self, kind: u8, body: &[u8], buf: &mut ReadBuf<'_>) -> Result<(), SnappyError> {
        let (sum, data) = body
            .split_first_chunk::<CHECKSUM_LEN>()
            .ok_or(SnappyError::Damaged)?;
        let len = match kind {
            COMPRESSED => decompress_len(data).map_err(|_| SnappyError::Damaged)?,
            _ => data.len(),
        };
        if len > MAX_BLOCK {
            return Err(SnappyError::Oversize(len));
        }
        // Straight into the reader's buffer when it fits, which spares a copy.
        let fits = len <= buf.remaining();
        let mut own = if fits { Vec::new() } else { vec![0; len] };
        let plain = if fits {
            buf.initialize_unfilled_to(len)
        } else {
            own.as_mut_slice()
        };
        match kind {
            COMPRESSED => {
                Decoder::new()
                    .decompress(data, plain)
                    .map_err(|_| SnappyError::Damaged)?;
            }
            _ => plain.copy_from_slice(data),
        }
        if masked_crc(plain) != u32::from_le_bytes(*sum) {
            return Err(SnappyError::Checksum);
        }
        if fits {
            buf.advance(len);
        } else {
            self.plain = own.into();
        }
        Ok(())
    }

    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) {
        if self.plain.is_empty() {
            return;
        }
        let n = self.plain.len().min(buf.remaining());
        buf.put_slice(self.plain.get(..n).unwrap_or_default());
        self.plain.advance(n);
        if self.plain.is_empty() {
            self.plain = Bytes::new();
        }
    }

    /// An end is clean only between chunks.
    fn check_end(&self, input: &[u8]) -> Result<(), SnappyError> {
        if self.skip == 0 && input.is_empty() {
            Ok(())
        } else {
            Err(SnappyError::Truncated)
        }
    }
}

const _: () = assert!(
    STREAM_HEADER.len() + HEADER_LEN + MAX_CHUNK <= frp_net::scratch::SCRATCH_LEN,
    "a chunk must fit the scratch buffer"
);

#[cfg(test)]
mod tests {
    use snap::raw::max_compress_len;

    use super::*;

    #[test]
    fn longest_chunk_is_what_the_encoder_may_need() {
        assert_eq!(CHECKSUM_LEN + max_compress_len(MAX_BLOCK), MAX_CHUNK);
    }
}
