//! Parsers of `frp-proto`.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use bytes::BytesMut;
use frp_proto::crypto::aead::{Algorithm, Key, Opener};
use frp_proto::crypto::cfb;
use frp_proto::jwt;
use frp_proto::msg::{Login, Message, NewProxy, NewWorkConn, Ping};
use frp_proto::nathole::datagram;
use frp_proto::nathole::feature::classify;
use frp_proto::nathole::reach::may_be_sent_to;
use frp_proto::plugin::{self, Answer, Content, LoginContent, NewContent, OfUser, UserInfo};
use frp_proto::proxy_protocol::{self, Parsed, Version, header};
use frp_proto::scram::{Binding, Client, Hello, NONCE_LEN, Salted, Verifier};
use frp_proto::sni::HelloReader;
use frp_proto::stun::{AnswerError, read_answer};
use frp_proto::wire::hello::{ClientHello, ServerHello, check, select};
use frp_proto::wire::v2::{FrameKind, decode_frame, encode_frame};
use frp_proto::wire::{WireProtocol, decode, encode};

/// Of the wire protocol v1.
pub fn v1(data: &[u8]) {
    messages(WireProtocol::V1, data);
}

/// Of the wire protocol v2.
pub fn v2(data: &[u8]) {
    messages(WireProtocol::V2, data);
}

/// A stream of messages. The first byte says where the network cuts the rest in two; that must not
/// change what is read, and what was read must survive being written and read again.
fn messages(protocol: WireProtocol, data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let whole = read_all(protocol, &[stream]);
    let (first, second) = stream.split_at(usize::from(cut).min(stream.len()));
    assert_eq!(
        read_all(protocol, &[first, second]),
        whole,
        "cut at {}",
        first.len()
    );

    for message in whole.0 {
        let mut out = BytesMut::new();
        // What frp can receive it cannot always send: Go's escapes make text longer.
        if encode(protocol, &message, &mut out).is_err() {
            continue;
        }
        let again = decode(protocol, &mut out).ok().flatten();
        assert_eq!(again.as_ref(), Some(&message));
    }
}

/// A frame of the v2 handshake, then its payload as either hello.
pub fn hello(data: &[u8]) {
    let mut buf = BytesMut::from(data);
    while let Ok(Some(frame)) = decode_frame(&mut buf) {
        let mut out = BytesMut::new();
        assert!(encode_frame(frame.kind, &frame.payload, &mut out).is_ok());
        assert_eq!(decode_frame(&mut out).ok().flatten(), Some(frame));
    }

    if let Ok(client) = ClientHello::from_payload(data) {
        assert_eq!(
            ClientHello::from_payload(&client.to_payload())
                .ok()
                .as_ref(),
            Some(&client)
        );
        match select(&client, [7; 32]) {
            Ok(server) => assert!(check(&client, &server).is_ok(), "our own choice is refused"),
            Err(reason) => assert!(check(&client, &ServerHello::refusal(&reason)).is_err()),
        }
    }
    if let Ok(server) = ServerHello::from_payload(data) {
        assert_eq!(
            ServerHello::from_payload(&server.to_payload())
                .ok()
                .as_ref(),
            Some(&server)
        );
        let _ = check(&ClientHello::default(), &server);
    }
    let mut frame = BytesMut::new();
    let _ = encode_frame(FrameKind::ServerHello, data, &mut frame);
}

/// The first bytes of a connection through a proxy. However they are cut, the same is read, and what was read is
/// read again from the header that we write of it.
pub fn proxy_header(data: &[u8]) {
    let whole = proxy_protocol::parse(data);
    for cut in 0..data.len().min(64) {
        let begin = data.get(..cut).unwrap_or_default();
        match proxy_protocol::parse(begin) {
            Ok(Parsed::Incomplete) => {}
            // What was found early is what is found.
            early => assert_eq!(early, whole, "{cut}"),
        }
    }
    let Ok(Parsed::Whole { length, ends }) = whole else {
        return;
    };
    assert!(length <= data.len());
    let Some(ends) = ends else { return };
    for version in [Version::V1, Version::V2] {
        // IPv4 to IPv6 cannot be written.
        let Ok(written) = header(version, ends.src, ends.dst) else {
            continue;
        };
        let again = Parsed::Whole {
            length: written.len(),
            ends: Some(ends),
        };
        assert_eq!(proxy_protocol::parse(&written), Ok(again));
    }
}

