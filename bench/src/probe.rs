//! Whether a proxy answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::backend::ECHO;
use crate::mode::Kind;
use crate::process::START_LIMIT;
use crate::{http, udp};

/// One exchange with the service.
pub(crate) fn once(kind: Kind, addr: SocketAddr) -> io::Result<()> {
    match kind {
        Kind::Tcp => echo_once(addr),
        Kind::Http => http::get_once(addr),
        Kind::Udp => udp::echo_once(addr),
    }
}

fn echo_once(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    stream.write_all(&[ECHO])?;
    stream.read_exact(&mut [0])
}
