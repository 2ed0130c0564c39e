//! What hyper's server gets to read of a user's bytes, where it could not read them as they are:
//!
//! - Of a target that is longer than its `Uri` can be, the beginning; the rest is the [`Tail`].
//! - A `#` in a target, from which on its `Uri` forgets everything, as `%23`, which is what Go makes of
//!   it.
//! - A transfer coding that it would refuse with 400, with `chunked` behind it, so that
//!   [`check`](crate::head::check) sees it and says 501.
//!
//! Where a head begins and ends is all that is judged here. How long its body is, hyper says
//! ([`Filter::begin`]); until then nothing behind the head is let through.

use bytes::{Bytes, BytesMut};

use crate::limits::{HTTP_TARGET_WHOLE, MAX_HTTP_HEAD};

/// The rest of a request's target, behind what its `Uri` has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail(pub(super) Bytes);

/// How a request goes on behind its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// The body.
    pub body: Body,
    /// Another protocol may follow, which the answer decides.
    pub may_switch: bool,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// In chunks (RFC 9112, section 7.1).
    Chunked,
}

/// What becomes of bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// So many pass.
    pub pass: usize,
    /// So many behind them do not.
    pub skip: usize,
    /// These go out in their place.
    pub put: Bytes,
}

/// See the module.
#[derive(Debug)]
pub struct Filter {
    state: State,
    /// Bytes of the head under way.
    head: usize,
    tail: BytesMut,
    /// What the answer decides has been decided: whether the protocol has changed.
    switched: Option<bool>,
    may_switch: bool,
}

const CODING: &[u8] = b"transfer-encoding";
const CHUNKED: &[u8] = b"chunked";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request line.
    Start,
    Method,
    Target(Target),
    /// Beyond what hyper gets of a target.
    Cut {
        in_query: bool,
    },
    /// The rest of a line that means nothing here.
    Line,
    LineStart {
        cr: bool,
    },
    /// So many bytes of [`CODING`] have come.
    Name(usize),
    Coding(Coding),
    /// The head is over, hyper reads it.
    Read,
    Length(u64),
    Chunked(Chunk),
    /// The request is over, and its answer decides what comes.
    Undecided,
    /// Another protocol, or nothing that we understand.
    Through,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Target {
    len: usize,
    slashes: usize,
    in_path: bool,
    in_query: bool,
}

/// The value of a `Transfer-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// So many bytes of [`CHUNKED`] have come.
    Begin(usize),
    /// Only spaces behind it.
    Spaces,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size(u64),
    Extension(u64),
    Data(u64),
    End,
    TrailerStart,
    Trailer,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            state: State::Start,
            head: 0,
            tail: BytesMut::new(),
            switched: None,
            may_switch: false,
        }
    }
}

