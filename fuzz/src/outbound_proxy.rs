//! Parsers on the way to frps, of `frp-net` and `frp-proto`.

use frp_net::outbound_proxy::ntlm::Challenge;
use frp_net::outbound_proxy::{http_connect, socks5};
use frp_net::resolve::dns::{self, Family, Reply};
use frp_proto::proxy_url::{ProxyLogin, ProxyUrl};

/// The bytes as each of the answers that frpc reads on its way out, and as a proxy's URL.
pub fn answers(data: &[u8]) {
    let _ = http_connect::parse(data);
    let _ = http_connect::chunk_size(data);
    assert!(http_connect::head_lacks(data).is_none_or(|lacks| lacks > 0));
    let login = ProxyLogin {
        user: String::from_utf8_lossy(data).into_owned(),
        password: "secret".to_owned(),
    };
    if let Ok(challenge) = Challenge::parse(data) {
        let _ = challenge.answer(&login, [1; 8], 2);
    }
    if let Some(&[a, b, c, d, e]) = data.first_chunk() {
        let _ = socks5::after_greeting([a, b], Some(&login));
        let _ = socks5::after_request([a, b, c, d, e]);
    }
    if let Ok(question) = dns::question(0, "frps.example", Family::V4)
        && let Ok(Reply::Addresses(found)) = dns::reply(data, &question)
    {
        assert!(found.len() <= data.len() / 12);
    }
    if let Some(url) = std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<ProxyUrl>().ok())
    {
        let shown = url.to_string().replace("***@", "");
        let again: Result<ProxyUrl, _> = shown.parse();
        let place = |url: &ProxyUrl| (url.scheme, url.host.clone(), url.port);
        assert_eq!(again.as_ref().map(place), Ok(place(&url)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_neighbourhood_of_good_answers(
            kind in 0..4usize,
            behind in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let fronts: [&[u8]; 4] = [
                b"HTTP/1.1 407 No\r\nProxy-Authenticate: ",
                b"NTLMSSP\0\x02\0\0\0\x0c\0\x0c\0\x38\0\0\0\x33\x82\x8a\xe2",
                b"\0\0\x81\x80\0\x01\0\x01\0\0\0\0\x04frps\x07example\0\0\x01\0\x01",
                b"http://me:secret@",
            ];
            super::answers(&[fronts[kind], &behind].concat());
        }
    }
}
