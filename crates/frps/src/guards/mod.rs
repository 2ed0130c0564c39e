//! By what is a user let in, going by where it comes from and how often? What the settings say for all proxies, what
//! they say for those of certain names, and what a proxy's own client asks for: all of it holds together, so that
//! each can only be stricter than the others.
//!
//! [`lists`] has the addresses, [`counted`] who is there and has come of late. [`crate::admission`] asks.

pub(crate) mod counted;
pub(crate) mod lists;

use std::net::IpAddr;
use std::sync::Arc;

use frp_config::{GuardRules, Guards as Settings, fits};
use frp_proto::msg::NewProxy;
use frp_proto::named;
use frp_proto::network::{Network, NotANetwork};

use self::counted::Limits;
pub(crate) use self::lists::ListError;
use self::lists::{List, ListFile};
use crate::bans;
use crate::networks::Networks;

/// What the settings say.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    all: Rule,
    named: Vec<(String, Rule)>,
    pub(crate) bans: Arc<bans::Rules>,
}

#[derive(Debug, Default)]
struct Rule {
    allow: Option<List>,
    deny: List,
    limits: Limits,
}

/// What the client of a proxy asks for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    allow: Option<Networks>,
    deny: Networks,
    limits: Limits,
    /// It says what becomes of its users.
    pub(crate) reports: bool,
}

/// A client asks for what cannot be.
#[derive(Debug, thiserror::Error)]
#[error("guard.{key}: {text:?} is {why}")]
pub(crate) struct AskedError {
    key: &'static str,
    text: String,
    why: NotANetwork,
}

named! {
    /// Why a user may not come in.
    pub(crate) enum Why {
        /// Its source is banned.
        Banned = "banned",
        /// A list of denied addresses has it.
        Denied = "denied",
        /// There is a list of allowed addresses, which lacks it.
        NotAllowed = "not-allowed",
        /// Too many new connections of its source within a minute.
        Rate = "rate",
        /// Too many connections of its source at a time.
        Source = "source",
        /// Too many connections at a time.
        Full = "full",
    }
}

impl Why {
    /// For the client and the log.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Banned => "its address is banned",
            Self::Denied => "its address is denied",
            Self::NotAllowed => "its address is not allowed",
            Self::Rate => "too many new connections from its address",
            Self::Source => "too many connections from its address",
            Self::Full => "too many connections",
        }
    }
}

impl Guards {
    /// Reads the files that `settings` name. Nobody of `proxies`, which stand in front of us, is banned for failures:
    /// behind each there are many users.
    pub(crate) fn new(settings: Settings, proxies: &[Network]) -> Result<Self, ListError> {
        let ban = settings.ban;
        let except = ban.except_ips.iter().chain(proxies);
        let bans = bans::Rules {
            failures: u32::try_from(ban.failures).unwrap_or(u32::MAX),
            window: ban.window,
            first: ban.time,
            longest: ban.max_time.max(ban.time),
            except: except.copied().collect(),
        };
        let mut named = Vec::new();
        for entry in settings.proxies {
            named.push((entry.name, Rule::new(entry.rules)?));
        }
        Ok(Self {
            all: Rule::new(settings.rules)?,
            named,
            bans: Arc::new(bans),
        })
    }

    /// Why `ip` may not come to the proxy `name`, whose client asks for `asked`, whenever it comes.
    pub(crate) fn denies(&self, name: &str, asked: &Asked, ip: IpAddr) -> Option<Why> {
        let ip = ip.to_canonical();
        let own = asked.allow.as_ref().is_some_and(|list| !list.contain(ip));
        if asked.deny.contain(ip) {
            return Some(Why::Denied);
        }
        if own {
            return Some(Why::NotAllowed);
        }
        let mut rules = std::iter::once(&self.all).chain(self.of(name));
        rules.find_map(|rule| rule.denies(ip))
    }

    /// What all proxies may have together.
    pub(crate) fn limits(&self) -> Limits {
        self.all.limits
    }

    /// What the proxy `name` may have, whose client asks for `asked`.
    pub(crate) fn limits_of(&self, name: &str, asked: &Asked) -> Limits {
        let rules = self.of(name).map(|rule| rule.limits);
        rules.fold(asked.limits, Limits::stricter)
    }

    /// The files of addresses.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<ListFile>> {
        let rules = std::iter::once(&self.all).chain(self.named.iter().map(|(_, rule)| rule));
        let lists = rules.flat_map(|rule| rule.allow.iter().chain([&rule.deny]));
        lists.flat_map(List::files)
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Rule> {
        let fitting = move |(pattern, _): &&(String, Rule)| fits(pattern, name);
        self.named.iter().filter(fitting).map(|(_, rule)| rule)
    }
}

impl Rule {
    fn new(rules: GuardRules) -> Result<Self, ListError> {
        let allow = List::new("allowIPFiles", rules.allow_ips, &rules.allow_ip_files)?;
        Ok(Self {
            allow: Some(allow).filter(List::is_given),
            deny: List::new("denyIPFiles", rules.deny_ips, &rules.deny_ip_files)?,
            limits: Limits {
                per_minute: rules.max_conns_per_minute,
                per_source: rules.max_conns_per_source,
                all: rules.max_conns,
            },
        })
    }

    fn denies(&self, ip: IpAddr) -> Option<Why> {
        if self.deny.has(ip) {
            return Some(Why::Denied);
        }
        let allowed = self.allow.as_ref().is_none_or(|list| list.has(ip));
        (!allowed).then_some(Why::NotAllowed)
    }
}

impl Asked {
    pub(crate) fn read(new: &NewProxy) -> Result<Self, AskedError> {
        let number = |n: i64| u64::try_from(n).unwrap_or(0);
        let allow = networks("allowIPs", &new.guard_allow_ips)?;
        Ok(Self {
            allow: Some(allow).filter(|_| !new.guard_allow_ips.is_empty()),
            deny: networks("denyIPs", &new.guard_deny_ips)?,
            limits: Limits {
                per_minute: number(new.guard_max_conns_per_minute),
                per_source: number(new.guard_max_conns_per_source),
                all: number(new.guard_max_conns),
            },
            reports: new.guard_reports,
        })
    }
}

fn networks(key: &'static str, texts: &[String]) -> Result<Networks, AskedError> {
    let parse = |text: &String| {
        text.parse::<Network>().map_err(|why| AskedError {
            key,
            text: text.clone(),
            why,
        })
    };
    texts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests;
