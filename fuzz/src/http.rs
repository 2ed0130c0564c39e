//! Users' HTTP requests, as they are let through to hyper and judged.

use frp_net::http_head;
use frp_net::http_io::filter::{Body, Filter, Framing, Tail};
use hyper::Request;

/// Lines that a head may have here.
const LINES: usize = 64;

/// What was let through, and where it ended a head with which rest of its target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    bytes: Vec<u8>,
    heads: Vec<(usize, Option<Tail>)>,
}

/// The first byte says how the network cuts the requests behind it; that must not change what is read.
/// A head ends where the parser below hyper says, and how it is judged is not a panic.
pub fn requests(data: &[u8]) {
    let Some((&first, requests)) = data.split_first() else {
        return;
    };
    let whole = pass(requests, requests.len().max(1));
    assert_eq!(pass(requests, usize::from(first) + 1), whole);
}

fn pass(requests: &[u8], piece: usize) -> Passed {
    let mut filter = Filter::default();
    let mut passed = Passed::default();
    for piece in requests.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = filter.step(&piece[at..]);
            passed.bytes.extend_from_slice(&piece[at..at + step.pass]);
            passed.bytes.extend_from_slice(&step.put);
            at += step.pass + step.skip;
            if filter.waits() && !begin(&mut filter, &mut passed) {
                return passed;
            }
        }
    }
    passed
}

/// Reads the head that has passed, as hyper does. `false`: it is none, and the connection ends.
fn begin(filter: &mut Filter, passed: &mut Passed) -> bool {
    let since = passed.heads.last().map_or(0, |(end, _)| *end);
    let mut head = &passed.bytes[since..];
    let mut headers = [httparse::EMPTY_HEADER; LINES];
    // Behind the body of the one before.
    let (len, framing) = loop {
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {
                break (len, judge(&request));
            }
            // A body looks like one, or is none.
            Ok(_) | Err(_) => match head.iter().position(|byte| *byte == b'\n') {
                Some(end) => head = &head[end + 1..],
                None => return false,
            },
        }
        headers = [httparse::EMPTY_HEADER; LINES];
    };
    assert!(len <= passed.bytes.len());
    let Some(framing) = framing else { return false };
    let tail = filter.begin(framing).expect("a head has ended");
    filter.answered(false);
    passed.heads.push((passed.bytes.len(), tail));
    true
}

fn judge(parsed: &httparse::Request<'_, '_>) -> Option<Framing> {
    let mut request = Request::builder().method(parsed.method?).uri(parsed.path?);
    for header in parsed.headers.iter() {
        request = request.header(header.name, header.value);
    }
    let (mut head, ()) = request.body(()).ok()?.into_parts();
    let length = head.headers.get("content-length");
    let length = length.and_then(http_head::plain_length).unwrap_or(0);
    let body = match head.headers.contains_key("transfer-encoding") {
        true => Body::Chunked,
        false => Body::Length(length),
    };
    let may_switch = head.headers.contains_key("upgrade");
    http_head::check(&mut head).ok()?;
    Some(Framing { body, may_switch })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "\r\nGET /a#b?c HTTP/1.1\r\nHost: a\r\n\r\nPOST http://a/LONG#?LONG HTTP/1.1\r\n\
        Transfer-Encoding: chunked\r\nHost: a\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n\
        PUT /LONG HTTP/1.1\nHost: a\nContent-Length: 3\nUpgrade: h\n\nGETGET / HTTP/1.1\r\nHost: a\r\n\
        Transfer-encoding: xchunked\r\n\r\n";

    fn good() -> Vec<u8> {
        GOOD.replace("LONG", &"x/y".repeat(12_000)).into_bytes()
    }

    #[test]
    fn the_good_ones_are_read_one_by_one() {
        let passed = pass(&good(), usize::MAX);
        assert_eq!(passed.heads.len(), 3);
        let tails = passed.heads.iter().map(|(_, tail)| tail.is_some());
        assert_eq!(tails.collect::<Vec<_>>(), [false, true, true]);
        assert!(passed.bytes.starts_with(b"\r\nGET /a%23b?c HTTP/1.1\r\n"));
        assert!(passed.bytes.ends_with(b"xchunked, chunked\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn the_neighbourhood_of_good_inputs(
            cut in any::<u8>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            // Most of a long target is like the rest of it.
            let mut bytes = [&[cut][..], &good()].concat();
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            requests(&bytes);
            let mut short = [&[cut][..], GOOD.as_bytes()].concat();
            for (at, byte) in &changes {
                let at = at.index(short.len());
                short[at] = *byte;
            }
            requests(&short);
        }
    }
}
