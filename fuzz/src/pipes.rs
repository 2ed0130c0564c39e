//! What comes over a pipe before and beside messages: `frp_net::sniff`, the layers of `frp-relay`, datagrams.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use frp_net::sniff::{Users, sniff};
use frp_proto::crypto::cfb;
use frp_proto::msg::Message;
use frp_proto::wire::datagram::{self, Payload};
use frp_proto::wire::{WireProtocol, decode};
use frp_relay::layers::{CipherStream, SnappyStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// A stream that comes in pieces of so many bytes.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let len = self.piece.min(self.rest.len()).min(buf.remaining());
        let (now, later) = self.rest.split_at(len);
        buf.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

/// Nothing here waits for anything, though a reader may give way to others.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return value;
        }
    }
}

/// The first byte says which users come to the port; what a connection speaks does not depend on how it is
/// cut, and nothing of it is lost.
pub fn first_bytes(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else {
        return;
    };
    let users = Users {
        http: how & 1 != 0,
        https: how & 2 != 0,
    };
    let path = (how & 4 == 0).then_some("/~!frp");
    let found = |piece: usize| {
        let mut io = Pieces {
            rest: stream,
            piece,
        };
        let (kind, first) = at_once(sniff(&mut io, users, path)).ok()?;
        Some((kind, [&first, io.rest].concat()))
    };
    let whole = found(usize::MAX);
    for piece in [1, 3, usize::from(how >> 3) + 1] {
        assert_eq!(found(piece), whole);
    }
    if let Some((_, bytes)) = whole {
        assert!(stream.ends_with(&bytes) && stream.len() - bytes.len() < 2);
    }
}

/// The first byte says how the stream is cut and how much is read at a time; then an enciphered and compressed
/// stream, neither of which may become more than the format lets it.
pub fn layers(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else {
        return;
    };
    let mut sealed = vec![7; 16];
    sealed.extend_from_slice(stream);
    cfb::Encryptor::new(&cfb::Key::derive(b"abc"), [7; 16])
        .encrypt(sealed.get_mut(16..).unwrap_or_default());
    let room = [1, 100, 5_000, 70_000][usize::from(how & 3)];
    let plain = |piece| {
        read_to_end(
            SnappyStream::new(Pieces {
                rest: stream,
                piece,
            }),
            room,
        )
    };
    let opened = |piece| {
        let cipher = CipherStream::new(
            Pieces {
                rest: &sealed,
                piece,
            },
            cfb::Key::derive(b"abc"),
        );
        read_to_end(SnappyStream::new(cipher), room)
    };
    let whole = plain(usize::MAX);
    // The best that Snappy has is 64 bytes for three.
    assert!(whole.0.len() <= stream.len() * 22 + 64);
    let piece = usize::from(how >> 2) + 1;
    assert_eq!(plain(piece), whole);
    assert_eq!(opened(piece), whole);
}

/// All that comes, and why it ends.
fn read_to_end(mut stream: impl AsyncRead + Unpin, room: usize) -> (Vec<u8>, Option<String>) {
    let (mut all, mut buf) = (Vec::new(), vec![0; room]);
    loop {
        match at_once(stream.read(&mut buf)) {
            Ok(0) => return (all, None),
            Ok(n) => all.extend_from_slice(buf.get(..n).unwrap_or_default()),
            Err(error) => return (all, Some(error.to_string())),
        }
    }
}

/// The first byte says which wire protocol; then a stream of datagrams and other messages, which are read as
/// messages are.
pub fn datagrams(data: &[u8]) {
    let Some((&how, stream)) = data.split_first() else {
        return;
    };
    let protocol = match how & 1 {
        0 => WireProtocol::V1,
        _ => WireProtocol::V2,
    };
    let (mut at, mut buf) = (0, BytesMut::from(stream));
    loop {
        let mut content = Vec::new();
        let rest = stream.get(at..).expect("no more than came");
        let quick = datagram::decode(protocol, rest, &mut content);
        let (used, payload) = match (decode(protocol, &mut buf), quick) {
            (Ok(Some(message)), Ok(Some((used, payload)))) => {
                let expected = match message {
                    Message::UdpPacket(packet) => {
                        assert_eq!(content, packet.c);
                        Payload::Datagram(packet.r)
                    }
                    Message::Ping(_) => Payload::Ping,
                    other => Payload::Other(other.kind()),
                };
                (used, (payload, expected))
            }
            (Ok(None), Ok(None)) => return,
            (Err(general), Err(quick)) => {
                return assert_eq!(general.to_string(), quick.to_string());
            }
            (general, quick) => unreachable!("{general:?} but {quick:?}"),
        };
        assert_eq!(payload.0, payload.1);
        at += used;
        assert_eq!(stream.len() - at, buf.len());
    }
}
