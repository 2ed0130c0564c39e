//! Which proxy a host name leads to (frp `pkg/util/vhost/router.go`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes that a host name may have (RFC 1035, section 2.3.4, without the trailing dot).
const MAX_HOST: usize = 253;

/// What a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RouteKey {
    /// Lower-case host name; `*.x` for anything below `x`, `*` for all.
    pub(crate) domain: String,
    /// Prefix of the path; empty for all.
    pub(crate) location: String,
    /// Only requests of this HTTP user; empty for all.
    pub(crate) http_user: String,
}

impl RouteKey {
    pub(crate) fn new(domain: &str, location: &str, http_user: &str) -> Self {
        Self {
            domain: domain.to_lowercase(),
            location: location.to_owned(),
            http_user: http_user.to_owned(),
        }
    }
}

/// The routes of one kind of vhost. `T` is what a route leads to, cheap to clone.
#[derive(Debug)]
pub(crate) struct Router<T> {
    table: RwLock<Table<T>>,
}

/// A route in the table, until dropped.
#[derive(Debug)]
pub(crate) struct RouteGuard<T> {
    key: RouteKey,
    router: Arc<Router<T>>,
}

/// The route is somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("router config conflict")]
pub(crate) struct RouteConflict;

#[derive(Debug)]
struct Table<T> {
    /// By the name itself.
    names: HashMap<String, Users<T>>,
    /// `*.x`, by `x`.
    below: HashMap<String, Users<T>>,
    /// `*`
    all: Users<T>,
}

