//! From a user's request to its answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_http::basic::Basic;
use frp_http::fields::{state_length, upgrade_of};
use frp_http::head::{
    Refused, UnknownCoding, check, check_coding, is_plainly_framed, is_repeatable, may_have_body,
    plain_length,
};
use frp_http::io::{Upload, UserBody, UserIo, hints};
use frp_log::{Log, debug, warn};
use frp_net::rewind::Rewind;
use frp_net::stream::Stream;
use frp_relay::conns::End;
use frp_relay::counted::Counted;
use frp_relay::layers::Carried;
use frp_relay::relay::relay;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode, Version, http};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::answer::{not_found, refuse, timed_out, unauthorized};
use super::body::Body;
use super::conn::{SendError, WorkConn};
use super::unserved::Unserved;
use super::waiting::Busy;
use super::{User, head};
use crate::admission::guard::Guard;
use crate::proxy::Proxy;
use crate::proxy::user::UserError;
use crate::stats::metrics::Serving;
use crate::vhost::router::cut;
use crate::vhost::target::HttpTarget;

/// Why a request was not served; the texts are frp's where it has one.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("no route found: {} {} {}", cut(host), path.escape_debug(), cut(user).escape_debug())]
    NoRoute {
        host: String,
        path: String,
        user: String,
    },
    #[error("the group has no members")]
    NoMember,
    #[error("{0}")]
    User(#[from] UserError),
    #[error("{0}")]
    Send(SendError),
    #[error("{0}")]
    Coding(#[from] UnknownCoding),
    #[error("backend tried to switch protocol {got:?} when {wanted:?} was requested")]
    Switched { got: String, wanted: String },
    #[error("the work connection ended instead of switching the protocol")]
    NotSwitched,
}

/// What CONNECT gets over HTTP/2; in frp 500.
const NO_TUNNEL: Refused = Refused {
    code: StatusCode::NOT_IMPLEMENTED,
    text: "501 Not Implemented: CONNECT over HTTP/2",
};

/// To a user that may not come in. Why is told to the log.
const FORBIDDEN: Refused = Refused {
    code: StatusCode::FORBIDDEN,
    text: "403 Forbidden",
};

/// Answers a request of `user`.
pub(super) async fn answer(user: &Arc<User>, request: Request<UserBody>) -> Response<Body> {
    let busy = user.waiting.interrupt();
    user.unserved.heard();
    let response = respond(user, request).await;
    response.map(|body| body.holding(busy))
}

async fn respond(user: &Arc<User>, request: Request<UserBody>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    let host = match check(&mut head) {
        Ok(host) => host.unwrap_or(HeaderValue::from_static("")),
        Err(refused) => return refuse(refused, head.version),
    };
    let (method, version) = (head.method.clone(), head.version);
    if method == Method::CONNECT && version == Version::HTTP_2 {
        return refuse(NO_TUNNEL, version);
    }
    let shown = host.clone();
    match route(user, head, host, body).await {
        Ok(response) => response,
        Err(e) => {
            let host = cut(shown.to_str().unwrap_or_default());
            warn!(
                Log::root().by(user.peer.ip()),
                "do http proxy request [host: {host}] error: {e}"
            );
            match e {
                ForwardError::Send(SendError::TimedOut) => timed_out(),
                ForwardError::User(UserError::Refused(_)) => refuse(FORBIDDEN, version),
                _ => not_found(&user.shared, &method).await,
            }
        }
    }
}

async fn route(
    user: &Arc<User>,
    head: Parts,
    host: HeaderValue,
    body: UserBody,
) -> Result<Response<Body>, ForwardError> {
    let proxied = head::is_proxied(&head);
    let of = |name| head.headers.get(name);
    // A user that took us for its HTTP proxy and shows the wrong header is routed by it all the
    // same, so that it hears 407 and not 404.
    let (shown, route_by) = if proxied {
        let shown = of(PROXY_AUTHORIZATION);
        (shown, shown.or_else(|| of(AUTHORIZATION)))
    } else {
        (of(AUTHORIZATION), of(AUTHORIZATION))
    };
    let basic = route_by.and_then(Basic::parse);
    let http_user = basic.as_ref().map(Basic::user).unwrap_or_default();
    let name = host.to_str().unwrap_or_default();
    let path = decoded(match &head.method {
        &Method::CONNECT => "",
        _ => head.uri.path(),
    });
    let Some(target) = user.shared.vhosts.http.router.find(name, &path, http_user) else {
        return Err(ForwardError::NoRoute {
            host: name.to_owned(),
            path: path.into_owned(),
            user: http_user.to_owned(),
        });
    };
    user.found.notify_one();
    user.unserved.served();
    debug!(
        Log::root().by(user.peer.ip()),
        "get new http request host [{}] path [{}] httpuser [{}]",
        cut(name),
        path.escape_debug(),
        cut(http_user).escape_debug()
    );
    let login = &target.config.login;
    if !login.admits(basic.as_ref().filter(|_| shown.is_some())) {
        return Ok(unauthorized(proxied));
    }
    forward(user, &target, head, host, body).await
}

/// Sends the request over a work connection of `target` and makes its answer the user's.
async fn forward(
    user: &Arc<User>,
    target: &Arc<HttpTarget>,
    mut head: Parts,
    host: HeaderValue,
    body: UserBody,
) -> Result<Response<Body>, ForwardError> {
    let is_connect = head.method == Method::CONNECT;
    let on_upgrade = head.extensions.remove::<OnUpgrade>();
    let wanted = upgrade_of(&head.headers);
    let is_odd = wanted.is_some() || !body.is_end_stream() && !may_have_body(&head.method);
    if is_connect {
        head.headers.insert(HOST, host);
        head.version = Version::HTTP_11;
    } else {
        target.config.request(&mut head, host, user.peer.ip());
    }
    let body = Upload::new(body);
    state_length(&mut head.headers, &head.method, &body);
    let sent = body.sent();
    let limit = user.shared.policy().vhost_http_timeout;
    let request = Request::from_parts(head, body);
    let (response, mut conn, proxy) = send(user, target, request, limit).await?;
    check_coding(response.headers())?;
    // Not for anybody else where service and user might disagree about where the next request or
    // its answer begins.
    if is_connect || is_odd || !is_plainly_framed(response.status(), response.headers()) {
        conn.keep_no_longer();
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        || (is_connect && response.status().is_success())
    {
        let (head, _) = response.into_parts();
        let conn = (conn, proxy);
        return switch(user, target, (head, wanted), conn, on_upgrade, limit).await;
    }
    if !sent.is_over() {
        conn.detach(&user.shared.tasks);
    }
    let (mut head, body) = response.into_parts();
    state_answers_length(&mut head, &body);
    target.config.response(&mut head);
    let mut body = Body::service(body, conn, proxy);
    body.look_ahead().await;
    Ok(Response::from_parts(head, body))
}

/// Says in one way only how long an answer's body is.
fn state_answers_length(head: &mut http::response::Parts, body: &Incoming) {
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    let (Some(first), other) = (lengths.next(), lengths.next()) else {
        return;
    };
    let is_plain =
        other.is_none() && plain_length(first).is_some_and(|n| *first == n.to_string().as_str());
    if is_plain {
        return;
    }
    match body.size_hint().exact().filter(|_| !body.is_end_stream()) {
        Some(length) => drop(head.headers.insert(CONTENT_LENGTH, length.into())),
        None => drop(head.headers.remove(CONTENT_LENGTH)),
    }
}

/// The head of the answer, and what its body comes over.
///
/// An idle work connection may have been closed by the service just now. Then the request goes out
/// again: if nothing of it was sent, or if doing it twice does no harm.
async fn send(
    user: &User,
    target: &HttpTarget,
    mut request: Request<Upload>,
    limit: Duration,
) -> Result<(Response<Incoming>, WorkConn, Arc<Proxy>), ForwardError> {
    loop {
        let (mut conn, proxy, is_reused) = connection(user, target).await?;
        let again = (is_reused && may_go_twice(&request)).then(|| copy(&request));
        hints::pass_on(&mut request);
        let (e, unsent) = match conn.send(request, limit).await {
            Ok(response) => return Ok((response, conn, proxy)),
            Err(failed) => failed,
        };
        let again = match e {
            SendError::Http(_) if is_reused => unsent.map(|request| *request).or(again),
            _ => None,
        };
        let Some(again) = again else {
            return Err(ForwardError::Send(e));
        };
        debug!(proxy.log, "idle work connection was dead: {e}");
        request = again;
    }
}

/// A work connection of whose turn it is, and whether it has served a request before.
async fn connection(
    user: &User,
    target: &HttpTarget,
) -> Result<(WorkConn, Arc<Proxy>, bool), ForwardError> {
    let proxy = target.members.next().ok_or(ForwardError::NoMember)?;
    user.conn.enter(&proxy).await.map_err(UserError::from)?;
    if let Some(conn) = proxy.idle.take() {
        conn.serve(user.conn.conn(&proxy.spec));
        return Ok((conn, proxy, true));
    }
    let opened = target.members.open_from(proxy, &user.conn).await;
    let (proxy, opened) = opened.map_err(|(_, e)| e)?;
    let conn = WorkConn::new(opened, &proxy.counters).await;
    let conn = conn.map_err(|e| ForwardError::Send(SendError::Http(e)))?;
    conn.serve(user.conn.conn(&proxy.spec));
    Ok((conn, proxy, false))
}

fn may_go_twice(request: &Request<Upload>) -> bool {
    request.body().is_end_stream() && is_repeatable(request.method(), request.headers())
}

/// Of a request without a body.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = hints::beside(request.extensions());
    copy
}

/// Passes on an answer that changes the protocol, and from then on bytes.
async fn switch(
    user: &Arc<User>,
    target: &HttpTarget,
    (mut head, wanted): (http::response::Parts, Option<HeaderValue>),
    (conn, proxy): (WorkConn, Arc<Proxy>),
    on_upgrade: Option<OnUpgrade>,
    limit: Duration,
) -> Result<Response<Body>, ForwardError> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let text = |value: Option<HeaderValue>| {
            let value = value.as_ref().and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (got, wanted) = (text(upgrade_of(&head.headers)), text(wanted));
        if !got.eq_ignore_ascii_case(&wanted) {
            return Err(ForwardError::Switched { got, wanted });
        }
        target.config.set_response(&mut head);
    } else {
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(TRANSFER_ENCODING);
        head.version = Version::HTTP_11;
    }
    let piped = tokio::time::timeout(limit, conn.into_pipe()).await;
    let (Ok(Some((pipe, serving))), Some(on_upgrade)) = (piped, on_upgrade) else {
        return Err(ForwardError::NotSwitched);
    };
    // The answer is over at once, what the user asked for is not.
    let held = (serving, user.waiting.interrupt());
    let tunnel = tunnel(user.clone(), proxy, on_upgrade, pipe, held);
    let tunnel = user.shared.users.track_future(tunnel);
    user.shared.tasks.spawn(tunnel);
    Ok(Response::from_parts(head, Body::whole(Bytes::new())))
}

