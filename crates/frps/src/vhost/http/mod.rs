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

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use frp_http::io::{Talk, UserBody, UserIo, http2};
use frp_http::limits::{MAX_HTTP_FIELDS, MAX_HTTP_HEAD};
use frp_http::tasks::Tracked;
use frp_log::{Log, debug};
use frp_net::rewind::Rewind;
use frp_net::strangers::Turn;
use frp_relay::counted::Counted;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use self::arrival::Arrival;
use self::unserved::Unserved;
use self::waiting::Waiting;
use crate::proxy::user::{UserAddrs, UserConn};
use crate::shared::Shared;

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
            let ended = match is_h2 {
                true => serve_h2(&user, conn).await.map_err(|e| e.to_string()),
                false => serve_h1(&user, conn).await.map_err(|e| e.to_string()),
            };
            if let Err(e) = ended {
                let log = Log::root().by(user.peer.ip());
                debug!(log, "http connection [{peer}] ended: {e}");
            }
        };
        let idle = idle_for_too_long(user.clone());
        let ending = user.clone();
        tokio::select! {
            () = served => {}
            () = idle => {}
            () = evicted => made_room(peer),
            () = ending.conn.ended() => debug!(
                Log::root().by(peer.ip()),
                "http connection [{peer}] closed: {}",
                ending.conn.why_ended()
            ),
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

async fn serve_h1(user: &Arc<User>, conn: Rewind<TcpStream>) -> hyper::Result<()> {
    let service = service_fn(|request| {
        let answering = user.clone();
        user.talk.exchange(request, move |request| async move {
            forward::answer(&answering, request.map(UserBody::from)).await
        })
    });
    let conn = UserIo::new(Counted::new(conn, user.unserved.clone()), &user.talk);
    let served = http1::Builder::new()
        // The time is kept by `Waiting`, without a new timer for each request.
        .header_read_timeout(None)
        .title_case_headers(true)
        .max_headers(MAX_HTTP_FIELDS)
        .max_buf_size(MAX_HTTP_HEAD)
        .serve_connection(TokioIo::new(conn), service)
        .with_upgrades();
    let mut served = pin!(served);
    tokio::select! {
        served = served.as_mut() => return served,
        () = user.shared.drain.cancelled() => {}
    }
    // The end of the requests that are under way is that of the connection.
    served.as_mut().graceful_shutdown();
    served.await
}

async fn serve_h2(user: &Arc<User>, conn: Rewind<TcpStream>) -> Result<(), http2::Http2Error> {
    let tasks = Tracked::new(&user.shared.tasks, &user.shared.stop);
    let conn = Counted::new(conn, user.unserved.clone());
    let drain = user.shared.drain.cancelled();
    let answer = |request| {
        let user = user.clone();
        async move { forward::answer(&user, request).await }
    };
    http2::serve(conn, &tasks, None, drain, answer).await
}

async fn idle_for_too_long(user: Arc<User>) {
    user.waiting.too_long().await;
    debug!(
        Log::root().by(user.peer.ip()),
        "http connection [{}] was idle", user.peer
    );
}
