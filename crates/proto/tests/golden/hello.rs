//! The v2 handshake, and the keys that come of it.

use bytes::BytesMut;
use frp_proto::crypto::aead::{Algorithm, Key, Keys};
use frp_proto::wire::hello::{
    Bootstrap, ClientHello, ServerHello, check, client_hello, select, transcript_hash,
};
use frp_proto::wire::v2::{FrameKind, decode_frame, encode_frame};

use super::{array, bytes, error, hex, text, vectors};

#[test]
fn handshakes_are_frps_byte_for_byte() {
    for vector in vectors("hello", "handshakes", 5) {
        let bootstrap = Bootstrap {
            transport: text(&vector, "transport").to_owned(),
            tls: vector["tls"].as_bool().unwrap(),
            tcp_mux: vector["tcp_mux"].as_bool().unwrap(),
        };
        let algorithms = vector["algorithms"].as_array().unwrap();
        let mut client = client_hello(
            bootstrap,
            array(&vector, "client_random"),
            algorithms[0] == "aes-256-gcm",
        );
        // Some vectors hold lists that no client of ours sends.
        client.capabilities.crypto.algorithms = algorithms
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        let client_payload = client.to_payload();
        assert_eq!(client_payload, text(&vector, "client_hello_json"));
        assert_frame(
            FrameKind::ClientHello,
            &client_payload,
            text(&vector, "client_hello_frame"),
        );

        let received = ClientHello::from_payload(&client_payload).unwrap();
        assert_eq!(received, client);
        let server = select(&received, array(&vector, "server_random")).unwrap();
        let server_payload = server.to_payload();
        assert_eq!(server_payload, text(&vector, "server_hello_json"));
        assert_frame(
            FrameKind::ServerHello,
            &server_payload,
            text(&vector, "server_hello_frame"),
        );

        let received = ServerHello::from_payload(&server_payload).unwrap();
        assert_eq!(
            check(&client, &received).unwrap().as_str(),
            vector["selected_algorithm"]
        );

        let transcript = transcript_hash(&client_payload, &server_payload);
        assert_eq!(hex(&transcript), text(&vector, "transcript_hash"));
        for keys in vector["keys"].as_array().unwrap() {
            let algorithm = Algorithm::parse(text(keys, "algorithm")).unwrap();
            let derived = Keys::derive(algorithm, text(keys, "token").as_bytes(), &transcript);
            assert_eq!(
                derived.client_to_server,
                Key::from_bytes(array(keys, "client_to_server"))
            );
            assert_eq!(
                derived.server_to_client,
                Key::from_bytes(array(keys, "server_to_client"))
            );
        }
    }
}

#[test]
fn has_aes_decides_the_order_offered() {
    let offered = |aes| {
        client_hello(Bootstrap::default(), [0; 32], aes)
            .capabilities
            .crypto
            .algorithms
    };
    assert_eq!(offered(true), ["aes-256-gcm", "xchacha20-poly1305"]);
    assert_eq!(offered(false), ["xchacha20-poly1305", "aes-256-gcm"]);
}

#[test]
fn server_judges_clients_as_frps_does() {
    for vector in vectors("hello", "server_judges_client_hello", 10) {
        let client = ClientHello::from_payload(text(&vector, "json").as_bytes()).unwrap();
        let result = select(&client, [1; 32]);
        assert_eq!(
            result.err().map(|error| error.to_string()).as_deref(),
            error(&vector)
        );
    }
}

#[test]
fn client_judges_servers_as_frpc_does() {
    for vector in vectors("hello", "client_judges_server_hello", 6) {
        let (client_json, server_json) = (
            text(&vector, "client_hello_json"),
            text(&vector, "server_hello_json"),
        );
        let client = ClientHello::from_payload(client_json.as_bytes()).unwrap();
        let server = ServerHello::from_payload(server_json.as_bytes()).unwrap();
        let result = check(&client, &server);
        if result.is_ok() {
            let hash = transcript_hash(client_json.as_bytes(), server_json.as_bytes());
            assert_eq!(hex(&hash), text(&vector, "transcript_hash"));
        }
        assert_eq!(
            result.err().map(|error| error.to_string()).as_deref(),
            error(&vector)
        );
    }
}

#[test]
fn a_refusal_is_seen_as_such() {
    let client = ClientHello::default();
    let reason = select(&client, [1; 32]).unwrap_err();
    let refusal = ServerHello::from_payload(&ServerHello::refusal(&reason).to_payload()).unwrap();
    let told = check(&client, &refusal).unwrap_err().to_string();
    assert!(told.contains("unsupported message codec"), "{told}");

    let vector = &vectors("hello", "other_server_hellos", 2)[0];
    let from_frp = ServerHello::from_payload(text(vector, "json").as_bytes()).unwrap();
    assert_eq!(check(&client, &from_frp).unwrap_err().to_string(), told);
}

#[test]
fn transcripts_hash_as_in_frp() {
    for vector in vectors("hello", "transcripts", 5) {
        let hash = transcript_hash(
            &bytes(&vector, "client_payload"),
            &bytes(&vector, "server_payload"),
        );
        assert_eq!(hex(&hash), text(&vector, "hash"));
    }
}

fn assert_frame(kind: FrameKind, payload: &[u8], expected: &str) {
    let mut out = BytesMut::new();
    encode_frame(kind, payload, &mut out).unwrap();
    assert_eq!(hex(&out), expected);
    let frame = decode_frame(&mut out).unwrap().unwrap();
    assert_eq!((frame.kind, frame.payload.as_ref()), (kind, payload));
    assert!(out.is_empty());
}
