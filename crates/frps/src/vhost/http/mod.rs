//! Users' HTTP connections: each request finds its proxy and goes to it over a work connection
//! (frp `pkg/util/vhost/http.go`).
//!
//! - [`arrival`]: which HTTP the user speaks, and where it is served.
//! - [`head`]: what happens to the heads of requests and answers.
//! - [`forward`]: from a request to its answer.
//! - [`conn`], [`idle`], [`body`]: the work connections, and how answers come over them.
//! - [`answer`]: what we say ourselves; [`waiting`]: idle users; [`unserved`]: what strangers hold.

pub(crate) mod answer;
mod arrival;
mod body;
mod conn;
mod forward;
pub(crate) mod head;
pub(crate) mod idle;
mod unserved;
mod waiting;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use frp_http::io::{Talk, UserIo};
use frp_http::limits::{MAX_HTTP_FIELDS, MAX_HTTP_HEAD, MAX_HTTP_OTHER_HEAD};
use frp_http::tasks::Tracked;
use frp_log::{Log, debug};
use frp_net::rewind::Rewind;
use frp_net::strangers::Turn;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use self::arrival::Arrival;
use self::unserved::{Counted, Unserved};
use self::waiting::Waiting;
use crate::proxy::user::{UserAddrs, UserConn};
use crate::shared::Shared;

/// Requests at a time on one HTTP/2 connection, as Go's server allows.
const MAX_STREAMS: u32 = 250;

/// A user's connection.
struct User {
    shared: Arc<Shared>,
    peer: SocketAddr,
    conn: UserConn,
    waiting: Arc<Waiting>,
    /// A request has found its proxy: the user is no stranger any more.
    found: Notify,
    unserved: Arc<Unserved>,
    /// What its connection and its requests share, where it speaks HTTP/1.
    talk: Talk,
}

/// Sees where a user's connection belongs and has it served there, until one of the two ends it.
pub(crate) async fn serve(shared: Arc<Shared>, conn: Rewind<TcpStream>, peer: SocketAddr) {
    let waiting = Waiting::new();
    let turn = shared.vhosts.strangers.enter(peer.ip());
    let arrival = tokio::select! {
        arrival = timeout_at(waiting.first_head(), Arrival::read(conn)) => arrival,
        () = turn.evicted() => return made_room(peer),
        () = shared.drain.cancelled() => return,
    };
    let Ok(Ok(arrival)) = arrival else { return };
    let home = arrival.home(&shared);
    let (is_h2, conn) = match arrival.settle(&home) {
        Ok(settled) => settled,
        Err(e) => {
            return debug!(
                Log::root().by(peer.ip()),
                "http connection [{peer}] ended: {e}"
            );
        }
    };
    let user = Arc::new(User {
        waiting,
        found: Notify::new(),
        unserved: Arc::default(),
        talk: Talk::default(),
        shared: shared.clone(),
        peer,
        conn: UserConn::new(UserAddrs {
            src: Some(peer),
            dst: None,
        }),
    });
    let serving = async move {
        let stop = user.shared.stop.clone();
        let evicted = evicted(user.clone(), turn);
        let served = async {
            match is_h2 {
                true => serve_h2(user, conn).await,
                false => serve_h1(user, conn).await,
            }
        };
        tokio::select! {
            () = served => {}
            () = evicted => made_room(peer),
            () = stop.cancelled() => {}
        }
    };
    let serving = shared.users.track_future(serving);
    shared.tasks.spawn_on(serving, &home);
}

/// Completes when the user, still a stranger, has lost its turn to a newer one.
async fn evicted(user: Arc<User>, turn: Turn) {
    tokio::select! {
        () = user.found.notified() => {}
        () = turn.evicted() => return,
    }
    drop(turn);
    std::future::pending().await
}

fn made_room(peer: SocketAddr) {
    debug!(
        Log::root().by(peer.ip()),
        "http connection [{peer}] made room for newer ones"
    );
}

async fn serve_h1(user: Arc<User>, conn: Rewind<TcpStream>) {
    let service = service_fn(|request| {
        let answering = user.clone();
        user.talk.exchange(request, move |request| async move {
            forward::answer(&answering, request).await
        })
    });
    let conn = UserIo::new(Counted::new(conn, &user.unserved), &user.talk);
    let served = http1::Builder::new()
        // The time is kept by `Waiting`, without a new timer for each request.
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_headers(MAX_HTTP_FIELDS)
        .max_buf_size(MAX_HTTP_HEAD)
        .serve_connection(TokioIo::new(conn), service)
        .with_upgrades();
    to_its_end(&user, served, |conn| conn.graceful_shutdown()).await;
}

async fn serve_h2(user: Arc<User>, conn: Rewind<TcpStream>) {
    let tasks = Tracked::new(&user.shared.tasks, &user.shared.stop);
    let service = service_fn(|request| {
        let user = user.clone();
        async move { Ok::<_, Infallible>(forward::answer(&user, request).await) }
    });
    let served = http2::Builder::new(tasks)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HTTP_OTHER_HEAD as u32)
        .serve_connection(TokioIo::new(Counted::new(conn, &user.unserved)), service);
    to_its_end(&user, served, |conn| conn.graceful_shutdown()).await;
}

/// Once the server drains, that is the end of the requests that are under way.
async fn to_its_end<C>(user: &User, conn: C, shut_down: impl FnOnce(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let served = async {
        let mut conn = pin!(conn);
        tokio::select! {
            served = conn.as_mut() => return served,
            () = user.shared.drain.cancelled() => {}
        }
        shut_down(conn.as_mut());
        conn.await
    };
    tokio::select! {
        served = served => if let Err(e) = served {
            debug!(Log::root().by(user.peer.ip()), "http connection [{}] ended: {e}", user.peer);
        },
        () = idle_for_too_long(user) => {}
    }
}

async fn idle_for_too_long(user: &User) {
    user.waiting.too_long().await;
    debug!(
        Log::root().by(user.peer.ip()),
        "http connection [{}] was idle", user.peer
    );
}