/// A line for each message of an exchange, what the server says to an honest client and the other way round; then a
/// verifier.
pub fn scram(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n').map(|line| line.to_owned());
    let mut line = || lines.next().unwrap_or_default();
    let (client_first, server_first) = (line(), line());
    let (client_final, server_final, verifier) = (line(), line(), line());
    let rounds = NonZeroU32::MIN;
    let known = Verifier::of(b"pencil", b"salt", rounds);
    if let Ok(hello) = Hello::read(&client_first) {
        assert!(client_first.contains(hello.user()) || hello.user().contains([',', '=']));
        let server = hello.challenge([7; NONCE_LEN], b"salt", rounds);
        // Nobody can make up a proof.
        if let Ok(claim) = server.answered(&client_final, None) {
            assert!(claim.check(&known).is_none());
        }
    }
    let client = Client::new(Binding::None, "user", [0; NONCE_LEN], &[0; 32]);
    if let Ok(challenged) = client.challenged(&server_first)
        && challenged.iterations().get() < 5000
    {
        let salted = Salted::of(b"pencil", b"salt", rounds);
        assert!(challenged.answer(&salted).confirm(&server_final).is_err());
    }
    if let Ok(verifier) = verifier.parse::<Verifier>() {
        assert_eq!(verifier.to_string().parse(), Ok(verifier));
    }
}

/// A key set up to the first line's end, a token behind it. Nobody can make up a signature.
pub fn jwt(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (keys, token) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let keys = jwt::KeySet::parse(keys).unwrap_or_default();
    let allowed = jwt::Algorithm::allowed(["RS256", "ES256", "ES512", "PS384", "EdDSA"]);
    let token = String::from_utf8_lossy(token);
    if let Ok(token) = jwt::SignedToken::parse(&token, &allowed) {
        let _ = keys.verifies(&token);
        if let Ok(claims) = token.claims() {
            let checked = claims.check(&jwt::Rules::default(), 1_000_000_000);
            let _ = checked.map_err(|error| error.to_string());
        }
    }
}

/// The answer of a server plugin. What it changes can be asked about again.
pub fn plugin_answer(data: &[u8]) {
    let Ok(Answer::Changed(Some(by))) = plugin::answer(data) else {
        return;
    };
    let user = UserInfo::default();
    replaced(
        by.clone(),
        LoginContent {
            login: Login::default(),
            client_address: String::new(),
        },
    );
    replaced(by.clone(), of(&user, NewProxy::default()));
    replaced(by.clone(), of(&user, NewWorkConn::default()));
    replaced(by, of(&user, Ping::default()));
}

fn of<M>(user: &UserInfo, message: M) -> OfUser<'_, M> {
    OfUser { user, message }
}

fn replaced(by: NewContent, mut content: impl Content) {
    if by.replace(&mut content).is_ok() {
        let request = plugin::request(&content).expect("a message is JSON");
        assert!(plugin::answer(&request).is_ok(), "and an object");
    }
}

/// An enciphered stream. The first byte picks the algorithm and where the rest is cut in two.
pub fn aead_open(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else {
        return;
    };
    let algorithm = if choice & 1 == 0 {
        Algorithm::Aes256Gcm
    } else {
        Algorithm::XChaCha20Poly1305
    };
    let (first, second) = stream.split_at(usize::from(choice >> 1).min(stream.len()));
    assert_eq!(
        open_all(algorithm, &[first, second]),
        open_all(algorithm, &[stream])
    );
}

/// The beginning of a TLS connection. The first byte says where the network cuts the rest in two.
pub fn sni(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let whole = HelloReader::default().read(stream);
    let first = stream.split_at(usize::from(cut).min(stream.len())).0;
    let mut reader = HelloReader::default();
    let in_pieces = match reader.read(first) {
        Ok(None) => reader.read(stream),
        done => done,
    };
    assert_eq!(in_pieces, whole, "cut at {}", first.len());
    if let Ok(Some(hello)) = whole {
        let name = hello.server_name.unwrap_or_default();
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
        );
    }
}

/// What a STUN server answers; the id of the question is taken from it.
pub fn stun(data: &[u8]) {
    let id = data.get(8..).and_then(|id| id.first_chunk());
    match read_answer(data, id.unwrap_or(&[7; 12])) {
        Some(Ok(_)) | None => {}
        Some(Err(AnswerError::Refused { code, reason })) => {
            assert!((300..700).contains(&code) && reason.chars().count() < 128);
        }
        Some(Err(other)) => assert!(!other.to_string().is_empty()),
    }
}

