//! Frames without I/O (RFC 6455, section 5): what is payload, what is said beside it?
//!
//! To frp a websocket is a stream of bytes, so the payload of text, binary and continuation frames
//! counts alike, and where one message ends does not matter. Text is not checked: frp before 0.70
//! sends any bytes as text (`pkg/util/net/websocket.go`).

use thiserror::Error;

/// Which end of the connection this is. Clients mask what they send, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that sent the request.
    Client,
    /// The end that answered it.
    Server,
}

/// What four bytes a frame is masked with.
pub type Mask = [u8; 4];

/// Bytes of the longest header: two, eight of length, four of mask.
pub const HEAD_MAX: usize = 14;

/// Bytes that a ping, a pong or a closing frame may carry.
pub const CONTROL_MAX: usize = 125;

/// The status of a connection that ended as it should (section 7.4.1).
pub const NORMAL: u16 = 1000;
/// The status where the peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;

/// The kinds of frames that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Payload. Also towards frp before 0.70, which reads any kind.
    Binary,
    /// The end of the sender's direction.
    Close,
    /// A question whether the peer is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    fn bits(self) -> u8 {
        match self {
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }
}

/// The header of a whole frame with `len` bytes of payload.
#[must_use]
pub fn head(opcode: Opcode, len: usize, mask: Option<Mask>) -> Head {
    let mut head = Head {
        bytes: [0; HEAD_MAX],
        len: 0,
    };
    let masked = if mask.is_some() { 0x80 } else { 0 };
    head.push(&[0x80 | opcode.bits()]);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => head.push(&[masked | short]),
        (_, Ok(medium)) => {
            head.push(&[masked | 126]);
            head.push(&medium.to_be_bytes());
        }
        _ => {
            head.push(&[masked | 127]);
            head.push(&(len as u64).to_be_bytes());
        }
    }
    if let Some(mask) = mask {
        head.push(&mask);
    }
    head
}

/// The bytes of a header.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; HEAD_MAX],
    len: usize,
}

impl Head {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Masks or unmasks `data`, which begins `at` bytes behind the start of the payload.
pub fn apply_mask(data: &mut [u8], mask: Mask, at: usize) {
    let mut turned = mask;
    turned.rotate_left(at % 4);
    let pattern = [turned, turned];
    let pattern = u64::from_ne_bytes(*pattern.as_flattened().first_chunk().unwrap_or(&[0; 8]));
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ pattern).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Bits that an extension would give a meaning; there is none.
    #[error("websocket frame with reserved bits")]
    Reserved,
    /// An opcode without a meaning.
    #[error("websocket frame of unknown kind {0}")]
    Kind(u8),
    /// A client that does not mask.
    #[error("websocket frame of a client without a mask")]
    NotMasked,
    /// A server that masks.
    #[error("websocket frame of a server with a mask")]
    Masked,
    /// A length beyond 2^63, or a control frame that is too long or in parts.
    #[error("websocket frame of a length that is not allowed")]
    Length,
}

/// How the peer's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// A closing frame came.
    Closed,
    /// The peer broke the protocol.
    Broken(FrameError),
}

/// Takes the peer's bytes apart. Holds a header at most, and the last ping.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    state: State,
    head: [u8; HEAD_MAX],
    head_len: usize,
    control: [u8; CONTROL_MAX],
    control_len: usize,
    ping: bool,
    end: Option<ReadEnd>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// Payload, and how much of it is to come.
    Data(Frame),
    /// The payload of a control frame.
    Control(u8, Frame),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    left: u64,
    mask: Option<Mask>,
    /// Bytes of the payload that came, modulo 4.
    at: usize,
}

