//! Direct paths from visitors to xtcp proxies: frps carries none of their bytes, it tells both ends how to
//! find each other (frp `pkg/nathole/controller.go`).
//!
//! 1. A visitor's `NatHoleVisitor` is looked at ([`admit`]). One that only asks is answered at once.
//! 2. A [`hole`] begins: the proxy's client is told its id on a work connection.
//! 3. The client answers with its own addresses, a `NatHoleClient`, which [`holes`] hands to the hole.
//! 4. What both do is decided by what has worked for their networks before ([`scores`], [`behaviors`]), and
//!    both are told ([`orders`]).
//! 5. The client reports whether it worked, which counts for the next time.
//!
//! Nobody waits for anybody here: each hole is a task with deadlines, and what is said to a client goes
//! through its [`outbox`](crate::client::outbox).

mod admit;
mod behaviors;
mod hole;
pub(crate) mod holes;
mod orders;
mod scores;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_log::{info, shown_name, trace, warn};
use frp_proto::msg::{Message, NatHoleClient, NatHoleReport, NatHoleResp, NatHoleVisitor};

use self::scores::Scores;
use crate::client::handle::SessionHandle;
use crate::policy::Policy;
use crate::proxy::Proxy;
use crate::shared::Shared;

/// The proxies that visitors may reach directly, and what is known of their networks.
#[derive(Debug, Default)]
pub(crate) struct Nathole {
    by_name: Mutex<HashMap<Arc<str>, Arc<Proxy>>>,
    scores: Mutex<Scores>,
}

/// A name in the table, until dropped.
pub(crate) struct Listed {
    name: Arc<str>,
    nathole: Arc<Nathole>,
}

impl Nathole {
    /// Visitors may ask for `proxy`, whose name is its own, until the guard is dropped.
    pub(crate) fn list(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Listed {
        self.table().insert(proxy.name.clone(), proxy.clone());
        Listed {
            name: proxy.name.clone(),
            nathole: self.clone(),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<Proxy>> {
        self.table().get(name).cloned()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Proxy>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scores(&self) -> MutexGuard<'_, Scores> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listed").field(&self.name).finish()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.nathole.table().remove(&self.name);
    }
}

/// What a client has said about holes; the answer comes when it is there.
pub(crate) fn take(shared: &Arc<Shared>, client: &Arc<SessionHandle>, message: Message) {
    match message {
        Message::NatHoleVisitor(visitor) => on_visitor(shared, client, *visitor),
        Message::NatHoleClient(answer) => on_client(shared, client, answer),
        Message::NatHoleReport(report) => on_report(shared, client, &report),
        _ => {}
    }
}

fn on_visitor(shared: &Arc<Shared>, client: &Arc<SessionHandle>, visitor: NatHoleVisitor) {
    let transaction_id = visitor.transaction_id.clone();
    let log = &client.log;
    let refused = if visitor.pre_check {
        match admit::admit(shared, client, &visitor) {
            Ok(_) => {
                let answer = NatHoleResp {
                    transaction_id,
                    ..NatHoleResp::default()
                };
                return tell(client, answer);
            }
            Err(why) => why.to_string(),
        }
    } else {
        match hole::begin(shared, client, visitor) {
            Ok(()) => return,
            Err(why) => {
                let why = why.to_string();
                warn!(log, "handle visitorMsg error: {}", shown_name(&why));
                why
            }
        }
    };
    tell(client, refusal(&shared.policy(), transaction_id, &refused));
}

fn on_client(shared: &Arc<Shared>, client: &Arc<SessionHandle>, answer: NatHoleClient) {
    if let Err(answer) = client.holes.answered(answer) {
        // frp says nothing, and the client waits.
        let why = format!("xtcp session [{}] doesn't exist", answer.sid);
        trace!(client.log, "{}", shown_name(&why));
        tell(
            client,
            refusal(&shared.policy(), answer.transaction_id, &why),
        );
    }
}

fn on_report(shared: &Arc<Shared>, client: &Arc<SessionHandle>, report: &NatHoleReport) {
    let (sid, success) = (shown_name(&report.sid), report.success);
    let Some(decided) = client.holes.reported(&report.sid) else {
        return trace!(
            client.log,
            "sid [{sid}] report make hole success: {success}, but session not found"
        );
    };
    if success {
        shared.nathole.scores().succeeded(&decided);
    }
    info!(
        client.log.of_session(),
        "sid [{sid}] report make hole success: {success}, mode {}, index {}",
        decided.mode,
        decided.index
    );
}

/// Why there is no hole, as far as a client may know.
fn refusal(policy: &Policy, transaction_id: String, why: &str) -> NatHoleResp {
    NatHoleResp {
        transaction_id,
        error: policy.text_for_peer("xtcp error", why),
        ..NatHoleResp::default()
    }
}

fn tell(client: &SessionHandle, answer: NatHoleResp) {
    client.outbox.put(&client.log, answer.into());
}
