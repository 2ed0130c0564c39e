//! What the live view knows: the last answers of the program, and where in them the user looks.

use serde_json::Value;

use super::Seen;
use crate::command::{by_type, number, round_trip, status, text, transport};
use crate::units;

/// A list that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Clients,
    Proxies,
    Visitors,
    Connections,
}

/// A key by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Tab(usize),
    NextTab,
    FormerTab,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
}

/// Which part of which list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    list: List,
    /// Counted from 1.
    page: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Model {
    program: &'static str,
    tab: usize,
    /// The number of the first row that is shown.
    first: usize,
    /// Rows that the last drawing had room for.
    pub(super) room: usize,
    overview: Value,
    /// The page that was asked for last, and its rows.
    page: usize,
    total: usize,
    items: Vec<Value>,
    /// Bytes a second.
    rates: (u64, u64),
    error: Option<String>,
}

/// A column: its header, its width in cells (0: the rest), and what it shows of an item.
pub(super) type Column = (&'static str, u16, fn(&Value) -> String);

/// Items of a page, which is the most that the program gives.
const PAGE: usize = 200;

impl List {
    fn path(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Proxies => "proxies",
            Self::Visitors => "visitors",
            Self::Connections => "connections",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clients => "Clients",
            Self::Proxies => "Proxies",
            Self::Visitors => "Visitors",
            Self::Connections => "Connections",
        }
    }

    /// Those that matter fit into 80 cells.
    fn columns(self, of_server: bool) -> &'static [Column] {
        match (self, of_server) {
            (Self::Clients, _) => &[
                ("CLIENT", 0, |item| text(item, "key")),
                ("STATUS", 7, status),
                ("ADDRESS", 21, |item| text(item, "address")),
                ("VERSION", 8, |item| text(item, "version")),
                ("VIA", 9, transport),
                ("RTT", 8, round_trip),
                ("CONNS", 5, |item| text(item, "connections")),
            ],
            (Self::Proxies, true) => &[
                ("PROXY", 0, |item| text(item, "name")),
                ("TYPE", 6, |item| text(item, "type")),
                ("STATUS", 7, status),
                ("REMOTE", 16, |item| text(item, "remote")),
                ("CONNS", 5, |item| text(item, "connections")),
                ("IN TODAY", 9, |item| units::bytes(number(item, "todayIn"))),
                ("OUT TODAY", 9, |item| units::bytes(number(item, "todayOut"))),
            ],
            (Self::Proxies, false) => &[
                ("PROXY", 0, |item| text(item, "name")),
                ("TYPE", 6, |item| text(item, "type")),
                ("STATUS", 11, |item| text(item, "status")),
                ("REMOTE", 21, |item| text(item, "remoteAddr")),
                ("CONNS", 5, |item| text(item, "connections")),
                ("ERROR", 20, |item| text(item, "err")),
            ],
            (Self::Visitors, _) => &[
                ("VISITOR", 0, |item| text(item, "name")),
                ("TYPE", 6, |item| text(item, "type")),
                ("STATUS", 8, |item| text(item, "status")),
                ("BIND", 21, |item| text(item, "bind")),
                ("SERVER", 16, |item| text(item, "server")),
                ("ERROR", 14, |item| text(item, "err")),
            ],
            (Self::Connections, _) => &[
                ("PROXY", 0, |item| text(item, "proxy")),
                ("TYPE", 6, |item| text(item, "type")),
                ("USER", 21, |item| text(item, "user")),
                ("AGE", 8, |item| text(item, "age")),
                ("IN", 9, |item| units::bytes(number(item, "in"))),
                ("OUT", 9, |item| units::bytes(number(item, "out"))),
            ],
        }
    }
}

impl Wanted {
    pub(super) fn path(&self) -> String {
        format!(
            "/api/live/{}?page={}&pageSize={PAGE}",
            self.list.path(),
            self.page
        )
    }
}

impl Model {
    pub(super) fn new(program: &'static str) -> Self {
        Self {
            program,
            tab: 0,
            first: 0,
            room: 1,
            overview: Value::Null,
            page: 1,
            total: 0,
            items: Vec::new(),
            rates: (0, 0),
            error: None,
        }
    }

    pub(super) fn is_server(&self) -> bool {
        self.program == "frps"
    }

