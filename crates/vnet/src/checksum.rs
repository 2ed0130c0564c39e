//! What is the sum over these bytes? The Internet checksum (RFC 1071).

/// The sum of 16-bit words in one's complement, not yet folded: sums of parts can be added. Only the last part
/// may have an odd length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // In one's complement words may be of any size and of any byte order, if the result is, too.
        let mut chunks = bytes.chunks_exact(4);
        let words: u64 = chunks
            .by_ref()
            .filter_map(|chunk| Some(u64::from(u32::from_ne_bytes(chunk.try_into().ok()?))))
            .sum();
        let mut last = [0; 4];
        let rest = chunks.remainder();
        if let Some(start) = last.get_mut(..rest.len()) {
            start.copy_from_slice(rest);
        }
        self.plus(words + u64::from(u32::from_ne_bytes(last)))
    }

    /// Adds a number of the pseudo header.
    pub(crate) fn add_u16(self, number: u16) -> Self {
        self.plus(u64::from(u16::from_ne_bytes(number.to_be_bytes())))
    }

    /// Keeps room for more: a sum has less than 33 bits here, and each part adds less than 50.
    fn plus(self, words: u64) -> Self {
        let sum = self.0 + (words & 0xffff_ffff) + (words >> 32);
        Self((sum & 0xffff_ffff) + (sum >> 32))
    }

    /// Folded to the two bytes of a header, as they stand there.
    pub(crate) fn folded(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap_or_default().to_ne_bytes()
    }

    /// The checksum: the complement of the sum.
    pub(crate) fn complement(self) -> [u8; 2] {
        self.folded().map(|byte| !byte)
    }

    /// Whether a right checksum is among the bytes.
    pub(crate) fn is_right(self) -> bool {
        self.folded() == [0xff; 2]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the RFC writes it.
    fn plain(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum as u16).to_be_bytes()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&bytes).folded(), [0xdd, 0xf2]);
    }

    #[test]
    fn the_largest_packet_does_not_overflow() {
        let bytes = vec![0xff; 70_000];
        let sum = Sum::default().add(&bytes).add(&bytes).add(&bytes);
        assert_eq!(sum.folded(), [0xff; 2]);
    }

    proptest! {
        #[test]
        fn parts_add_up(bytes in prop::collection::vec(any::<u8>(), 0..3000), cut in 0..1500_usize, number: u16) {
            let cut = (cut * 2).min(bytes.len() & !1);
            let (first, second) = bytes.split_at(cut);
            let sum = Sum::default().add(first).add(second);
            prop_assert_eq!(sum.folded(), plain(&bytes));
            let mut more = number.to_be_bytes().to_vec();
            more.extend(&bytes);
            prop_assert_eq!(Sum::default().add_u16(number).add(&bytes).folded(), plain(&more));
        }
    }
}
