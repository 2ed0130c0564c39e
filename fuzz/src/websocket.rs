//! The websocket of `frp-net`.

use frp_net::websocket::frame::{Decoder, Role};
use frp_net::websocket::handshake::{Accepted, FRP_PATH, Request, head_len, judge};

/// The first byte says whose frames they are and where the network cuts them; that must not change
/// what is read.
pub fn frames(data: &[u8]) {
    let Some((&first, frames)) = data.split_first() else {
        return;
    };
    let role = if first & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let mut whole = Decoder::new(role);
    let expected = read(&mut whole, frames, frames.len().max(1));
    let mut cut = Decoder::new(role);
    assert_eq!(
        read(&mut cut, frames, usize::from(first >> 1) + 1),
        expected
    );
    assert_eq!(cut.end(), whole.end());
    assert_eq!(cut.take_ping(), whole.take_ping());
}

fn read(decoder: &mut Decoder, frames: &[u8], piece: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    for piece in frames.chunks(piece) {
        let mut piece = piece.to_vec();
        let n = decoder.decode(&mut piece);
        payload.extend_from_slice(piece.get(..n).expect("no more than came"));
    }
    payload
}

/// A head is found where it ends, whatever came when, and judged without a panic. What is taken is
/// answered with one head.
pub fn handshake(data: &[u8]) {
    if let Some(len) = head_len(data, 0) {
        assert!(len <= data.len());
        assert_eq!(head_len(data, len - 1), Some(len));
    }
    let accepted = Accepted::default();
    match judge(data, &accepted) {
        Ok(answer) => assert_eq!(head_len(answer.as_bytes(), 0), Some(answer.len())),
        Err(refusal) => assert!(refusal.answer().contains("\r\n\r\n")),
    }
    let request = Request {
        path: FRP_PATH.to_owned(),
        host: "a".to_owned(),
        fields: Vec::new(),
    };
    let (text, expected) = request.write([0; 16]);
    assert!(judge(text.as_bytes(), &accepted).is_ok());
    let _ = expected.check(data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Good frames and heads, near which mistakes are likely.
    const FRAMES: &[u8] = b"\x01\x82\x05hello\x01\x02ab\x80\x01c\x89\x01p\x88\x02\x03\xe8";
    const REQUEST: &[u8] = b"GET /~!frp HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://a\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    proptest! {
        #[test]
        fn the_neighbourhood_of_good_inputs(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            for good in [FRAMES, REQUEST] {
                let mut bytes = good.to_vec();
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                frames(&bytes);
                handshake(&bytes);
            }
        }
    }
}
