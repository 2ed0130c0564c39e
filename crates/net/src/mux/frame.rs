//! The 12-byte yamux header (version 0), all fields big-endian.

/// Length of every header in bytes.
pub(super) const HEADER_LEN: usize = 12;

/// The first frame of a stream.
pub(super) const SYN: u16 = 1;
/// The answer to a [`SYN`].
pub(super) const ACK: u16 = 2;
/// The sender will send no more data on this stream.
pub(super) const FIN: u16 = 4;
/// The stream is dead in both directions.
pub(super) const RST: u16 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `length` bytes of payload follow.
    Data,
    /// `length` bytes are added to the receiver's right to send.
    WindowUpdate,
    /// `length` is an opaque number that the answer repeats.
    Ping,
    /// `length` is the reason: 0 normal, 1 protocol error, 2 internal error.
    GoAway,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: u16,
    pub(super) stream: u32,
    pub(super) length: u32,
}

/// Why twelve bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Version(u8),
    Kind(u8),
}

impl Header {
    pub(super) fn decode(bytes: [u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        if version != 0 {
            return Err(HeaderError::Version(version));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            other => return Err(HeaderError::Kind(other)),
        };
        Ok(Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        let [f0, f1] = self.flags.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [0, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3]
    }

    pub(super) fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_reference() {
        // What frp 0.70.1 sends to open its first stream: SYN with 6 MiB - 256 KiB.
        let open = Header {
            kind: Kind::WindowUpdate,
            flags: SYN,
            stream: 1,
            length: 0x5c_0000,
        };
        let bytes = [0, 1, 0, 1, 0, 0, 0, 1, 0, 0x5c, 0, 0];
        assert_eq!(open.encode(), bytes);
        assert_eq!(Header::decode(bytes), Ok(open));
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(
            Header::decode(*b"\x16\x03\x01\x02\x00\x01\0\0\0\0\0\0"),
            Err(HeaderError::Version(0x16))
        );
        assert_eq!(
            Header::decode([0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(HeaderError::Kind(4))
        );
    }

    proptest::proptest! {
        #[test]
        fn round_trip(kind in 0u8..4, rest in proptest::array::uniform10(proptest::num::u8::ANY)) {
            let mut bytes = [0; HEADER_LEN];
            bytes[1] = kind;
            bytes[2..].copy_from_slice(&rest);
            let header = Header::decode(bytes).expect("version and kind are legal");
            proptest::prop_assert_eq!(header.encode(), bytes);
        }
    }
}
