//! Whose data goes out next, as the peer sees it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::batch::Batch;
use super::frame::{HEADER_LEN, Header, Kind, SYN};
use super::pace::{MAX, MIN};
use super::state::State;
use super::{Role, state::SEND_QUEUE};

const NOW: Duration = Duration::ZERO;

/// A session whose streams the peer lets send without end.
struct Sender {
    state: State,
    most: usize,
}

impl Sender {
    fn new(most: usize) -> Self {
        Self {
            state: State::new(Role::Client, None),
            most,
        }
    }

    /// As many streams, which the peer lets send.
    fn open<const N: usize>(&mut self) -> [u32; N] {
        [(); N].map(|()| {
            let id = self.state.open(NOW).unwrap();
            self.widen(id, u32::MAX / 2);
            id
        })
    }

    fn widen(&mut self, stream: u32, length: u32) {
        let header = Header {
            kind: Kind::WindowUpdate,
            flags: 0,
            stream,
            length,
        };
        let mut frame = bytes::BytesMut::from(&header.encode()[..]);
        let origin = super::inbox::Origin {
            buffer: 1,
            capacity: 64,
        };
        self.state.receive(&mut frame, origin, NOW).unwrap();
    }

    fn send(&mut self, stream: u32, bytes: usize) {
        self.state.send(stream, Bytes::from(vec![0; bytes]));
    }

    /// The frames of the next batch: stream and payload.
    fn batch(&mut self) -> Vec<(Kind, u32, usize)> {
        let mut batch = Batch::new(true, self.most);
        self.state.fill(&mut batch, NOW);
        let bytes = batch.take_bytes();
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let Some(header) = rest.first_chunk::<HEADER_LEN>() {
            let header = Header::decode(*header).unwrap();
            let payload = match header.kind {
                Kind::Data => header.length as usize,
                Kind::WindowUpdate | Kind::Ping | Kind::GoAway => 0,
            };
            frames.push((header.kind, header.stream, payload));
            rest = &rest[HEADER_LEN + payload..];
        }
        frames
    }

    /// The data in it, which is behind all else.
    fn data(&mut self) -> Vec<(u32, usize)> {
        let all = self.batch().into_iter();
        let all = all.skip_while(|(kind, ..)| *kind != Kind::Data);
        all.map(|(kind, stream, payload)| {
            assert_eq!(kind, Kind::Data);
            (stream, payload)
        })
        .collect()
    }
}

fn by_stream(frames: &[(u32, usize)]) -> BTreeMap<u32, usize> {
    let mut sums = BTreeMap::new();
    for (stream, payload) in frames {
        *sums.entry(*stream).or_default() += payload;
    }
    sums
}

#[test]
fn a_keystroke_is_the_next_frame_however_much_bulk_waits() {
    for most in [MIN, 32 * 1024, MAX] {
        let mut sender = Sender::new(most);
        let [one, two, key] = sender.open();
        sender.send(one, SEND_QUEUE);
        sender.send(two, SEND_QUEUE);
        // Both have had their first share.
        sender.data();
        sender.data();
        // Again and again, though each is sent before the bulk has gone round.
        for _ in 0..10 {
            sender.send(key, 64);
            assert_eq!(sender.data()[0], (key, 64), "{most}");
        }
    }
}

#[test]
fn who_begins_to_send_goes_before_all_bulk_with_one_share() {
    let mut sender = Sender::new(MAX);
    let [one, two, new] = sender.open();
    sender.send(one, SEND_QUEUE);
    sender.send(two, SEND_QUEUE);
    sender.data();
    sender.send(new, SEND_QUEUE);
    let frames = sender.data();
    assert_eq!(frames[0], (new, MAX / 4));
    assert_ne!(frames[1].0, new);
}

#[test]
fn control_frames_go_before_all_data() {
    let mut sender = Sender::new(MAX);
    let [bulk] = sender.open();
    sender.batch();
    sender.send(bulk, SEND_QUEUE);
    let ping = Header {
        kind: Kind::Ping,
        flags: SYN,
        stream: 0,
        length: 7,
    };
    let mut frame = bytes::BytesMut::from(&ping.encode()[..]);
    let origin = super::inbox::Origin {
        buffer: 1,
        capacity: 64,
    };
    sender.state.receive(&mut frame, origin, NOW).unwrap();
    let opened = sender.state.open(NOW).unwrap();
    let frames = sender.batch();
    assert_eq!(frames[0], (Kind::Ping, 0, 0));
    assert_eq!(frames[1], (Kind::WindowUpdate, opened, 0));
    assert_eq!(frames[2].0, Kind::Data);
}

#[test]
fn bulk_is_shared_by_bytes() {
    for most in [MIN, 32 * 1024, MAX] {
        let mut sender = Sender::new(most);
        let streams: [u32; 5] = sender.open();
        let mut all = Vec::new();
        for _ in 0..400 {
            for (n, id) in streams.into_iter().enumerate() {
                // In pieces of another size each.
                let piece = 500 + 900 * n;
                while sender.state.poll_room(id, &cx()).takes(piece) {
                    sender.send(id, piece);
                }
            }
            all.extend(sender.data());
        }
        let sums = by_stream(&all);
        let (least, greatest) = (sums.values().min().unwrap(), sums.values().max().unwrap());
        assert!(
            greatest - least <= greatest / 50 + 2 * MAX,
            "{most}: {sums:?}"
        );
        assert_eq!(sums.len(), 5);
    }
}

#[test]
fn bulk_is_not_starved_by_any_number_that_send_little() {
    let mut sender = Sender::new(MAX);
    let [bulk] = sender.open();
    let mut all = Vec::new();
    for _ in 0..50 {
        while sender.state.poll_room(bulk, &cx()).takes(MAX / 4) {
            sender.send(bulk, MAX / 4);
        }
        // More than goes out, and each from a stream that has sent nothing before.
        let new: [u32; 100] = sender.open();
        for id in new {
            sender.send(id, 4000);
        }
        all.extend(sender.data());
    }
    let total: usize = all.iter().map(|(_, bytes)| bytes).sum();
    let sums = by_stream(&all);
    assert!(sums[&bulk] * 5 >= total, "{} of {total}", sums[&bulk]);
    assert!(sums[&bulk] * 3 <= total, "{} of {total}", sums[&bulk]);
}

#[test]
fn a_batch_is_no_larger_than_the_connection_is_to_get() {
    for most in [MIN, 8 * 1024, 64 * 1024, MAX] {
        let mut sender = Sender::new(most);
        let streams: [u32; 3] = sender.open();
        for id in streams {
            sender.send(id, SEND_QUEUE);
        }
        let frames = sender.data();
        let bytes: usize = frames.iter().map(|(_, n)| n + HEADER_LEN).sum();
        assert!(
            bytes >= most && bytes < most + most.max(4 * MIN) / 2,
            "{most}: {bytes}"
        );
    }
}

fn cx() -> std::task::Context<'static> {
    std::task::Context::from_waker(std::task::Waker::noop())
}

trait Room {
    /// Whether `bytes` may be queued.
    fn takes(&self, bytes: usize) -> bool;
}

impl<E> Room for std::task::Poll<Result<usize, E>> {
    fn takes(&self, bytes: usize) -> bool {
        matches!(self, Self::Ready(Ok(room)) if *room >= bytes)
    }
}
