//! What do the fuzz targets try of frpc that nobody else may call? A finding is a panic.

use crate::plugin::socks5::address::{Address, Numbering};
use crate::plugin::socks5::udp::{over_tcp_version, packet};

/// An address of SOCKS5, and datagrams within a stream. What was read is the same when it is written.
pub fn socks5(bytes: &[u8]) {
    if let Ok(Some((address, rest))) = Address::parse(bytes, Numbering::Socks) {
        let _ = over_tcp_version(&address);
        let mut written = Vec::new();
        address.write(&mut written);
        let again = Address::parse(&written, Numbering::Socks);
        assert!(again.is_ok_and(|again| again == Some((address.clone(), &[][..]))));
        if let Ok(Some((to, len, heading))) = packet(rest, Some(&address)) {
            assert!(to == address && heading + len <= rest.len());
        }
    }
    let mut rest = bytes;
    while let Ok(Some((_, len, heading))) = packet(rest, None) {
        rest = rest.get(heading + len..).expect("a whole datagram");
    }
}

/// The path and the ranges that a user of `static_file` asks for: nothing leads out of the root.
#[cfg(feature = "http")]
pub fn static_file(text: &str) {
    use std::path::{Component, Path};

    use crate::plugin::static_file::{path, range};

    const LEN: u64 = 1_000;
    if let range::Wanted::Ranges(ranges) = range::ranges(text, LEN) {
        assert!(
            ranges
                .iter()
                .all(|(start, len)| *len > 0 && start + len <= LEN)
        );
    }
    let Some(decoded) = path::decode(text) else {
        return;
    };
    assert_eq!(
        path::decode(&path::encode(&decoded)).as_deref(),
        Some(&*decoded)
    );
    let clean = path::clean(&decoded);
    assert_eq!(path::clean(&clean), clean);
    for path in [&decoded, &clean] {
        if let Some(local) = path::local(Path::new("/root"), path) {
            let below = local.strip_prefix("/root").expect("below the root");
            assert!(
                below
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)))
            );
        }
    }
}

/// What the token endpoint of an issuer answers; the first byte says with which status and as what.
#[cfg(feature = "oidc")]
pub fn token_answer(data: &[u8]) {
    use frp_http::client::Answer;
    use hyper::StatusCode;
    use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

    use crate::auth::endpoint::read;

    let Some((&how, body)) = data.split_first() else {
        return;
    };
    let kind = ["application/json", "text/plain"][usize::from(how & 1)];
    let answer = Answer {
        status: if how & 2 == 0 {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        },
        headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]),
        body: body.to_vec().into(),
    };
    if let Err(refused) = read(&answer) {
        assert!(
            refused.to_string().lines().count() <= 1,
            "one line of the log"
        );
    }
}

/// The system's table of routes.
#[cfg(feature = "xtcp")]
pub fn routes(table: &str) {
    let _ = crate::port_mapping::router::default_of(table);
}

/// The file of known servers. Each key in it is good for its server, and no other is.
pub fn known_servers(content: &[u8]) {
    use frp_proto::fingerprint::Fingerprint;

    use crate::known_servers::{Book, Server};

    let book = Book::parse(content);
    let stranger: Fingerprint = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        .parse()
        .expect("a fingerprint");
    for (server, key) in book.known() {
        let server = Server {
            name: server.to_owned(),
            beside: Vec::new(),
        };
        let file = std::path::Path::new("known_servers");
        assert!(matches!(book.check(&server, key, file), Ok(true)));
        if book.known().all(|(_, known)| known != stranger) {
            let refused = book.check(&server, stranger, file);
            assert!(refused.is_err_and(|refusal| !refusal.to_string().is_empty()));
        }
    }
}

/// The log of a ssh server, as a file and as the journal gives it. How it comes in pieces says nothing, nor does what
/// somebody calls himself of where he comes from.
pub fn sshd_log(data: &[u8]) {
    use std::net::SocketAddr;

    use crate::sshd::journal::entry;
    use crate::sshd::line::{Said, of_file, of_message};
    use crate::sshd::tail::Cut;

    let cut = |step: usize| {
        let (mut cut, mut lines) = (Cut::default(), Vec::new());
        for piece in data.chunks(step) {
            cut.take(piece, &mut lines);
        }
        lines
    };
    let lines = cut(data.len().max(1));
    for step in [1, 7] {
        assert_eq!(cut(step), lines, "by {step}");
    }
    let seven = SocketAddr::from(([192, 0, 2, 7], 50123));
    for line in &lines {
        let line = line.trim_end();
        let (file, journal) = (of_file(line), entry(line));
        let said = [file, journal].into_iter().flatten().map(|(_, said)| said);
        for said in said.chain(of_message(line)) {
            assert_eq!(said.peer.is_none(), said.said == Said::Pam);
        }
        let failed = format!("Failed password for {line} from 192.0.2.7 port 50123 ssh2");
        let read = of_message(&failed).expect("a wrong password");
        assert!(read.said == Said::WrongPassword && read.peer == Some(seven));
        let invalid = format!("Invalid user {line} from 192.0.2.7 port 50123");
        let read = of_message(&invalid).expect("a name that nobody has");
        assert!(read.said == Said::NoSuchUser && read.peer == Some(seven));
    }
}
