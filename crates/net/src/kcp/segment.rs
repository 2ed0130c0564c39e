//! A KCP segment: 24 bytes of header, little-endian, and data. Source: xtaci/kcp-go v5.6.13
//! `kcp.go` (`segment.encode`, `Input`).

/// Bytes of a header.
pub(super) const HEADER: usize = 24;

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Data.
    Push = 81,
    /// The segment with this number has come.
    Ack = 82,
    /// How much do you take?
    Ask = 83,
    /// So much do I take.
    Tell = 84,
}

/// A segment as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The conversation, the same in all packets of both directions.
    pub conv: u32,
    /// What it is for.
    pub command: Command,
    /// How many segments the sender takes.
    pub window: u16,
    /// The sender's clock, milliseconds; of an acknowledgement that of the segment that came.
    pub time: u32,
    /// The number of the segment.
    pub number: u32,
    /// All before this number have come.
    pub next: u32,
    /// Of [`Command::Push`].
    pub data: &'a [u8],
}

/// A packet that is not made of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends in a segment.
    #[error("a segment is cut off")]
    Truncated,
    /// It has a command that is none.
    #[error("unknown command {0}")]
    Command(u8),
}

/// Takes the first segment off `packet`. What is shorter than a header is not looked at, as in
/// kcp-go.
///
/// # Errors
/// See [`Malformed`].
pub fn split<'a>(packet: &mut &'a [u8]) -> Result<Option<Segment<'a>>, Malformed> {
    let Some((header, rest)) = packet.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let u32_at = |at: usize| {
        let bytes = header[at..].first_chunk::<4>().copied();
        u32::from_le_bytes(bytes.unwrap_or_default())
    };
    let command = match header[4] {
        81 => Command::Push,
        82 => Command::Ack,
        83 => Command::Ask,
        84 => Command::Tell,
        other => return Err(Malformed::Command(other)),
    };
    let len = usize::try_from(u32_at(20)).unwrap_or(usize::MAX);
    let (data, rest) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
    *packet = rest;
    Ok(Some(Segment {
        conv: u32_at(0),
        command,
        window: u16::from_le_bytes([header[6], header[7]]),
        time: u32_at(8),
        number: u32_at(12),
        next: u32_at(16),
        data,
    }))
}

impl Segment<'_> {
    /// Appends the header; `len` bytes of data are to follow.
    pub fn encode_header(&self, len: usize, out: &mut Vec<u8>) {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&self.conv.to_le_bytes());
        header[4] = self.command as u8;
        header[6..8].copy_from_slice(&self.window.to_le_bytes());
        header[8..12].copy_from_slice(&self.time.to_le_bytes());
        header[12..16].copy_from_slice(&self.number.to_le_bytes());
        header[16..20].copy_from_slice(&self.next.to_le_bytes());
        header[20..].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&header);
    }
}
