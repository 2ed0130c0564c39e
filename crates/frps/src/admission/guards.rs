//! May a user come, by where it comes from and how often ([`crate::guards`], [`crate::bans`])?

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use frp_log::{Log, shown_name, warn};
use frp_proto::names::Named as _;

use super::check::{Check, Decided, Refusal, UserAsk, Verdict};
use crate::bans::{Bans, Kind};
use crate::client::handle::SessionHandle;
use crate::guards::Why;
use crate::guards::counted::Counted;
use crate::policy::Policy;
use crate::proxy::spec::{self, ProxySpec};

/// See the module.
#[derive(Debug)]
pub(super) struct Guarding {
    pub(super) bans: Arc<Bans>,
    /// Users of all proxies, but for those that follow.
    all: Arc<Counted>,
    /// Whoever sends datagrams may say that they are anybody's: those count for nobody else.
    all_udp: Arc<Counted>,
    /// Users that were refused, by [`Why`].
    refused: [AtomicU64; Why::ALL.len()],
}

impl Guarding {
    pub(super) fn new(bans: &Arc<Bans>) -> Self {
        Self {
            bans: bans.clone(),
            all: Arc::default(),
            all_udp: Arc::default(),
            refused: Default::default(),
        }
    }

    /// Whether nobody from `ip` may come to the proxy `spec` of `client` now, which is logged and counted.
    pub(super) fn turns_away(
        &self,
        policy: &Policy,
        (client, spec): (&SessionHandle, &ProxySpec),
        ip: IpAddr,
    ) -> Option<Why> {
        let why = match self.bans.keeps_from(client.whose(), ip) {
            true => Why::Banned,
            false => policy.guards.denies(&spec.name, &spec.guard, ip)?,
        };
        self.refuse(spec, ip, why);
        Some(why)
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = (Why, u64)> {
        let each = Why::ALL.iter().zip(&self.refused);
        each.map(|(why, count)| (*why, count.load(Ordering::Relaxed)))
    }

    fn enter(&self, ask: &UserAsk<'_>, ip: IpAddr) -> Decided {
        let spec = ask.proxy;
        if let Some(why) = self.turns_away(ask.policy, (ask.client, spec), ip) {
            return Err(refusal(why));
        }
        let guards = &ask.policy.guards;
        let may_be_forged = matches!(spec.kind, spec::Kind::Udp { .. });
        let all = match may_be_forged {
            true => &self.all_udp,
            false => &self.all,
        };
        let counted = |of: &Arc<Counted>, limits| of.enter(ip, limits).map_err(|why| (why, limits));
        let own = counted(&spec.users, guards.limits_of(&spec.name, &spec.guard));
        let both = own.and_then(|own| Ok((own, counted(all, guards.limits())?)));
        match both {
            Ok((None, None)) => Ok(None),
            Ok(both) => Ok(Some(Box::new(both))),
            Err((why, limits)) => {
                self.refuse(spec, ip, why);
                if why == Why::Rate && !may_be_forged {
                    // Whoever comes twice as often as it may does not do so by chance.
                    let least = u32::try_from(limits.per_minute).unwrap_or(u32::MAX);
                    self.bans
                        .failed_beyond(ip, Kind::Rate, Some(&spec.name), least);
                }
                Err(refusal(why))
            }
        }
    }

    /// The line has the form of docs/guards.md, which others read.
    pub(super) fn refuse(&self, spec: &ProxySpec, ip: IpAddr, why: Why) {
        if let Some(count) = self.refused.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let ip = ip.to_canonical();
        warn!(
            Log::root().by(ip),
            "guard: refused {ip} cause={why} proxy={:?}",
            shown_name(&spec.name)
        );
    }
}

impl Check for Arc<Guarding> {
    /// Who comes from nowhere, within this program, is not counted.
    fn user<'a>(&'a self, ask: &'a mut UserAsk<'_>) -> Verdict<'a> {
        let Some(src) = ask.src else {
            return Verdict::pass();
        };
        Verdict::Now(self.enter(ask, src.ip()))
    }
}

pub(super) fn refusal(why: Why) -> Refusal {
    Refusal::new(&why.text())
}
