//! Two state machines joined by an arbitrary scheduler, and one that gets arbitrary frames.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;

use crate::limits::MUX_UNREAD_BYTES;

use super::{
    CloseReason, ProtocolError, Role,
    batch::Batch,
    frame::{ACK, FIN, HEADER_LEN, Header, Kind, RST, SYN},
    inbox::Origin,
    pace::MAX,
    state::{
        ABORT_GRACE, BACKLOG, INITIAL_WINDOW, MAX_WINDOW, OpenError, Received, SEND_QUEUE, State,
    },
};

const ORIGIN: Origin = Origin {
    buffer: 1,
    capacity: 64 * 1024,
};
const NOW: Duration = Duration::ZERO;

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The byte at `offset` of what `role` sends on `stream`.
fn byte(role: Role, stream: u32, offset: usize) -> u8 {
    let x = (offset as u32).wrapping_mul(0x9e37_79b1) ^ stream.wrapping_mul(0x85eb_ca6b);
    (x >> 24) as u8 ^ u8::from(role == Role::Client)
}

/// One end with its application and the checks on what it puts on the wire.
struct End {
    role: Role,
    state: State,
    streams: BTreeMap<u32, App>,
    /// Sent, not yet delivered.
    wire: BytesMut,
    /// Delivered, of which the peer has not had a whole frame.
    input: BytesMut,
    seen: HashMap<u32, Seen>,
}

#[derive(Default)]
struct App {
    sent: usize,
    got: usize,
    finished: bool,
    ended: bool,
}

/// Frames of one direction of one stream.
#[derive(Default)]
struct Seen {
    hello: u32,
    fin: u32,
    data: u64,
    granted: u64,
}

impl End {
    fn new(role: Role) -> Self {
        Self {
            role,
            state: State::new(role, None),
            streams: BTreeMap::new(),
            wire: BytesMut::new(),
            input: BytesMut::new(),
            seen: HashMap::new(),
        }
    }

    fn pick(&self, n: usize) -> Option<u32> {
        self.streams
            .keys()
            .nth(n % self.streams.len().max(1))
            .copied()
    }

    fn write(&mut self, stream: u32, len: usize) {
        let app = self.streams.get_mut(&stream).unwrap();
        let Poll::Ready(room) = self.state.poll_room(stream, &cx()) else {
            return;
        };
        let Ok(room) = room else {
            assert!(app.finished, "only a finished stream refuses data");
            return;
        };
        let len = len.min(room);
        let data: Bytes = (app.sent..app.sent + len)
            .map(|i| byte(self.role, stream, i))
            .collect();
        app.sent += len;
        self.state.send(stream, data);
    }

    fn read(&mut self, stream: u32) -> bool {
        let app = self.streams.get_mut(&stream).unwrap();
        match self.state.poll_read(stream, &cx(), 0) {
            Poll::Ready(Received::Chunk(chunk)) => {
                assert!(!app.ended);
                let peer = if self.role == Role::Client {
                    Role::Server
                } else {
                    Role::Client
                };
                for b in chunk {
                    assert_eq!(
                        b,
                        byte(peer, stream, app.got),
                        "stream {stream} at {}",
                        app.got
                    );
                    app.got += 1;
                }
                true
            }
            Poll::Ready(Received::End) => {
                app.ended = true;
                false
            }
            Poll::Ready(Received::Reset) => panic!("stream {stream} was reset"),
            Poll::Pending => false,
        }
    }

    fn accept(&mut self) {
        if let Poll::Ready(id) = self.state.poll_accept(&cx()) {
            self.streams.insert(id, App::default());
        }
    }

    fn fill(&mut self) -> bool {
        let mut batch = Batch::new(true, MAX);
        self.state.fill(&mut batch, NOW);
        let bytes = batch.take_bytes();
        self.check_frames(&bytes);
        self.wire.extend_from_slice(&bytes);
        !bytes.is_empty()
    }

