//! The lists of the live view: what each column shows, how wide it is, and how it sorts.

use serde_json::Value;

use crate::command::{number, round_trip, status, text, transport};
use crate::units;

/// A list that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Clients,
    Proxies,
    Visitors,
    Connections,
    Logins,
}

/// Those of frps.
pub(super) const OF_SERVER: &[List] = &[
    List::Clients,
    List::Proxies,
    List::Connections,
    List::Logins,
];

/// Those of frpc.
pub(super) const OF_CLIENT: &[List] = &[List::Proxies, List::Visitors, List::Connections];

/// A column of a list.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// In cells; 0: the rest.
    pub(super) width: u16,
    /// Where there is no room for all, the highest go first.
    pub(super) rank: u8,
    pub(super) show: fn(&Value) -> String,
    /// What it sorts by, where that is not its text. What is not known is last in any order.
    pub(super) number: Option<fn(&Value) -> Option<f64>>,
    /// What the API calls its order: for lists of which not all is asked for.
    pub(super) order: Option<&'static str>,
}

/// How a list is sorted at first, or by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sort {
    /// Of the columns, which.
    pub(super) column: usize,
    pub(super) backwards: bool,
}

impl List {
    /// In the API.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Proxies => "proxies",
            Self::Visitors => "visitors",
            Self::Connections => "connections",
            Self::Logins => "logins",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Clients => "Clients",
            Self::Proxies => "Proxies",
            Self::Visitors => "Visitors",
            Self::Connections => "Connections",
            Self::Logins => "Failed logins",
        }
    }

    pub(super) const fn columns(self, of_server: bool) -> &'static [Column] {
        match (self, of_server) {
            (Self::Clients, _) => CLIENTS,
            (Self::Proxies, true) => PROXIES_OF_SERVER,
            (Self::Proxies, false) => PROXIES_OF_CLIENT,
            (Self::Visitors, _) => VISITORS,
            (Self::Connections, _) => CONNECTIONS,
            (Self::Logins, _) => LOGINS,
        }
    }

    /// By name; what happens, the latest first.
    pub(super) const fn first_sort(self) -> Sort {
        let column = match self {
            Self::Clients | Self::Proxies | Self::Visitors | Self::Logins => 0,
            Self::Connections => 3,
        };
        Sort {
            column,
            backwards: false,
        }
    }

    /// What tells an item from others.
    pub(super) fn key(self, item: &Value) -> String {
        match self {
            Self::Clients => text(item, "key"),
            Self::Proxies | Self::Visitors => text(item, "name"),
            Self::Connections => text(item, "id"),
            Self::Logins => format!("{} {}", text(item, "address"), text(item, "code")),
        }
    }

    /// Bytes of an item, of which rates are made: to the service, and the other way.
    pub(super) fn bytes(self, of_server: bool, item: &Value) -> (u64, u64) {
        match (self, of_server) {
            (Self::Proxies, true) => (number(item, "todayIn"), number(item, "todayOut")),
            _ => (number(item, "in"), number(item, "out")),
        }
    }

    /// What else is told of the item that the user points at: keys, each with its meaning.
    pub(super) const fn details(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Clients => &[
                ("client", "key"),
                ("host", "hostname"),
                ("system", "os"),
                ("machine", "arch"),
                ("wire", "wireProtocol"),
                ("proxies", "proxies"),
                ("run id", "runID"),
            ],
            Self::Proxies => &[
                ("proxy", "name"),
                ("error", "err"),
                ("cure", "cure"),
                ("remote", "remote"),
                ("remote", "remoteAddr"),
                ("client", "client"),
                ("local", "localAddr"),
                ("plugin", "plugin"),
                ("from", "source"),
            ],
            Self::Visitors => &[
                ("visitor", "name"),
                ("error", "err"),
                ("server", "server"),
                ("bind", "bind"),
                ("from", "source"),
            ],
            Self::Connections => &[
                ("proxy", "proxy"),
                ("user", "user"),
                ("client", "client"),
                ("id", "id"),
            ],
            Self::Logins => &[("cause", "cause"), ("cure", "cure"), ("version", "version")],
        }
    }
}

/// Where the API says when, the live view adds how long ago that was, in milliseconds.
pub(super) const AGE: &str = "age";

/// Bytes a second, which it adds, too.
pub(super) const RATE_IN: &str = "rateIn";
/// The other way.
pub(super) const RATE_OUT: &str = "rateOut";

const CLIENTS: &[Column] = &[
    column("CLIENT", 0, 0, |item| text(item, "key")).ordered("user"),
    column("STATUS", 7, 1, status),
    column("ADDRESS", 21, 2, |item| text(item, "address")).ordered("address"),
    column("VERSION", 8, 5, |item| text(item, "version")).ordered("version"),
    column("VIA", 9, 4, transport),
    column("RTT", 8, 3, round_trip)
        .by(|item| item["roundTripMs"].as_f64())
        .ordered("roundTrip"),
    column("USERS", 6, 1, |item| text(item, "connections"))
        .by(|item| value(item, "connections"))
        .ordered("connections"),
    column("PROXIES", 8, 6, |item| text(item, "proxies")).by(|item| value(item, "proxies")),
];

