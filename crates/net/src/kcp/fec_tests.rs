//! Error correction: bytes recorded from kcp-go v5.6.13, loss, and groups that are out of step.

#![allow(clippy::unwrap_used)]

use super::fec::{DATA_HEADER, Decoder, Encoder, Packet, parse};

/// kcp-go's encoder on packets of 3 to 12 bytes (`fill`), and the three parity packets.
const GOLDEN: [&str; 13] = [
    "00000000f10005003c47d1",
    "01000000f10006003c5e81b4",
    "02000000f10007003c7530bdb7",
    "03000000f10008003c8cdfc762dd",
    "04000000f10009003ca48ed00c9c11",
    "05000000f1000a003cbb3edab75c7f38",
    "06000000f1000b003dd2ede3621bee238f",
    "07000000f1000c003de99ced0cdb5c0d11fb",
    "08000000f1000d003d014cf6b79acaf8930a6d",
    "09000000f1000e003d18fb00615939e21619e1e6",
    "0a000000f200fb002b5c503b6707f60ecbc568d1",
    "0b000000f20044002bdbf2b964bcb61d38fde437",
    "0c000000f2009f0055a15a313c1b810e8bd867bf",
];

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn golden() -> Vec<Vec<u8>> {
    GOLDEN.iter().map(|text| unhex(text)).collect()
}

/// As in the recording.
fn fill(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed;
    let next = |_| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    };
    (0..len).map(next).collect()
}

fn seal(encoder: &mut Encoder, packet: &[u8]) -> Vec<Vec<u8>> {
    let mut out = vec![0; DATA_HEADER];
    out.extend_from_slice(packet);
    let mut ends = vec![0];
    encoder.seal(&mut out, 0, |end| ends.push(end));
    ends.windows(2)
        .map(|pair| out[pair[0]..pair[1]].to_vec())
        .collect()
}

fn decode(decoder: &mut Decoder, datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut restored = Vec::new();
    let keep = |packet: &[u8]| restored.push(packet.to_vec());
    match parse(datagram).unwrap() {
        Packet::Data { number, shard, .. } => decoder.data(number, shard, keep),
        Packet::Parity { number, shard } => decoder.parity(number, shard, keep),
        Packet::Bare(_) => panic!("{datagram:?}"),
    }
    restored
}

#[test]
fn the_encoder_makes_the_bytes_of_kcp_go() {
    let mut encoder = Encoder::default();
    let made: Vec<Vec<u8>> = (0..10)
        .flat_map(|k| seal(&mut encoder, &fill(3 + k, k as u32)))
        .collect();
    assert_eq!(made, golden());
}

/// SHA-256 of kcp-go's parity over packets of 1350, 1250, .. 450 bytes.
#[test]
fn long_packets_of_different_lengths_have_kcp_gos_parity() {
    const SUMS: [&str; 3] = [
        "67267dce1e296f26bf690a75c942dad5cd16d092991ce001c5e9eb2296b56ad7",
        "8abb62b44bc638694f704d58cfdd25932adc2eef3c3150b1e248726d2fc54f7f",
        "17fcb5eefe59a0b0961b922668f72f62e22cf0b4c4bb816ed99c4c02b7d021d0",
    ];
    let mut encoder = Encoder::starting_at(13);
    let made: Vec<Vec<u8>> = (0..10)
        .flat_map(|k| seal(&mut encoder, &fill(1350 - 100 * k, 10 + k as u32)))
        .collect();
    for (k, sum) in SUMS.iter().enumerate() {
        let parity = &made[10 + k];
        assert_eq!(parity.len(), 1358);
        assert_eq!(parity[..4], (23 + k as u32).to_le_bytes());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, parity);
        assert_eq!(digest.as_ref(), unhex(sum));
    }
}

/// Recorded likewise: 2^32 is no multiple of 13.
#[test]
fn numbers_start_again_where_kcp_gos_do() {
    let mut encoder = Encoder::starting_at(4_294_967_274);
    let made: Vec<Vec<u8>> = (0..11).flat_map(|_| seal(&mut encoder, &[1])).collect();
    assert_eq!(made[12], unhex("f6fffffff200030001"));
    assert_eq!(made[13], unhex("00000000f100030001"));
}

#[test]
fn any_three_packets_of_a_group_may_be_lost() {
    for a in 0..13 {
        for b in a..13 {
            for c in b..13 {
                let mut decoder = Decoder::default();
                let mut packets: Vec<(usize, Vec<u8>)> = Vec::new();
                for (k, datagram) in golden().iter().enumerate() {
                    if ![a, b, c].contains(&k) {
                        for packet in decode(&mut decoder, datagram) {
                            packets.push((packet.len() - 3, packet));
                        }
                    }
                }
                packets.sort();
                let mut lost: Vec<usize> = [a, b, c].into_iter().filter(|k| *k < 10).collect();
                lost.dedup();
                let expected: Vec<(usize, Vec<u8>)> =
                    lost.iter().map(|k| (*k, fill(3 + k, *k as u32))).collect();
                assert_eq!(packets, expected, "lost {a} {b} {c}");
            }
        }
    }
}