/// A datagram of a hole, in the open and enciphered; and addresses that a peer says, a line each.
pub fn nathole(data: &[u8]) {
    let key = cfb::Key::derive(b"abc");
    if let Ok(message) = datagram::open(data, &key) {
        // What is longer than frp sends cannot be sent on.
        if let Ok(sealed) = datagram::seal(&message, &key, [7; 16]) {
            assert_eq!(datagram::open(&sealed, &key).ok(), Some(message));
        }
    }
    let mut enciphered = [7; 16].to_vec();
    let mut plain = data.to_vec();
    cfb::Encryptor::new(&key, [7; 16]).encrypt(&mut plain);
    enciphered.extend(plain);
    let opened = datagram::open(&enciphered, &key);
    assert!(opened.is_ok() || opened.is_err_and(|e| !e.to_string().is_empty()));

    let text = String::from_utf8_lossy(data);
    let addresses: Vec<SocketAddr> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    let feature = classify(&addresses, &ips);
    assert_eq!(feature.is_ok(), addresses.len() > 1);
    for addr in addresses {
        if may_be_sent_to(addr, &[]) {
            let ip = addr.ip().to_canonical();
            assert!(!ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified());
        }
    }
}

fn read_all(protocol: WireProtocol, pieces: &[&[u8]]) -> (Vec<Message>, Option<String>) {
    let mut buf = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decode(protocol, &mut buf) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error.to_string())),
            }
        }
    }
    (messages, None)
}

fn open_all(algorithm: Algorithm, pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let Ok(mut opener) = Opener::new(algorithm, &Key::from_bytes([7; 32])) else {
        unreachable!("every 32 bytes are a key");
    };
    let (mut input, mut plain) = (BytesMut::new(), BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        if let Err(error) = opener.open(&mut input, &mut plain) {
            return (plain.to_vec(), Some(error.to_string()));
        }
    }
    (plain.to_vec(), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use frp_proto::crypto::aead::Sealer;
    use frp_proto::msg::{Login, Ping};
    use frp_proto::wire::hello::{Bootstrap, client_hello};

    /// Every cut, every truncation and every single changed byte of a good input.
    fn around(good: &[u8], run: impl Fn(&[u8])) {
        for choice in 0..=u8::MAX {
            run(&[&[choice], good].concat());
        }
        for at in 0..good.len() {
            run(&[&[at as u8], &good[..at]].concat());
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut bad = good.to_vec();
                bad[at] ^= flip;
                run(&[&[at as u8], bad.as_slice()].concat());
                run(&bad);
            }
        }
    }

    #[test]
    fn targets_hold_around_good_inputs() {
        let login = Login {
            user: "é<".to_owned(),
            pool_count: -1,
            ..Login::default()
        };
        for protocol in [WireProtocol::V1, WireProtocol::V2] {
            let mut stream = BytesMut::new();
            for message in [login.clone().into(), Ping::default().into()] {
                encode(protocol, &message, &mut stream).expect("short enough");
            }
            around(&stream, |data| messages(protocol, data));
        }

        around(
            &client_hello(Bootstrap::default(), [1; 32], true).to_payload(),
            hello,
        );

        // A ClientHello for `a.b` in two records.
        let mut tls = b"\x16\x03\x01\x00\x04\x01\x00\x00\x37\x16\x03\x01\x00\x37\x03\x03".to_vec();
        tls.extend([7; 32]);
        tls.extend(b"\x00\x00\x02\x13\x01\x01\x00\x00\x0c\x00\x00\x00\x08\x00\x06\x00\x00\x03a.b");
        let hello = HelloReader::default().read(&tls);
        assert!(matches!(hello, Ok(Some(hello)) if hello.server_name.as_deref() == Some("a.b")));
        around(&tls, sni);

        for algorithm in [Algorithm::Aes256Gcm, Algorithm::XChaCha20Poly1305] {
            let nonce = vec![3; algorithm.nonce_len()];
            let mut sealer =
                Sealer::new(algorithm, &Key::from_bytes([7; 32]), &nonce).expect("right length");
            let mut stream = BytesMut::new();
            sealer.seal(b"hello", &mut stream).expect("not exhausted");
            sealer.seal(b"world", &mut stream).expect("not exhausted");
            around(&stream, aead_open);
        }
    }
}
