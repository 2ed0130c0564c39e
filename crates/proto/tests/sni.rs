//! ClientHellos as OpenSSL 3.0 sends them, and what must never route.
#![allow(clippy::unwrap_used, reason = "a failure has to fail the test")]

use frp_proto::sni::{Hello, HelloError, HelloReader, MAX_CLIENT_HELLO};
use proptest::collection::vec;
use proptest::prelude::*;

/// `openssl s_client -servername www.Example.com`
const TLS_1_3: &str = "\
    160301013c010001380303114f36bf4efbfc7e66c78686a8159c2fd42493c48bb65ccaea047e82ea79577720\
    d9ab53179911663bec0cf55ad06f7c74b701a7b4be2615b00b0c9e2911a2d080003e130213031301c02cc030\
    009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d\
    003c0035002f00ff010000b100000014001200000f7777772e4578616d706c652e636f6d000b000403000102\
    000a00160014001d0017001e0019001801000101010201030104002300000016000000170000000d002a0028\
    040305030603080708080809080a080b080408050806040105010601030303010302040205020602002b0009\
    080304030303020301002d00020101003300260024001d00209f817509149245ef315302fdfd63464d39c68e\
    0342d1b74fb379c08f5fb90517";

/// `openssl s_client -servername a.b.example.org -tls1_2`
const TLS_1_2: &str = "\
    16030100cf010000cb030320a28e3c8b9cf609ba3b6b034d8879724a0f30457b7116ec3bc6841b34ca681f00\
    0038c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033\
    009d009c003d003c0035002f00ff0100006a00000014001200000f612e622e6578616d706c652e6f7267000b\
    000403000102000a000c000a001d0017001e00190018002300000016000000170000000d002a002804030503\
    0603080708080809080a080b080408050806040105010601030303010302040205020602";

/// `openssl s_client -noservername`
const NO_NAME: &str = "\
    1603010124010001200303e00e093f249b210d9c39c3d8b9f30eed5402a033579a1c52b4f28c89cf3cf3c920\
    d756ee4d647729a47b6c815fd18a01e5cbf7d1334529bfbe59440b67922fa25c003e130213031301c02cc030\
    009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00ac0140039c009c0130033009d009c003d\
    003c0035002f00ff01000099000b000403000102000a00160014001d0017001e001900180100010101020103\
    0104002300000016000000170000000d002a0028040305030603080708080809080a080b0804080508060401\
    05010601030303010302040205020602002b0009080304030303020301002d00020101003300260024001d00\
    205e69929c72e06b865ecd9f4970c19e4632716d565c5e83ce6154782711e0481b";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn read(all: &[u8]) -> Result<Option<Hello>, HelloError> {
    HelloReader::default().read(all)
}

/// As the network might deliver it: `cuts` are the lengths after which it is looked at.
fn read_in_pieces(
    all: &[u8],
    cuts: impl Iterator<Item = usize>,
) -> Result<Option<Hello>, HelloError> {
    let mut reader = HelloReader::default();
    let mut cuts: Vec<usize> = cuts.map(|cut| cut.min(all.len())).collect();
    cuts.sort_unstable();
    for cut in cuts {
        if let Some(hello) = reader.read(&all[..cut])? {
            return Ok(Some(hello));
        }
    }
    reader.read(all)
}

fn named(name: &str) -> Hello {
    Hello {
        server_name: Some(name.to_owned()),
    }
}

/// The handshake message of `hello` in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], length.as_slice(), part].concat()
    };
    hello[5..].chunks(size).flat_map(record).collect()
}

/// A hello whose extensions are exactly `extensions`.
fn with_extensions(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}

fn server_name(name: &[u8]) -> Vec<u8> {
    let length = name.len() as u8;
    [&[0, 0, 0, length + 5, 0, length + 3, 0, 0, length], name].concat()
}

#[test]
fn recorded_hellos_say_whom_they_are_for() {
    assert_eq!(read(&bytes(TLS_1_3)), Ok(Some(named("www.example.com"))));
    assert_eq!(read(&bytes(TLS_1_2)), Ok(Some(named("a.b.example.org"))));
    let nobody = Hello { server_name: None };
    assert_eq!(read(&bytes(NO_NAME)), Ok(Some(nobody)));
}

