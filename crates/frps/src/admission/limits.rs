//! Is it too much for one client ([`crate::client::allowance`])? What is asked for is counted before
//! anything else looks at it, so that what waits for another check is bounded, too; and again where that
//! has changed it.

use super::check::{Check, LoginAsk, NewProxyAsk, Refusal, Verdict};
use crate::client::allowance::{OverLimit, Taken, check_login, check_proxy};
use crate::client::handle::SessionHandle;
use crate::policy::Policy;
use crate::stats::logins::Cause;

#[derive(Debug)]
pub(super) struct Limits;

impl Check for Limits {
    fn cause(&self) -> Cause {
        Cause::Limits
    }

    fn login<'a>(&'a self, ask: &'a mut LoginAsk<'_>) -> Verdict<'a> {
        let checked = check_login(&ask.login).map_err(|why| Refusal::new(&why));
        Verdict::Now(checked.map(|()| None))
    }

    fn new_proxy<'a>(&'a self, ask: &'a mut NewProxyAsk<'_>) -> Verdict<'a> {
        if ask.is_counted() {
            return Verdict::pass();
        }
        Verdict::Now(take(ask).map(|()| None))
    }
}

fn take(ask: &mut NewProxyAsk<'_>) -> Result<(), Refusal> {
    let NewProxyAsk {
        policy,
        client,
        protocol,
        ..
    } = *ask;
    let text = check_proxy(ask.message()).map_err(|why| Refusal::new(&why))?;
    let spec = ask.spec().map_err(|why| Refusal::new(&why))?;
    let limit = policy.max_ports_per_client;
    let taken = client.allowance.take(spec, text, protocol, limit);
    let taken = taken.map_err(|why| Refusal::new(&why))?;
    let of_token = of_token(policy, client, &taken).map_err(|why| Refusal::new(&why))?;
    ask.count(taken);
    of_token.into_iter().for_each(|taken| ask.count(taken));
    Ok(())
}

/// The same of what the clients of a token may have together.
fn of_token(
    policy: &Policy,
    client: &SessionHandle,
    taken: &Taken,
) -> Result<Option<Taken>, OverLimit> {
    let Some(entry) = policy.auth.tokens.current(client.identity().entry()) else {
        return Ok(None);
    };
    if !entry.is_named() {
        return Ok(None);
    }
    let of = &entry.held.allowance;
    of.take_for(entry.name(), &entry.limits.together, taken)
        .map(Some)
}