impl Decoder {
    /// For the frames that the peer of a `role` sends.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            state: State::Head,
            head: [0; HEAD_MAX],
            head_len: 0,
            control: [0; CONTROL_MAX],
            control_len: 0,
            ping: false,
            end: None,
        }
    }

    /// Takes all of `input`, which is what came next, and leaves the payload in it at its front:
    /// so many bytes. What came behind the end of the peer's direction is lost.
    #[must_use]
    pub fn decode(&mut self, input: &mut [u8]) -> usize {
        let mut read = 0;
        let mut payload = 0;
        while read < input.len() && self.end.is_none() {
            match &mut self.state {
                State::Head => {
                    let came = input.get(read..).unwrap_or_default();
                    read += self.take_head(came);
                }
                State::Data(frame) => {
                    let n = frame.available(input.len() - read);
                    input.copy_within(read..read + n, payload);
                    let part = input.get_mut(payload..payload + n).unwrap_or_default();
                    frame.unmask(part);
                    read += n;
                    payload += n;
                    if frame.left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Control(kind, frame) => {
                    let n = frame.available(input.len() - read);
                    let part = input.get_mut(read..read + n).unwrap_or_default();
                    frame.unmask(part);
                    let (kind, left) = (*kind, frame.left);
                    self.take_control(part);
                    read += n;
                    if left == 0 {
                        self.on_control(kind);
                    }
                }
            }
        }
        payload
    }

    /// How the peer's direction ended; `None` while it goes on.
    #[must_use]
    pub fn end(&self) -> Option<ReadEnd> {
        self.end
    }

    /// What the peer's last ping carried, if it has not been answered; a later ping makes an
    /// earlier one void (section 5.5.3).
    pub fn take_ping(&mut self) -> Option<&[u8]> {
        if !std::mem::take(&mut self.ping) {
            return None;
        }
        self.control.get(..self.control_len)
    }

    /// Returns how many bytes of `came` belong to the header.
    fn take_head(&mut self, came: &[u8]) -> usize {
        for (i, byte) in came.iter().enumerate() {
            if let Some(place) = self.head.get_mut(self.head_len) {
                *place = *byte;
            }
            self.head_len += 1;
            if self.head_len >= self.head_wanted() {
                self.head_len = 0;
                match self.read_head() {
                    Ok(state) => self.state = state,
                    Err(e) => self.end = Some(ReadEnd::Broken(e)),
                }
                return i + 1;
            }
        }
        came.len()
    }

    fn head_wanted(&self) -> usize {
        let [_, second, ..] = self.head;
        if self.head_len < 2 {
            return 2;
        }
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + mask
    }

    fn read_head(&mut self) -> Result<State, FrameError> {
        let [first, second, rest @ ..] = self.head;
        if first & 0x70 != 0 {
            return Err(FrameError::Reserved);
        }
        let kind = first & 0x0f;
        let masked = second & 0x80 != 0;
        match self.role {
            Role::Server if !masked => return Err(FrameError::NotMasked),
            Role::Client if masked => return Err(FrameError::Masked),
            _ => {}
        }
        let [a, b, c, d, e, f, g, h, tail @ ..] = rest;
        let (left, mask) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), [c, d, e, f]),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), tail),
            short => (u64::from(short), [a, b, c, d]),
        };
        if left >> 63 != 0 {
            return Err(FrameError::Length);
        }
        let frame = Frame {
            left,
            mask: masked.then_some(mask),
            at: 0,
        };
        match kind {
            0x0..=0x2 if left == 0 => Ok(State::Head),
            0x0..=0x2 => Ok(State::Data(frame)),
            0x8..=0xA => {
                if left > CONTROL_MAX as u64 || first & 0x80 == 0 {
                    return Err(FrameError::Length);
                }
                // An unanswered ping is void now: its place is taken.
                if kind != 0xA {
                    self.ping = false;
                    self.control_len = 0;
                }
                if left == 0 {
                    self.on_control(kind);
                    return Ok(State::Head);
                }
                Ok(State::Control(kind, frame))
            }
            kind => Err(FrameError::Kind(kind)),
        }
    }

    fn take_control(&mut self, part: &[u8]) {
        // A pong's payload tells nothing; ours are never asked for.
        if matches!(self.state, State::Control(0xA, _)) {
            return;
        }
        let end = self.control_len + part.len();
        if let Some(room) = self.control.get_mut(self.control_len..end) {
            room.copy_from_slice(part);
            self.control_len = end;
        }
    }

    fn on_control(&mut self, kind: u8) {
        self.state = State::Head;
        match kind {
            0x8 => self.end = Some(ReadEnd::Closed),
            0x9 => self.ping = true,
            _ => {}
        }
    }
}