const PROXIES_OF_SERVER: &[Column] = &[
    column("PROXY", 0, 0, |item| text(item, "name")).ordered("name"),
    column("TYPE", 6, 4, |item| text(item, "type")).ordered("type"),
    column("STATUS", 7, 1, status),
    column("REMOTE", 16, 5, |item| text(item, "remote")),
    USERS,
    column("IN/S", 6, 2, |item| rate(item, RATE_IN)).by(|item| value(item, RATE_IN)),
    column("OUT/S", 6, 2, |item| rate(item, RATE_OUT)).by(|item| value(item, RATE_OUT)),
    column("IN/DAY", 7, 6, |item| bytes(item, "todayIn"))
        .by(|item| value(item, "todayIn"))
        .ordered("in"),
    column("OUT/DAY", 8, 6, |item| bytes(item, "todayOut"))
        .by(|item| value(item, "todayOut"))
        .ordered("out"),
    column("CLIENT", 20, 7, |item| text(item, "client")).ordered("client"),
];

const PROXIES_OF_CLIENT: &[Column] = &[
    column("PROXY", 0, 0, |item| text(item, "name")),
    column("TYPE", 6, 4, |item| text(item, "type")),
    column("STATUS", 12, 1, |item| text(item, "status")),
    column("REMOTE", 16, 5, |item| text(item, "remoteAddr")),
    USERS,
    column("IN/S", 6, 2, |item| rate(item, RATE_IN)).by(|item| value(item, RATE_IN)),
    column("OUT/S", 6, 2, |item| rate(item, RATE_OUT)).by(|item| value(item, RATE_OUT)),
    column("IN", 6, 6, |item| bytes(item, "in")).by(|item| value(item, "in")),
    column("OUT", 6, 6, |item| bytes(item, "out")).by(|item| value(item, "out")),
    column("LOCAL", 21, 7, |item| text(item, "localAddr")),
];

const VISITORS: &[Column] = &[
    column("VISITOR", 0, 0, |item| text(item, "name")),
    column("TYPE", 6, 4, |item| text(item, "type")),
    column("STATUS", 12, 1, |item| text(item, "status")),
    column("BIND", 21, 3, |item| text(item, "bind")),
    column("SERVER", 16, 5, |item| text(item, "server")),
];

const CONNECTIONS: &[Column] = &[
    column("PROXY", 0, 0, |item| text(item, "proxy")),
    column("TYPE", 6, 6, |item| text(item, "type")),
    column("USER", 21, 1, |item| text(item, "user")),
    column("AGE", 7, 3, |item| units::time(number(item, AGE))).by(|item| value(item, AGE)),
    column("IN/S", 6, 2, |item| rate(item, RATE_IN)).by(|item| value(item, RATE_IN)),
    column("OUT/S", 6, 2, |item| rate(item, RATE_OUT)).by(|item| value(item, RATE_OUT)),
    column("IN", 6, 4, |item| bytes(item, "in")).by(|item| value(item, "in")),
    column("OUT", 6, 4, |item| bytes(item, "out")).by(|item| value(item, "out")),
    column("CLIENT", 20, 7, |item| text(item, "client")),
];

const LOGINS: &[Column] = &[
    column("AGO", 7, 1, |item| units::time(number(item, AGE))).by(|item| value(item, AGE)),
    column("TIMES", 6, 2, |item| text(item, "count")).by(|item| value(item, "count")),
    column("ADDRESS", 21, 1, |item| text(item, "address")),
    column("USER", 10, 4, |item| text(item, "user")),
    column("VIA", 9, 5, |item| text(item, "transport")),
    column("CAUSE", 0, 0, |item| text(item, "cause")),
];

const USERS: Column = column("USERS", 6, 3, |item| text(item, "connections"))
    .by(|item| value(item, "connections"))
    .ordered("connections");

const fn column(title: &'static str, width: u16, rank: u8, show: fn(&Value) -> String) -> Column {
    Column {
        title,
        width,
        rank,
        show,
        number: None,
        order: None,
    }
}

impl Column {
    const fn by(mut self, number: fn(&Value) -> Option<f64>) -> Self {
        self.number = Some(number);
        self
    }

    const fn ordered(mut self, order: &'static str) -> Self {
        self.order = Some(order);
        self
    }
}

fn value(of: &Value, key: &str) -> Option<f64> {
    of[key].as_f64()
}

fn bytes(of: &Value, key: &str) -> String {
    units::short(number(of, key))
}

/// Nothing before there were two looks.
fn rate(of: &Value, key: &str) -> String {
    of[key].as_u64().map(units::short).unwrap_or_default()
}
