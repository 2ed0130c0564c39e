//! Is it a user's turn, at a proxy whose client says what becomes of its users ([`crate::client::visits`])?

use std::net::IpAddr;
use std::sync::Arc;

use super::check::{Check, Decided, UserAsk, Verdict};
use super::guards::{Guarding, refusal};
use crate::client::visits::NotNow;
use crate::guards::Why;

/// See the module.
#[derive(Debug)]
pub(super) struct Reports(Arc<Guarding>);

impl Reports {
    pub(super) fn new(guarding: &Arc<Guarding>) -> Self {
        Self(guarding.clone())
    }

    async fn enter(&self, ask: &UserAsk<'_>) -> Decided {
        let Some(from) = ask.src else {
            return Ok(None);
        };
        let whose = ask.client.whose();
        let left = |ip: IpAddr| self.0.bans.failures_left(whose, ip);
        let visits = &ask.client.visits;
        let visit = visits.enter(&ask.proxy.name, from, ask.ending, left).await;
        let why = match visit {
            // One that came while this was decided has not found it among those whom it ends.
            Ok(_) if left(from.ip()) == Some(0) => Why::Banned,
            Ok(visit) => return Ok(Some(Box::new(visit))),
            Err(NotNow::Banned) => Why::Banned,
            Err(NotNow::Crowded) => Why::Source,
        };
        self.0.refuse(ask.proxy, from.ip(), why);
        Err(refusal(why))
    }
}

impl Check for Reports {
    fn user<'a>(&'a self, ask: &'a mut UserAsk<'_>) -> Verdict<'a> {
        if !ask.proxy.guard.reports {
            return Verdict::pass();
        }
        Verdict::later(async { self.enter(ask).await })
    }
}