impl Frame {
    /// How much of `came` bytes belongs to the frame.
    fn available(&self, came: usize) -> usize {
        usize::try_from(self.left).map_or(came, |left| left.min(came))
    }

    /// `part` is what came next of the payload.
    fn unmask(&mut self, part: &mut [u8]) {
        if let Some(mask) = self.mask {
            apply_mask(part, mask, self.at);
        }
        self.at = (self.at + part.len()) % 4;
        self.left -= part.len() as u64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as the peer of `role` would write it, by other code than [`head`].
    fn written(role: Role, first: u8, payload: &[u8], mask: Mask, wide: bool) -> Vec<u8> {
        let masked = role == Role::Server;
        let bit = if masked { 0x80 } else { 0 };
        let len = payload.len();
        let mut out = vec![first];
        if wide || len > 65_535 {
            out.push(bit | 127);
            out.extend((len as u64).to_be_bytes());
        } else if len > 125 {
            out.push(bit | 126);
            out.extend((len as u16).to_be_bytes());
        } else {
            out.push(bit | len as u8);
        }
        if masked {
            out.extend(mask);
            out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        } else {
            out.extend(payload);
        }
        out
    }

    fn decode_in_pieces(decoder: &mut Decoder, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut cuts = cuts.iter().cycle();
        let mut rest = bytes;
        let mut got = Vec::new();
        while !rest.is_empty() {
            let n = cuts
                .next()
                .map_or(rest.len(), |n| (*n).clamp(1, rest.len()));
            let (now, later) = rest.split_at(n);
            let mut piece = now.to_vec();
            let payload = decoder.decode(&mut piece);
            got.extend_from_slice(&piece[..payload]);
            rest = later;
        }
        got
    }

    /// RFC 6455, section 5.7.
    #[test]
    fn the_frames_of_the_rfc_are_read_and_written() {
        let mut server = Decoder::new(Role::Server);
        let mut hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        let n = server.decode(&mut hello);
        assert_eq!(&hello[..n], b"Hello");

        let mut client = Decoder::new(Role::Client);
        let mut parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        let n = client.decode(&mut parts);
        assert_eq!(&parts[..n], b"Hello");

        let mut ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(client.decode(&mut ping), 0);
        assert_eq!(client.take_ping(), Some(&b"Hello"[..]));
        assert_eq!(client.take_ping(), None);

        // 256 bytes and 64 KiB, unmasked.
        for (header, len) in [
            (&[0x82, 0x7e, 0x01, 0x00][..], 256),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], 65_536),
        ] {
            assert_eq!(head(Opcode::Binary, len, None).as_ref(), header);
        }
        let masked = head(Opcode::Binary, 5, Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(masked.as_ref(), [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d]);
    }

    #[test]
    fn what_breaks_the_protocol_ends_it_behind_the_payload() {
        let server = |bytes: &[u8]| {
            let mut bytes = [&[0x82, 0x81, 0, 0, 0, 0, b'x'], bytes].concat();
            let mut decoder = Decoder::new(Role::Server);
            let n = decoder.decode(&mut bytes);
            assert_eq!(&bytes[..n], b"x");
            decoder.end()
        };
        let mask = [0, 0, 0, 0];
        for (head, why) in [
            ([0xC2, 0x81], FrameError::Reserved),
            ([0x83, 0x80], FrameError::Kind(3)),
            ([0x8B, 0x80], FrameError::Kind(0xB)),
            ([0x82, 0x01], FrameError::NotMasked),
            ([0x09, 0x80], FrameError::Length),
        ] {
            assert_eq!(
                server(&[&head[..], &mask].concat()),
                Some(ReadEnd::Broken(why))
            );
        }
        let long_ping = [0x89, 0xFE, 0, 126, 0, 0, 0, 0];
        assert_eq!(
            server(&long_ping),
            Some(ReadEnd::Broken(FrameError::Length))
        );
        let huge = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(server(&huge), Some(ReadEnd::Broken(FrameError::Length)));
        // Behind the end nothing counts.
        let closed = [0x88, 0x80, 0, 0, 0, 0, 0xFF, 0xFF];
        assert_eq!(server(&closed), Some(ReadEnd::Closed));

        let mut client = Decoder::new(Role::Client);
        assert_eq!(client.decode(&mut [0x82, 0x81, 0, 0, 0, 0, 0]), 0);
        assert_eq!(client.end(), Some(ReadEnd::Broken(FrameError::Masked)));
    }

