//! The code of kcp-go's forward error correction: ten data shards, three parity shards, over
//! GF(2^8) with the polynomial 0x11D.
//!
//! The parity rows are those of klauspost/reedsolomon (and so of BackBlaze's code): a Vandermonde
//! matrix `row^column`, made systematic by the inverse of its upper square. Any ten of the thirteen
//! shards give back the ten.
//!
//! Multiplication is written as shifts and exclusive ors of whole blocks, which the compiler turns
//! into vector code on every machine; a table of products per byte would be several times slower.

/// Data shards of a group.
pub(super) const DATA: usize = 10;
/// Parity shards of a group.
pub(super) const PARITY: usize = 3;

/// Room of a shard, bytes: what the largest datagram has behind its header, in whole blocks.
pub(super) const SHARD: usize = 1536;
/// Bytes that one step works on.
const BLOCK: usize = 64;

/// One shard, zero beyond its content.
pub(super) type Shard = [u8; SHARD];

const ROWS: [[u8; DATA]; PARITY] = [
    [0x81, 0x96, 0xaf, 0xb8, 0xd2, 0xc4, 0xfe, 0xe8, 0x03, 0x02],
    [0x96, 0x81, 0xb8, 0xaf, 0xc4, 0xd2, 0xe8, 0xfe, 0x02, 0x03],
    [0xbf, 0xd6, 0x62, 0x0a, 0x06, 0x6f, 0xdf, 0xb7, 0x05, 0x04],
];

/// By row and bit: which shards have that bit in their factor.
const SHARDS_OF_BIT: [[u16; 8]; PARITY] = {
    let mut sets = [[0; 8]; PARITY];
    let mut at = 0;
    while at < PARITY * 8 * DATA {
        let (row, bit, shard) = (at / 8 / DATA, at / DATA % 8, at % DATA);
        if ROWS[row][shard] >> bit & 1 == 1 {
            sets[row][bit] |= 1 << shard;
        }
        at += 1;
    }
    sets
};

/// The parity of `data`, of which the first `len` bytes count.
pub(super) fn encode(data: &[Shard; DATA], len: usize, parity: &mut [Shard; PARITY]) {
    let end = len.next_multiple_of(BLOCK).min(SHARD);
    for (row, parity) in parity.iter_mut().enumerate() {
        for (n, out) in parity[..end]
            .as_chunks_mut::<BLOCK>()
            .0
            .iter_mut()
            .enumerate()
        {
            // Horner's rule over the bits of the factors, from the highest on.
            let mut sum = [0; BLOCK];
            for set in SHARDS_OF_BIT[row].iter().rev() {
                double(&mut sum);
                let mut set = *set;
                while set != 0 {
                    let shard = &data[set.trailing_zeros() as usize];
                    add(&mut sum, &shard.as_chunks::<BLOCK>().0[n]);
                    set &= set - 1;
                }
            }
            *out = sum;
        }
    }
}

/// Restores the shards of `data` that `missing` names from as many of the parity shards, given with
/// their rows. Those that are missing must be zero. `false`: there are not enough.
pub(super) fn restore(
    data: &mut [Shard; DATA],
    missing: &[usize],
    parity: &[(usize, &Shard)],
    len: usize,
) -> bool {
    let n = missing.len();
    if n > parity.len() || n > PARITY {
        return false;
    }
    // What the missing shards add to the parity: the rest of it is known.
    let mut known = [[0; SHARD]; PARITY];
    encode(data, len, &mut known);
    let mut sums = [[0; SHARD]; PARITY];
    let mut matrix = [[0; PARITY]; PARITY];
    for (k, (row, shard)) in parity.iter().take(n).enumerate() {
        for (sum, (a, b)) in sums[k].iter_mut().zip(known[*row].iter().zip(shard.iter())) {
            *sum = a ^ b;
        }
        for (cell, shard) in matrix[k].iter_mut().zip(missing) {
            *cell = ROWS[*row][*shard];
        }
    }
    let Some(inverse) = invert(matrix, n) else {
        return false;
    };
    for (shard, factors) in missing.iter().zip(&inverse) {
        for (sum, factor) in sums.iter().zip(factors).take(n) {
            add_product(&mut data[*shard], sum, *factor, len);
        }
    }
    true
}

/// `to += from * factor`, for the first `len` bytes at least.
fn add_product(to: &mut Shard, from: &Shard, factor: u8, len: usize) {
    let end = len.next_multiple_of(BLOCK).min(SHARD);
    let blocks = to[..end].as_chunks_mut::<BLOCK>().0;
    for (to, from) in blocks.iter_mut().zip(from.as_chunks::<BLOCK>().0) {
        let mut sum = [0; BLOCK];
        for bit in (0..8).rev() {
            double(&mut sum);
            if factor >> bit & 1 == 1 {
                add(&mut sum, from);
            }
        }
        add(to, &sum);
    }
}

