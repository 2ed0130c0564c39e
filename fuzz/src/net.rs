//! State machines of `frp-net`.

use std::time::Duration;

use frp_net::kcp::fec::{Decoder, Packet, parse};
use frp_net::kcp::params::WINDOWS;
use frp_net::kcp::session::{Datagrams, KcpSession, Opening, conv_of, echo, opening};
use frp_net::mux::{self, Config, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, sink, split};

const CONV: u32 = 7;

/// Datagrams, each behind a byte that says how long it is, to a session that reads, writes and lets
/// time pass in between. What it sends is what it would take itself.
pub fn kcp(data: &[u8]) {
    let Some((&how, mut rest)) = data.split_first() else {
        return;
    };
    let fec = how & 1 == 0;
    let mut session = if how & 2 == 0 {
        KcpSession::accepted(Opening { conv: CONV, fec }, WINDOWS, 0)
    } else {
        KcpSession::dialled(CONV, WINDOWS, 0)
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

/// Frames of the mux. The first byte says which end this is, and where the network cuts them.
pub fn mux_frames(data: &[u8]) {
    let Some((&first, frames)) = data.split_first() else {
        return;
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    if let Ok(runtime) = runtime.enable_time().build() {
        runtime.block_on(session(first, frames));
    }
}

async fn session(first: u8, frames: &[u8]) {
    let role = if first & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let piece = usize::from(first >> 1) * 8 + 1;
    let (ours, theirs) = duplex(64 * 1024);
    let config = Config {
        keepalive_interval: Some(Duration::from_secs(30)),
        stranger: false,
    };
    let (mux, mut incoming, driver) = mux::session(ours, role, config);
    let (mut answers, mut peer) = split(theirs);

    let send = async {
        for piece in frames.chunks(piece) {
            if peer.write_all(piece).await.is_err() {
                return;
            }
        }
        let _ = peer.shutdown().await;
    };
    let receive = async {
        let _ = tokio::io::copy(&mut answers, &mut sink()).await;
    };
    let accept = async {
        while let Some(mut stream) = incoming.accept().await {
            let mut some = [0; 100];
            if let Ok(n) = stream.read(&mut some).await {
                let _ = stream.write(some.get(..n).unwrap_or_default()).await;
            }
        }
    };
    let open = async {
        if let Ok(mut stream) = mux.open().await {
            let _ = stream.write(b"hello").await;
            let _ = stream.read(&mut [0; 100]).await;
            stream.reset();
        }
    };
    tokio::join!(driver, send, receive, accept, open);
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