    proptest! {
        #[test]
        fn masking_is_the_xor_of_the_rfc(
            mut data in prop::collection::vec(any::<u8>(), 0..100),
            mask: Mask,
            at in 0usize..9,
        ) {
            let expected: Vec<u8> =
                data.iter().enumerate().map(|(i, b)| b ^ mask[(at + i) % 4]).collect();
            apply_mask(&mut data, mask, at);
            prop_assert_eq!(data, expected);
        }

        #[test]
        fn payload_is_whole_however_it_is_framed_and_cut(
            is_server: bool,
            frames in prop::collection::vec(
                (0u8..3, any::<bool>(), any::<bool>(), any::<Mask>(), 0usize..700), 0..8),
            pings in prop::collection::vec((0usize..8, 0usize..126), 0..3),
            cuts in prop::collection::vec(1usize..90, 1..20),
        ) {
            let role = if is_server { Role::Server } else { Role::Client };
            let mut bytes = Vec::new();
            let mut payload = Vec::new();
            let mut last_ping = None;
            for (i, (kind, fin, wide, mask, len)) in frames.iter().enumerate() {
                for (_, len) in pings.iter().filter(|(at, _)| *at == i) {
                    let said: Vec<u8> = (0..*len).map(|b| b as u8).collect();
                    bytes.extend(written(role, 0x89, &said, *mask, false));
                    bytes.extend(written(role, 0x8A, &said, *mask, false));
                    last_ping = Some(said);
                }
                let data: Vec<u8> = (0..*len).map(|b| (b * 7 + i) as u8).collect();
                let first = kind | if *fin { 0x80 } else { 0 };
                bytes.extend(written(role, first, &data, *mask, *wide));
                payload.extend(data);
            }
            let mut decoder = Decoder::new(role);
            prop_assert_eq!(decode_in_pieces(&mut decoder, &bytes, &cuts), payload);
            prop_assert_eq!(decoder.end(), None);
            prop_assert_eq!(decoder.take_ping().map(<[u8]>::to_vec), last_ping);
            let close = written(role, 0x88, &NORMAL.to_be_bytes(), [1, 2, 3, 4], false);
            decode_in_pieces(&mut decoder, &close, &cuts);
            prop_assert_eq!(decoder.end(), Some(ReadEnd::Closed));
        }

        #[test]
        fn any_bytes_are_taken_the_same_in_one_piece_and_in_many(
            is_server: bool,
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(1usize..9, 1..9),
        ) {
            let role = if is_server { Role::Server } else { Role::Client };
            let (mut one, mut many) = (Decoder::new(role), Decoder::new(role));
            let whole = decode_in_pieces(&mut one, &bytes, &[usize::MAX]);
            prop_assert_eq!(decode_in_pieces(&mut many, &bytes, &cuts), whole);
            prop_assert_eq!(one.end(), many.end());
            prop_assert_eq!(one.take_ping(), many.take_ping());
        }

        #[test]
        fn what_we_write_is_what_the_other_role_reads(
            is_server: bool,
            data in prop::collection::vec(any::<u8>(), 0..70_000),
            key: Mask,
        ) {
            // We write as the peer of `role`.
            let role = if is_server { Role::Server } else { Role::Client };
            let mask = is_server.then_some(key);
            let mut frame = head(Opcode::Binary, data.len(), mask).as_ref().to_vec();
            let mut body = data.clone();
            if let Some(mask) = mask {
                apply_mask(&mut body, mask, 0);
            }
            frame.extend(body);
            let n = Decoder::new(role).decode(&mut frame);
            prop_assert!(frame[..n] == data);
        }
    }
}
