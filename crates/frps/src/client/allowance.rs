//! How much one client may have: what its proxies hold together is counted, and what would be too
//! much is refused before anything is made of it. The limits are those of docs/limits.md.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{MAX_CLIENT_TEXT, MAX_PROXIES, MAX_PROXY_ENTRIES, MAX_ROUTES, TEXT_OVERHEAD};
use frp_net::limits::MAX_NAME;
use frp_proto::msg::{Login, NewProxy};
use frp_proto::wire::{WireProtocol, v1, v2};

use crate::proxy::spec::{Hosts, ProxySpec};

/// What the proxies of one session hold.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    held: Mutex<Amount>,
}

/// What one proxy holds of its client's allowance, until dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    amount: Amount,
    of: Arc<Allowance>,
}

/// How much the proxies of several clients may hold together; 0 is any number.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Together {
    pub(crate) proxies: u64,
    pub(crate) ports: u64,
    pub(crate) routes: u64,
}

/// Why a client may not have it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverLimit {
    #[error("{0} is longer than {MAX_NAME} bytes")]
    Name(&'static str),
    #[error("too many {what}: {count}, a proxy may have {MAX_PROXY_ENTRIES}")]
    Entries { what: &'static str, count: usize },
    #[error("too many proxies: a client may have {MAX_PROXIES}")]
    Proxies,
    #[error("exceed the max_ports_per_client")]
    Ports,
    #[error("too many {what}: the clients of token [{token}] may have {limit} together")]
    OfToken {
        what: &'static str,
        token: Arc<str>,
        limit: u64,
    },
    #[error(
        "too many routes: {domains} domains x {locations} locations{}, a client may have \
         {MAX_ROUTES}",
        beside(*.held)
    )]
    Routes {
        domains: usize,
        locations: usize,
        held: usize,
    },
    #[error(
        "too much text: names, headers and metadata of a client's proxies may have {} MB together",
        MAX_CLIENT_TEXT >> 20
    )]
    Text,
    #[error(
        "the list of {routes} routes does not fit the answer: wire protocol {protocol} allows \
         {limit} bytes"
    )]
    Answer {
        routes: usize,
        protocol: WireProtocol,
        limit: usize,
    },
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Amount {
    proxies: usize,
    ports: u64,
    routes: usize,
    /// Bytes, overhead included.
    text: usize,
}

impl Amount {
    fn add(&mut self, other: &Self) {
        self.proxies += other.proxies;
        self.ports += other.ports;
        self.routes += other.routes;
        self.text += other.text;
    }
}

impl Allowance {
    /// Takes what the proxy of `spec` needs, whose texts cost `text` and whose answer goes by
    /// `protocol`. `max_ports` is `maxPortsPerClient`; 0 is no limit.
    pub(crate) fn take(
        self: &Arc<Self>,
        spec: &ProxySpec,
        text: usize,
        protocol: WireProtocol,
        max_ports: u64,
    ) -> Result<Taken, OverLimit> {
        let hosts = spec.kind.hosts();
        let asked = hosts.map_or_else(Ask::default, |(hosts, locations)| ask(hosts, locations));
        let amount = Amount {
            proxies: 1,
            ports: spec.kind.remote_port().is_some().into(),
            routes: asked.routes(),
            text,
        };
        let mut held = self.lock();
        if held.proxies >= MAX_PROXIES {
            return Err(OverLimit::Proxies);
        }
        if held.routes + amount.routes > MAX_ROUTES {
            return Err(OverLimit::Routes {
                domains: asked.domains,
                locations: asked.locations.max(1),
                held: held.routes,
            });
        }
        if held.text + amount.text > MAX_CLIENT_TEXT {
            return Err(OverLimit::Text);
        }
        let limit = match protocol {
            WireProtocol::V1 => v1::MAX_BODY,
            WireProtocol::V2 => v2::MAX_PAYLOAD,
        };
        if amount.routes > 0 && asked.answer > limit {
            return Err(OverLimit::Answer {
                routes: amount.routes,
                protocol,
                limit,
            });
        }
        if max_ports > 0 && amount.ports > 0 && held.ports >= max_ports {
            return Err(OverLimit::Ports);
        }
        held.add(&amount);
        drop(held);
        Ok(Taken {
            amount,
            of: self.clone(),
        })
    }

