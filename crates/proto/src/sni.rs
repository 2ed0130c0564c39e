//! Which server a TLS client asks for: the `server_name` of its ClientHello (RFC 6066, section 3;
//! RFC 8446, section 4.1.2). Nothing is decrypted and nothing is answered; the bytes are only looked
//! at.

use thiserror::Error;

/// The longest ClientHello that is read, bytes of the handshake message. Real ones have 200 to 2000;
/// Go's TLS, which frp reads them with, stops at the same length.
pub const MAX_CLIENT_HELLO: usize = 64 * 1024;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const MAX_RECORD: usize = 16 * 1024;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// What a ClientHello says of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// In lower case; `None` where the client names none, as one that was given an address does.
    pub server_name: Option<String>,
}

/// Why the first bytes of a connection are no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HelloError {
    /// Not TLS at all, or not its beginning.
    #[error("first record does not look like a TLS handshake")]
    NotTls,
    /// A record that TLS does not allow.
    #[error("TLS record of {0} bytes in a ClientHello")]
    Record(usize),
    /// More than [`MAX_CLIENT_HELLO`].
    #[error("ClientHello of {0} bytes, at most {MAX_CLIENT_HELLO} are read")]
    TooLong(usize),
    /// Lengths that do not add up.
    #[error("malformed ClientHello")]
    Malformed,
    /// Two names, or one that is no host name: what the server behind would make of it is unknown.
    #[error("malformed server name in ClientHello")]
    ServerName,
}

/// Reads a ClientHello that comes in pieces, each byte once.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Bytes of the connection that have been read.
    at: usize,
    /// Those that are left of the current record.
    record: usize,
    message: Vec<u8>,
}

impl HelloReader {
    /// What the hello says, once it is complete. `all` is everything that the connection has sent,
    /// from its beginning; it only grows from call to call.
    ///
    /// # Errors
    /// The connection cannot be routed. Later calls are not meaningful.
    pub fn read(&mut self, all: &[u8]) -> Result<Option<Hello>, HelloError> {
        loop {
            if let Some(body) = self.body()? {
                return parse(body).map(Some);
            }
            let rest = all.get(self.at..).unwrap_or_default();
            if self.record > 0 {
                let n = rest.len().min(self.record);
                if n == 0 {
                    return Ok(None);
                }
                self.message
                    .extend_from_slice(rest.get(..n).unwrap_or_default());
                self.record -= n;
                self.at += n;
                continue;
            }
            // As early as the byte is there: who sends something else is not kept waiting.
            if matches!(rest, [kind, ..] if *kind != HANDSHAKE)
                || matches!(rest, [_, major, ..] if *major != 3)
            {
                return Err(HelloError::NotTls);
            }
            let [_, _, _, high, low, ..] = rest else {
                return Ok(None);
            };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length == 0 || length > MAX_RECORD {
                return Err(HelloError::Record(length));
            }
            self.record = length;
            self.at += RECORD_HEADER;
        }
    }

    /// The body of the message, if it is all there.
    fn body(&self) -> Result<Option<&[u8]>, HelloError> {
        if self
            .message
            .first()
            .is_some_and(|kind| *kind != CLIENT_HELLO)
        {
            return Err(HelloError::NotTls);
        }
        let [_, a, b, c, body @ ..] = self.message.as_slice() else {
            return Ok(None);
        };
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if length + MESSAGE_HEADER > MAX_CLIENT_HELLO {
            return Err(HelloError::TooLong(length));
        }
        Ok(body.get(..length))
    }
}

fn parse(body: &[u8]) -> Result<Hello, HelloError> {
    let mut hello = Input(body);
    hello.take(2)?; // legacy_version
    hello.take(32)?; // random
    let session_id = hello.u8()?;
    hello.take(session_id.into())?;
    let cipher_suites = hello.u16()?;
    hello.take(cipher_suites.into())?;
    let compression_methods = hello.u8()?;
    hello.take(compression_methods.into())?;
    if cipher_suites == 0 || cipher_suites % 2 != 0 || compression_methods == 0 {
        return Err(HelloError::Malformed);
    }
    let mut found = Hello { server_name: None };
    if hello.0.is_empty() {
        return Ok(found);
    }
    let length = hello.u16()?;
    let mut extensions = Input(hello.take(length.into())?);
    if !hello.0.is_empty() {
        return Err(HelloError::Malformed);
    }
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let length = extensions.u16()?;
        let content = extensions.take(length.into())?;
        if kind == SERVER_NAME {
            let name = server_name(Input(content))?;
            if found.server_name.replace(name).is_some() {
                return Err(HelloError::ServerName);
            }
        }
    }
    Ok(found)
}

fn server_name(mut extension: Input<'_>) -> Result<String, HelloError> {
    let length = extension.u16()?;
    let mut list = Input(extension.take(length.into())?);
    if !extension.0.is_empty() || list.0.is_empty() {
        return Err(HelloError::Malformed);
    }
    let mut found = None;
    while !list.0.is_empty() {
        let kind = list.u8()?;
        let length = list.u16()?;
        let name = list.take(length.into())?;
        if kind == HOST_NAME && found.replace(name).is_some() {
            return Err(HelloError::ServerName);
        }
    }
    let name = found.ok_or(HelloError::ServerName)?;
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return Err(HelloError::ServerName);
    }
    Ok(name
        .iter()
        .map(|b| char::from(b.to_ascii_lowercase()))
        .collect())
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], HelloError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(HelloError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, HelloError> {
        let (first, rest) = self.0.split_first().ok_or(HelloError::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, HelloError> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }
}
