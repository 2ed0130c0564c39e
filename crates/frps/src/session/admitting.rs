//! The proxies that a client has asked for and that are being decided about. Each waits for its own
//! decision only; one that the client takes back is decided about no more.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use frp_proto::msg::NewProxy;
use frp_proto::wire::WireProtocol;
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;

use crate::admission::check::{NewProxyAsk, Refusal};
use crate::admission::guard::Guard;
use crate::client::handle::SessionHandle;
use crate::policy::Policy;
use crate::proxy::spec::ProxySpec;
use crate::shared::Shared;

/// See the module. What is decided about at once is never in here.
#[derive(Default)]
pub(super) struct Admitting {
    waiting: FuturesUnordered<Abortable<Deciding>>,
    /// Of those that wait, by the names that the client gave them.
    by_name: HashMap<Arc<str>, AbortHandle>,
}

type Deciding = Pin<Box<dyn Future<Output = Decided> + Send>>;

/// A registration that has been decided about.
pub(super) struct Decided {
    /// As the client calls it.
    pub(super) name: Arc<str>,
    /// As the client spells it.
    pub(super) kind: String,
    pub(super) policy: Arc<Policy>,
    pub(super) admitted: Result<(ProxySpec, Guard), Refusal>,
}

impl Admitting {
    /// Whether a proxy of this name is being decided about.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Has `new` decided about. The decision, where it is there at once; else [`next`](Self::next)
    /// has it.
    pub(super) async fn begin(
        &mut self,
        shared: &Arc<Shared>,
        client: &Arc<SessionHandle>,
        protocol: WireProtocol,
        new: NewProxy,
    ) -> Option<Decided> {
        let name: Arc<str> = new.proxy_name.as_str().into();
        let mut deciding: Deciding = Box::pin(decide(
            (shared.clone(), client.clone()),
            name.clone(),
            protocol,
            new,
        ));
        if let Poll::Ready(decided) = poll_fn(|cx| Poll::Ready(deciding.as_mut().poll(cx))).await {
            return Some(decided);
        }
        let (abort, registration) = AbortHandle::new_pair();
        self.waiting.push(Abortable::new(deciding, registration));
        self.by_name.insert(name, abort);
        None
    }

    /// The next decision; `None` when nothing waits for one.
    pub(super) async fn next(&mut self) -> Option<Decided> {
        loop {
            if let Ok(decided) = self.waiting.next().await? {
                self.by_name.remove(&decided.name);
                return Some(decided);
            }
        }
    }

    /// The client has closed the proxy before it was there.
    pub(super) fn take_back(&mut self, name: &str) {
        if let Some(abort) = self.by_name.remove(name) {
            abort.abort();
        }
    }
}

async fn decide(
    (shared, client): (Arc<Shared>, Arc<SessionHandle>),
    name: Arc<str>,
    protocol: WireProtocol,
    new: NewProxy,
) -> Decided {
    let policy = shared.policy();
    let kind = new.kind().to_owned();
    let mut ask = NewProxyAsk::new(&policy, &client, protocol, new);
    let admitted = match shared.admission.new_proxy(&mut ask).await {
        Ok(guard) => match ask.into_spec() {
            Ok(spec) => Ok((spec, guard)),
            Err(why) => Err(Refusal::new(&why)),
        },
        Err(refused) => Err(refused),
    };
    Decided {
        name,
        kind,
        policy,
        admitted,
    }
}
