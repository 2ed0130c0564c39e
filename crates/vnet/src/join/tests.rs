//! Packets joined and split again.

use proptest::prelude::*;

use super::*;
use crate::split::packets;

/// A flow of packets as a system sends it.
#[derive(Debug, Clone)]
struct Flow {
    is_v6: bool,
    options: usize,
    sequence: u32,
    id: u16,
    payloads: Vec<usize>,
    last_pushes: bool,
}

fn put(packet: &mut [u8], at: usize, value: &[u8]) {
    packet[at..at + value.len()].copy_from_slice(value);
}

/// One packet with right checksums.
fn packet(
    is_v6: bool,
    id: u16,
    sequence: u32,
    options: usize,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let start = if is_v6 { 40 } else { 20 };
    let tcp = 20 + options * 4;
    let mut packet = vec![0; start + tcp];
    packet.extend(payload);
    let length = packet.len();
    if is_v6 {
        packet[0] = 0x60;
        put(&mut packet, 4, &((length - 40) as u16).to_be_bytes());
        put(&mut packet, 6, &[6, 64, 0xfd]);
        put(&mut packet, 24, &[0xfd, 1]);
    } else {
        packet[0] = 0x45;
        put(&mut packet, 2, &(length as u16).to_be_bytes());
        put(&mut packet, 4, &id.to_be_bytes());
        put(&mut packet, 6, &[0x40, 0, 64, 6]);
        put(&mut packet, 12, &[100, 86, 0, 1, 100, 86, 0, 2]);
        let sum = Sum::default().add(&packet[..20]).complement();
        put(&mut packet, 10, &sum);
    }
    put(&mut packet, start, &[0x14, 0x51, 0xc0, 0x01]);
    put(&mut packet, start + 4, &sequence.to_be_bytes());
    put(
        &mut packet,
        start + 12,
        &[(tcp as u8 / 4) << 4, flags, 1, 2],
    );
    let sum = pseudo_header(is_v6, &packet, length - start);
    let sum = sum.add(&packet[start..]).complement();
    put(&mut packet, start + TCP_CHECKSUM, &sum);
    packet
}

impl Flow {
    fn packets(&self) -> Vec<Vec<u8>> {
        let mut sequence = self.sequence;
        let count = self.payloads.len();
        let each = self.payloads.iter().enumerate();
        each.map(|(nth, length)| {
            let payload: Vec<u8> = (0..*length).map(|i| (i * 7 + nth) as u8).collect();
            let pushes = self.last_pushes && nth + 1 == count;
            let flags = if pushes { ACK | PSH } else { ACK };
            let id = self.id.wrapping_add(nth as u16);
            let packet = packet(self.is_v6, id, sequence, self.options, flags, &payload);
            sequence = sequence.wrapping_add(*length as u32);
            packet
        })
        .collect()
    }
}

fn joined<'a>(packets: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
    let (mut join, mut written) = (Join::default(), Vec::new());
    let mut write = |bytes: &[u8]| written.push(bytes.to_vec());
    for packet in packets {
        join.add(packet, &mut write);
    }
    join.flush(&mut write);
    written
}

fn split_again(written: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let each = written.iter().cloned();
    each.flat_map(|mut bytes| packets(&mut bytes).unwrap())
        .collect()
}

/// Without the number of each packet of IPv4, which says nothing where packets must not be cut.
fn unnumbered(mut packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for packet in &mut packets {
        if packet.len() >= 20 && packet[0] >> 4 == 4 {
            put(packet, 4, &[0; 2]);
            put(packet, 10, &[0; 2]);
        }
    }
    packets
}

#[test]
fn a_flow_is_one_write() {
    for is_v6 in [false, true] {
        let flow = Flow {
            is_v6,
            options: 3,
            sequence: u32::MAX - 3000,
            id: u16::MAX,
            payloads: [vec![1368; 40], vec![100]].concat(),
            last_pushes: true,
        };
        let packets = flow.packets();
        let written = joined(&packets);
        assert_eq!(written.len(), 1);
        assert_eq!(split_again(&written), packets);
    }
}

#[test]
fn a_wrong_checksum_is_not_passed_for_a_right_one() {
    let flow = Flow {
        is_v6: false,
        options: 0,
        sequence: 1,
        id: 0,
        payloads: vec![1000; 5],
        last_pushes: false,
    };
    for broken in 0..5 {
        for at in [15, 500] {
            let mut packets = flow.packets();
            packets[broken][at] ^= 1;
            let written = joined(&packets);
            let alone = [&virtio::WHOLE[..], &packets[broken]].concat();
            assert!(written.contains(&alone), "{broken} {at}");
            assert_eq!(unnumbered(split_again(&written)), unnumbered(packets));
        }
    }
}

