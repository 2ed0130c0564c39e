//! Where does a packet end in a stream? The frames of frp: a length of 4 bytes, little-endian, and a packet
//! (frp `pkg/vnet/message.go`).

use crate::limits::{IDLE_READ, MAX_FRAME, MAX_PACKET, READ};

/// Bytes in front of each packet.
pub const HEADER: usize = 4;

/// Why a stream of frames cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// frp sends none, and ends the connection at one.
    #[error("a frame of the virtual network has the length 0")]
    Empty,
    /// More than frp takes.
    #[error(
        "a frame of the virtual network announces {0} bytes, more than 1 MiB: the peer sends something else \
         than packets, check that both ends have the plugin virtual_net and the same useEncryption and \
         useCompression"
    )]
    TooLong(u32),
}

/// What stands in front of a packet of so many bytes.
pub(crate) fn header(length: usize) -> [u8; HEADER] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// The bytes of a stream, which are read into it and come out as frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// There was no room for more, so there may be more to read.
    is_full: bool,
    /// Of a frame that is too long for a packet: so much of it is still to come.
    skip: usize,
    skipped: u64,
}

impl Frames {
    /// Where the next bytes of the stream go, never empty as long as [`next`](Self::next) is asked until there is
    /// none. Tell [`came`](Self::came) how many came.
    pub fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() < READ && (self.is_full || self.bytes.is_empty()) {
            let more = (self.bytes.len() * 4).clamp(IDLE_READ, READ);
            self.bytes.resize(more, 0);
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were read into the [`room`](Self::room).
    pub fn came(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.bytes.len());
        self.is_full = self.end == self.bytes.len();
    }

    /// The next frame that is complete.
    ///
    /// # Errors
    /// The stream cannot go on.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend what it owns"
    )]
    pub fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let skipped = self.skip.min(self.end - self.start);
        self.start += skipped;
        self.skip -= skipped;
        let held = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some((header, rest)) = held.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let announced = u32::from_le_bytes(*header);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        match length {
            0 => Err(FrameError::Empty),
            _ if length > MAX_FRAME => Err(FrameError::TooLong(announced)),
            // It cannot be a packet, and is not kept.
            _ if length > MAX_PACKET => {
                self.start += HEADER;
                self.skip = length;
                self.skipped += 1;
                self.next()
            }
            _ if length > rest.len() => Ok(None),
            _ => {
                let from = self.start + HEADER;
                self.start = from + length;
                Ok(self.bytes.get(from..self.start))
            }
        }
    }

    /// How many frames were too long for a packet since this was last asked.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<FrameError>, u64) {
        let (mut frames, mut got) = (Frames::default(), Vec::new());
        for mut piece in stream.chunks(piece) {
            while !piece.is_empty() {
                let room = frames.room();
                let n = room.len().min(piece.len());
                room[..n].copy_from_slice(&piece[..n]);
                frames.came(n);
                piece = &piece[n..];
                loop {
                    match frames.next() {
                        Ok(Some(frame)) => got.push(frame.to_vec()),
                        Ok(None) => break,
                        Err(e) => return (got, Some(e), frames.take_skipped()),
                    }
                }
            }
        }
        (got, None, frames.take_skipped())
    }

    /// As frp's `WriteMessage` writes it.
    #[test]
    fn the_bytes_of_a_frame() {
        assert_eq!(header(1420), [0x8c, 0x05, 0, 0]);
        let (got, error, _) = all(b"\x03\0\0\0abc\x01\0\0\0d", 1);
        assert_eq!((got, error), (vec![b"abc".to_vec(), b"d".to_vec()], None));
    }

    #[test]
    fn what_frp_does_not_take_ends_the_stream() {
        assert_eq!(all(&[0; 4], 4).1, Some(FrameError::Empty));
        let (got, error, _) = all(b"\x01\0\0\0a\x01\0\x10\0", 7);
        let too_long = FrameError::TooLong(1024 * 1024 + 1);
        assert_eq!((got, error), (vec![b"a".to_vec()], Some(too_long)));
    }

    #[test]
    fn what_cannot_be_a_packet_is_passed_over() {
        let mut stream = header(MAX_FRAME).to_vec();
        stream.resize(HEADER + MAX_FRAME, 1);
        stream.extend(b"\x01\0\0\0a");
        for piece in [1000, 65_536, 2_000_000] {
            assert_eq!(all(&stream, piece), (vec![b"a".to_vec()], None, 1));
        }
        let mut longest = header(MAX_PACKET).to_vec();
        longest.resize(HEADER + MAX_PACKET, 2);
        assert_eq!(all(&longest, 10_000).0, [vec![2; MAX_PACKET]]);
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 0..40),
            piece in 1..40_000_usize,
        ) {
            let mut stream = Vec::new();
            for packet in &packets {
                stream.extend(header(packet.len()));
                stream.extend(packet);
            }
            prop_assert_eq!(all(&stream, piece), (packets, None, 0));
        }

        #[test]
        fn no_stream_makes_it_panic(stream in prop::collection::vec(any::<u8>(), 0..500), piece in 1..50_usize) {
            all(&stream, piece);
        }
    }
}
