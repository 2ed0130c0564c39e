//! State machines of `frp-net`.

use frp_net::kcp::fec::{Decoder, Packet, parse};
use frp_net::kcp::params::SERVER_WINDOWS;
use frp_net::kcp::session::{Datagrams, Opening, Session, conv_of, echo, opening};

const CONV: u32 = 7;

/// Datagrams, each behind a byte that says how long it is, to a session that reads, writes and lets
/// time pass in between. What it sends is what it would take itself.
pub fn kcp(data: &[u8]) {
    let Some((&how, mut rest)) = data.split_first() else {
        return;
    };
    let fec = how & 1 == 0;
    let mut session = if how & 2 == 0 {
        Session::accepted(Opening { conv: CONV, fec }, SERVER_WINDOWS, 0)
    } else {
        Session::dialled(CONV, SERVER_WINDOWS, 0)
    };
    if how & 4 == 0 {
        session.distrust(u32::from(how) << 24, 0);
    }
    let (mut now, mut buf) = (0, [0; 4096]);
    let (mut got, mut came) = (0, 0);
    while let Some((&len, more)) = rest.split_first() {
        let (datagram, more) = more.split_at(usize::from(len).min(more.len()));
        rest = more;
        let _ = (opening(datagram), conv_of(datagram), echo(datagram));
        let _ = session.receive(datagram, now);
        // As if for this conversation: most mutations would be of another.
        let mut mine = CONV.to_le_bytes().to_vec();
        mine.extend(datagram);
        let _ = session.receive(&mine, now);
        came += datagram.len() + mine.len();
        let _ = session.arq_mut().read(&mut buf);
        session.arq_mut().write(datagram, now);
        match len % 4 {
            0 => session.arq_mut().flush(),
            1 => session.establish(),
            2 => now = session.deadline().max(now),
            _ => session.rest(),
        }
        let mut out = Datagrams::default();
        for _ in 0..64 {
            if !session.transmit(now, 60_000, &mut out) {
                break;
            }
            for datagram in out.iter() {
                got += datagram.len();
                assert!(parse(datagram).is_some() && conv_of(datagram).is_none_or(|c| c == CONV));
            }
            out.clear();
        }
        assert!(session.is_proven() || got <= 3 * came);
    }
}

/// Packets of error correction, each behind a byte that says how long it is.
pub fn kcp_fec(data: &[u8]) {
    let (mut decoder, mut rest) = (Decoder::default(), data);
    while let Some((&len, more)) = rest.split_first() {
        let (datagram, more) = more.split_at(usize::from(len).min(more.len()));
        rest = more;
        let restored = |packet: &[u8]| assert!(packet.len() < 1500);
        match parse(datagram) {
            Some(Packet::Data { number, shard, .. }) => decoder.data(number, shard, restored),
            Some(Packet::Parity { number, shard }) => decoder.parity(number, shard, restored),
            Some(Packet::Bare(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cheap stand-in for the fuzzer where there is none: half-random inputs.
    #[test]
    fn nothing_panics() {
        let mut x = 0x9e37_79b9_u64;
        let mut random = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        for _ in 0..2000 {
            let mut data = vec![random() as u8];
            for _ in 0..random() % 40 {
                let len = 24 + random() % 100;
                let mut packet: Vec<u8> = (0..len).map(|_| (random() % 3) as u8).collect();
                let kind = random() % 3;
                let head = [random() as u8 % 40, 0, 0, 0, 0xf1 + (kind % 2) as u8, 0];
                match kind {
                    2 => packet[0] = 81 + (random() % 4) as u8,
                    _ => packet[..6].copy_from_slice(&head),
                }
                data.push(packet.len() as u8);
                data.extend(packet);
            }
            kcp(&data);
            kcp_fec(data.get(1..).unwrap_or_default());
        }
    }
}
