//! Proxies by NTLM that answer in their own way.

use std::time::Duration;

use tokio::net::TcpListener;

use super::*;

/// NTLM's challenge of MS-NLMP, section 4.2.4.3.
const CHALLENGE: &str = "TlRMTVNTUAACAAAADAAMADgAAAAzgoriASNFZ4mrze8AAAAAAAAAACQAJABEAAAABgBwFwAAAA\
    9TAGUAcgB2AGUAcgACAAwARABvAG0AYQBpAG4AAQAMAFMAZQByAHYAZQByAAAAAAA=";

/// Asks a proxy that challenges with these fields, and lets through whoever then asks again.
async fn ask(fields: &str) -> Result<Stream, ProxyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let challenge = format!(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate {CHALLENGE}\r\n\
         {fields}\r\n"
    );
    let serving = tokio::spawn(async move {
        let (mut conn, _) = listener.accept().await.unwrap();
        for answer in [challenge.as_str(), "HTTP/1.1 200 OK\r\n\r\n"] {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match conn.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            conn.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let proxy = format!("ntlm://Domain%5CUser:Password@127.0.0.1:{port}")
        .parse::<ProxyUrl>()
        .unwrap();
    let options = DialOptions {
        timeout: Duration::from_secs(10),
        keepalive: None,
        local_ip: None,
    };
    let dialled = dial(&proxy, "frps.example", 7000, &options).await;
    serving.abort();
    dialled
}

#[tokio::test]
async fn a_challenge_without_a_length_has_no_body() {
    ask("").await.unwrap();
    ask("Proxy-Connection: keep-alive\r\n").await.unwrap();
    ask("Content-Length: 0\r\n").await.unwrap();
}

#[tokio::test]
async fn a_challenge_that_closes_the_connection_is_told_as_such() {
    let error = ask("Connection: close\r\n").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "with its NTLM challenge it closes the connection that NTLM needs"
    );
}
