//! [`TlsSession`] against rustls's buffered connections, in memory.

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, Connection, ServerConnection, SupportedProtocolVersion};

use super::session::{Ended, Order, Plain, TlsSession};
use crate::outgoing::Outgoing;

use super::{AnyServer, provider, self_signed};

/// Our end with its input, as a pipe keeps it.
struct End {
    session: TlsSession,
    held: Vec<u8>,
    plain: BytesMut,
    out: Outgoing,
    peer_closed: bool,
}

impl End {
    fn run(&mut self, came: &[u8], order: &Order<'_>) -> Result<Ended, rustls::Error> {
        self.held.extend_from_slice(came);
        let mut plain = Plain {
            reader: None,
            rest: &mut self.plain,
        };
        let run = self
            .session
            .run(&mut self.held, &mut plain, &mut self.out, order);
        self.held.drain(..run.used);
        self.peer_closed |= run.peer_closed;
        run.result
    }

    fn write(&mut self, slices: &[&[u8]]) -> usize {
        let slices: Vec<_> = slices.iter().map(|s| IoSlice::new(s)).collect();
        match self.run(&[], &Order::Write(&slices)).unwrap() {
            Ended::Done(n) => n,
            Ended::Waiting => panic!("not ready to write"),
        }
    }
}

fn pair(we_are_server: bool, version: &'static SupportedProtocolVersion) -> (End, Connection) {
    let own = SingleCertAndKey::from(self_signed().unwrap());
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(own));
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_no_client_auth();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let name = ServerName::try_from("frps").unwrap();
    let (session, peer) = if we_are_server {
        let ours = TlsSession::server(server).unwrap();
        let peer = ClientConnection::new(client, name).unwrap();
        (ours, Connection::Client(peer))
    } else {
        let ours = TlsSession::client(client, name).unwrap();
        let peer = ServerConnection::new(server).unwrap();
        (ours, Connection::Server(peer))
    };
    let end = End {
        session,
        held: Vec::new(),
        plain: BytesMut::new(),
        out: Outgoing::default(),
        peer_closed: false,
    };
    (end, peer)
}

/// Moves what both have to say until both are silent; ours arrives in pieces of the lengths given.
fn exchange(
    end: &mut End,
    peer: &mut Connection,
    cuts: &mut impl Iterator<Item = usize>,
) -> Vec<u8> {
    let mut got = Vec::new();
    end.run(&[], &Order::Nothing).unwrap();
    loop {
        let ours = end.out.take_bytes();
        let mut from = &ours[..];
        while !from.is_empty() {
            peer.read_tls(&mut from).unwrap();
            peer.process_new_packets().unwrap();
            let mut buf = [0; 64 * 1024];
            while let Ok(n @ 1..) = peer.reader().read(&mut buf) {
                got.extend_from_slice(&buf[..n]);
            }
        }
        let theirs = said_by(peer);
        if ours.is_empty() && theirs.is_empty() {
            return got;
        }
        let mut rest = &theirs[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap_or(usize::MAX).min(rest.len()));
            end.run(now, &Order::Nothing).unwrap();
            rest = later;
        }
    }
}

fn said_by(peer: &mut Connection) -> Vec<u8> {
    let mut said = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut said).unwrap();
    }
    said
}

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn version() -> impl Strategy<Value = &'static SupportedProtocolVersion> {
    prop_oneof![Just(&TLS12), Just(&TLS13)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn records_may_be_cut_anywhere(
        we_are_server: bool,
        version in version(),
        cuts in prop::collection::vec(1usize..3000, 1..40),
        theirs in prop::collection::vec(1usize..40_000, 1..6),
        ours in prop::collection::vec(0usize..40_000, 1..6),
        update_keys: bool,
    ) {
        let (mut end, mut peer) = pair(we_are_server, version);
        peer.set_buffer_limit(None);
        let mut cuts = cuts.into_iter().cycle();
        exchange(&mut end, &mut peer, &mut cuts);
        prop_assert!(!end.session.common().is_handshaking());

        let mut sent = Vec::new();
        for n in theirs {
            let data = pattern(n);
            peer.writer().write_all(&data).unwrap();
            sent.extend(data);
            if update_keys && version.version == TLS13.version {
                peer.refresh_traffic_keys().unwrap();
            }
        }
        let data: Vec<_> = ours.iter().map(|&n| pattern(n)).collect();
        let slices: Vec<_> = data.iter().map(|d| &d[..]).collect();
        let written = end.write(&slices);
        let got = exchange(&mut end, &mut peer, &mut cuts);
        let all = data.concat();
        prop_assert_eq!(written, all.len());
        prop_assert!(got == all);
        prop_assert!(end.plain == sent);

        // With the new keys, too.
        end.write(&[b"after"]);
        prop_assert_eq!(exchange(&mut end, &mut peer, &mut cuts), b"after");

        peer.send_close_notify();
        exchange(&mut end, &mut peer, &mut cuts);
        prop_assert!(end.peer_closed);
        end.write(&[b"still"]);
        prop_assert_eq!(exchange(&mut end, &mut peer, &mut cuts), b"still");
        prop_assert!(end.held.is_empty());
    }

    #[test]
    fn foreign_bytes_never_panic(
        we_are_server: bool,
        established: bool,
        version in version(),
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6),
        record_type in 20u8..25,
    ) {
        let (mut end, mut peer) = pair(we_are_server, version);
        if established {
            exchange(&mut end, &mut peer, &mut std::iter::empty());
        }
        for part in parts {
            let mut record = vec![record_type, 3, 3, 0, part.len() as u8];
            record.extend(part);
            let _ = end.run(&record, &Order::Nothing);
            let _ = end.run(&[], &Order::Write(&[IoSlice::new(b"data")]));
        }
        let _ = end.run(&[], &Order::Close);
    }
}

#[test]
fn a_changed_record_is_an_error_and_the_peer_is_told() {
    for (we_are_server, version) in [
        (true, &TLS12),
        (false, &TLS12),
        (true, &TLS13),
        (false, &TLS13),
    ] {
        let (mut end, mut peer) = pair(we_are_server, version);
        exchange(&mut end, &mut peer, &mut std::iter::empty());
        peer.writer().write_all(b"good").unwrap();
        let mut bytes = said_by(&mut peer);
        peer.writer().write_all(b"changed on its way").unwrap();
        let mut changed = said_by(&mut peer);
        *changed.last_mut().unwrap() ^= 1;
        bytes.extend(changed);
        let error = end.run(&bytes, &Order::Nothing).unwrap_err();
        assert_eq!(error, rustls::Error::DecryptError);
        assert_eq!(&end.plain[..], b"good");
        let alert = end.out.take_bytes();
        peer.read_tls(&mut &alert[..]).unwrap();
        let told = peer.process_new_packets().unwrap_err();
        assert_eq!(
            told,
            rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)
        );
    }
}

#[test]
fn headers_and_bodies_fill_records() {
    let (mut end, mut peer) = pair(true, &TLS13);
    exchange(&mut end, &mut peer, &mut std::iter::empty());
    let (header, body) = ([7; 12], pattern(64 * 1024));
    let slices = [&header[..], &body, &header, &body, &header, &body];
    let all = slices.concat();
    let written = end.write(&slices);
    assert_eq!(written, all.len());
    let wire = end.out.take_bytes();
    // 22 bytes a record; 13 records hold it.
    assert_eq!(wire.len(), all.len() + 13 * 22);
}
