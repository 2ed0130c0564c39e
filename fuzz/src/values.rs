//! Values within HTTP messages, commands and answers: short texts that strangers send.

use frp_config::cli::ssh_command;
use frp_http::basic::{Basic, Login};
use frp_http::client::{Outgoing, resolve};
use frp_http::fields::{Forwarding, join_cookies, pass_on, remove_hop_by_hop, upgrade_of};
use frp_http::host::{canonical_host, host_of, is_host, without_port};
use frp_http::web::path::{self, Query};
use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;

/// The bytes as a value of each kind, and as fields, a line each.
pub fn http(data: &[u8]) {
    if is_host(data) {
        assert!(without_port(data).len() <= data.len());
        assert!(
            !data
                .iter()
                .any(|byte| byte.is_ascii_control() || b" /?#@\\".contains(byte))
        );
    }
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let login = Login::new("me", "secret");
        let shown = Basic::parse(&value);
        let admitted = login.admits_header(Some(&value));
        assert!(!admitted || shown.is_some_and(|shown| shown.user() == "me"));
    }
    fields(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(authority) = text.parse::<Authority>() {
        let _ = canonical_host(host_of(&authority));
    }
    let _ = Query::parse(text).value("a");
    let clean = path::clean(text);
    assert_eq!(path::clean(&clean), clean);
    assert!(clean.starts_with('/') && !clean.split('/').any(|part| part == ".."));
    assert_eq!(
        path::decode(&path::encode(text), false).as_deref(),
        Some(text)
    );
    let _ = path::relative(text, "/to");
    let _ = Outgoing::get(text);
    let base = Uri::from_static("https://frps.example/a/b?c");
    if let Some(uri) = resolve(&base, text) {
        assert!(uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
    }
}

/// What is for this hop alone does not pass it.
fn fields(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic x"));
    let upgrade = upgrade_of(&headers);
    let mut bare = headers.clone();
    remove_hop_by_hop(&mut bare);
    assert!(!bare.contains_key("transfer-encoding") && !bare.contains_key("connection"));
    let host = HeaderValue::from_static("a.example");
    for how in [Forwarding::Drop, Forwarding::Keep, Forwarding::Add("https")] {
        let mut passed = headers.clone();
        join_cookies(&mut passed);
        pass_on(&mut passed, how, Some([127, 0, 0, 1].into()), &host);
        assert!(!passed.contains_key("transfer-encoding") && !passed.contains_key("keep-alive"));
        assert_eq!(passed.contains_key("upgrade"), upgrade.is_some());
        assert!(passed.get_all("cookie").iter().count() <= 1);
    }
}

/// What users of the ssh gateway and of tcpmux ask for, and what an issuer tells frps.
pub fn frps(data: &[u8]) {
    frps::fuzzed::issuer(data);
    frps::fuzzed::connect_request(data);
    if let Ok(text) = std::str::from_utf8(data) {
        match ssh_command(text) {
            Ok(command) => assert!(text.trim_start().starts_with(&command.proxy.proxy_type)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// What users of frpc's plugins ask for, and what an issuer answers.
pub fn frpc(data: &[u8]) {
    frpc::fuzzed::socks5(data);
    frpc::fuzzed::token_answer(data);
    frpc::fuzzed::static_file(&String::from_utf8_lossy(data));
}

/// What a running program answers to the commands that ask it.
pub fn ask(data: &[u8]) {
    frp_ask::fuzzed::answer(&String::from_utf8_lossy(data));
}
