//! System errors in the words that frp's users know and search for.

use std::io;

use frp_proto::address::without_brackets;

/// The error as Go prints it: `EOF`, `i/o timeout`, `connection reset by peer`, `address already
/// in use`.
pub fn go_text(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::UnexpectedEof, None) => "EOF".to_owned(),
        (io::ErrorKind::TimedOut, None) => "i/o timeout".to_owned(),
        (_, None) => error.to_string(),
        (_, Some(code)) => {
            let text = error.to_string();
            let suffix = format!(" (os error {code})");
            text.strip_suffix(&suffix).unwrap_or(&text).to_lowercase()
        }
    }
}

/// `host:port` as Go joins them: an IPv6 address gets brackets.
pub fn join_host_port(host: &str, port: u16) -> String {
    let host = without_brackets(host);
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_read_as_in_go() {
        let text = |code| go_text(&io::Error::from_raw_os_error(code));
        assert_eq!(text(libc::ECONNREFUSED), "connection refused");
        assert_eq!(text(libc::EADDRINUSE), "address already in use");
        assert_eq!(text(libc::ECONNRESET), "connection reset by peer");
        assert_eq!(go_text(&io::ErrorKind::UnexpectedEof.into()), "EOF");
    }
}
