//! What is said to a SOCKS5 proxy, and what its answers mean (RFC 1928 and 1929). Names are left to
//! the proxy to resolve, as in frp. Free of I/O; every answer has a length that is known before.

use std::net::IpAddr;

use frp_proto::address::without_brackets;
use frp_proto::proxy_url::ProxyLogin;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a SOCKS5 proxy gave no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// The first byte of an answer is another.
    #[error("its answer is no SOCKS5 (it begins with {0:#04x})")]
    NoSocks(u8),
    /// It takes neither what was offered.
    #[error("it wants a user and a password")]
    LoginWanted,
    /// It takes neither no login nor user and password.
    #[error("it takes no user and password")]
    NoMethod,
    /// A method that was not offered.
    #[error("it chose a way to log in that was not offered ({0})")]
    Method(u8),
    /// User or password are wrong.
    #[error("it does not accept user and password")]
    WrongPassword,
    /// User or password have no place in the message.
    #[error("SOCKS5 takes a user of 1 to 255 bytes and a password of up to 255")]
    LoginLength,
    /// The host name has no place in the message.
    #[error("SOCKS5 takes host names of up to 255 bytes")]
    NameLength,
    /// It was understood, and refused.
    #[error("{}", reply_text(*.0))]
    Refused(u8),
}

/// The reply codes in Go's words.
fn reply_text(code: u8) -> String {
    let text = match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        code => return format!("unknown code: {code}"),
    };
    text.to_owned()
}

/// The first message: which ways to log in are offered. The answer has 2 bytes.
pub fn greeting(login: Option<&ProxyLogin>) -> Vec<u8> {
    match login {
        None => vec![VERSION, 1, NO_LOGIN],
        Some(_) => vec![VERSION, 2, NO_LOGIN, USER_AND_PASSWORD],
    }
}

/// What the answer to the greeting asks for: the message that logs in, whose answer has 2 bytes, or
/// nothing.
///
/// # Errors
/// It is no SOCKS5, or there is no common way to log in.
pub fn after_greeting(
    answer: [u8; 2],
    login: Option<&ProxyLogin>,
) -> Result<Option<Vec<u8>>, SocksError> {
    match (answer, login) {
        ([VERSION, NO_LOGIN], _) => Ok(None),
        ([VERSION, USER_AND_PASSWORD], Some(login)) => login_message(login).map(Some),
        ([VERSION, NO_METHOD], None) => Err(SocksError::LoginWanted),
        ([VERSION, NO_METHOD], Some(_)) => Err(SocksError::NoMethod),
        ([VERSION, method], _) => Err(SocksError::Method(method)),
        ([other, _], _) => Err(SocksError::NoSocks(other)),
    }
}

fn login_message(login: &ProxyLogin) -> Result<Vec<u8>, SocksError> {
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| SocksError::LoginLength);
    let (user, password) = (length(&login.user)?, length(&login.password)?);
    if user == 0 {
        return Err(SocksError::LoginLength);
    }
    let mut message = vec![LOGIN_VERSION, user];
    message.extend(login.user.as_bytes());
    message.push(password);
    message.extend(login.password.as_bytes());
    Ok(message)
}

/// Whether the login was accepted.
///
/// # Errors
/// It was not.
pub fn after_login(answer: [u8; 2]) -> Result<(), SocksError> {
    match answer {
        [_, 0] => Ok(()),
        _ => Err(SocksError::WrongPassword),
    }
}

/// The request for a connection to `host:port`. The answer begins with [`REPLY_HEAD`] bytes.
///
/// # Errors
/// The name is too long.
pub fn request(host: &str, port: u16) -> Result<Vec<u8>, SocksError> {
    let host = without_brackets(host);
    let mut message = vec![VERSION, CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            message.push(IPV4);
            message.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            message.push(IPV6);
            message.extend(ip.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| SocksError::NameLength)?;
            message.extend([NAME, length]);
            message.extend(host.as_bytes());
        }
    }
    message.extend(port.to_be_bytes());
    Ok(message)
}

/// Bytes of the answer to the request that are read first.
pub const REPLY_HEAD: usize = 5;

/// How many more bytes belong to the answer: an address and a port that mean nothing here.
///
/// # Errors
/// It was refused, or is no SOCKS5.
pub fn after_request(head: [u8; REPLY_HEAD]) -> Result<usize, SocksError> {
    match head {
        [VERSION, 0, _, IPV4, _] => Ok(3 + 2),
        [VERSION, 0, _, IPV6, _] => Ok(15 + 2),
        [VERSION, 0, _, NAME, length] => Ok(usize::from(length) + 2),
        [VERSION, 0, ..] => Err(SocksError::Refused(8)),
        [VERSION, code, ..] => Err(SocksError::Refused(code)),
        [other, ..] => Err(SocksError::NoSocks(other)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> ProxyLogin {
        ProxyLogin {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn messages_are_those_of_the_rfcs() {
        let me = login("me", "pw");
        assert_eq!(greeting(None), [5, 1, 0]);
        assert_eq!(greeting(Some(&me)), [5, 2, 0, 2]);
        assert_eq!(after_greeting([5, 0], Some(&me)), Ok(None));
        assert_eq!(
            after_greeting([5, 2], Some(&me)),
            Ok(Some(b"\x01\x02me\x02pw".to_vec()))
        );
        assert_eq!(
            request("a.b", 7000).unwrap(),
            b"\x05\x01\0\x03\x03a.b\x1b\x58"
        );
        assert_eq!(
            request("10.0.0.1", 80).unwrap(),
            b"\x05\x01\0\x01\x0a\0\0\x01\0\x50"
        );
        let v6 = request("[::1]", 80).unwrap();
        assert_eq!(
            v6,
            b"\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50"
        );
        assert_eq!(after_request([5, 0, 0, 1, 0]), Ok(5));
        assert_eq!(after_request([5, 0, 0, 4, 0]), Ok(17));
        assert_eq!(after_request([5, 0, 0, 3, 9]), Ok(11));
    }

    #[test]
    fn refusals_are_told_apart() {
        let me = login("me", "pw");
        assert_eq!(after_greeting([5, 255], None), Err(SocksError::LoginWanted));
        assert_eq!(
            after_greeting([5, 255], Some(&me)),
            Err(SocksError::NoMethod)
        );
        assert_eq!(after_greeting([5, 2], None), Err(SocksError::Method(2)));
        assert_eq!(
            after_greeting([b'H', b'T'], None),
            Err(SocksError::NoSocks(b'H'))
        );
        assert_eq!(after_login([1, 1]), Err(SocksError::WrongPassword));
        assert_eq!(after_login([1, 0]), Ok(()));
        assert_eq!(after_request([5, 2, 0, 1, 0]), Err(SocksError::Refused(2)));
        assert_eq!(after_request([4, 0, 0, 1, 0]), Err(SocksError::NoSocks(4)));
        let refused = SocksError::Refused(5).to_string();
        assert_eq!(refused, "connection refused");
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let asks =
            |user: &str, password: &str| after_greeting([5, 2], Some(&login(user, password)));
        let long = "x".repeat(256);
        assert!(asks("x", &long[1..]).is_ok());
        for (user, password) in [("", "x"), (long.as_str(), ""), ("x", long.as_str())] {
            assert_eq!(asks(user, password), Err(SocksError::LoginLength));
        }
        assert_eq!(request(&long, 1), Err(SocksError::NameLength));
    }
}