#[test]
fn the_order_does_not_matter_and_nothing_comes_twice() {
    let mut decoder = Decoder::default();
    let mut restored = Vec::new();
    let golden = golden();
    for k in [12, 3, 10, 1, 9, 2, 8, 4, 6, 5, 7] {
        restored.extend(decode(&mut decoder, &golden[k]));
        assert!(decode(&mut decoder, &golden[k]).is_empty());
    }
    assert_eq!(restored, [fill(3, 0), fill(10, 7)], "from ten of thirteen");
    assert!(decode(&mut decoder, &golden[0]).is_empty());
    assert!(decode(&mut decoder, &golden[11]).is_empty());
}

/// Packets that went alone have none made of their group; those after it are as those of any.
#[test]
fn after_packets_that_went_alone_the_groups_are_in_step() {
    for alone in [1, 9, 10, 14] {
        let mut encoder = Encoder::default();
        let mut decoder = Decoder::default();
        let mut numbers = Vec::new();
        for _ in 0..alone {
            let mut out = vec![0; DATA_HEADER];
            out.extend(fill(40, 1));
            encoder.seal_alone(&mut out, 0);
            numbers.push(u32::from_le_bytes([out[0], out[1], out[2], out[3]]));
            assert!(decode(&mut decoder, &out).is_empty());
        }
        assert!(numbers.iter().all(|number| number % 13 < 10), "{numbers:?}");
        let rest = (10 - alone % 10) % 10;
        let begun: Vec<_> = (0..rest)
            .flat_map(|_| seal(&mut encoder, &fill(30, 2)))
            .collect();
        assert_eq!(begun.len(), rest);
        let whole: Vec<_> = (0..10)
            .flat_map(|k| seal(&mut encoder, &fill(30, k)))
            .collect();
        let mut restored = Vec::new();
        for (k, datagram) in begun.iter().chain(&whole).enumerate() {
            if k != rest + 4 {
                restored.extend(decode(&mut decoder, datagram));
            }
        }
        assert_eq!(restored, [fill(30, 4)], "{alone}");
    }
}

/// kcp-go leaves the parity of a group away after a pause, and goes on with the next number: from
/// then on its groups begin elsewhere.
#[test]
fn a_group_out_of_step_is_found_by_its_neighbours() {
    let mut decoder = Decoder::default();
    let mut number = 0u32;
    let mut send = |decoder: &mut Decoder, with_parity: bool, lost: &[usize]| {
        let mut encoder = Encoder::default();
        let mut restored = Vec::new();
        let group: Vec<Vec<u8>> = (0..10)
            .flat_map(|k| seal(&mut encoder, &fill(30 + k, number + k as u32)))
            .collect();
        for (k, mut datagram) in group.into_iter().enumerate() {
            if k >= 10 && !with_parity {
                continue;
            }
            datagram[..4].copy_from_slice(&number.to_le_bytes());
            number += 1;
            if !lost.contains(&k) {
                restored.extend(decode(decoder, &datagram));
            }
        }
        restored.len()
    };
    assert_eq!(send(&mut decoder, true, &[4]), 1);
    for step in 0..20 {
        assert_eq!(send(&mut decoder, false, &[step % 10]), 0);
        // The border with the parity that came shows the new step.
        assert_eq!(send(&mut decoder, true, &[2, 5]), 2, "step {step}");
        assert_eq!(send(&mut decoder, true, &[0, 9, 10]), 2, "step {step}");
    }
}

#[test]
fn parity_of_nothing_does_no_harm() {
    let mut decoder = Decoder::default();
    for datagram in &golden()[..10] {
        assert!(decode(&mut decoder, datagram).is_empty());
    }
    // As if the numbers had moved: the places of data hold parity.
    for shift in 0..20u32 {
        for k in 0..13u32 {
            let mut datagram = golden()[10 + (k % 3) as usize].clone();
            datagram[..4].copy_from_slice(&(shift * 7 + k).to_le_bytes());
            let restored = decode(&mut decoder, &datagram);
            assert!(restored.is_empty(), "{restored:?}");
        }
    }
}

#[test]
fn a_shard_that_says_more_than_it_has_is_nothing() {
    for len in 0..8 {
        let datagram = vec![0xf1; len];
        assert!(!matches!(parse(&datagram), Some(Packet::Data { .. })));
    }
    assert_eq!(parse(&[0; 1501]), None);
    let mut data = unhex(GOLDEN[0]);
    data.truncate(7);
    assert_eq!(parse(&data), None);
}

#[test]
fn memory_is_given_back_and_groups_stay_in_step() {
    let mut encoder = Encoder::default();
    for _ in 0..4 {
        seal(&mut encoder, &[1; 40]);
    }
    encoder.rest();
    let rest: Vec<Vec<u8>> = (0..7).flat_map(|_| seal(&mut encoder, &[1; 40])).collect();
    assert_eq!(rest.len(), 7, "no parity of half a group");
    assert_eq!(rest[6][..4], 13u32.to_le_bytes(), "its numbers are skipped");
    let next: Vec<Vec<u8>> = (0..9).flat_map(|_| seal(&mut encoder, &[1; 40])).collect();
    assert_eq!(next.len(), 12);
}
