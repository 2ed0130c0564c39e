//! What the machine's own files say about names: `/etc/hosts`, and `/etc/resolv.conf` for what may
//! be added to a short name (hosts(5), resolv.conf(5)). Go, and so frp, heeds both beside a
//! `dnsServer`.

use std::fs;
use std::net::IpAddr;

/// Neither file is longer in earnest.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The addresses of `name` in `/etc/hosts`.
pub(super) fn hosts(name: &str) -> Vec<IpAddr> {
    hosts_in(&read("/etc/hosts"), name)
}

pub(crate) fn hosts_in(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let address = |line: &str| {
        let mut words = uncommented(line).split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words
            .any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name))
            .then_some(ip)
    };
    text.lines().filter_map(address).collect()
}

/// How short names are completed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SearchList {
    domains: Vec<String>,
    /// A name with as many dots is tried as it is first.
    ndots: usize,
}

impl SearchList {
    pub(super) fn read() -> Self {
        Self::parse(&read("/etc/resolv.conf"))
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut list = Self {
            domains: Vec::new(),
            ndots: 1,
        };
        for line in text.lines() {
            let mut words = uncommented(line).split_whitespace();
            match words.next() {
                // The last of them counts.
                Some("search") => list.domains = words.map(str::to_owned).collect(),
                Some("domain") => list.domains = words.take(1).map(str::to_owned).collect(),
                Some("options") => {
                    let mut ndots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    list.ndots = ndots.next_back().map_or(list.ndots, |n: usize| n.min(15));
                }
                _ => {}
            }
        }
        list
    }

    /// The names to ask for, in this order.
    pub(crate) fn names(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let domains = self.domains.iter().map(|domain| domain.trim_matches('.'));
        let domains = domains.filter(|domain| !domain.is_empty());
        let mut names: Vec<String> = domains.map(|domain| format!("{host}.{domain}")).collect();
        let first = host.matches('.').count() >= self.ndots;
        names.insert(if first { 0 } else { names.len() }, host.to_owned());
        names
    }
}

fn uncommented(line: &str) -> &str {
    line.split(['#', ';']).next().unwrap_or_default()
}

/// A file that cannot be read says nothing.
fn read(path: &str) -> String {
    let small = fs::metadata(path).is_ok_and(|data| data.len() <= MAX_FILE);
    let bytes = if small {
        fs::read(path)
    } else {
        Ok(Vec::new())
    };
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_hosts_file() {
        let text = "# x\n10.0.0.1 office Office.example # home\n::1 office\nrubbish office\n";
        let found = |name| {
            let found = hosts_in(text, name).into_iter();
            found.map(|ip| ip.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("office"), ["10.0.0.1", "::1"]);
        assert_eq!(found("office.EXAMPLE."), ["10.0.0.1"]);
        assert!(found("home").is_empty() && found("10.0.0.1").is_empty());
    }

    #[test]
    fn short_names_are_completed() {
        let list = SearchList::parse(
            "nameserver 10.0.0.1\ndomain x\nsearch corp.example example. # y\noptions ndots:2 rotate\n",
        );
        assert_eq!(
            list.names("frps"),
            ["frps.corp.example", "frps.example", "frps"]
        );
        assert_eq!(
            list.names("a.b.c"),
            ["a.b.c", "a.b.c.corp.example", "a.b.c.example"]
        );
        assert_eq!(list.names("frps."), ["frps."]);
        let none = SearchList::parse("");
        assert_eq!(none.names("frps"), ["frps"]);
        assert_eq!(none.names("a.b"), ["a.b"]);
    }
}
