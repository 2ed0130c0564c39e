//! One hole: from the visitor's wish until both ends have been told what to do.

use std::sync::Arc;

use frp_log::{debug, shown_name};
use frp_proto::msg::{NatHoleClient, NatHoleSid, NatHoleVisitor};
use frp_proto::nathole::new_id;
use tokio::time::{sleep, timeout};

use super::admit::{self, Refused};
use super::holes::{Visiting, Waiting};
use super::orders::{OrdersError, Said, is_sender, orders};
use super::{refusal, tell};
use crate::client::handle::SessionHandle;
use crate::client::pool::TakeError;
use crate::limits::{HOLE_HEAD_START, HOLE_WAIT};
use crate::proxy::Proxy;
use crate::proxy::user::UserError;
use crate::random::random_bytes;
use crate::shared::Shared;

struct Hole {
    shared: Arc<Shared>,
    visitor: Arc<SessionHandle>,
    asked: NatHoleVisitor,
    proxy: Arc<Proxy>,
    waiting: Waiting,
    _visiting: Visiting,
}

/// Why neither end is told where to send.
#[derive(Debug, thiserror::Error)]
enum HoleError {
    #[error("the client of [{0}] cannot be told of the visitor: {1}")]
    Unreached(Arc<str>, UserError),
    #[error("the client of [{0}] has not said its addresses within {limit} s", limit = HOLE_WAIT.as_secs())]
    Unanswered(Arc<str>),
    #[error("{0}")]
    Orders(#[from] OrdersError),
}

/// Begins the hole that `visitor` wants, whose messages `client` sends.
pub(super) fn begin(
    shared: &Arc<Shared>,
    client: &Arc<SessionHandle>,
    visitor: NatHoleVisitor,
) -> Result<(), Refused> {
    let proxy = admit::admit(shared, client, &visitor)?;
    if !matches!(visitor.protocol.as_str(), "" | "quic" | "kcp") {
        return Err(Refused::Protocol(visitor.protocol));
    }
    let visiting = client.holes.visit().ok_or(Refused::TooMany)?;
    let now = jiff::Timestamp::now().as_second();
    let sid = new_id(now, random_bytes());
    let waiting = proxy.session.holes.wait_for(sid);
    let waiting = waiting.ok_or_else(|| Refused::Crowd(visitor.proxy_name.clone()))?;
    let hole = Hole {
        shared: shared.clone(),
        visitor: client.clone(),
        asked: visitor,
        proxy,
        waiting,
        _visiting: visiting,
    };
    let stop = shared.stop.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            () = hole.dig() => {}
            () = stop.cancelled() => {}
        }
    });
    Ok(())
}

impl Hole {
    async fn dig(mut self) {
        let answered = timeout(HOLE_WAIT, self.owner_says()).await;
        let unanswered = || HoleError::Unanswered(self.proxy.name.clone());
        let policy = self.shared.policy();
        let answer = match answered.unwrap_or_else(|_| Err(unanswered())) {
            Ok(answer) => answer,
            Err(why) => {
                let why = why.to_string();
                debug!(
                    self.visitor.log,
                    "sid [{}] {}",
                    self.waiting.sid(),
                    shown_name(&why)
                );
                return tell(
                    &self.visitor,
                    refusal(&policy, self.asked.transaction_id, &why),
                );
            }
        };
        let (owner, sid) = (self.proxy.session.clone(), self.waiting.sid().to_owned());
        let client_says = Said {
            transaction_id: answer.transaction_id,
            mapped: &answer.mapped_addrs,
            assisted: &answer.assisted_addrs,
            from: owner.peer().ip(),
        };
        let visitor_says = Said {
            transaction_id: self.asked.transaction_id,
            mapped: &self.asked.mapped_addrs,
            assisted: &self.asked.assisted_addrs,
            from: self.visitor.peer().ip(),
        };
        let (of_client, of_visitor) = (
            client_says.transaction_id.clone(),
            visitor_says.transaction_id.clone(),
        );
        let decided = orders(
            &self.shared.nathole,
            (&sid, &self.asked.protocol),
            (client_says, visitor_says),
            policy.hole_scores_kept,
        );
        let (decided, to_client, to_visitor) = match decided {
            Ok(decided) => decided,
            Err(why) => {
                let why = HoleError::from(why).to_string();
                debug!(
                    self.visitor.log,
                    "sid [{sid}] analysis error: {}",
                    shown_name(&why)
                );
                tell(&self.visitor, refusal(&policy, of_visitor, &why));
                return tell(&owner, refusal(&policy, of_client, &why));
            }
        };
        debug!(
            self.visitor.log,
            "sid [{sid}] visitor detect behavior: {:?}, client detect behavior: {:?}",
            to_visitor.detect_behavior,
            to_client.detect_behavior
        );
        owner.holes.told(sid, decided);
        // The receiver opens its NAT before the sender's first datagram is there.
        let (first, second) = match is_sender(&to_client) {
            true => ((&self.visitor, to_visitor), (&owner, to_client)),
            false => ((&owner, to_client), (&self.visitor, to_visitor)),
        };
        tell(first.0, first.1);
        sleep(HOLE_HEAD_START).await;
        tell(second.0, second.1);
    }

    /// Tells the owner of the proxy the id of the hole, on a work connection, and waits for its answer.
    async fn owner_says(&mut self) -> Result<NatHoleClient, HoleError> {
        let unreached = |why| HoleError::Unreached(self.proxy.name.clone(), why);
        let (mut conn, _held) = self.proxy.start_for_all().await.map_err(unreached)?;
        let sid = NatHoleSid {
            sid: self.waiting.sid().to_owned(),
            ..NatHoleSid::default()
        };
        conn.queue(&sid.into())
            .map_err(|why| unreached(UserError::Start(why.into())))?;
        conn.flush_within(HOLE_WAIT)
            .await
            .map_err(|why| unreached(UserError::Start(why)))?;
        let closed = || unreached(UserError::from(TakeError::Closed));
        let answer = self.waiting.answer().await.ok_or_else(closed);
        // Only now it has been read for sure.
        drop(conn);
        answer
    }
}
