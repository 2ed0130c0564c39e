//! Headers of the PROXY protocol as proxies in front of us write them.
#![allow(clippy::unwrap_used, reason = "a failure has to fail the test")]

use std::net::SocketAddr;

use frp_proto::proxy_protocol::{
    Ends, MAX_HEADER, ParseError, Parsed, Version, datagram_header, header, parse,
};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// With the fields NOOP, ALPN, CRC32C and one of a proxy's own. The sum is that of a bitwise CRC-32C, which gives
/// 0xe3069283 for "123456789" as RFC 3720, appendix B.4, and its like have it.
const CHECKED: &str = "0d0a0d0a000d0a515549540a21110022c0000201c6336402dc0401bb04000361626301000268320300041ac73175ea00017a";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

fn ends(src: &str, dst: &str) -> Option<Ends> {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    Some(Ends {
        src: at(src),
        dst: at(dst),
    })
}

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn both_versions_are_read() {
    let expected = ends("192.0.2.1:56324", "198.51.100.2:443");
    let of_six = ends("[2001:db8::1]:56324", "[2001:db8::2]:443");
    let six = bytes("20010db800000000000000000000000120010db8000000000000000000000002dc0401bb");
    let mapped = bytes("00000000000000000000ffffc000020100000000000000000000ffffc6336402dc0401bb");
    for (header, found) in [
        (
            &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"[..],
            expected,
        ),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", of_six),
        (
            b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56324 443\r\n",
            expected,
        ),
        // The longest of the specification.
        (
            b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
              ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            None,
        ),
        (b"PROXY UNKNOWN\r\n", None),
        (
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n",
            ends("255.255.255.255:65535", "255.255.255.255:0"),
        ),
        (&v2(0x21, 0x11, V4), expected),
        (&v2(0x21, 0x21, &six), of_six),
        (&v2(0x21, 0x21, &mapped), expected),
        (&v2(0x21, 0x31, &[7; 216]), None),
        (&v2(0x21, 0x00, b"whatever it is"), None),
        (&v2(0x20, 0x00, b""), None),
        (&v2(0x20, 0x11, V4), None),
        (&bytes(CHECKED), expected),
    ] {
        let all = [header, b"what follows"].concat();
        let whole = Parsed::Whole {
            length: header.len(),
            ends: found,
        };
        assert_eq!(parse(&all), Ok(whole), "{}", header.escape_ascii());
        for cut in 0..header.len() {
            assert_eq!(parse(&all[..cut]), Ok(Parsed::Incomplete), "{cut}");
        }
    }
}

#[test]
fn what_is_malformed_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +5 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 5 443\r\n",
        "PROXY TCP4 ::1 ::1 5 443\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.2 5 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1\0 198.51.100.2 5 443\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(ParseError::Line), "{line:?}");
    }
    let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 96]].concat();
    assert_eq!(parse(&long), Err(ParseError::Line));
    for other in [
        &b"SSH-2.0-x"[..],
        b"PROXZ",
        b"proxy ",
        b"\r\n\r\nGET",
        b"\0",
    ] {
        assert_eq!(parse(other), Err(ParseError::NoHeader));
    }
    let fields = |fields: &[u8]| v2(0x21, 0x11, &[V4, fields].concat());
    for (header, why) in [
        (v2(0x11, 0x11, V4), ParseError::Command(0x11)),
        (v2(0x22, 0x11, V4), ParseError::Command(0x22)),
        (v2(0x21, 0x12, V4), ParseError::Family(0x12)),
        (v2(0x21, 0x41, V4), ParseError::Family(0x41)),
        (v2(0x21, 0x03, V4), ParseError::Family(0x03)),
        (v2(0x21, 0x11, &V4[..11]), ParseError::Fields),
        (v2(0x21, 0x21, V4), ParseError::Fields),
        (v2(0x21, 0x31, V4), ParseError::Fields),
        (fields(&[4, 0]), ParseError::Fields),
        (fields(&[4, 0, 2, 0]), ParseError::Fields),
        (fields(&[3, 0, 3, 0, 0, 0]), ParseError::Fields),
        (fields(&[3, 0, 4, 0, 0, 0, 0]), ParseError::Checksum),
        (
            fields(&[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0]),
            ParseError::Fields,
        ),
        (
            v2(0x20, 0, &[0; MAX_HEADER]),
            ParseError::TooLong(MAX_HEADER + 16),
        ),
    ] {
        assert_eq!(parse(&header), Err(why), "{}", header.escape_ascii());
    }
    // A bad command is not waited for.
    assert_eq!(
        parse(&[SIGNATURE, &[0x31]].concat()),
        Err(ParseError::Command(0x31))
    );
    // What frpc puts in front of datagrams is for none of our ports.
    let (src, dst) = (
        "192.0.2.1:1".parse().unwrap(),
        "192.0.2.2:2".parse().unwrap(),
    );
    let datagram = datagram_header(Version::V2, src, dst).unwrap();
    assert_eq!(parse(&datagram), Err(ParseError::Family(0x12)));
    // One bit of the addresses of a header with a checksum.
    let checked = bytes(CHECKED);
    for bit in 16 * 8..28 * 8 {
        let mut flipped = checked.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(parse(&flipped), Err(ParseError::Checksum), "{bit}");
    }
}

proptest! {
    /// What we write, as frp does, we read.
    #[test]
    fn our_own_headers_are_read(src: SocketAddr, dst: SocketAddr, rest: Vec<u8>) {
        let plain = |at: SocketAddr| SocketAddr::new(at.ip().to_canonical(), at.port());
        for version in [Version::V1, Version::V2] {
            let Ok(header) = header(version, src, dst) else { continue };
            let whole = Parsed::Whole {
                length: header.len(),
                ends: Some(Ends { src: plain(src), dst: plain(dst) }),
            };
            prop_assert_eq!(parse(&[&header[..], &rest].concat()), Ok(whole));
        }
    }

    /// Anything else ends in an answer, too, and more bytes do not change one that was given.
    #[test]
    fn an_answer_stands(body: Vec<u8>, family: u8, local: bool, cut in 0..64_usize) {
        let all = v2(if local { 0x20 } else { 0x21 }, family, &body);
        let early = parse(&all[..cut.min(all.len())]);
        prop_assert!(early == Ok(Parsed::Incomplete) || early == parse(&all));
    }
}