#[test]
fn what_the_system_left_to_the_device_is_completed() {
    for is_v6 in [false, true] {
        let whole = packet(is_v6, 1, 1, 0, ACK, &[3; 101]);
        let start = if is_v6 { 40 } else { 20 };
        let mut unsummed = whole.clone();
        let pseudo = pseudo_header(is_v6, &whole, whole.len() - start).folded();
        put(&mut unsummed, start + TCP_CHECKSUM, &pseudo);
        let mut read = virtio::many(is_v6, start as u16, 20, 0).to_vec();
        read[1] = 0;
        read.extend(unsummed);
        assert_eq!(packets(&mut read).unwrap(), [whole]);
    }
}

/// What a program sends by UDP in one go.
#[test]
fn many_datagrams_are_as_many_packets() {
    for is_v6 in [false, true] {
        let start = if is_v6 { 40 } else { 20 };
        let payload: Vec<u8> = (0..2500_u32).map(|i| i as u8).collect();
        let mut whole = packet(is_v6, 9, 0, 0, ACK, &[]);
        whole.truncate(start);
        whole[if is_v6 { 6 } else { 9 }] = 17;
        whole.extend([0x14, 0x51, 0xc0, 0x01, 0, 0, 0, 0]);
        whole.extend(&payload);
        let mut read = virtio::many(is_v6, start as u16, 8, 1000).to_vec();
        read[1] = 5;
        read.extend(whole);
        let datagrams = packets(&mut read).unwrap();
        let lengths: Vec<usize> = datagrams.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1000, 1000, 500].map(|part| start + 8 + part));
        let mut carried = Vec::<u8>::new();
        for (nth, datagram) in (9_u16..).zip(&datagrams) {
            let udp = &datagram[start..];
            assert_eq!(udp[4..6], (udp.len() as u16).to_be_bytes());
            let ends = if is_v6 { 8..40 } else { 12..20 };
            let pseudo = Sum::default().add(&datagram[ends]).add_u16(17);
            assert!(pseudo.add_u16(udp.len() as u16).add(udp).is_right());
            let parsed = crate::packet::Packet::parse(datagram).unwrap();
            assert_eq!(parsed.bytes.len(), datagram.len());
            if !is_v6 {
                assert!(Sum::default().add(&datagram[..20]).is_right());
                assert_eq!(datagram[4..6], nth.to_be_bytes());
            }
            carried.extend(&udp[8..]);
        }
        assert_eq!(carried, payload);
    }
}

fn flows() -> impl Strategy<Value = Flow> {
    let payloads = prop::collection::vec(prop_oneof![Just(1000_usize), 1..1400_usize], 1..60);
    let numbers = (any::<u32>(), any::<u16>());
    (any::<bool>(), 0..11_usize, numbers, payloads, any::<bool>()).prop_map(
        |(is_v6, options, (sequence, id), payloads, last_pushes)| Flow {
            is_v6,
            options,
            sequence,
            id,
            payloads,
            last_pushes,
        },
    )
}

proptest! {
    #[test]
    fn what_is_joined_comes_out_again(flows in prop::collection::vec(flows(), 1..4), mixed: bool) {
        let mut all: Vec<_> = flows.iter().flat_map(Flow::packets).collect();
        if mixed {
            // Every other packet is of another place.
            let half = all.split_off(all.len() / 2);
            all = all.into_iter().zip(half).flat_map(|(a, b)| [a, b]).collect();
        }
        prop_assert_eq!(unnumbered(split_again(&joined(&all))), unnumbered(all));
    }

    #[test]
    fn no_packet_makes_it_panic(
        all in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 1..20),
        firsts in prop::collection::vec(prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()], 20),
    ) {
        let mut all = all;
        for (packet, first) in all.iter_mut().zip(firsts) {
            packet[0] = first;
        }
        prop_assert_eq!(unnumbered(split_again(&joined(&all))), unnumbered(all));
    }

    #[test]
    fn no_read_makes_it_panic(mut read in prop::collection::vec(any::<u8>(), 0..300), kind in 0..6_u8) {
        if let Some(byte) = read.get_mut(1) {
            *byte = kind;
        }
        let _ = packets(&mut read);
    }
}
