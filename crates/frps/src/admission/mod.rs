//! May it come in? What comes to the server passes here before anything is done for it: a login, a
//! new proxy, a ping, a work connection, a user's connection. Each is shown to one [`Check`] after
//! the other, which lets it pass, changes it or refuses it. What has passed has a [`Guard`], which
//! goes when it ends: so a closed proxy passes, too, whoever closes it.
//!
//! A check may take its time: what it is asked about waits, and nothing else does. It has to bound
//! its own waits.

pub(crate) mod check;
mod credentials;
pub(crate) mod guard;
mod guards;
mod limits;
mod plugins;
mod reports;
#[cfg(test)]
mod tests;
mod tokens;
mod visitors;

use std::net::IpAddr;
use std::sync::Arc;

use self::check::{Check, LoginAsk, NewProxyAsk, PingAsk, Refusal, UserAsk, Verdict, WorkConnAsk};
use self::credentials::Credentials;
use self::guard::Guard;
use self::guards::Guarding;
use self::limits::Limits;
use self::plugins::Plugins;
use self::reports::Reports;
use self::tokens::Tokens;
use self::visitors::Visitors;
use crate::bans::Bans;
use crate::client::handle::SessionHandle;
use crate::guards::Why;
use crate::policy::Policy;
use crate::proxy::spec::ProxySpec;

/// All checks, in their order.
#[derive(Debug)]
pub(crate) struct Admission {
    checks: Vec<Box<dyn Check>>,
    guarding: Arc<Guarding>,
}

impl Admission {
    /// With `more` checks. As the server plugins, they are asked before the credentials of a client are
    /// looked at, which they may make good, and after those of a visitor. What they have changed is
    /// checked as if it had come so.
    pub(crate) fn new(more: Vec<Box<dyn Check>>, bans: &Arc<Bans>) -> Self {
        let guarding = Arc::new(Guarding::new(bans));
        let mut checks: Vec<Box<dyn Check>> = vec![Box::new(guarding.clone())];
        checks.extend([Box::new(Limits) as Box<dyn Check>, Box::new(Visitors)]);
        checks.push(Box::new(Plugins));
        checks.extend(more);
        checks.push(Box::new(Limits));
        checks.push(Box::new(Credentials));
        checks.push(Box::new(Tokens));
        // The last: a user that waits for its turn has passed all else.
        checks.push(Box::new(Reports::new(&guarding)));
        Self { checks, guarding }
    }

    /// Whether nobody from `ip` may come to the proxy of `at`, as far as that is known by where it is: to be asked
    /// where a user costs nothing yet. It is logged.
    pub(crate) fn turns_away(
        &self,
        policy: &Policy,
        at: (&SessionHandle, &ProxySpec),
        ip: IpAddr,
    ) -> Option<Why> {
        self.guarding.turns_away(policy, at, ip)
    }

    /// Users that guards have refused, by why.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (Why, u64)> {
        self.guarding.refused()
    }

    /// Also gives the check that refused it.
    pub(crate) async fn login(
        &self,
        ask: &mut LoginAsk<'_>,
    ) -> Result<Guard, (&dyn Check, Refusal)> {
        self.ask_all(ask, |check, ask| check.login(ask)).await
    }

    pub(crate) async fn new_proxy(&self, ask: &mut NewProxyAsk<'_>) -> Result<Guard, Refusal> {
        let mut guard = self.ask(ask, |check, ask| check.new_proxy(ask)).await?;
        guard.add(ask.take_allowance());
        Ok(guard)
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
        let asked = self.ask_all(ask, of).await;
        asked.map_err(|(_, refused)| refused)
    }

    async fn ask_all<A>(
        &self,
        ask: &mut A,
        of: impl for<'a> Fn(&'a dyn Check, &'a mut A) -> Verdict<'a>,
    ) -> Result<Guard, (&dyn Check, Refusal)> {
        let mut guard = Guard::default();
        for check in &self.checks {
            let decided = match of(&**check, ask) {
                Verdict::Now(decided) => decided,
                Verdict::Later(deciding) => deciding.await,
            };
            guard.add(decided.map_err(|refused| (&**check, refused))?);
        }
        Ok(guard)
    }
}
