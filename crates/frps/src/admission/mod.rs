//! May it come in? What comes to the server passes here before anything is done for it: a login, a
//! new proxy, a ping, a work connection, a user's connection. Each is shown to one [`Check`] after
//! the other, which lets it pass, changes it or refuses it. What has passed has a [`Guard`], which
//! goes when it ends: so a closed proxy passes, too, whoever closes it.
//!
//! A check may take its time: what it is asked about waits, and nothing else does. It has to bound
//! its own waits.

mod credentials;
pub(crate) mod guard;
mod limits;
#[cfg(test)]
mod tests;
mod visitors;

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;

use frp_proto::msg::{Login, NewProxy, NewWorkConn, Ping};
use frp_proto::wire::WireProtocol;

use self::credentials::Credentials;
use self::guard::{Guard, Held};
use self::limits::Limits;
use self::visitors::Visitors;
use crate::auth::Subject;
use crate::client::handle::SessionHandle;
use crate::policy::Policy;
use crate::proxy::spec::{ProxySpec, SpecError};

/// All checks, in their order.
#[derive(Debug)]
pub(crate) struct Admission {
    checks: Vec<Box<dyn Check>>,
    asks_more: bool,
}

/// Decides about what it knows; what it does not, passes.
///
/// A verdict that is dropped before it is given has let nothing pass: whoever asked has left, or has
/// taken back what it asked for.
pub(crate) trait Check: fmt::Debug + Send + Sync {
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
pub(crate) type Decided = Result<Option<Held>, Refusal>;

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
    /// As whom, which the credentials tell.
    pub(crate) subject: Subject,
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
}

/// A client says that it is there.
pub(crate) struct PingAsk<'a> {
    pub(crate) client: &'a SessionHandle,
    pub(crate) ping: Ping,
}

/// A client has opened a work connection.
pub(crate) struct WorkConnAsk<'a> {
    pub(crate) client: &'a SessionHandle,
    pub(crate) conn: NewWorkConn,
}

/// A user has come to a proxy.
pub(crate) struct UserAsk<'a> {
    /// Whose proxy it is.
    pub(crate) client: &'a SessionHandle,
    pub(crate) proxy: &'a ProxySpec,
    /// The user's address, which the client is told; of a visitor's user it is the visitor's.
    pub(crate) src: Option<SocketAddr>,
    pub(crate) visitor: Option<&'a Claim>,
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

impl Admission {
    /// With `more` checks, which are asked before credentials are looked at, as frp's plugins are:
    /// they may be what makes them good.
    pub(crate) fn new(more: Vec<Box<dyn Check>>) -> Self {
        let asks_more = !more.is_empty();
        let mut checks: Vec<Box<dyn Check>> = vec![Box::new(Limits)];
        checks.extend(more);
        checks.push(Box::new(Credentials));
        checks.push(Box::new(Visitors));
        Self { checks, asks_more }
    }

    /// Whether others than those of the server itself are asked: only they know users by address.
    pub(crate) fn asks_more(&self) -> bool {
        self.asks_more
    }

    pub(crate) async fn login(&self, ask: &mut LoginAsk<'_>) -> Result<Guard, Refusal> {
        self.ask(ask, |check, ask| check.login(ask)).await
    }

    pub(crate) async fn new_proxy(&self, ask: &mut NewProxyAsk<'_>) -> Result<Guard, Refusal> {
        self.ask(ask, |check, ask| check.new_proxy(ask)).await
    }

    pub(crate) async fn ping(&self, ask: &mut PingAsk<'_>) -> Result<Guard, Refusal> {
        self.ask(ask, |check, ask| check.ping(ask)).await
    }

    pub(crate) async fn work_conn(&self, ask: &mut WorkConnAsk<'_>) -> Result<Guard, Refusal> {
        self.ask(ask, |check, ask| check.work_conn(ask)).await
    }

    /// By [`crate::proxy::user::UserConn::enter`] only.
    pub(crate) async fn user(&self, ask: &mut UserAsk<'_>) -> Result<Guard, Refusal> {
        self.ask(ask, |check, ask| check.user(ask)).await
    }

    async fn ask<A>(
        &self,
        ask: &mut A,
        of: impl for<'a> Fn(&'a dyn Check, &'a mut A) -> Verdict<'a>,
    ) -> Result<Guard, Refusal> {
        let mut guard = Guard::default();
        for check in &self.checks {
            let decided = match of(&**check, ask) {
                Verdict::Now(decided) => decided,
                Verdict::Later(deciding) => deciding.await,
            };
            guard.hold(decided?);
        }
        Ok(guard)
    }
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
        }
    }

    /// As the client has sent it, or a check before has made it.
    pub(crate) fn message(&self) -> &NewProxy {
        &self.new
    }

    /// Asks for something else in the client's place.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for checks that change proxies")
    )]
    pub(crate) fn rewrite(&mut self, new: NewProxy) {
        self.new = new;
        self.spec = None;
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