    /// Takes as much once more of what the clients of `token` have together.
    pub(crate) fn take_for(
        self: &Arc<Self>,
        token: &Arc<str>,
        limits: &Together,
        Taken { amount, .. }: &Taken,
    ) -> Result<Taken, OverLimit> {
        let mut held = self.lock();
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        for (what, limit, asked, held) in [
            (
                "proxies",
                limits.proxies,
                number(amount.proxies),
                number(held.proxies),
            ),
            ("ports", limits.ports, amount.ports, held.ports),
            (
                "routes",
                limits.routes,
                number(amount.routes),
                number(held.routes),
            ),
        ] {
            if limit > 0 && asked > 0 && held.saturating_add(asked) > limit {
                let token = token.clone();
                return Err(OverLimit::OfToken { what, token, limit });
            }
        }
        held.add(amount);
        drop(held);
        Ok(Taken {
            amount: *amount,
            of: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Amount> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many routes a proxy asks for, and the bytes of the answer with them, at least: what it takes to
/// refuse them before they are made.
pub(crate) fn ask(hosts: &Hosts, locations: &[String]) -> Ask {
    let names = hosts.custom_domains.iter().chain([&hosts.subdomain]);
    let (domains, text) = names
        .filter(|name| !name.is_empty())
        .fold((0, 0), |(count, bytes), name| {
            (count + 1, bytes + name.len() + 1)
        });
    let locations = locations.len();
    Ask {
        domains,
        locations,
        answer: text * locations.max(1),
    }
}

/// See [`ask`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) domains: usize,
    pub(crate) locations: usize,
    /// Bytes.
    pub(crate) answer: usize,
}

impl Ask {
    pub(crate) fn routes(self) -> usize {
        self.domains * self.locations.max(1)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        held.proxies -= self.amount.proxies;
        held.ports -= self.amount.ports;
        held.routes -= self.amount.routes;
        held.text -= self.amount.text;
    }
}

/// Whether the texts of a registration may be kept, and what they cost.
pub(crate) fn check_proxy(new: &NewProxy) -> Result<usize, OverLimit> {
    check_names(new)?;
    check_entries(new)?;
    Ok(text_of(new))
}

/// Whether the texts of a login that are kept as long as the session are names.
pub(crate) fn check_login(login: &Login) -> Result<(), OverLimit> {
    each_is_name([
        ("run id", &login.run_id),
        ("user", &login.user),
        ("client id", &login.client_id),
        ("version", &login.version),
        ("host name", &login.hostname),
        ("operating system", &login.os),
        ("architecture", &login.arch),
    ])
}

fn check_names(new: &NewProxy) -> Result<(), OverLimit> {
    let each = |what, list: &[String]| each_is_name(list.iter().map(|text| (what, text)));
    each_is_name([
        ("proxy name", &new.proxy_name),
        ("proxy type", &new.proxy_type),
        ("bandwidth limit", &new.bandwidth_limit),
        ("bandwidth limit mode", &new.bandwidth_limit_mode),
        ("group name", &new.group),
        ("group key", &new.group_key),
        ("subdomain", &new.subdomain),
        ("HTTP user", &new.http_user),
        ("HTTP password", &new.http_pwd),
        ("host header rewrite", &new.host_header_rewrite),
        ("routeByHTTPUser", &new.route_by_http_user),
        ("secret key", &new.sk),
        ("multiplexer", &new.multiplexer),
    ])?;
    each("custom domain", &new.custom_domains)?;
    each("location", &new.locations)?;
    each("name in allowUsers", &new.allow_users)?;
    each("address of guard.allowIPs", &new.guard_allow_ips)?;
    each("address of guard.denyIPs", &new.guard_deny_ips)
}

fn each_is_name<'t>(
    texts: impl IntoIterator<Item = (&'static str, &'t String)>,
) -> Result<(), OverLimit> {
    let mut texts = texts.into_iter();
    match texts.find(|(_, text)| text.len() > MAX_NAME) {
        Some((what, _)) => Err(OverLimit::Name(what)),
        None => Ok(()),
    }
}

fn check_entries(new: &NewProxy) -> Result<(), OverLimit> {
    let tables = tables_of(new).map(|(what, table)| (what, table.len()));
    let lists = [
        ("addresses in guard.allowIPs", new.guard_allow_ips.len()),
        ("addresses in guard.denyIPs", new.guard_deny_ips.len()),
    ];
    let mut all = tables.into_iter().chain(lists);
    match all.find(|(_, count)| *count > MAX_PROXY_ENTRIES) {
        Some((what, count)) => Err(OverLimit::Entries { what, count }),
        None => Ok(()),
    }
}

fn tables_of(new: &NewProxy) -> [(&'static str, &BTreeMap<String, String>); 4] {
    [
        ("metadatas", &new.metas),
        ("annotations", &new.annotations),
        ("request headers", &new.headers),
        ("response headers", &new.response_headers),
    ]
}

/// What the texts of a registration cost.
fn text_of(new: &NewProxy) -> usize {
    let lists = [
        &new.custom_domains,
        &new.locations,
        &new.allow_users,
        &new.guard_allow_ips,
        &new.guard_deny_ips,
    ];
    let tables = tables_of(new);
    let single = [
        &new.proxy_name,
        &new.proxy_type,
        &new.bandwidth_limit,
        &new.bandwidth_limit_mode,
        &new.group,
        &new.group_key,
        &new.subdomain,
        &new.http_user,
        &new.http_pwd,
        &new.host_header_rewrite,
        &new.route_by_http_user,
        &new.sk,
        &new.multiplexer,
    ];
    let single = single.into_iter().filter(|text| !text.is_empty());
    let listed = lists.into_iter().flatten();
    let mapped = tables.iter().flat_map(|(_, table)| table.iter());
    let mapped = mapped.flat_map(|(key, value)| [key, value]);
    let all = single.chain(listed).chain(mapped);
    all.map(|text| text.len() + TEXT_OVERHEAD).sum()
}

fn beside(held: usize) -> String {
    match held {
        0 => String::new(),
        held => format!(" beside {held} others"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const V2: WireProtocol = WireProtocol::V2;

    fn http(domains: usize, locations: usize) -> NewProxy {
        NewProxy {
            proxy_type: "http".to_owned(),
            custom_domains: (0..domains).map(|n| format!("d{n}")).collect(),
            locations: (0..locations).map(|n| format!("/{n}")).collect(),
            ..NewProxy::default()
        }
    }

    fn take(allowance: &Arc<Allowance>, new: &NewProxy) -> Result<Taken, OverLimit> {
        let text = check_proxy(new)?;
        allowance.take(&ProxySpec::read(new).unwrap(), text, V2, 0)
    }

    fn refusal(allowance: &Arc<Allowance>, new: &NewProxy) -> String {
        take(allowance, new).unwrap_err().to_string()
    }

    #[test]
    fn routes_are_counted_over_all_proxies_and_given_back() {
        let allowance = Arc::new(Allowance::default());
        assert_eq!(
            refusal(&allowance, &http(3000, 3000)),
            "too many routes: 3000 domains x 3000 locations, a client may have 10000"
        );
        let some = take(&allowance, &http(50, 100)).unwrap();
        let same = take(&allowance, &http(5000, 0)).unwrap();
        assert_eq!(
            refusal(&allowance, &http(1, 0)),
            "too many routes: 1 domains x 1 locations beside 10000 others, a client may have 10000"
        );
        drop(some);
        drop(take(&allowance, &http(1, 5000)).unwrap());
        drop(same);
        assert_eq!(*allowance.lock(), Amount::default());
    }

    #[test]
    fn an_answer_that_cannot_fit_is_refused_before_it_is_made() {
        let allowance = Arc::new(Allowance::default());
        let mut new = http(5, 1000);
        new.custom_domains[0] = "d".repeat(MAX_NAME);
        assert_eq!(
            refusal(&allowance, &new),
            "the list of 5000 routes does not fit the answer: wire protocol v2 allows 65536 bytes"
        );
        assert_eq!(*allowance.lock(), Amount::default());
    }

    #[test]
    fn proxies_are_counted() {
        let allowance = Arc::new(Allowance::default());
        let new = NewProxy::default();
        let all: Vec<_> = (0..MAX_PROXIES)
            .map(|_| take(&allowance, &new).unwrap())
            .collect();
        assert_eq!(
            refusal(&allowance, &new),
            "too many proxies: a client may have 10000"
        );
        drop(all);
        take(&allowance, &new).unwrap();
    }

    #[test]
    fn ports_are_counted_with_the_types_that_have_one() {
        let allowance = Arc::new(Allowance::default());
        let take = |kind: &str| {
            let spec = ProxySpec::read(&NewProxy {
                proxy_type: kind.to_owned(),
                ..NewProxy::default()
            });
            allowance.take(&spec.unwrap(), 0, V2, 1)
        };
        let first = take("udp").unwrap();
        assert_eq!(take("tcp").unwrap_err(), OverLimit::Ports);
        let _other = take("stcp").unwrap();
        drop(first);
        take("tcp").unwrap();
    }

    #[test]
    fn names_have_a_length() {
        let allowance = Arc::new(Allowance::default());
        let (longest, longer) = ("n".repeat(MAX_NAME), "n".repeat(MAX_NAME + 1));
        type Set = fn(&mut NewProxy, String);
        let cases: [(&str, Set); 6] = [
            ("proxy name", |new, text| new.proxy_name = text),
            ("group name", |new, text| new.group = text),
            ("secret key", |new, text| new.sk = text),
            ("custom domain", |new, text| new.custom_domains.push(text)),
            ("location", |new, text| new.locations.push(text)),
            ("name in allowUsers", |new, text| new.allow_users.push(text)),
        ];
        for (what, set) in cases {
            let mut new = NewProxy::default();
            set(&mut new, longest.clone());
            take(&allowance, &new).unwrap();
            set(&mut new, longer.clone());
            assert_eq!(
                refusal(&allowance, &new),
                format!("{what} is longer than 1024 bytes")
            );
        }
        let login = Login {
            run_id: longer,
            ..Login::default()
        };
        let refused = check_login(&login).unwrap_err();
        assert_eq!(refused.to_string(), "run id is longer than 1024 bytes");
    }

    #[test]
    fn entries_and_all_texts_are_counted() {
        let allowance = Arc::new(Allowance::default());
        let entries = |count: usize| -> BTreeMap<String, String> {
            (0..count).map(|n| (n.to_string(), String::new())).collect()
        };
        let mut new = NewProxy {
            headers: entries(MAX_PROXY_ENTRIES + 1),
            ..NewProxy::default()
        };
        assert_eq!(
            refusal(&allowance, &new),
            "too many request headers: 1001, a proxy may have 1000"
        );
        new.headers = entries(MAX_PROXY_ENTRIES);
        let mut all = Vec::new();
        let refused = loop {
            match take(&allowance, &new) {
                Ok(taken) => all.push(taken),
                Err(e) => break e.to_string(),
            }
        };
        assert_eq!(
            refused,
            "too much text: names, headers and metadata of a client's proxies may have 16 MB \
             together"
        );
        // A thousand empty values cost more than their bytes.
        assert!((100..200).contains(&all.len()), "{}", all.len());
        all.pop();
        take(&allowance, &new).unwrap();
    }
}
