//! `guard` of frps: whom its entries are for, and who is never banned.

use std::net::{Ipv4Addr, Ipv6Addr};

use frp_proto::network::Network;

use crate::keys::At;
use crate::report::Report;
use crate::{BanRules, GuardedProxies, Guards};

pub(super) fn check(at: &At<'_, Guards>, ban: &mut BanRules, report: &mut Report<'_>) {
    let except = at.of(Guards::ban).of(BanRules::except_ips);
    if except.field().is_none() {
        // Whoever is there has other ways in, and may be a proxy in front of all users.
        ban.except_ips = vec![
            Network::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8),
            Network::new(Ipv6Addr::LOCALHOST.into(), 128),
        ];
    }
    for entry in at.of(Guards::proxies).items() {
        if entry.of(GuardedProxies::name).text().is_empty() {
            report.refuse(
                entry.section().at,
                "guard.proxies: an entry has no name".to_owned(),
                "give the name of a proxy, or a pattern such as \"*.ssh\"; what is for all proxies stands in guard itself",
            );
        }
    }
}
