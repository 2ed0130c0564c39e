//! Which proxy a host name leads to (frp `pkg/util/vhost/router.go`).

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use crate::limits::ROUTES_UNDER_LOCK;
use frp_net::limits::MAX_NAME;

/// Bytes that a host name may have (RFC 1035, section 2.3.4, without the trailing dot).
const MAX_HOST: usize = 253;

/// What a route is for. Routes of one proxy share their texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RouteKey {
    /// Lower-case host name; `*.x` for anything below `x`, `*` for all.
    pub(crate) domain: Arc<str>,
    /// Prefix of the path; empty for all.
    pub(crate) location: Arc<str>,
    /// Only requests of this HTTP user; empty for all.
    pub(crate) http_user: Arc<str>,
}

/// The routes of one kind of vhost. `T` is what a route leads to, cheap to clone.
#[derive(Debug)]
pub(crate) struct Router<T> {
    table: RwLock<Table<T>>,
}

/// Routes in the table, until dropped.
#[derive(Debug)]
pub(crate) struct RouteGuards<T> {
    keys: Vec<RouteKey>,
    router: Arc<Router<T>>,
}

/// The route is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("router config conflict")]
pub(crate) struct RouteConflict;

#[derive(Debug)]
struct Table<T> {
    /// By the name itself.
    names: HashMap<Arc<str>, Users<T>>,
    /// `*.x`, by `x`.
    below: HashMap<Arc<str>, Users<T>>,
    /// `*`
    all: Users<T>,
}

/// The routes of one domain, by HTTP user and location.
type Users<T> = HashMap<Arc<str>, Locations<T>>;

type Locations<T> = BTreeMap<Arc<str>, T>;

impl<T> Default for Router<T> {
    fn default() -> Self {
        let table = Table {
            names: HashMap::new(),
            below: HashMap::new(),
            all: HashMap::new(),
        };
        Self {
            table: RwLock::new(table),
        }
    }
}

impl<T: Clone> Router<T> {
    /// Leads all of `keys`, whose domains are in lower case, to `target`, or none of them. Others
    /// find their way meanwhile: the table is not locked for long.
    pub(crate) fn add(
        self: &Arc<Self>,
        keys: Vec<RouteKey>,
        target: &T,
    ) -> Result<RouteGuards<T>, RouteConflict> {
        let mut added = RouteGuards {
            keys: Vec::with_capacity(keys.len()),
            router: self.clone(),
        };
        let mut keys = keys.into_iter().peekable();
        while keys.peek().is_some() {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            for key in keys.by_ref().take(ROUTES_UNDER_LOCK) {
                if let Err(conflict) = table.add(&key, target.clone()) {
                    drop(table);
                    return Err(conflict);
                }
                added.keys.push(key);
            }
        }
        Ok(added)
    }

    /// Whom a request is for. `host` is as the user wrote it: a port, upper case and a trailing dot
    /// do not matter.
    ///
    /// The name itself goes first, then `*.` for each parent of at least two labels, then `*`; at
    /// each step the routes of `http_user`, then those for everybody; there the longest location.
    ///
    /// What is too long for a name is for nobody, not even `*`: looking for each of its parents
    /// would take seconds.
    pub(crate) fn find(&self, host: &str, path: &str, http_user: &str) -> Option<T> {
        let host = host_name(host);
        if host.len() > MAX_HOST {
            return None;
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let found = |users: &Users<T>| pick(users, path, http_user);
        if let Some(target) = table.names.get(&*host).and_then(found) {
            return Some(target);
        }
        let mut rest = &*host;
        while !table.below.is_empty()
            && let Some((_, parent)) = rest.split_once('.')
            && parent.contains('.')
        {
            if let Some(target) = table.below.get(parent).and_then(found) {
                return Some(target);
            }
            rest = parent;
        }
        found(&table.all)
    }
}

impl<T> Drop for RouteGuards<T> {
    fn drop(&mut self) {
        for some in self.keys.chunks(ROUTES_UNDER_LOCK) {
            let table = &self.router.table;
            let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
            // What they lead to goes when the lock is let go.
            let gone: Vec<Option<T>> = some.iter().map(|key| table.remove(key)).collect();
            drop(table);
            drop(gone);
        }
    }
}

impl<T> Table<T> {
    fn add(&mut self, key: &RouteKey, target: T) -> Result<(), RouteConflict> {
        let users = match kind_of(&key.domain) {
            DomainKind::All => &mut self.all,
            DomainKind::Below(name) => self.below.entry(name.into()).or_default(),
            DomainKind::Name(_) => self.names.entry(key.domain.clone()).or_default(),
        };
        let locations = users.entry(key.http_user.clone()).or_default();
        // Whoever is in the way has an entry here, so no empty one was made in vain.
        match locations.entry(key.location.clone()) {
            Entry::Occupied(_) => Err(RouteConflict),
            Entry::Vacant(free) => {
                free.insert(target);
                Ok(())
            }
        }
    }

