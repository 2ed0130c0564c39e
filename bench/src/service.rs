//! What the service answers to HTTP requests, and where it takes datagrams.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};

/// Bytes of the page that every request is answered with, and what each of them is.
pub(crate) const BODY: usize = 1024;
/// See [`BODY`].
pub(crate) const FILL: u8 = b'x';

/// Answers requests without a body until frpc closes the connection; `n` bytes of the first are
/// in `buf`.
pub(crate) fn answer(mut stream: &TcpStream, buf: &mut [u8], mut n: usize) -> io::Result<()> {
    let mut page = format!(
        "HTTP/1.1 200 OK\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: {BODY}\r\n\r\n"
    )
    .into_bytes();
    page.resize(page.len() + BODY, FILL);
    loop {
        // One request at a time is under way on a connection.
        if buf.get(..n).is_some_and(|all| all.ends_with(b"\r\n\r\n")) {
            stream.write_all(&page)?;
            n = 0;
        }
        match stream.read(buf.get_mut(n..).unwrap_or_default())? {
            0 => return Ok(()),
            more => n += more,
        }
    }
}

/// A socket on a free port of the loopback, with room enough that what is lost is not lost here.
pub(crate) fn socket() -> io::Result<UdpSocket> {
    use rustix::net::sockopt;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Only root gets more than the limit of the system.
    if sockopt::set_socket_recv_buffer_size_force(&socket, ROOM).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, ROOM)?;
    }
    Ok(socket)
}

const ROOM: usize = 4 << 20;