#[test]
fn a_hello_may_come_in_any_pieces_and_records() {
    let hello = bytes(TLS_1_3);
    for size in [1, 2, 3, 4, 5, 60, 317] {
        let records = in_records(&hello, size);
        assert_eq!(read(&records), Ok(Some(named("www.example.com"))), "{size}");
        let one_by_one = read_in_pieces(&records, 0..records.len());
        assert_eq!(one_by_one, Ok(Some(named("www.example.com"))), "{size}");
        assert_eq!(read(&records[..records.len() - 1]), Ok(None), "{size}");
    }
    let with_more = [hello.as_slice(), b"early data"].concat();
    assert_eq!(read(&with_more), Ok(Some(named("www.example.com"))));
}

#[test]
fn what_is_not_tls_is_known_by_its_first_bytes() {
    assert_eq!(read(b"G"), Err(HelloError::NotTls));
    assert_eq!(read(b"\x16\x02"), Err(HelloError::NotTls));
    assert_eq!(
        read(b"\x15\x03\x03\x00\x02\x01\x00"),
        Err(HelloError::NotTls)
    );
    // A ServerHello.
    assert_eq!(read(b"\x16\x03\x03\x00\x04\x02"), Err(HelloError::NotTls));
    for empty in [&b""[..], b"\x16", b"\x16\x03", b"\x16\x03\x01\x40"] {
        assert_eq!(read(empty), Ok(None));
    }
}

#[test]
fn absurd_lengths_are_refused_before_they_are_waited_for() {
    assert_eq!(read(b"\x16\x03\x01\x00\x00"), Err(HelloError::Record(0)));
    assert_eq!(
        read(b"\x16\x03\x01\xff\xff"),
        Err(HelloError::Record(0xffff))
    );
    assert_eq!(
        read(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"),
        Err(HelloError::TooLong(0xff_ffff))
    );
    let at_most = MAX_CLIENT_HELLO - 4;
    let length = u32::try_from(at_most).unwrap().to_be_bytes();
    let fits = [&b"\x16\x03\x01\x00\x04\x01"[..], &length[1..]].concat();
    assert_eq!(read(&fits), Ok(None));
}

#[test]
fn malformed_hellos_are_refused() {
    let good = bytes(TLS_1_2);
    // Every length in it, one too much: of the session id, the suites, the compressions, the
    // extensions, the first extension, the list and the name.
    for at in [43, 45, 102, 105, 109, 111, 114] {
        let mut bad = good.clone();
        bad[at] = bad[at].wrapping_add(1);
        assert!(read(&bad).is_err(), "{at}");
    }
}

#[test]
fn names_that_could_be_read_in_two_ways_are_refused() {
    let refused = |extensions: &[u8]| read(&with_extensions(extensions)).unwrap_err();
    assert_eq!(
        read(&with_extensions(&server_name(b"A.b"))),
        Ok(Some(named("a.b")))
    );
    let twice = [server_name(b"a.b"), server_name(b"c.d")].concat();
    assert_eq!(refused(&twice), HelloError::ServerName);
    let two_in_list = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x03a.b\x00\x00\x03c.d";
    assert_eq!(refused(two_in_list), HelloError::ServerName);
    for name in [&b""[..], b"a b", b"a\0b", b"a\nb", "é".as_bytes()] {
        assert_eq!(
            refused(&server_name(name)),
            HelloError::ServerName,
            "{name:?}"
        );
    }
    assert_eq!(refused(b"\x00\x00\x00\x02\x00\x00"), HelloError::Malformed);
}

#[test]
fn a_hello_without_extensions_names_nobody() {
    let mut hello = with_extensions(b"");
    // The empty list itself may be missing, too.
    assert_eq!(read(&hello), Ok(Some(Hello { server_name: None })));
    hello.truncate(hello.len() - 2);
    hello[4] -= 2;
    hello[8] -= 2;
    assert_eq!(read(&hello), Ok(Some(Hello { server_name: None })));
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        noise in vec(any::<u8>(), 0..400),
        (at, keep) in (0_usize..400, any::<bool>()),
        cuts in vec(0_usize..700, 0..20),
        size in 1_usize..400,
    ) {
        // A good hello with noise over a part of it, or noise alone.
        let mut hello = bytes(TLS_1_3);
        let at = at.min(hello.len());
        let until = if keep { (at + noise.len() % 8).min(hello.len()) } else { hello.len() };
        hello.splice(at..until, noise);
        for all in [in_records(&[&[0; 5], hello.as_slice()].concat(), size), hello] {
            let mut sorted = cuts.clone();
            sorted.sort_unstable();
            prop_assert_eq!(read_in_pieces(&all, sorted.into_iter()), read(&all));
        }
    }
}