fn add(to: &mut [u8; BLOCK], from: &[u8; BLOCK]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= from;
    }
}

fn double(block: &mut [u8; BLOCK]) {
    for byte in block {
        let carry = (byte.cast_signed() >> 7).cast_unsigned() & 0x1d;
        *byte = (*byte << 1) ^ carry;
    }
}

/// The inverse of the upper left `n` by `n` of a matrix; of parity rows it always exists.
fn invert(mut matrix: [[u8; PARITY]; PARITY], n: usize) -> Option<[[u8; PARITY]; PARITY]> {
    let mut inverse = [[0; PARITY]; PARITY];
    for (k, row) in inverse.iter_mut().enumerate() {
        row[k] = 1;
    }
    for column in 0..n {
        let pivot = (column..n).find(|row| matrix[*row][column] != 0)?;
        matrix.swap(column, pivot);
        inverse.swap(column, pivot);
        let scale = reciprocal(matrix[column][column]);
        for k in 0..n {
            matrix[column][k] = product(matrix[column][k], scale);
            inverse[column][k] = product(inverse[column][k], scale);
        }
        for row in (0..n).filter(|row| *row != column) {
            let factor = matrix[row][column];
            for k in 0..n {
                matrix[row][k] ^= product(matrix[column][k], factor);
                inverse[row][k] ^= product(inverse[column][k], factor);
            }
        }
    }
    Some(inverse)
}

fn product(a: u8, b: u8) -> u8 {
    let doubled = |x: u8| (x << 1) ^ if x & 0x80 == 0 { 0 } else { 0x1d };
    (0..8).rev().fold(0, |sum, bit| {
        doubled(sum) ^ if b >> bit & 1 == 1 { a } else { 0 }
    })
}

/// `x^254`, as `x^255` is one.
fn reciprocal(x: u8) -> u8 {
    (0..254).fold(1, |power, _| product(power, x))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn power(base: u8, exponent: usize) -> u8 {
        (0..exponent).fold(1, |power, _| product(power, base))
    }

    /// Straight from the definition, by Gauss: rows of the Vandermonde matrix as sums of its first
    /// ten.
    #[test]
    fn the_parity_rows_are_those_of_the_definition() {
        let row = |r: u8| (0..DATA).map(|c| power(r, c)).collect::<Vec<u8>>();
        let square: Vec<Vec<u8>> = (0..DATA as u8).map(row).collect();
        for (k, expected) in ROWS.iter().enumerate() {
            // The row that is sought, times the square, is the Vandermonde row.
            let target = row((DATA + k) as u8);
            let mut system: Vec<Vec<u8>> = (0..DATA)
                .map(|c| {
                    let mut line: Vec<u8> = square.iter().map(|row| row[c]).collect();
                    line.push(target[c]);
                    line
                })
                .collect();
            for c in 0..DATA {
                let pivot = (c..DATA).find(|r| system[*r][c] != 0).unwrap();
                system.swap(c, pivot);
                let scale = reciprocal(system[c][c]);
                for cell in &mut system[c] {
                    *cell = product(*cell, scale);
                }
                let line = system[c].clone();
                for (r, other) in system.iter_mut().enumerate().filter(|(r, _)| *r != c) {
                    let factor = other[c];
                    for (cell, of) in other.iter_mut().zip(&line) {
                        *cell ^= product(*of, factor);
                    }
                    assert_ne!(r, c);
                }
            }
            let solved: Vec<u8> = system.iter().map(|line| line[DATA]).collect();
            assert_eq!(solved, expected);
        }
    }

    #[test]
    fn a_product_is_that_of_the_field() {
        assert_eq!(product(0x80, 2), 0x1d);
        assert_eq!(product(0x57, 0x83), product(0x83, 0x57));
        for x in 1..=255 {
            assert_eq!(product(x, reciprocal(x)), 1);
        }
    }

    proptest! {
        #[test]
        fn any_three_lost_shards_come_back(
            content in proptest::collection::vec(any::<u8>(), DATA * 100),
            lost in proptest::sample::subsequence((0..DATA + PARITY).collect::<Vec<_>>(), 0..=PARITY),
        ) {
            let mut data = [[0; SHARD]; DATA];
            for (shard, content) in data.iter_mut().zip(content.chunks(100)) {
                shard[..100].copy_from_slice(content);
            }
            let whole = data;
            let mut parity = [[0; SHARD]; PARITY];
            encode(&data, 100, &mut parity);
            let missing: Vec<usize> = lost.iter().copied().filter(|k| *k < DATA).collect();
            for k in &missing {
                data[*k] = [0; SHARD];
            }
            let left: Vec<(usize, &Shard)> = parity
                .iter()
                .enumerate()
                .filter(|(row, _)| !lost.contains(&(row + DATA)))
                .collect();
            prop_assert!(restore(&mut data, &missing, &left, 100));
            prop_assert!(data == whole);
        }
    }
}