    pub(super) fn lists(&self) -> [List; 3] {
        match self.is_server() {
            true => [List::Clients, List::Proxies, List::Connections],
            false => [List::Proxies, List::Visitors, List::Connections],
        }
    }

    pub(super) fn list(&self) -> List {
        let [first, ..] = self.lists();
        self.lists().get(self.tab).copied().unwrap_or(first)
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            list: self.list(),
            page: self.first / PAGE + 1,
        }
    }

    pub(super) fn columns(&self) -> &'static [Column] {
        self.list().columns(self.is_server())
    }

    /// Takes what was seen, unless the user looks elsewhere by now.
    pub(super) fn take(&mut self, seen: Seen) {
        let Seen {
            overview,
            list,
            wanted,
        } = seen;
        self.rates = rates(&self.overview, &overview);
        self.overview = overview;
        self.error = None;
        if wanted != self.wanted() {
            return;
        }
        let now = number(&self.overview, "now");
        self.page = wanted.page;
        self.total = usize::try_from(number(&list, "total")).unwrap_or(0);
        self.items = match list {
            Value::Object(mut list) => match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        for item in &mut self.items {
            let age = now.saturating_sub(number(item, "startedAt"));
            if let Value::Object(item) = item {
                item.insert("age".to_owned(), units::time(age).into());
            }
        }
        self.stay_within();
    }

    /// The program was not reached. What was seen before stays.
    pub(super) fn fail(&mut self, why: &str) {
        self.error = Some(frp_log::visible(why));
        self.rates = (0, 0);
    }

    /// Whether another part is to be asked for.
    pub(super) fn press(&mut self, key: Key) -> bool {
        let before = self.wanted();
        let tabs = self.lists().len();
        let tab = match key {
            Key::Tab(tab) => tab,
            Key::NextTab => (self.tab + 1) % tabs,
            Key::FormerTab => (self.tab + tabs - 1) % tabs,
            _ => self.tab,
        };
        if tab != self.tab {
            self.tab = tab;
            self.first = 0;
            self.total = 0;
            self.items.clear();
        }
        self.first = match key {
            Key::Up => self.first.saturating_sub(1),
            Key::Down => self.first + 1,
            Key::PageUp => self.first.saturating_sub(self.room),
            Key::PageDown => self.first + self.room,
            Key::Home => 0,
            Key::End => self.total,
            Key::Quit | Key::Tab(_) | Key::NextTab | Key::FormerTab => self.first,
        };
        self.stay_within();
        self.wanted() != before
    }

    fn stay_within(&mut self) {
        let last = self.total.saturating_sub(self.room);
        self.first = self.first.min(last);
    }

    /// The rows from the first that is shown, as many as there are of them on this page, and the number of
    /// the first.
    pub(super) fn rows(&self) -> (usize, Vec<Vec<String>>) {
        let begin = (self.page - 1) * PAGE;
        let skipped = self.first.saturating_sub(begin);
        let rows = self.items.iter().skip(skipped).take(self.room);
        let cells = |item: &Value| {
            let columns = self.columns().iter();
            columns.map(|(_, _, of)| frp_log::visible(&of(item))).collect()
        };
        (self.first, rows.map(cells).collect())
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Two lines about the program.
    pub(super) fn summary(&self) -> [String; 2] {
        let of = &self.overview;
        let running = number(of, "now").saturating_sub(number(of, "startedAt"));
        let head = format!(
            "{} {}  up {}",
            self.program,
            frp_log::visible(&text(of, "version")),
            units::time(running)
        );
        let (inward, outward) = self.rates;
        let traffic = format!(
            "connections {}  in {}/s  out {}/s",
            number(of, "connections"),
            units::bytes(inward),
            units::bytes(outward)
        );
        if self.is_server() {
            let (online, _) = by_type(&of["proxies"]["online"]);
            let second = format!(
                "clients {} (+{} offline)  proxies {online} (+{} offline)  today in {}  out {}",
                number(&of["clients"], "online"),
                number(&of["clients"], "offline"),
                number(&of["proxies"], "offline"),
                units::bytes(number(of, "todayIn")),
                units::bytes(number(of, "todayOut")),
            );
            return [format!("{head}  {traffic}"), second];
        }
        let session = &of["session"];
        let mut second = format!(
            "server {}  {}  via {}",
            text(of, "server"),
            text(session, "state"),
            text(session, "transport"),
        );
        for (key, name) in [("running", "running"), ("failed", "failed"), ("waiting", "waiting")] {
            second.push_str(&format!("  {name} {}", number(&of["proxies"], key)));
        }
        let error = text(session, "error");
        if !error.is_empty() {
            second.push_str(&format!("  {error}"));
        }
        [format!("{head}  {traffic}"), frp_log::visible(&second)]
    }
}

/// Bytes a second between two overviews.
fn rates(before: &Value, now: &Value) -> (u64, u64) {
    let millis = number(now, "now").saturating_sub(number(before, "now"));
    if before.is_null() || millis == 0 {
        return (0, 0);
    }
    let rate = |key| {
        let more = number(now, key).saturating_sub(number(before, key));
        more.saturating_mul(1000) / millis
    };
    (rate("trafficIn"), rate("trafficOut"))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// What a frps says that has `total` clients.
    pub(crate) fn seen(model: &Model, total: usize, now: u64) -> Seen {
        let wanted = model.wanted();
        let begin = (wanted.page - 1) * PAGE;
        let items: Vec<Value> = (begin..total.min(begin + PAGE))
            .map(|n| {
                json!({
                    "key": format!("client-{n}"), "online": true, "address": "192.0.2.1:50000",
                    "version": "0.70.1", "transport": "quic", "tls": true, "roundTripMs": 12.34,
                    "connections": n, "startedAt": 0,
                })
            })
            .collect();
        Seen {
            overview: json!({
                "version": "0.70.1", "startedAt": 0, "now": now, "connections": 3,
                "clients": {"online": total, "offline": 1},
                "proxies": {"online": {"tcp": 2}, "offline": 0},
                "trafficIn": now * 2, "trafficOut": now, "todayIn": 5, "todayOut": 6,
            }),
            list: json!({"total": total, "page": wanted.page, "pageSize": PAGE, "items": items}),
            wanted,
        }
    }

    #[test]
    fn one_scrolls_through_all_pages_and_no_further() {
        let mut model = Model::new("frps");
        model.room = 10;
        model.take(seen(&model, 450, 1000));
        assert!(!model.press(Key::PageDown), "the page is there");
        assert_eq!(model.rows().1[0][0], "client-10");
        assert!(model.press(Key::End));
        assert!(model.rows().1.is_empty(), "until it comes");
        model.take(seen(&model, 450, 2000));
        let (first, rows) = model.rows();
        assert_eq!((first, rows.len(), &*rows[9][0]), (440, 10, "client-449"));
        assert!(!model.press(Key::Down));
        assert_eq!(model.rows().0, 440);
        // The list has become shorter.
        model.take(seen(&model, 401, 3000));
        assert_eq!(model.rows().0, 391);
        assert!(model.press(Key::Home));
        model.take(seen(&model, 3, 4000));
        assert_eq!((model.rows().0, model.rows().1.len()), (0, 3));
        assert!(!model.press(Key::Up));
    }

    #[test]
    fn what_is_not_looked_at_any_more_is_not_shown() {
        let mut model = Model::new("frps");
        let late = seen(&model, 5, 1000);
        assert!(model.press(Key::NextTab));
        assert_eq!(model.list(), List::Proxies);
        model.take(late);
        assert!(model.rows().1.is_empty());
        assert!(model.press(Key::Tab(0)));
        assert!(model.press(Key::FormerTab));
        assert_eq!(model.list(), List::Connections);
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let mut model = Model::new("frps");
        model.take(seen(&model, 1, 1000));
        assert!(model.summary()[0].contains("in 0 B/s"));
        model.take(seen(&model, 1, 3000));
        assert!(model.summary()[0].ends_with("in 1.9 KB/s  out 1000 B/s"));
        model.fail("gone\u{1b}[2J");
        assert_eq!(model.error(), Some("gone\\u{1b}[2J"));
        assert!(model.summary()[0].contains("in 0 B/s"));
    }

    #[test]
    fn a_program_that_says_something_else_is_survived() {
        for program in ["frps", "frpc"] {
            let mut model = Model::new(program);
            for odd in [json!(null), json!([]), json!({"total": -1, "items": [1, null, {"in": "x"}]})] {
                let wanted = model.wanted();
                model.take(Seen { overview: odd.clone(), list: odd, wanted });
                let _ = (model.summary(), model.rows());
                model.press(Key::NextTab);
            }
        }
    }
}