impl Filter {
    /// Nothing passes until hyper has read a head, or an answer has decided.
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Read | State::Undecided)
    }

    /// Bytes of the head that is under way.
    pub fn head(&self) -> usize {
        self.head
    }

    /// hyper has read the head of a request, which goes on like this. What its target has beyond
    /// hyper's.
    ///
    /// # Errors
    /// It has read another head than was seen here.
    pub fn begin(&mut self, framing: Framing) -> Result<Option<Tail>, Unseen> {
        if self.state != State::Read {
            return Err(Unseen);
        }
        self.may_switch = framing.may_switch;
        self.switched = None;
        match framing.body {
            Body::Length(0) => self.over(),
            Body::Length(length) => self.state = State::Length(length),
            Body::Chunked => self.state = State::Chunked(Chunk::Size(0)),
        }
        let tail = self.tail.split().freeze();
        Ok((!tail.is_empty()).then_some(Tail(tail)))
    }

    /// The request has been answered, and the protocol thereby changed or not.
    pub fn answered(&mut self, switched: bool) {
        self.switched = Some(switched);
        if matches!(
            self.state,
            State::Start | State::Undecided | State::Length(_) | State::Chunked(_)
        ) {
            self.head = 0;
        }
        if self.may_switch && (switched || self.state == State::Undecided) {
            self.over();
        }
    }

    /// The next of the user's bytes. Steps that do nothing come only where it [waits](Self::waits).
    pub fn step(&mut self, bytes: &[u8]) -> Step {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let step = self.run(rest);
            let taken = step.pass + step.skip;
            at += step.pass;
            if step.skip > 0 || !step.put.is_empty() || taken == 0 {
                return Step { pass: at, ..step };
            }
        }
        Step {
            pass: at,
            ..Step::default()
        }
    }

    /// The request is over.
    fn over(&mut self) {
        self.state = match (self.may_switch, self.switched) {
            (false, _) | (true, Some(false)) => State::Start,
            (true, Some(true)) => State::Through,
            (true, None) => State::Undecided,
        };
    }

    /// As [`step`](Self::step), to the next change of state at the most.
    fn run(&mut self, bytes: &[u8]) -> Step {
        match self.state {
            State::Read | State::Undecided => Step::default(),
            State::Through => pass(bytes.len()),
            State::Length(left) => {
                let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                match left - n as u64 {
                    0 => self.over(),
                    left => self.state = State::Length(left),
                }
                pass(n)
            }
            State::Chunked(chunk) => self.chunked(chunk, bytes),
            _ => {
                let step = self.in_head(bytes);
                self.head = self.head.saturating_add(step.pass + step.skip);
                if self.head > MAX_HTTP_HEAD && !self.tail.is_empty() {
                    // Too long: hyper finds out by itself, and says 431.
                    let all = std::mem::take(&mut self.tail);
                    self.state = State::Through;
                    return Step {
                        put: [all, BytesMut::from(&*step.put)].concat().into(),
                        ..step
                    };
                }
                step
            }
        }
    }

    fn in_head(&mut self, bytes: &[u8]) -> Step {
        let Some(&byte) = bytes.first() else {
            return Step::default();
        };
        match self.state {
            State::Start => {
                if !matches!(byte, b'\r' | b'\n') {
                    self.head = 0;
                    self.tail.clear();
                    self.state = State::Method;
                }
                pass(1)
            }
            State::Method => {
                match byte {
                    b' ' => self.state = State::Target(Target::default()),
                    b'\n' => self.state = State::LineStart { cr: false },
                    _ => {}
                }
                pass(1)
            }
            State::Target(target) => self.target(target, bytes),
            State::Cut { in_query } => self.cut(in_query, bytes),
            State::LineStart { cr } => {
                self.state = match byte {
                    b'\n' => State::Read,
                    b'\r' if !cr => State::LineStart { cr: true },
                    byte if !cr && byte.eq_ignore_ascii_case(&CODING[0]) => State::Name(1),
                    _ => State::Line,
                };
                pass(1)
            }
            State::Name(n) => match CODING.get(n) {
                Some(expected) if byte.eq_ignore_ascii_case(expected) => {
                    self.state = State::Name(n + 1);
                    pass(1)
                }
                None if byte == b':' => {
                    self.state = State::Coding(Coding::Begin(0));
                    pass(1)
                }
                _ => {
                    self.state = State::Line;
                    self.in_head(bytes)
                }
            },
            State::Coding(coding) => self.coding(coding, byte),
            // A line's end is all that matters.
            _ => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.state = State::LineStart { cr: false };
                    pass(end + 1)
                }
                None => pass(bytes.len()),
            },
        }
    }

    fn target(&mut self, mut target: Target, bytes: &[u8]) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b' ' | b'\r' => {
                    self.state = State::Line;
                    return pass(at + 1);
                }
                b'\n' => {
                    self.state = State::LineStart { cr: false };
                    return pass(at + 1);
                }
                b'#' => {
                    target.len += ESCAPED.len();
                    self.state = State::Target(target);
                    return Step {
                        pass: at,
                        skip: 1,
                        put: Bytes::from_static(ESCAPED),
                    };
                }
                // Not within a character: the beginning is read as UTF-8.
                byte if target.len >= HTTP_TARGET_WHOLE && target.in_path && byte.is_ascii() => {
                    let in_query = target.in_query;
                    self.state = State::Cut { in_query };
                    return match at {
                        0 => self.cut(in_query, bytes),
                        at => pass(at),
                    };
                }
                b'/' => {
                    // `/path`, or `http://host/path`.
                    target.slashes += 1;
                    target.in_path |= target.len == 0 || target.slashes == 3;
                }
                b'?' => {
                    target.in_path |= target.slashes == 2;
                    target.in_query |= target.in_path;
                }
                _ => {}
            }
            target.len += 1;
        }
        self.state = State::Target(target);
        pass(bytes.len())
    }

    fn cut(&mut self, mut in_query: bool, bytes: &[u8]) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b' ' if std::str::from_utf8(&self.tail).is_ok() => {
                    self.state = State::Line;
                    return Step {
                        pass: 0,
                        skip: at + 1,
                        put: Bytes::from_static(b" "),
                    };
                }
                b'#' => self.tail.extend_from_slice(ESCAPED),
                b'?' => {
                    in_query = true;
                    self.tail.extend_from_slice(b"?");
                }
                byte if is_of_target(byte, in_query) => self.tail.extend_from_slice(&[byte]),
                _ => return self.bad(at),
            }
        }
        self.state = State::Cut { in_query };
        skip(bytes.len())
    }

    /// A byte that hyper answers with 400.
    fn bad(&mut self, at: usize) -> Step {
        self.tail.clear();
        self.state = State::Through;
        Step {
            pass: 0,
            skip: at,
            put: Bytes::from_static(b"\0"),
        }
    }

    fn coding(&mut self, coding: Coding, byte: u8) -> Step {
        let is_end = matches!(byte, b'\r' | b'\n');
        let next = match coding {
            Coding::Begin(7) | Coding::Spaces if is_end => None,
            _ if is_end => {
                self.state = State::Line;
                return Step {
                    put: Bytes::from_static(b", chunked"),
                    ..Step::default()
                };
            }
            Coding::Begin(0) if matches!(byte, b' ' | b'\t') => Some(Coding::Begin(0)),
            Coding::Begin(7) | Coding::Spaces if matches!(byte, b' ' | b'\t') => {
                Some(Coding::Spaces)
            }
            Coding::Begin(n) => match CHUNKED.get(n) {
                Some(expected) if byte.eq_ignore_ascii_case(expected) => Some(Coding::Begin(n + 1)),
                _ => Some(Coding::Other),
            },
            Coding::Spaces | Coding::Other => Some(Coding::Other),
        };
        self.state = match next {
            Some(next) => State::Coding(next),
            None if byte == b'\n' => State::LineStart { cr: false },
            None => State::Line,
        };
        pass(1)
    }

    fn chunked(&mut self, chunk: Chunk, bytes: &[u8]) -> Step {
        let Some(&byte) = bytes.first() else {
            return Step::default();
        };
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        let (next, n) = match chunk {
            Chunk::Size(size) | Chunk::Extension(size) if byte == b'\n' => match size {
                0 => (Chunk::TrailerStart, 1),
                size => (Chunk::Data(size), 1),
            },
            Chunk::Size(size) => match char::from(byte).to_digit(16) {
                Some(digit) => match size.checked_mul(16) {
                    Some(size) => (Chunk::Size(size | u64::from(digit)), 1),
                    None => {
                        self.state = State::Through;
                        return pass(1);
                    }
                },
                None => (Chunk::Extension(size), 1),
            },
            Chunk::Extension(size) => (Chunk::Extension(size), line_end.unwrap_or(bytes.len())),
            Chunk::Data(left) => {
                let n = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                match left - n as u64 {
                    0 => (Chunk::End, n),
                    left => (Chunk::Data(left), n),
                }
            }
            Chunk::End => match line_end {
                Some(end) => (Chunk::Size(0), end + 1),
                None => (Chunk::End, bytes.len()),
            },
            Chunk::TrailerStart if byte == b'\n' => {
                self.over();
                return pass(1);
            }
            Chunk::TrailerStart if byte == b'\r' => (Chunk::TrailerStart, 1),
            Chunk::TrailerStart | Chunk::Trailer => match line_end {
                Some(end) => (Chunk::TrailerStart, end + 1),
                None => (Chunk::Trailer, bytes.len()),
            },
        };
        self.state = State::Chunked(next);
        pass(n)
    }
}

/// hyper has read a head that was not seen to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen;

/// A `#`.
const ESCAPED: &[u8] = b"%23";

fn pass(n: usize) -> Step {
    Step {
        pass: n,
        ..Step::default()
    }
}

fn skip(n: usize) -> Step {
    Step {
        skip: n,
        ..Step::default()
    }
}

/// What `http::Uri` takes in a path, or in a query.
fn is_of_target(byte: u8, in_query: bool) -> bool {
    match byte {
        0x21 | 0x24..=0x3b | 0x3d | 0x40..=0x5f | 0x61..=0x7a | b'|' | b'~' | 0x80.. => true,
        b'"' | b'{' | b'}' => !in_query || byte != b'"',
        b'`' | b'?' => in_query,
        _ => false,
    }
}
