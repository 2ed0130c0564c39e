//! Stage 5 for xtcp: frps has announced a visitor; a path to it is dug, and the visitor's users come by it
//! (frp `client/proxy/xtcp.go`).

use std::sync::Arc;

use frp_config::{ProxyKind, XtcpProxy};
use frp_log::{debug, error, info, warn};
use frp_net::carrier::Arrivals;
use frp_net::stream::Stream;
use frp_proto::msg::{Message, NatHoleClient, NatHoleReport, StartWorkConn};
use frp_proto::naming::wire_name;
use frp_relay::msg_stream::{MsgStream, RecvError};
use tokio::time::timeout;

use crate::client::Client;
use crate::connect::ServerLink;
use crate::limits::{HOLE_ANSWER, HOLE_SID};
use crate::local;
use crate::nathole::{Accepted, HoleError, Orders, Tunnel, make_hole, new_id, prepare, words};
use crate::proxy::Proxy;

/// A visitor, and what its users need.
struct Visit {
    proxy: Arc<Proxy>,
    client: Arc<Client>,
    start: StartWorkConn,
    tunnel: Tunnel,
}

/// Serves one visitor, for as long as its path stands and the proxy is configured: after the session with the
/// server, too. `stream` is a work connection, which only announces it.
pub(crate) async fn serve(
    proxy: Arc<Proxy>,
    server: &ServerLink,
    client: Arc<Client>,
    stream: MsgStream<Stream>,
    start: StartWorkConn,
) {
    let log = proxy.log.clone();
    let ProxyKind::Xtcp(cfg) = &proxy.cfg.kind else {
        return;
    };
    let sid = match announced(stream).await {
        Ok(sid) => sid,
        Err(e) => return error!(log, "xtcp read from workConn error: {e}"),
    };
    let accepted = match dig(&proxy, cfg, server, &client, sid).await {
        Ok(accepted) => accepted,
        Err(e) => return warn!(log, "{e}"),
    };
    let Some(_place) = client.budget.tunnel() else {
        return warn!(
            log,
            "too many direct paths; {} was let go", accepted.tunnel.peer
        );
    };
    let Accepted {
        tunnel,
        arrivals,
        listener,
    } = accepted;
    let visit = Visit {
        proxy,
        client,
        start,
        tunnel,
    };
    let why = serve_users(&Arc::new(visit), arrivals).await;
    drop(listener);
    server.connector.check();
    debug!(log, "the direct path has ended: {why}");
}

/// Which hole frps wants.
async fn announced(mut stream: MsgStream<Stream>) -> Result<String, String> {
    let message = timeout(HOLE_SID, stream.recv()).await;
    match message.unwrap_or(Err(RecvError::TimedOut)) {
        Ok(Message::NatHoleSid(message)) => Ok(message.sid),
        Ok(other) => Err(format!("{} came instead of NatHoleSid", other.name())),
        Err(e) => Err(e.to_string()),
    }
}

async fn dig(
    proxy: &Proxy,
    cfg: &XtcpProxy,
    server: &ServerLink,
    client: &Client,
    sid: String,
) -> Result<Accepted, HoleError> {
    let log = &proxy.log;
    let _place = client.budget.begin().ok_or(HoleError::TooMany)?;
    let prepared = prepare(client, &cfg.nat_traversal, log).await?;
    let id = new_id();
    let question = NatHoleClient {
        transaction_id: id.clone(),
        proxy_name: wire_name(&client.cfg.user, &proxy.cfg.name),
        sid,
        mapped_addrs: words(&prepared.mapped),
        assisted_addrs: words(&prepared.assisted),
    };
    let answer = server.holes.ask(question.into(), id, HOLE_ANSWER).await;
    let answer = answer.map_err(HoleError::unanswered)?;
    let parties = server.connector.server_ips();
    let orders = Orders::new(&answer, &parties)?;
    let secret = &cfg.access.secret_key;
    let made = make_hole(prepared, &orders, secret, &parties, &client.budget, log).await;
    let report = NatHoleReport {
        sid: orders.sid.clone(),
        success: made.is_ok(),
    };
    server.holes.tell(report.into());
    let hole = made?;
    let quic = &client.cfg.transport.quic;
    let tasks = &client.tasks.tracker;
    Ok(Tunnel::accept(hole, orders.protocol, quic, tasks).await?)
}

/// Until the path is lost or nobody is to come by it any more; why.
async fn serve_users(visit: &Arc<Visit>, mut arrivals: Arrivals) -> String {
    let arriving = async {
        while let Some(stream) = arrivals.next().await {
            let visit = visit.clone();
            let tracker = visit.client.tasks.tracker.clone();
            tracker.spawn(async move {
                tokio::select! {
                    () = visit.serve_user(stream) => {}
                    () = visit.client.tasks.stop.cancelled() => {}
                }
            });
        }
        std::future::pending().await
    };
    let why = tokio::select! {
        why = visit.tunnel.lost() => why,
        () = visit.unwanted() => "the proxy was removed or changed".to_owned(),
        why = arriving => why,
    };
    visit.tunnel.close();
    why
}

impl Visit {
    async fn serve_user(&self, stream: Stream) {
        let stream = match self.tunnel.received(stream).await {
            Ok(stream) => stream,
            Err(e) => return debug!(self.proxy.log, "user connection closed: {e}"),
        };
        let ending = Arc::default();
        let live = &self.client.live;
        let place = live.enter(Some(self.tunnel.peer), &self.proxy.served, &ending, None);
        let conn = Some(place.conn().clone());
        let user = self.proxy.user(&self.start, &self.client.tasks, conn);
        tokio::select! {
            () = local::serve(&self.proxy, &user, stream, self.tunnel.half_closes()) => {}
            () = ending.ended() => {
                info!(self.proxy.log, "user connection closed: ended by an administrator");
            }
        }
    }

    /// Completes when the settings have no such proxy any more.
    async fn unwanted(&self) {
        let mut settings = self.client.settings.subscribe();
        loop {
            let is_there = {
                let settings = settings.borrow_and_update();
                settings.proxies.contains(&self.proxy.cfg)
            };
            if !is_there {
                return;
            }
            if settings.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