/// The routes of one domain, by HTTP user. The longer one of two locations that match a path is
/// the later one in the alphabet, so each list is sorted backwards.
type Users<T> = HashMap<String, Vec<(String, T)>>;

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
    /// Leads `key` to `target`.
    pub(crate) fn add(
        self: &Arc<Self>,
        mut key: RouteKey,
        target: T,
    ) -> Result<RouteGuard<T>, RouteConflict> {
        key.domain = key.domain.to_lowercase();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let users = match place(&key.domain) {
            Place::All => &mut table.all,
            Place::Below(name) => table.below.entry(name.to_owned()).or_default(),
            Place::Name(name) => table.names.entry(name.to_owned()).or_default(),
        };
        let routes = users.entry(key.http_user.clone()).or_default();
        // Whoever is in the way has an entry here, so no empty one was made in vain.
        match routes.binary_search_by(|(location, _)| key.location.cmp(location)) {
            Ok(_) => return Err(RouteConflict),
            Err(at) => routes.insert(at, (key.location.clone(), target)),
        }
        drop(table);
        Ok(RouteGuard {
            key,
            router: self.clone(),
        })
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

impl<T> Drop for RouteGuard<T> {
    fn drop(&mut self) {
        let RouteKey {
            domain,
            location,
            http_user,
        } = &self.key;
        let table = &self.router.table;
        let mut table = table.write().unwrap_or_else(PoisonError::into_inner);
        match place(domain) {
            Place::All => {
                forget(&mut table.all, http_user, location);
            }
            Place::Below(name) => forget_in(&mut table.below, name, http_user, location),
            Place::Name(name) => forget_in(&mut table.names, name, http_user, location),
        }
    }
}

enum Place<'a> {
    Name(&'a str),
    Below(&'a str),
    All,
}

fn place(domain: &str) -> Place<'_> {
    match domain.strip_prefix("*.") {
        Some(name) => Place::Below(name),
        None if domain == "*" => Place::All,
        None => Place::Name(domain),
    }
}

fn pick<T: Clone>(users: &Users<T>, path: &str, http_user: &str) -> Option<T> {
    let of = |user: &str| {
        let routes = users.get(user)?;
        let (_, target) = routes
            .iter()
            .find(|(at, _)| path.starts_with(at.as_str()))?;
        Some(target.clone())
    };
    of(http_user).or_else(|| if http_user.is_empty() { None } else { of("") })
}

fn forget_in<T>(map: &mut HashMap<String, Users<T>>, name: &str, user: &str, location: &str) {
    if let Some(users) = map.get_mut(name)
        && forget(users, user, location)
    {
        map.remove(name);
    }
}

/// Whether nothing is left.
fn forget<T>(users: &mut Users<T>, user: &str, location: &str) -> bool {
    if let Some(routes) = users.get_mut(user) {
        routes.retain(|(at, _)| at != location);
        if routes.is_empty() {
            users.remove(user);
        }
    }
    users.is_empty()
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    type Routes = Vec<RouteGuard<&'static str>>;

    /// Routes written `domain location user`, each leading to its own text.
    fn router(routes: &[&'static str]) -> (Arc<Router<&'static str>>, Routes) {
        let router = Arc::new(Router::default());
        let guards = routes
            .iter()
            .map(|text| router.add(key(text), *text).unwrap())
            .collect();
        (router, guards)
    }

    fn key(text: &str) -> RouteKey {
        let mut parts = text.split(' ');
        let mut part = || parts.next().unwrap_or_default();
        RouteKey::new(part(), part(), part())
    }

    #[test]
    fn a_name_goes_before_its_parents_and_those_before_all() {
        let (router, _guards) = router(&["a.b.c.d", "*.b.c.d", "*.c.d", "*.d", "*"]);
        for (host, to) in [
            ("a.b.c.d", "a.b.c.d"),
            ("x.b.c.d", "*.b.c.d"),
            ("y.x.b.c.d", "*.b.c.d"),
            ("x.c.d", "*.c.d"),
            ("b.c.d", "*.c.d"),
            // Two labels are no longer below a wildcard: `*.d` never matches, as in frp.
            ("c.d", "*"),
            ("x.d", "*"),
            ("d", "*"),
            ("", "*"),
            ("127.0.0.1", "*"),
        ] {
            assert_eq!(router.find(host, "/", ""), Some(to), "{host}");
        }
    }

    #[test]
    fn without_a_route_there_is_nothing() {
        let (router, _guards) = router(&["example.com", "*.example.org"]);
        for host in ["example.org", "a.example.com", "com", "", ".", "..", "*"] {
            assert_eq!(router.find(host, "/", ""), None, "{host}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_name_has_no_route() {
        let (router, _guards) = router(&["*.x.y", "*"]);
        let longest = "a.".repeat(MAX_HOST / 2 - 1) + "x.y";
        assert_eq!(longest.len(), MAX_HOST);
        assert_eq!(router.find(&longest, "/", ""), Some("*.x.y"));
        assert_eq!(
            router.find(&format!("{longest}.:80"), "/", ""),
            Some("*.x.y")
        );
        let longer = format!("a{longest}");
        assert_eq!(router.find(&longer, "/", ""), None);
        assert_eq!(cut(&longer).len(), MAX_HOST);
        assert_eq!(cut(&format!("a{}", "ä".repeat(200))).len(), MAX_HOST);
        assert_eq!(cut(&"ä".repeat(200)).len(), MAX_HOST - 1);
        assert_eq!(cut("a.b"), "a.b");
    }

    #[test]
    fn ports_case_and_a_trailing_dot_do_not_matter() {
        let (router, _guards) = router(&["Example.COM", "*.Example.org", "::1", "::2"]);
        for (host, to) in [
            ("EXAMPLE.com:8080", Some("Example.COM")),
            ("example.com.", Some("Example.COM")),
            ("example.com.:80", Some("Example.COM")),
            ("www.example.ORG:1", Some("*.Example.org")),
            ("[::1]:80", Some("::1")),
            ("::2", Some("::2")),
            ("example.com..", None),
            ("[::1", None),
            (":80", None),
        ] {
            assert_eq!(router.find(host, "/", ""), to, "{host}");
        }
    }

    #[test]
    fn the_longest_location_wins() {
        let (router, _guards) = router(&["a.b /api/v1", "a.b", "a.b /api", "a.b /z"]);
        for (path, to) in [
            ("/api/v1/x", "a.b /api/v1"),
            ("/api/v2", "a.b /api"),
            ("/apix", "a.b /api"),
            ("/z", "a.b /z"),
            ("/", "a.b"),
            ("", "a.b"),
        ] {
            assert_eq!(router.find("a.b", path, ""), Some(to), "{path}");
        }
    }

    #[test]
    fn the_users_own_route_goes_before_everybodys_at_each_step() {
        let (router, _guards) = router(&["a.b.c", "a.b.c /x ann", "*.b.c / ben", "*  carl"]);
        for (path, user, to) in [
            ("/x", "ann", Some("a.b.c /x ann")),
            ("/y", "ann", Some("a.b.c")),
            // The name's route for everybody goes before the wildcard's own one.
            ("/x", "ben", Some("a.b.c")),
            ("/x", "", Some("a.b.c")),
        ] {
            assert_eq!(router.find("a.b.c", path, user), to, "{path} {user}");
        }
        assert_eq!(router.find("d.b.c", "/", "ben"), Some("*.b.c / ben"));
        assert_eq!(router.find("d.b.c", "/", "carl"), Some("*  carl"));
        assert_eq!(router.find("d.b.c", "/", ""), None);
    }

    #[test]
    fn a_taken_route_is_refused_and_free_again_once_dropped() {
        let (router, mut guards) = router(&["a.b", "*.a.b", "*"]);
        for taken in ["A.B", "*.a.B", "*"] {
            let text = router.add(key(taken), "").unwrap_err().to_string();
            assert_eq!(text, "router config conflict");
        }
        let other = router.add(key("a.b /x"), "more").unwrap();
        guards.remove(0);
        assert_eq!(router.find("a.b", "/x", ""), Some("more"));
        assert_eq!(router.find("a.b", "/", ""), Some("*"));
        router.add(key("a.b"), "again").unwrap();
        drop(other);
    }

    #[test]
    fn nothing_stays_behind() {
        let (router, guards) = router(&["a.b /x u", "a.b /y u", "a.b", "*.a.b  u", "*", "*  u"]);
        assert!(router.add(key("a.b /x u"), "").is_err());
        drop(guards);
        let table = router.table.read().unwrap();
        assert!(table.names.is_empty() && table.below.is_empty() && table.all.is_empty());
    }
}
