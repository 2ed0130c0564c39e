//! What a check is asked, and what it says.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use frp_proto::msg::{Login, NewProxy, NewWorkConn, Ping};
use frp_proto::wire::WireProtocol;
use frp_relay::conns::Ending;

use super::guard::OnEnd;
use crate::auth::tokens::Identity;
use crate::client::allowance::Taken;
use crate::client::handle::SessionHandle;
use crate::policy::Policy;
use crate::proxy::spec::{ProxySpec, SpecError};
use crate::stats::logins::Cause;

/// Decides about what it knows; what it does not, passes.
///
/// A verdict that is dropped before it is given has let nothing pass: whoever asked has left, or has
/// taken back what it asked for.
pub(crate) trait Check: fmt::Debug + Send + Sync {
    /// What a login that it refuses has failed by.
    fn cause(&self) -> Cause {
        Cause::Plugin
    }

    /// Whether who is refused by it at a login may have guessed, and guesses on.
    fn refuses_guesses(&self) -> bool {
        false
    }

    fn login<'a>(&'a self, _: &'a mut LoginAsk<'_>) -> Verdict<'a> {
        Verdict::pass()
    }

    fn new_proxy<'a>(&'a self, _: &'a mut NewProxyAsk<'_>) -> Verdict<'a> {
        Verdict::pass()
    }

    fn ping<'a>(&'a self, _: &'a mut PingAsk<'_>) -> Verdict<'a> {
        Verdict::pass()
    }

    fn work_conn<'a>(&'a self, _: &'a mut WorkConnAsk<'_>) -> Verdict<'a> {
        Verdict::pass()
    }

    fn user<'a>(&'a self, _: &'a mut UserAsk<'_>) -> Verdict<'a> {
        Verdict::pass()
    }
}

/// What a check says: at once, where it can.
pub(crate) enum Verdict<'a> {
    Now(Decided),
    Later(Pin<Box<dyn Future<Output = Decided> + Send + 'a>>),
}

/// Whether it may pass, and what is to be kept as long as it is there.
pub(crate) type Decided = Result<Option<OnEnd>, Refusal>;

/// Why something may not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{log}")]
pub(crate) struct Refusal {
    /// What the peer reads, where it may read details.
    pub(crate) peer: String,
    pub(crate) log: String,
}

/// A client wants to log in.
pub(crate) struct LoginAsk<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) peer: SocketAddr,
    pub(crate) login: Login,
    /// It is a client within this program whom the SSH gateway knows by a key: it has shown enough.
    pub(crate) vouched: bool,
    /// As whom, which the credentials tell.
    pub(crate) identity: Identity,
}

/// A client wants a proxy.
pub(crate) struct NewProxyAsk<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) client: &'a SessionHandle,
    /// Of the answer.
    pub(crate) protocol: WireProtocol,
    new: NewProxy,
    /// `new`, once somebody has wanted to know.
    spec: Option<ProxySpec>,
    /// What `new` takes of the client's allowance, and of its token's.
    taken: Vec<Taken>,
}

/// A client says that it is there.
pub(crate) struct PingAsk<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) client: &'a SessionHandle,
    pub(crate) ping: Ping,
}

/// A client has opened a work connection.
pub(crate) struct WorkConnAsk<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) client: &'a SessionHandle,
    pub(crate) conn: NewWorkConn,
}

/// A user has come to a proxy.
pub(crate) struct UserAsk<'a> {
    pub(crate) policy: &'a Policy,
    /// Whose proxy it is.
    pub(crate) client: &'a SessionHandle,
    pub(crate) proxy: &'a ProxySpec,
    /// The user's address, which the client is told; of a visitor's user it is the visitor's.
    pub(crate) src: Option<SocketAddr>,
    pub(crate) visitor: Option<&'a Claim>,
    /// Ends the connection.
    pub(crate) ending: &'a Arc<Ending>,
}

/// By what a visitor claims that its user may come.
#[derive(Debug)]
pub(crate) struct Claim {
    /// That the visitor's client has logged in as.
    pub(crate) user: String,
    pub(crate) timestamp: i64,
    /// The digest of the proxy's secret and the time.
    pub(crate) sign_key: String,
}

impl<'a> Verdict<'a> {
    pub(crate) fn pass() -> Self {
        Self::Now(Ok(None))
    }

    pub(crate) fn later(deciding: impl Future<Output = Decided> + Send + 'a) -> Self {
        Self::Later(Box::pin(deciding))
    }
}

impl Refusal {
    /// Whose texts are the same.
    pub(crate) fn new(why: &impl ToString) -> Self {
        let log = why.to_string();
        Self {
            peer: log.clone(),
            log,
        }
    }
}

impl<'a> NewProxyAsk<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        client: &'a SessionHandle,
        protocol: WireProtocol,
        new: NewProxy,
    ) -> Self {
        Self {
            policy,
            client,
            protocol,
            new,
            spec: None,
            taken: Vec::new(),
        }
    }

    /// As the client has sent it, or a check before has made it.
    pub(crate) fn message(&self) -> &NewProxy {
        &self.new
    }

    /// Asks for something else in the client's place.
    pub(crate) fn rewrite(&mut self, new: NewProxy) {
        self.new = new;
        self.spec = None;
        self.taken.clear();
    }

    /// Whether what it takes is counted.
    pub(super) fn is_counted(&self) -> bool {
        !self.taken.is_empty()
    }

    pub(super) fn count(&mut self, taken: Taken) {
        self.taken.push(taken);
    }

    pub(super) fn take_allowance(&mut self) -> Option<OnEnd> {
        let taken = std::mem::take(&mut self.taken);
        (!taken.is_empty()).then(|| Box::new(taken) as OnEnd)
    }

    /// What is asked for, read once.
    pub(crate) fn spec(&mut self) -> Result<&ProxySpec, SpecError> {
        let spec = match self.spec.take() {
            Some(spec) => spec,
            None => ProxySpec::read(&self.new)?,
        };
        Ok(self.spec.insert(spec))
    }

    pub(crate) fn into_spec(self) -> Result<ProxySpec, SpecError> {
        self.spec.map_or_else(|| ProxySpec::read(&self.new), Ok)
    }
}
