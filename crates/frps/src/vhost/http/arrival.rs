//! What a user's first bytes tell: which HTTP it speaks, and on which thread it is best served.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use frp_net::listen::limit_unsent;
use frp_net::rewind::Rewind;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::shared::Shared;

/// How an HTTP/2 connection of prior knowledge begins (RFC 9113, section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// As much as most first requests have.
const FIRST_READ: usize = 4096;

/// A connection whose first bytes are known.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) is_h2: bool,
    first: Bytes,
    conn: TcpStream,
}

impl Arrival {
    /// Reads just enough to tell HTTP/2 from HTTP/1, which mostly is a whole request.
    pub(super) async fn read(conn: Rewind<TcpStream>) -> io::Result<Self> {
        let (prefix, mut conn) = conn.into_parts();
        let mut first = BytesMut::from(prefix);
        let is_h2 = loop {
            if first.starts_with(H2_PREFACE) {
                break true;
            }
            if !H2_PREFACE.starts_with(&first) {
                break false;
            }
            first.reserve(FIRST_READ);
            if conn.read_buf(&mut first).await? == 0 {
                break false;
            }
        };
        limit_unsent(&conn);
        Ok(Self {
            is_h2,
            first: first.freeze(),
            conn,
        })
    }

    /// The thread of whoever serves the first request, which mostly serves the others, too: there,
    /// the user and its work connections wake each other without a system call. Any thread where
    /// that is not plain to see.
    pub(super) fn home(&self, shared: &Arc<Shared>) -> Handle {
        let proxy = destination(&self.first).and_then(|(host, path)| {
            let target = shared.vhosts.http.router.find(host, path, "")?;
            target.members.first()
        });
        match proxy {
            Some(proxy) => proxy.thread.handle().clone(),
            None => shared.threads.next().handle().clone(),
        }
    }

    /// Has the connection wake tasks of `home`.
    pub(super) fn settle(self, home: &Handle) -> io::Result<(bool, Rewind<TcpStream>)> {
        let conn = if home.id() == Handle::current().id() {
            self.conn
        } else {
            let conn = self.conn.into_std()?;
            let _inside = home.enter();
            TcpStream::from_std(conn)?
        };
        Ok((self.is_h2, Rewind::new(self.first, conn)))
    }
}

/// Host and path of an HTTP/1 request, if they are in `first`. A hint: the request itself is read
/// by hyper.
fn destination(first: &[u8]) -> Option<(&str, &str)> {
    let text = match std::str::from_utf8(first) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(first.get(..e.valid_up_to())?).ok()?,
    };
    let mut lines = text.split_inclusive("\r\n");
    let path = lines.next()?.split(' ').nth(1)?;
    for line in lines {
        let line = line.strip_suffix("\r\n")?;
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("host") {
            return Some((value.trim(), path));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::destination;

    #[test]
    fn host_and_path_are_seen_where_they_are_whole() {
        let request = "GET /a?b HTTP/1.1\r\nX: \u{e4}\r\nhOST:  a.test:80 \r\n";
        assert_eq!(destination(request.as_bytes()), Some(("a.test:80", "/a?b")));
        for other in [
            "",
            "G",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a.te",
            "GET / HTTP/1.1\r\n\r\nHost: a.test\r\n",
            "rubbish\r\nHost: a.test\r\n",
        ] {
            assert_eq!(destination(other.as_bytes()), None, "{other}");
        }
    }
}
