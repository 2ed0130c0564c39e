//! Why a proxy on the way to the server gave no connection.

use std::io;

use frp_config::ClientConfig;
use frp_net::dial::DialError;
use frp_net::outbound_proxy::ProxyError;
use frp_net::outbound_proxy::socks5::SocksError;
use frp_proto::proxy_url::{ProxyScheme, ProxyUrl};

use super::explained::{Explained, explained, server, visible};
use crate::one_way::OneWay;

/// The setting that names the proxy.
pub(crate) fn setting(cfg: &ClientConfig) -> &'static str {
    if cfg.transport.proxy_from_environment {
        "the environment variable http_proxy"
    } else {
        "transport.proxyURL"
    }
}

pub(super) fn explain(proxy: &ProxyUrl, error: &ProxyError, cfg: &OneWay) -> Explained {
    let setting = setting(cfg);
    let what = format!("proxy {proxy}: {error}");
    let what: String = what.chars().flat_map(visible).collect();
    let because = |why: String, advice: String| explained(&what, why, advice);
    match error {
        ProxyError::Dial(e) => explain_unreached(&what, e, cfg),
        ProxyError::Trust(_) => because(
            "this machine trusts no certificate, so the proxy cannot be verified".to_owned(),
            "install ca-certificates, or set SSL_CERT_FILE".to_owned(),
        ),
        ProxyError::Tls(e) => match e.tls() {
            Some(rustls::Error::InvalidCertificate(_)) => because(
                "the certificate of the proxy is not trusted".to_owned(),
                format!(
                    "check the host in {setting}; a CA of your own can be named by SSL_CERT_FILE"
                ),
            ),
            _ => because(
                "the proxy does not speak TLS with us".to_owned(),
                format!("if it speaks plain HTTP, begin {setting} with http://"),
            ),
        },
        ProxyError::Io(_) => because(
            format!(
                "the proxy closed the connection when it was asked for {}",
                server(cfg)
            ),
            format!("check the scheme and the port in {setting}, and what the proxy allows"),
        ),
        ProxyError::TimedOut => because(
            format!(
                "the proxy was asked for {} and does not answer",
                server(cfg)
            ),
            format!(
                "check serverAddr and serverPort, which the proxy may be trying in vain, and the \
                 scheme and the port in {setting}"
            ),
        ),
        ProxyError::NoHttp(_) => because(
            "something else than an HTTP proxy answers there".to_owned(),
            format!("check the scheme and the port in {setting}"),
        ),
        ProxyError::TooLong => because(
            "no proxy answers CONNECT with so much".to_owned(),
            format!("check the host and the port in {setting}"),
        ),
        ProxyError::Refused { status, .. } => {
            let (why, advice) = refused(*status, proxy, cfg);
            because(why, advice)
        }
        ProxyError::Ntlm(_) => because(
            "the proxy and we do not understand each other's NTLM".to_owned(),
            format!("if it takes Basic credentials, begin {setting} with http://"),
        ),
        ProxyError::Socks(e) => {
            let (why, advice) = socks(e, proxy, cfg);
            because(why, advice)
        }
    }
}

fn explain_unreached(what: &str, error: &DialError, cfg: &OneWay) -> Explained {
    let setting = setting(cfg);
    match error {
        DialError::Resolve(_) | DialError::TimedOut { addr: None, .. } => explained(
            what,
            "the name of the proxy could not be resolved",
            format!("check {setting}, and the DNS of this machine or dnsServer"),
        ),
        DialError::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
            explained(
                what,
                "nothing listens on the port of the proxy",
                format!("check the port in {setting}, and that the proxy runs"),
            )
        }
        _ => explained(
            what,
            "the proxy cannot be reached",
            format!("check {setting} and the network of this machine"),
        ),
    }
}

/// What a status other than 200 means, and what to do.
fn refused(status: u16, proxy: &ProxyUrl, cfg: &OneWay) -> (String, String) {
    let setting = setting(cfg);
    match status {
        407 if proxy.login.is_none() => (
            "the proxy wants a user and a password".to_owned(),
            format!("put them into {setting}: scheme://user:password@host:port"),
        ),
        407 if proxy.scheme == ProxyScheme::Ntlm => (
            "the proxy does not accept user and password".to_owned(),
            format!(
                "check them in {setting} (a domain is written DOMAIN%5Cuser); if the proxy takes \
                 Basic credentials, begin it with http://"
            ),
        ),
        407 => (
            "the proxy does not accept user and password".to_owned(),
            format!(
                "check the user and password in {setting}; if the proxy takes NTLM only, begin it \
                 with ntlm://"
            ),
        ),
        400 | 403 | 405 => (
            format!("the proxy does not let anybody through to {}", server(cfg)),
            "many proxies allow port 443 only: set bindPort of frps to 443 and serverPort to it, \
             or ask who runs the proxy"
                .to_owned(),
        ),
        502..=504 => (
            format!("the proxy cannot reach {}", server(cfg)),
            "check serverAddr and serverPort, and that frps runs; the proxy resolves the name"
                .to_owned(),
        ),
        _ => (
            format!("the proxy gives no connection to {}", server(cfg)),
            format!("check that {setting} is a proxy that allows CONNECT"),
        ),
    }
}

fn socks(error: &SocksError, proxy: &ProxyUrl, cfg: &OneWay) -> (String, String) {
    let setting = setting(cfg);
    match error {
        SocksError::NoSocks(_) => (
            "something else than a SOCKS5 proxy answers there".to_owned(),
            format!("check the scheme and the port in {setting}"),
        ),
        SocksError::LoginWanted => (
            "the proxy wants a user and a password".to_owned(),
            format!("put them into {setting}: socks5://user:password@host:port"),
        ),
        SocksError::WrongPassword | SocksError::LoginLength => (
            "the proxy does not accept user and password".to_owned(),
            format!("check the user and password in {setting}"),
        ),
        SocksError::NoMethod | SocksError::Method(_) => (
            "the proxy and we have no way to log in in common".to_owned(),
            match proxy.login {
                Some(_) => format!("try {setting} without user and password"),
                None => "ask who runs the proxy".to_owned(),
            },
        ),
        SocksError::Refused(2) => (
            format!("the proxy does not let anybody through to {}", server(cfg)),
            "ask who runs the proxy, or try another bindPort".to_owned(),
        ),
        SocksError::Refused(_) | SocksError::NameLength => (
            format!("the proxy cannot reach {}", server(cfg)),
            "check serverAddr and serverPort, and that frps runs; the proxy resolves the name"
                .to_owned(),
        ),
    }
}
