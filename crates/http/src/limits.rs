//! Every wait and size of HTTP that a peer can make us spend. Waits are [`Duration`]s, sizes are bytes
//! unless a name says otherwise.

use std::time::Duration;

use frp_net::limits::HANDSHAKE_WAIT;

/// Fields that the head of a user's request, or of a service's answer to it, may have. frp counts
/// bytes only; hyper needs a number, and room for as many with each head.
pub const MAX_HTTP_FIELDS: usize = 2048;

/// Bytes that the head of a user's request may have, as in frp.
pub const MAX_HTTP_HEAD: usize = 1024 * 1024;

/// Bytes of such a head that each connection of HTTP/1 has for itself; the others come out of
/// [`HTTP_HEADS_POOL`].
pub const HTTP_HEAD_SHARE: usize = 64 * 1024;

/// Bytes of such a head that each request of HTTP/2 has for itself, as [`HTTP_HEAD_SHARE`].
pub const HTTP2_HEAD_SHARE: usize = 4 * 1024;

/// Bytes that the heads of all requests under way may have beyond the share of each.
pub const HTTP_HEADS_POOL: usize = 64 * 1024 * 1024;

/// Requests under way on one connection of HTTP/2, as in Go (`golang.org/x/net/http2`).
pub const HTTP2_REQUESTS: u32 = 250;

/// Bytes of bodies that a user may send ahead over HTTP/2, of one request and of all on a connection,
/// as in Go.
pub const HTTP2_WINDOW: u32 = 1024 * 1024;

/// Bytes of one answer that wait for a user of HTTP/2 who does not read.
pub const HTTP2_UNSENT: usize = 64 * 1024;

/// Bytes that the head of a service's answer may have.
pub const MAX_HTTP_ANSWER_HEAD: usize = 256 * 1024;

/// Bytes of a request's target that are given to hyper, whose `Uri` has room for 65,534.
pub const HTTP_TARGET_WHOLE: usize = 32 * 1024;

/// Bytes that are read at a time where HTTP is spoken. hyper holds them for a peer that does not read, in
/// a buffer that is made twice as large once it was filled: so it never is.
pub const HTTP_READ: u64 = 16 * 1024 - 1;

/// Bytes of a body that wait in hyper to be written, before more of it is taken.
pub const HTTP_UNWRITTEN: usize = 32 * 1024;

/// Bytes of informational answers (1xx) that may wait to be told to one user. Browsers are sent
/// some hundreds; what exceeds this is left out.
pub const MAX_HINTS: usize = 64 * 1024;

/// A request of the programs themselves to an OpenID Connect issuer, from dialling to the last byte
/// of the answer, redirects included. frp waits for ever; but frps gives up a login that takes longer.
pub const HTTP_ANSWER: Duration = HANDSHAKE_WAIT;

/// Bytes of such an answer; tokens, keys and discovery documents have some thousands (1 MB is what
/// golang.org/x/oauth2 reads).
pub const MAX_HTTP_ANSWER: usize = 1024 * 1024;

/// How long a connection that has answered is kept for the next request, as Go's `http.Transport` does.
pub const KEPT_IDLE: Duration = Duration::from_secs(90);

/// Redirects that such a request follows, as Go's `http.Client`.
pub const MAX_REDIRECTS: usize = 10;

/// Bytes of a file of `webServer.assetsDir`; a longer one is not sent. Nobody's page has it, and each is
/// read as a whole.
pub const MAX_PAGE_FILE: u64 = 32 * 1024 * 1024;

/// Those who may listen to the events of a web server at a time.
pub const MAX_LISTENERS: usize = 64;

/// Without an event for so long, a listener is sent a comment: who lies between may end what is silent.
pub const EVENTS_KEEPALIVE: Duration = Duration::from_secs(15);

/// A listener that has taken nothing of what it was sent for so long is cut off.
pub const SLOW_LISTENER: Duration = Duration::from_secs(15);