    fn check_frames(&mut self, mut bytes: &[u8]) {
        while let Some(&header) = bytes.first_chunk::<HEADER_LEN>() {
            bytes.advance(HEADER_LEN);
            let header = Header::decode(header).unwrap();
            let own = header.stream % 2 == u32::from(self.role == Role::Client);
            let seen = self.seen.entry(header.stream).or_default();
            assert!(!header.has(RST), "a good stream was reset");
            if header.has(SYN | ACK) {
                assert_eq!(header.has(SYN), own);
                assert!(
                    header.length <= INITIAL_WINDOW,
                    "windows grow as they are used"
                );
                assert_eq!(seen.hello, 0, "one SYN or ACK");
                seen.hello = 1;
            }
            assert_eq!(seen.hello, 1, "SYN or ACK comes first");
            match header.kind {
                Kind::Data => {
                    assert_eq!(seen.fin, 0, "FIN comes last");
                    assert_eq!(header.flags, 0);
                    seen.data += u64::from(header.length);
                    bytes.advance(header.length as usize);
                }
                Kind::WindowUpdate if header.has(FIN) => {
                    assert_eq!((header.flags, header.length), (FIN, 0));
                    assert_eq!(seen.fin, 0, "one FIN");
                    seen.fin = 1;
                }
                Kind::WindowUpdate => seen.granted += u64::from(header.length),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

fn deliver(from: &mut End, to: &mut End, n: usize) {
    let n = n.min(from.wire.len());
    to.input.extend_from_slice(&from.wire.split_to(n));
    to.state.receive(&mut to.input, ORIGIN, NOW).unwrap();
    for (id, seen) in &from.seen {
        let granted = to.seen.get(id).map_or(0, |s| s.granted) + u64::from(INITIAL_WINDOW);
        assert!(seen.data <= granted, "stream {id} exceeds its window");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Accept,
    Write(usize, usize),
    Read(usize),
    Finish(usize),
    Fill,
    Deliver(usize),
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let len = prop_oneof![1usize..100, 1usize..20_000, 100_000usize..400_000];
    let kind = prop_oneof![
        1 => Just(Step::Open),
        2 => Just(Step::Accept),
        6 => (any::<usize>(), len.clone()).prop_map(|(s, n)| Step::Write(s, n)),
        6 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Finish),
        6 => Just(Step::Fill),
        6 => len.prop_map(Step::Deliver),
    ];
    (any::<bool>(), kind)
}

fn run(ends: &mut [End; 2], (second, step): (bool, Step)) {
    let [a, b] = ends;
    let (end, peer) = if second { (b, a) } else { (a, b) };
    match step {
        Step::Open => {
            let id = end.state.open(NOW).unwrap();
            end.streams.insert(id, App::default());
        }
        Step::Accept => end.accept(),
        Step::Write(s, n) => {
            if let Some(id) = end.pick(s) {
                end.write(id, n);
            }
        }
        Step::Read(s) => {
            if let Some(id) = end.pick(s) {
                end.read(id);
            }
        }
        Step::Finish(s) => {
            if let Some(id) = end.pick(s) {
                end.state.finish(id);
                end.streams.get_mut(&id).unwrap().finished = true;
            }
        }
        Step::Fill => {
            end.fill();
        }
        Step::Deliver(n) => deliver(end, peer, n),
    }
}

/// Delivers and reads everything until nothing moves.
fn settle([a, b]: &mut [End; 2]) {
    loop {
        let mut moved = false;
        for end in [&mut *a, &mut *b] {
            end.accept();
            for id in end.streams.keys().copied().collect::<Vec<_>>() {
                while end.read(id) {
                    moved = true;
                }
            }
            moved |= end.fill();
        }
        moved |= !a.wire.is_empty() || !b.wire.is_empty();
        deliver(a, b, usize::MAX);
        deliver(b, a, usize::MAX);
        if !moved {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_byte_arrives_in_order_under_any_schedule(steps in prop::collection::vec(step(), 1..300)) {
        let mut ends = [End::new(Role::Client), End::new(Role::Server)];
        for step in steps {
            run(&mut ends, step);
        }
        settle(&mut ends);
        for end in &mut ends {
            for id in end.streams.keys().copied().collect::<Vec<_>>() {
                end.state.finish(id);
                end.state.finish(id);
            }
        }
        settle(&mut ends);
        let [a, b] = &mut ends;
        prop_assert_eq!(a.streams.keys().collect::<Vec<_>>(), b.streams.keys().collect::<Vec<_>>());
        for (id, one) in &a.streams {
            let other = &b.streams[id];
            prop_assert_eq!((one.sent, other.sent), (other.got, one.got));
            prop_assert!(one.ended && other.ended);
            prop_assert_eq!((a.seen[id].fin, b.seen[id].fin), (1, 1));
        }
        for end in [a, b] {
            for id in end.streams.keys() {
                end.state.release(*id, NOW);
            }
            end.state.abandon();
            prop_assert!(end.state.is_abandoned(), "a stream was not forgotten");
        }
    }

    #[test]
    fn arbitrary_frames_neither_panic_nor_pile_up(
        frames in prop::collection::vec((0u8..4, 0u16..16, 0u32..12, prop_oneof![0u32..40, 0u32..300_000]), 1..400),
        cut in 1usize..5000,
    ) {
        let mut end = State::new(Role::Server, None);
        end.open(NOW).unwrap();
        let mut wire = Vec::new();
        for (kind, flags, stream, length) in frames {
            wire.extend([0, kind]);
            wire.extend(flags.to_be_bytes());
            wire.extend(stream.to_be_bytes());
            wire.extend(length.to_be_bytes());
            if kind == 0 {
                wire.resize(wire.len() + length as usize, 0xaa);
            }
        }
        let mut input = BytesMut::new();
        for piece in wire.chunks(cut) {
            input.extend_from_slice(piece);
            if end.receive(&mut input, ORIGIN, NOW).is_err() {
                break;
            }
            prop_assert!(input.len() < HEADER_LEN);
            if let Poll::Ready(id) = end.poll_accept(&cx()) {
                let _ = end.poll_read(id, &cx(), 0);
            }
        }
        let mut batch = Batch::new(true, MAX);
        end.fill(&mut batch, NOW);
    }
}

/// A server with whatever frames a test feeds it.
struct Fed {
    state: State,
    input: BytesMut,
}

impl Fed {
    fn new() -> Self {
        Self {
            state: State::new(Role::Server, None),
            input: BytesMut::new(),
        }
    }

    fn feed(
        &mut self,
        kind: Kind,
        flags: u16,
        stream: u32,
        length: u32,
    ) -> Result<(), CloseReason> {
        self.input.extend_from_slice(
            &Header {
                kind,
                flags,
                stream,
                length,
            }
            .encode(),
        );
        self.state.receive(&mut self.input, ORIGIN, NOW)
    }

    fn output(&mut self) -> Vec<u8> {
        let mut batch = Batch::new(true, MAX);
        self.state.fill(&mut batch, NOW);
        batch.take_bytes()
    }
}

#[test]
fn a_ping_flood_leaves_a_bounded_number_of_answers() {
    let mut fed = Fed::new();
    for id in 0..1_000_000 {
        fed.feed(Kind::Ping, SYN, 0, id).unwrap();
    }
    let answers = fed.output();
    assert_eq!(answers.len(), 64 * HEADER_LEN);
    let last = answers.last_chunk::<HEADER_LEN>().unwrap();
    let expected = Header {
        kind: Kind::Ping,
        flags: ACK,
        stream: 0,
        length: 999_999,
    };
    assert_eq!(*last, expected.encode());
}

#[test]
fn a_stream_flood_is_refused_and_then_ends_the_session() {
    let mut fed = Fed::new();
    let mut ended = None;
    for n in 0..10_000 {
        if let Err(reason) = fed.feed(Kind::WindowUpdate, SYN, 2 * n + 1, 0) {
            ended = Some((n, reason));
            break;
        }
    }
    let (n, reason) = ended.unwrap();
    assert!(matches!(
        reason,
        CloseReason::Protocol(ProtocolError::Flood)
    ));
    assert_eq!(n as usize, BACKLOG + 1024);
    assert_eq!(fed.output().len(), 1024 * HEADER_LEN);
}

/// What the output says of stream 1: the flags of its updates and the bytes that they allow.
fn allowed(output: &[u8]) -> Vec<(u16, u32)> {
    let frames = output.chunks(HEADER_LEN);
    let frames = frames.map(|frame| Header::decode(frame.try_into().unwrap()).unwrap());
    frames.map(|frame| (frame.flags, frame.length)).collect()
}

#[test]
fn a_stranger_gets_the_first_window_only_and_no_more_before_its_login() {
    let mut fed = Fed::new();
    fed.state.hold_windows();
    fed.feed(Kind::WindowUpdate, SYN, 1, 0).unwrap();
    assert_eq!(fed.state.poll_accept(&cx()), Poll::Ready(1));
    assert_eq!(allowed(&fed.output()), [(ACK, 0)]);
    let mut good = 0;
    for _ in 0..INITIAL_WINDOW / A_LOGIN {
        fed.feed(Kind::Data, 0, 1, A_LOGIN).unwrap();
        fed.input.resize(A_LOGIN as usize, 0);
        fed.state.receive(&mut fed.input, ORIGIN, NOW).unwrap();
        assert!(fed.output().is_empty());
        // What is read is made good for.
        while fed.state.poll_read(1, &cx(), 0).is_ready() {}
        let output = fed.output();
        good += allowed(&output).iter().map(|(_, more)| more).sum::<u32>();
    }
    assert_eq!(good, INITIAL_WINDOW);

    assert_eq!(fed.read_on(1, 2), INITIAL_WINDOW);
    fed.state.admit();
    assert_eq!(fed.read_on(1, 500), MAX_WINDOW);
}

impl Fed {
    /// Opens stream `id` and takes it.
    fn opened(&mut self, id: u32) {
        self.feed(Kind::WindowUpdate, SYN, id, 0).unwrap();
        assert_eq!(self.state.poll_accept(&cx()), Poll::Ready(id));
        assert_eq!(allowed(&self.output()), [(ACK, 0)]);
    }

    /// Data on stream `id`.
    fn data(&mut self, id: u32, len: u32) {
        self.feed(Kind::Data, 0, id, len).unwrap();
        self.input.resize(len as usize, 0);
        self.state.receive(&mut self.input, ORIGIN, NOW).unwrap();
    }

    /// `n` times 64 KiB come on stream `id` and are read at once; how much may come then, which was
    /// 256 KiB before.
    fn read_on(&mut self, id: u32, n: u32) -> u32 {
        let mut room = INITIAL_WINDOW;
        let mut most = room;
        for _ in 0..n {
            self.data(id, 64 * 1024);
            room -= 64 * 1024;
            while self.state.poll_read(id, &cx(), 0).is_ready() {}
            room += allowed(&self.output()).iter().map(|(_, n)| n).sum::<u32>();
            most = most.max(room);
        }
        // Back to what the next call starts from.
        while room > INITIAL_WINDOW {
            let len = (room - INITIAL_WINDOW).min(64 * 1024);
            self.data(id, len);
            room -= len;
        }
        while self.state.poll_read(id, &cx(), 0).is_ready() {}
        most
    }
}

#[test]
fn the_window_grows_for_a_reader_that_keeps_up_and_for_no_other() {
    let mut fed = Fed::new();
    fed.opened(1);
    fed.opened(3);
    fed.data(3, INITIAL_WINDOW);
    assert_eq!(fed.read_on(1, 4), INITIAL_WINDOW);
    assert_eq!(fed.read_on(1, 500), MAX_WINDOW);
    // Nothing was read there.
    assert!(matches!(
        fed.feed(Kind::Data, 0, 3, 1),
        Err(CloseReason::Protocol(ProtocolError::Window {
            window: 0,
            ..
        }))
    ));
}

#[test]
fn what_a_reader_has_not_used_yet_is_not_made_good_for() {
    let mut fed = Fed::new();
    fed.opened(1);
    fed.data(1, INITIAL_WINDOW);
    // Taken, and held for a user who does not read.
    while fed.state.poll_read(1, &cx(), usize::MAX).is_ready() {}
    assert!(fed.output().is_empty());
    let kept = INITIAL_WINDOW as usize / 4;
    assert!(fed.state.poll_read(1, &cx(), kept).is_pending());
    let used = INITIAL_WINDOW - kept as u32;
    assert_eq!(allowed(&fed.output()), [(0, used)]);
    fed.data(1, used);
    while fed.state.poll_read(1, &cx(), usize::MAX).is_ready() {}
    assert!(fed.state.poll_read(1, &cx(), 0).is_pending());
    assert_eq!(allowed(&fed.output()), [(0, INITIAL_WINDOW)]);
    // Then it has used twice the window, and that grows.
    fed.data(1, INITIAL_WINDOW);
    while fed.state.poll_read(1, &cx(), 0).is_ready() {}
    assert_eq!(allowed(&fed.output()), [(0, 2 * INITIAL_WINDOW)]);
}

#[test]
fn where_too_much_is_unread_no_window_grows() {
    let mut fed = Fed::new();
    let unread = (MUX_UNREAD_BYTES / INITIAL_WINDOW as usize) as u32;
    for n in 1..=unread {
        fed.opened(2 * n + 1);
        fed.data(2 * n + 1, INITIAL_WINDOW);
    }
    fed.opened(1);
    assert_eq!(fed.read_on(1, 300), INITIAL_WINDOW);
    // Those that are gone hold nothing.
    for n in 1..=unread {
        fed.state.release(2 * n + 1, NOW);
    }
    fed.output();
    assert_eq!(fed.read_on(1, 500), MAX_WINDOW);
}

/// The flags of what goes out for stream 1 once its handle is gone.
fn farewell(half_closes: bool, leave: impl Fn(&mut State)) -> Vec<u16> {
    let mut fed = Fed::new();
    if half_closes {
        fed.state.peer_half_closes();
    }
    fed.opened(1);
    fed.state.send(1, Bytes::from_static(b"last words"));
    leave(&mut fed.state);
    let mut output = &fed.output()[..];
    let mut flags = Vec::new();
    while let Some(&header) = output.first_chunk::<HEADER_LEN>() {
        let header = Header::decode(header).unwrap();
        let payload = match header.kind {
            Kind::Data => header.length as usize,
            _ => 0,
        };
        flags.push(header.flags);
        output = &output[HEADER_LEN + payload..];
    }
    flags
}

#[test]
fn who_half_closes_is_told_that_nobody_reads_any_more() {
    let release = |state: &mut State| state.release(1, NOW);
    let abort = |state: &mut State| state.abort(1, NOW);
    assert_eq!(farewell(true, release), [0, FIN, RST]);
    assert_eq!(farewell(true, abort), [0, RST]);
    // frp takes the end for that of both directions, and loses what it has not read to a reset.
    assert_eq!(farewell(false, release), [0, FIN]);
    assert_eq!(farewell(false, abort), [0]);
}

/// The largest login, bytes.
const A_LOGIN: u32 = 64 * 1024;

/// What a stranger may have sent that nobody has read.
const STRANGER: u32 = crate::limits::MUX_STRANGER_BYTES as u32;

/// 16 streams that nobody reads would be 4 MiB.
#[test]
fn a_stranger_that_sends_more_than_a_login_takes_over_all_ends_its_session() {
    let mut fed = Fed::new();
    fed.state.hold_windows();
    for id in [1, 3] {
        fed.feed(Kind::WindowUpdate, SYN, id, 0).unwrap();
        assert_eq!(fed.state.poll_accept(&cx()), Poll::Ready(id));
    }
    fed.feed(Kind::Data, 0, 1, STRANGER - 1).unwrap();
    fed.input.resize(STRANGER as usize - 1, 0);
    fed.feed(Kind::Data, 0, 3, 1).unwrap();
    fed.input.resize(1, 0);
    let ended = fed.feed(Kind::Data, 0, 3, 1);
    assert!(matches!(
        ended,
        Err(CloseReason::Protocol(ProtocolError::Window {
            stream: 3,
            window: 0,
            ..
        }))
    ));
}

/// Pings, updates of windows, and data for streams that are gone hold nothing, but take time of everybody's.
#[test]
fn a_stranger_that_says_too_much_ends_its_session() {
    let frames = [
        (Kind::Ping, SYN, 0, 7),
        (Kind::Ping, ACK, 0, 7),
        (Kind::WindowUpdate, 0, 1, 1),
        (Kind::WindowUpdate, RST, 9, 0),
        (Kind::Data, 0, 99, 0),
        (Kind::Data, 0, 99, 1000),
    ];
    for (kind, flags, id, length) in frames {
        let mut fed = Fed::new();
        fed.state.hold_windows();
        let mut came = 0;
        let mut next = || {
            fed.feed(kind, flags, id, length)?;
            if kind == Kind::Data {
                fed.input.resize(length as usize, 0);
                fed.state.receive(&mut fed.input, ORIGIN, NOW)?;
                came += length as usize;
            }
            came += HEADER_LEN;
            Ok::<_, CloseReason>(())
        };
        let ended = (0..100_000).find_map(|_| next().err());
        assert!(
            matches!(ended, Some(CloseReason::Protocol(ProtocolError::Talkative))),
            "{kind:?}: {ended:?}"
        );
        assert!(
            came > 2 * INITIAL_WINDOW as usize - 2000,
            "{kind:?}: {came}"
        );
    }
    // Whoever has logged in may say more.
    let mut fed = Fed::new();
    fed.state.hold_windows();
    fed.state.admit();
    for _ in 0..100_000 {
        fed.feed(Kind::Ping, ACK, 0, 7).unwrap();
    }
}

#[test]
fn open_and_reset_in_turns_leaves_nothing() {
    let mut fed = Fed::new();
    for n in 0..100_000 {
        fed.feed(Kind::WindowUpdate, SYN, 2 * n + 1, 0).unwrap();
        fed.feed(Kind::WindowUpdate, RST, 2 * n + 1, 0).unwrap();
    }
    assert!(fed.state.poll_accept(&cx()).is_pending());
    assert!(fed.output().is_empty());
    fed.state.abandon();
    assert!(fed.state.is_abandoned());
}

#[test]
fn dropped_streams_that_the_peer_never_ends_are_bounded() {
    let mut fed = Fed::new();
    let mut resets = 0;
    for n in 0..20_000u32 {
        fed.feed(Kind::WindowUpdate, SYN, 2 * n + 1, 0).unwrap();
        let Poll::Ready(id) = fed.state.poll_accept(&cx()) else {
            panic!("just opened")
        };
        fed.state.release(id, NOW);
        for frame in fed.output().chunks(HEADER_LEN) {
            resets += u32::from(Header::decode(frame.try_into().unwrap()).unwrap().has(RST));
        }
    }
    assert!(
        (20_000 - 4096..20_000 - 3000).contains(&resets),
        "{resets} resets"
    );
}

#[test]
fn a_writer_gets_the_window_and_the_queue_limit_and_no_more() {
    let mut end = End::new(Role::Client);
    let id = end.state.open(NOW).unwrap();
    assert_eq!(end.state.poll_room(id, &cx()), Poll::Ready(Ok(SEND_QUEUE)));
    end.state.send(id, Bytes::from(vec![0; SEND_QUEUE]));
    assert!(end.state.poll_room(id, &cx()).is_pending());
    end.fill();
    assert!(
        end.state.poll_room(id, &cx()).is_pending(),
        "the window is used up"
    );
    let update = Header {
        kind: Kind::WindowUpdate,
        flags: ACK,
        stream: id,
        length: 1000,
    };
    end.input.extend_from_slice(&update.encode());
    end.state.receive(&mut end.input, ORIGIN, NOW).unwrap();
    assert_eq!(end.state.poll_room(id, &cx()), Poll::Ready(Ok(1000)));
    // An application that writes single bytes is held back by their number.
    let mut bytes = 0;
    while bytes < 1000
        && let Poll::Ready(Ok(_)) = end.state.poll_room(id, &cx())
    {
        end.state.send(id, Bytes::from_static(b"x"));
        bytes += 1;
    }
    assert_eq!(bytes, 1000);
}

#[test]
fn stream_numbers_run_out_without_wrapping() {
    let mut end = State::new(Role::Client, None);
    let mut opened = 0;
    end.set_next_id(u32::MAX - 4);
    loop {
        match end.open(NOW) {
            Ok(_) => opened += 1,
            Err(error) => {
                assert_eq!(error, OpenError::Exhausted);
                break;
            }
        }
    }
    assert_eq!(opened, 2);
}

#[test]
fn an_idle_stream_is_small() {
    // Beside this: the handle (Arc, id, Bytes) and one entry of the map.
    assert!(
        State::stream_size() <= 256,
        "{} bytes",
        State::stream_size()
    );
    assert!(size_of::<super::MuxStream>() <= 64);
}

#[test]
fn an_aborted_stream_is_reset_after_its_data_and_a_grace() {
    let mut state = State::new(Role::Client, None);
    let mut batch = Batch::new(true, MAX);
    let id = state.open(NOW).unwrap();
    state.send(id, Bytes::from_static(b"answer"));
    state.abort(id, NOW);
    state.fill(&mut batch, NOW);
    let sent = batch.take_bytes();
    assert!(sent.ends_with(b"answer"));
    let due = state.next_deadline().unwrap();
    assert_eq!(due, ABORT_GRACE);
    state.on_time(due).unwrap();
    state.fill(&mut batch, due);
    let reset = Header {
        kind: Kind::WindowUpdate,
        flags: RST,
        stream: id,
        length: 0,
    };
    assert_eq!(batch.take_bytes(), reset.encode());
}

#[test]
fn the_end_of_an_aborted_streams_data_does_not_shorten_the_grace() {
    let mut state = State::new(Role::Client, None);
    let mut batch = Batch::new(true, MAX);
    let id = state.open(NOW).unwrap();
    state.send(id, Bytes::from_static(b"answer"));
    state.finish(id);
    state.abort(id, NOW);
    state.fill(&mut batch, NOW);
    let sent = batch.take_bytes();
    assert!(sent.windows(6).any(|bytes| bytes == b"answer"));
    assert_eq!(state.next_deadline().unwrap(), ABORT_GRACE);
}

#[test]
fn what_a_reset_stream_had_queued_no_longer_counts() {
    let mut state = State::new(Role::Client, None);
    for _ in 0..8 {
        let id = state.open(NOW).unwrap();
        state.send(id, vec![0; SEND_QUEUE].into());
        state.reset(id);
    }
    let id = state.open(NOW).unwrap();
    assert_eq!(state.poll_room(id, &cx()), Poll::Ready(Ok(SEND_QUEUE)));
}