/// Moves bytes between the user and the service once the user has the answer.
async fn tunnel(
    user: Arc<User>,
    proxy: Arc<Proxy>,
    on_upgrade: OnUpgrade,
    (carried, early): (Carried, Bytes),
    held: ((Serving, Guard), Busy),
) {
    let own = user.conn.conn(&proxy.spec);
    let moved = async {
        // Ends with an error when the user's connection does.
        let upgraded = on_upgrade.await.ok()?;
        let mut near = near(upgraded);
        // Counted when it was read.
        if !early.is_empty() {
            near.write_all(&early).await.ok()?;
            near.flush().await.ok()?;
        }
        Some(relay(near, carried, proxy.tally(own.as_deref())).await)
    };
    let peer = user.peer;
    tokio::select! {
        moved = moved => if let Some(moved) = moved {
            proxy.ends(&user.conn, End::of(&moved, true));
            debug!(proxy.log, "join connections closed, [{peer}]: {moved}");
        },
        () = user.conn.ended() => proxy.log_ended(&user.conn),
        () = user.shared.stop.cancelled() => {}
    }
    drop(held);
}

/// The user's end of a tunnel: the TCP connection itself, where the tunnel is all of it.
fn near(upgraded: Upgraded) -> Carried {
    let parts = match upgraded.downcast::<TokioIo<UserIo<Counted<Rewind<TcpStream>, Unserved>>>>() {
        Ok(parts) => parts,
        Err(stream) => return Carried::other(TokioIo::new(stream)),
    };
    let (io, held) = parts.io.into_inner().into_parts();
    let (prefix, tcp) = io.into_inner().into_parts();
    let leftover = match (held.is_empty(), prefix.is_empty()) {
        (true, true) => parts.read_buf,
        _ => [parts.read_buf, held, prefix].concat().into(),
    };
    Carried::Plain {
        stream: Stream::Tcp(tcp),
        leftover,
    }
}

/// A path with its `%XX` as bytes, as locations are compared with it.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = || {
            let (digits, behind) = behind.split_at_checked(2)?;
            let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
            Some(((digit(0)? * 16 + digit(1)?) as u8, behind))
        };
        let (byte, behind) = match byte {
            b'%' => escaped().unwrap_or((b'%', behind)),
            byte => (*byte, behind),
        };
        bytes.push(byte);
        rest = behind;
    }
    match String::from_utf8(bytes) {
        Ok(path) => Cow::Owned(path),
        Err(e) => Cow::Owned(String::from_utf8_lossy(e.as_bytes()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn escapes_in_a_path_are_bytes() {
        assert_eq!(decoded("/a/b"), "/a/b");
        assert_eq!(decoded("/%61%2Fb%c3%A4"), "/a/bä");
        assert_eq!(decoded("/%zz%4"), "/%zz%4");
        assert_eq!(decoded("/%+1"), "/%+1");
    }
}