    fn remove(&mut self, key: &RouteKey) -> Option<T> {
        match kind_of(&key.domain) {
            DomainKind::All => remove(&mut self.all, key),
            DomainKind::Below(name) => remove_in(&mut self.below, name, key),
            DomainKind::Name(name) => remove_in(&mut self.names, name, key),
        }
    }
}

enum DomainKind<'a> {
    Name(&'a str),
    Below(&'a str),
    All,
}

fn kind_of(domain: &str) -> DomainKind<'_> {
    match domain.strip_prefix("*.") {
        Some(name) => DomainKind::Below(name),
        None if domain == "*" => DomainKind::All,
        None => DomainKind::Name(domain),
    }
}

fn pick<T: Clone>(users: &Users<T>, path: &str, http_user: &str) -> Option<T> {
    let of = |user: &str| longest(users.get(user)?, path).cloned();
    of(http_user).or_else(|| if http_user.is_empty() { None } else { of("") })
}

/// The route of the longest location that `path` begins with.
///
/// That is the last one not behind `path` in the alphabet, if `path` begins with it. If not, none
/// that has more in common with `path` does, and the rest of `path` no longer matters: mostly a step
/// or two, at most as many as a location has bytes.
fn longest<'l, T>(locations: &'l Locations<T>, path: &str) -> Option<&'l T> {
    let mut rest = path.get(..path.floor_char_boundary(MAX_NAME))?;
    loop {
        let upto = (Bound::Unbounded, Bound::Included(rest));
        let (location, target) = locations.range::<str, _>(upto).next_back()?;
        if rest.starts_with(&**location) {
            return Some(target);
        }
        let pairs = rest.bytes().zip(location.bytes());
        let common = pairs.take_while(|(a, b)| a == b).count();
        rest = rest.get(..rest.floor_char_boundary(common))?;
    }
}

fn remove_in<T>(map: &mut HashMap<Arc<str>, Users<T>>, name: &str, key: &RouteKey) -> Option<T> {
    let users = map.get_mut(name)?;
    let gone = remove(users, key);
    if users.is_empty() {
        map.remove(name);
    }
    gone
}

fn remove<T>(users: &mut Users<T>, key: &RouteKey) -> Option<T> {
    let locations = users.get_mut(&key.http_user)?;
    let gone = locations.remove(&key.location);
    if locations.is_empty() {
        users.remove(&key.http_user);
    }
    gone
}

/// The name in a Host header: without port and trailing dot, in lower case (frp
/// `pkg/util/http/http.go`: CanonicalHost).
pub(crate) fn host_name(host: &str) -> Cow<'_, str> {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once("]:") {
            Some((ip, _)) => ip,
            None => host,
        },
        None => match host.split_once(':') {
            // Several colons and no bracket: an IPv6 address.
            Some((name, port)) if !port.contains(':') => name,
            _ => host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name
        .bytes()
        .any(|b| b.is_ascii_uppercase() || !b.is_ascii())
    {
        Cow::Owned(name.to_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// As much of what a user wrote as a name of [`MAX_HOST`] bytes would have, for log lines.
pub(crate) fn cut(written: &str) -> &str {
    written
        .get(..written.floor_char_boundary(MAX_HOST))
        .unwrap_or(written)
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
