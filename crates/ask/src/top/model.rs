//! What the live view knows: the last answers of the program, and where in them the user looks.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lists::{AGE, Column, List, OF_CLIENT, OF_SERVER, RATE_IN, RATE_OUT, Sort};
use crate::command::{by_type, escaped, number, text, transport};
use crate::units;

/// Letters that one can look for.
const LONGEST_FILTER: usize = 64;

/// A program that says nothing for so long is told of, whatever it waits for.
const SILENCE: Duration = Duration::from_secs(3);

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressed {
    Letter(char),
    Enter,
    Escape,
    Backspace,
    Interrupt,
    Left,
    Right,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// The terminal has another size.
    Nothing,
}

/// What is to be done after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// Another list, or others of it, are to be asked for.
    Look,
    Leave,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    list: List,
    filter: String,
    /// Of the API, and whether it is to be turned around.
    order: Option<(&'static str, bool)>,
}

/// What the program says at one moment.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) wanted: Wanted,
    pub(super) overview: Value,
    /// Of the list, with those that are not asked for.
    pub(super) total: usize,
    pub(super) items: Vec<Value>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Model {
    of_server: bool,
    views: Vec<View>,
    tab: usize,
    /// What is looked for in every list.
    filter: String,
    pub(super) is_typing: bool,
    pub(super) is_help: bool,
    /// Rows that the last drawing had room for.
    pub(super) room: usize,
    overview: Value,
    /// Bytes a second, in and out, once there were two looks.
    rates: Option<(u64, u64)>,
    total: usize,
    items: Vec<Value>,
    /// Bytes of the items at the last look, and when that was.
    measured: HashMap<String, (u64, u64)>,
    measured_at: u64,
    seen: Instant,
    trouble: Option<String>,
}

/// Where a user is in a list.
#[derive(Debug)]
struct View {
    list: List,
    sort: Sort,
    /// The row that is pointed at.
    at: usize,
    /// The first row that is shown.
    first: usize,
}

impl Wanted {
    /// Of the API; pages are added behind.
    pub(super) fn path(&self) -> String {
        let mut path = format!("/api/live/{}?q={}", self.list.path(), escaped(&self.filter));
        if let Some((order, backwards)) = self.order {
            let way = if backwards { "desc" } else { "asc" };
            path += &format!("&sort={order}&order={way}");
        }
        path
    }
}

impl Model {
    pub(super) fn new(of_server: bool) -> Self {
        let lists = if of_server { OF_SERVER } else { OF_CLIENT };
        let view = |list: &List| View {
            list: *list,
            sort: list.first_sort(),
            at: 0,
            first: 0,
        };
        Self {
            of_server,
            views: lists.iter().map(view).collect(),
            tab: 0,
            filter: String::new(),
            is_typing: false,
            is_help: false,
            room: 1,
            overview: Value::Null,
            rates: None,
            total: 0,
            items: Vec::new(),
            measured: HashMap::new(),
            measured_at: 0,
            seen: Instant::now(),
            trouble: None,
        }
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = List> {
        self.views.iter().map(|view| view.list)
    }

    pub(super) fn list(&self) -> List {
        self.view().list
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) fn columns(&self) -> &'static [Column] {
        self.list().columns(self.of_server)
    }

    pub(super) fn sort(&self) -> Sort {
        self.view().sort
    }

    pub(super) fn wanted(&self) -> Wanted {
        let Sort { column, backwards } = self.sort();
        let order = self.columns().get(column).and_then(|column| column.order);
        Wanted {
            list: self.list(),
            filter: self.filter.clone(),
            order: order
                .filter(|_| self.of_server)
                .map(|order| (order, backwards)),
        }
    }

    /// Takes what was seen. Of a list that the user has left by now only the overview counts.
    pub(super) fn take(&mut self, seen: Seen) {
        let now = number(&seen.overview, "now");
        self.rates = rates(&self.overview, &seen.overview);
        self.overview = seen.overview;
        self.seen = Instant::now();
        self.trouble = None;
        let wanted = self.wanted();
        if (seen.wanted.list, &seen.wanted.filter) != (wanted.list, &wanted.filter) {
            return;
        }
        self.total = seen.total;
        self.items = seen.items;
        self.items.retain(Value::is_object);
        self.measure(now);
        self.arrange();
    }

    /// The program was not reached. What was seen before stays to be looked at.
    pub(super) fn fail(&mut self, why: &str) {
        self.trouble = Some(frp_log::visible(why));
        self.rates = None;
    }

    /// Adds to the items what is not in them: how old they are, and how fast their bytes go.
    fn measure(&mut self, now: u64) {
        let (list, of_server) = (self.list(), self.of_server);
        let millis = now.saturating_sub(self.measured_at);
        let mut measured = HashMap::with_capacity(self.items.len());
        for item in &mut self.items {
            let since = number(item, "startedAt").max(number(item, "at"));
            item[AGE] = json!(now.saturating_sub(since));
            let key = list.key(item);
            let bytes = list.bytes(of_server, item);
            if let Some(before) = self.measured.get(&key)
                && millis > 0
            {
                item[RATE_IN] = json!(a_second(before.0, bytes.0, millis));
                item[RATE_OUT] = json!(a_second(before.1, bytes.1, millis));
            }
            measured.insert(key, bytes);
        }
        self.measured = measured;
        self.measured_at = now;
    }

    pub(super) fn press(&mut self, key: Pressed) -> After {
        if key == Pressed::Interrupt {
            return After::Leave;
        }
        if self.is_typing {
            return self.type_in(key);
        }
        if self.is_help {
            self.is_help = key == Pressed::Nothing;
            return match key {
                Pressed::Letter('q') => After::Leave,
                _ => After::Nothing,
            };
        }
        let last = self.items.len().saturating_sub(1);
        let page = self.room.max(1);
        let tabs = self.views.len();
        let view = self.view();
        let at = match key {
            Pressed::Letter('q') => return After::Leave,
            Pressed::Letter('?') => {
                self.is_help = true;
                return After::Nothing;
            }
            Pressed::Letter('/') => {
                self.is_typing = true;
                return After::Nothing;
            }
            Pressed::Letter('r') => {
                let backwards = !view.sort.backwards;
                return self.sort_by(view.sort.column, backwards);
            }
            Pressed::Letter('s' | '>') => return self.sort_next(1),
            Pressed::Letter('S' | '<') => return self.sort_next(self.columns().len() - 1),
            Pressed::Escape if !self.filter.is_empty() => {
                self.filter.clear();
                return self.look_anew();
            }
            Pressed::Letter(digit @ '1'..='9') => {
                return self.go_to(digit as usize - '1' as usize);
            }
            Pressed::Right | Pressed::Letter('l') => return self.go_to((self.tab + 1) % tabs),
            Pressed::Left | Pressed::Letter('h') => {
                return self.go_to((self.tab + tabs - 1) % tabs);
            }
            Pressed::Down | Pressed::Letter('j') => view.at + 1,
            Pressed::Up | Pressed::Letter('k') => view.at.saturating_sub(1),
            Pressed::PageDown | Pressed::Letter(' ') => view.at + page,
            Pressed::PageUp | Pressed::Letter('b') => view.at.saturating_sub(page),
            Pressed::Home | Pressed::Letter('g') => 0,
            Pressed::End | Pressed::Letter('G') => last,
            _ => return After::Nothing,
        };
        self.view_mut().at = at.min(last);
        After::Nothing
    }

    /// What is looked for, letter by letter.
    fn type_in(&mut self, key: Pressed) -> After {
        match key {
            Pressed::Letter(letter) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(letter);
            }
            Pressed::Backspace => drop(self.filter.pop()),
            Pressed::Enter => {
                self.is_typing = false;
                return After::Nothing;
            }
            Pressed::Escape => {
                self.is_typing = false;
                self.filter.clear();
            }
            _ => return After::Nothing,
        }
        self.look_anew()
    }

    fn go_to(&mut self, tab: usize) -> After {
        if tab == self.tab || tab >= self.views.len() {
            return After::Nothing;
        }
        self.tab = tab;
        self.measured.clear();
        self.items.clear();
        self.total = 0;
        After::Look
    }

    fn look_anew(&mut self) -> After {
        let view = self.view_mut();
        (view.at, view.first) = (0, 0);
        After::Look
    }

    fn sort_next(&mut self, by: usize) -> After {
        let column = (self.sort().column + by) % self.columns().len();
        // The most first, of what is counted.
        let counted = self.columns().get(column);
        let counted =
            counted.is_some_and(|column| column.number.is_some() && column.title != "AGO");
        self.sort_by(column, counted)
    }

    fn sort_by(&mut self, column: usize, backwards: bool) -> After {
        self.view_mut().sort = Sort { column, backwards };
        self.arrange();
        match self.total > self.items.len() {
            true => After::Look,
            false => After::Nothing,
        }
    }

    /// Sorts the items, and has the user point at one of them.
    fn arrange(&mut self) {
        let (list, Sort { column, backwards }) = (self.list(), self.sort());
        if let Some(column) = self.columns().get(column) {
            // Each is made once.
            let mut keyed: Vec<_> = std::mem::take(&mut self.items)
                .into_iter()
                .map(|item| {
                    let number = column.number.and_then(|number| number(&item));
                    let shown = match column.number {
                        Some(_) => String::new(),
                        None => (column.show)(&item).to_lowercase(),
                    };
                    (number, shown, list.key(&item), item)
                })
                .collect();
            let turned = |order: Ordering| if backwards { order.reverse() } else { order };
            keyed.sort_by(|a, b| {
                let by_number = match (a.0, b.0) {
                    (Some(a), Some(b)) => turned(a.total_cmp(&b)),
                    (a, b) => b.is_some().cmp(&a.is_some()),
                };
                by_number
                    .then_with(|| turned(a.1.cmp(&b.1)))
                    .then_with(|| a.2.cmp(&b.2))
            });
            self.items = keyed.into_iter().map(|(.., item)| item).collect();
        }
        let last = self.items.len().saturating_sub(1);
        let view = self.view_mut();
        view.at = view.at.min(last);
    }

    /// The rows that there is room for, and which of them the user points at.
    pub(super) fn rows(&mut self) -> (&[Value], usize) {
        let (room, count) = (self.room, self.items.len());
        let view = self.view_mut();
        // As little as has to be.
        view.first = view.first.min(view.at);
        view.first = view.first.max((view.at + 1).saturating_sub(room));
        view.first = view.first.min(count.saturating_sub(room));
        let (first, at) = (view.first, view.at);
        let end = count.min(first.saturating_add(room));
        (self.items.get(first..end).unwrap_or_default(), at - first)
    }

    /// Which rows are shown, of how many.
    pub(super) fn place(&self) -> String {
        let view = self.view();
        let count = self.items.len();
        let end = count.min(view.first + self.room);
        match count {
            0 => "none".to_owned(),
            _ if count < self.total => {
                format!(
                    "{}-{end} of the first {count} of {}",
                    view.first + 1,
                    self.total
                )
            }
            _ => format!("{}-{end} of {count}", view.first + 1),
        }
    }

    /// What else is known of the item that the user points at.
    pub(super) fn detail(&self) -> String {
        let view = self.view();
        let Some(item) = self.items.get(view.at) else {
            return String::new();
        };
        let known = view
            .list
            .details()
            .iter()
            .map(|(name, key)| (name, text(item, key)));
        let known = known.filter(|(_, text)| !text.is_empty());
        let known: Vec<_> = known.map(|(name, text)| format!("{name} {text}")).collect();
        frp_log::visible(&known.join("  "))
    }

    /// What is wrong with the program, as far as that can be seen from here.
    pub(super) fn trouble(&self) -> Option<String> {
        let silent = self.seen.elapsed();
        let seconds = silent.as_secs();
        match &self.trouble {
            Some(why) => Some(format!("not reached for {seconds}s, trying again: {why}")),
            None if silent >= SILENCE => Some(format!("no answer for {seconds}s")),
            None => None,
        }
    }

    /// Three lines about the program.
    pub(super) fn summary(&self) -> [String; 3] {
        let of = &self.overview;
        let program = if self.of_server { "frps" } else { "frpc" };
        let running = number(of, "now").saturating_sub(number(of, "startedAt"));
        let mut head = format!(
            "{program} {}  up {}  users {}",
            text(of, "version"),
            units::time(running),
            number(of, "connections")
        );
        match self.rates {
            Some((inward, outward)) => {
                head += &format!(
                    "  in {}/s  out {}/s",
                    units::bytes(inward),
                    units::bytes(outward)
                );
            }
            None => head += "  in -  out -",
        }
        let [second, third] = match self.of_server {
            true => server_lines(of),
            false => client_lines(of),
        };
        [head, second, third].map(|line| frp_log::visible(&line))
    }

    fn view(&self) -> &View {
        // A tab is one of the views.
        #[allow(clippy::indexing_slicing)]
        &self.views[self.tab]
    }

    fn view_mut(&mut self) -> &mut View {
        #[allow(clippy::indexing_slicing)]
        &mut self.views[self.tab]
    }
}

fn server_lines(of: &Value) -> [String; 2] {
    let (online, _) = by_type(&of["proxies"]["online"]);
    let second = format!(
        "clients {}, {} offline  proxies {online}, {} offline  today in {}, out {}",
        number(&of["clients"], "online"),
        number(&of["clients"], "offline"),
        number(&of["proxies"], "offline"),
        units::bytes(number(of, "todayIn")),
        units::bytes(number(of, "todayOut")),
    );
    let mut third = format!(
        "failed logins {}  strangers {}",
        number(of, "loginFailures"),
        number(of, "strangers")
    );
    if let Some(memory) = of["memory"].as_u64() {
        third += &format!("  memory {}", units::bytes(memory));
    }
    let files = &of["descriptors"];
    if let (Some(used), Some(limit)) = (files["used"].as_u64(), files["limit"].as_u64()) {
        third += &format!("  descriptors {used} of {limit}");
    }
    [second, third]
}

fn client_lines(of: &Value) -> [String; 2] {
    let session = &of["session"];
    let since = number(of, "now").saturating_sub(number(session, "since"));
    let mut second = format!(
        "server {}  {} for {}",
        text(of, "server"),
        text(session, "state"),
        units::time(since)
    );
    let via = transport(session);
    if !via.is_empty() {
        second += &format!("  via {via}");
    }
    if let Some(millis) = session["roundTripMs"].as_f64() {
        second += &format!("  round trip {millis:.1} ms");
    }
    let proxies = &of["proxies"];
    let third = match (text(session, "error"), text(session, "cure")) {
        (error, cure) if !error.is_empty() && !cure.is_empty() => format!("{error}: {cure}"),
        (error, _) if !error.is_empty() => error,
        _ => format!(
            "proxies {} running, {} failed, {} waiting, {} closed  visitors {}",
            number(proxies, "running"),
            number(proxies, "failed"),
            number(proxies, "waiting"),
            number(proxies, "closed"),
            number(of, "visitors"),
        ),
    };
    [second, third]
}

/// Bytes a second between two overviews.
fn rates(before: &Value, now: &Value) -> Option<(u64, u64)> {
    let millis = number(now, "now").saturating_sub(number(before, "now"));
    if before.is_null() || millis == 0 || before["startedAt"] != now["startedAt"] {
        return None;
    }
    let rate = |key| a_second(number(before, key), number(now, key), millis);
    Some((rate("trafficIn"), rate("trafficOut")))
}

fn a_second(before: u64, now: u64, millis: u64) -> u64 {
    now.saturating_sub(before).saturating_mul(1000) / millis.max(1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a frps says that has these clients.
    pub(crate) fn seen(model: &Model, clients: usize, now: u64) -> Seen {
        let items = (0..clients).map(|n| {
            json!({
                "key": format!("client-{n:03}"), "online": true, "address": "192.0.2.1:50000",
                "version": "0.70.1", "transport": "quic", "tls": true,
                "roundTripMs": 12.34 + n as f64, "connections": n, "startedAt": 0,
            })
        });
        Seen {
            wanted: model.wanted(),
            overview: json!({
                "version": "0.70.1", "startedAt": 0, "now": now, "connections": 3,
                "clients": {"online": clients, "offline": 1},
                "proxies": {"online": {"tcp": 2}, "offline": 0},
                "trafficIn": now * 2, "trafficOut": now, "todayIn": 5, "todayOut": 6,
                "loginFailures": 7, "strangers": 0, "memory": 12_582_912,
                "descriptors": {"used": 40, "limit": 1024},
            }),
            total: clients,
            items: items.collect(),
        }
    }

    /// What one says that has these proxies: name, bytes in and out.
    fn proxies(model: &Model, now: u64, all: &[(&str, u64, u64)]) -> Seen {
        let item = |(name, inward, out): &(&str, u64, u64)| json!({"name": name, "type": "tcp", "online": true, "todayIn": inward, "todayOut": out});
        Seen {
            wanted: model.wanted(),
            overview: json!({"now": now, "startedAt": 0}),
            total: all.len(),
            items: all.iter().map(item).collect(),
        }
    }

    fn first_cells(model: &mut Model) -> Vec<String> {
        let show = model.columns()[0].show;
        model.rows().0.iter().map(show).collect()
    }

    #[test]
    fn one_moves_through_the_whole_list_and_no_further() {
        let mut model = Model::new(true);
        model.room = 10;
        model.take(seen(&model, 45, 1000));
        assert_eq!(model.place(), "1-10 of 45");
        assert_eq!(model.press(Pressed::Up), After::Nothing);
        assert_eq!(
            (first_cells(&mut model)[0].as_str(), model.rows().1),
            ("client-000", 0)
        );
        for _ in 0..10 {
            model.press(Pressed::Letter('j'));
        }
        assert_eq!(
            (first_cells(&mut model)[0].as_str(), model.rows().1),
            ("client-001", 9)
        );
        model.press(Pressed::End);
        assert_eq!(
            (first_cells(&mut model)[9].as_str(), model.rows().1),
            ("client-044", 9)
        );
        model.press(Pressed::Down);
        model.press(Pressed::PageUp);
        assert_eq!(
            (first_cells(&mut model)[0].as_str(), model.rows().1),
            ("client-034", 0)
        );
        // The list has become shorter.
        model.press(Pressed::End);
        model.take(seen(&model, 4, 2000));
        assert_eq!((first_cells(&mut model).len(), model.rows().1), (4, 3));
        assert_eq!(model.place(), "1-4 of 4");
        model.take(seen(&model, 0, 3000));
        assert_eq!((first_cells(&mut model).len(), model.rows().1), (0, 0));
        assert_eq!(
            (model.place().as_str(), model.detail().as_str()),
            ("none", "")
        );
        model.press(Pressed::Home);
    }

    #[test]
    fn what_is_not_looked_at_any_more_is_not_shown() {
        let mut model = Model::new(true);
        let late = seen(&model, 5, 1000);
        assert_eq!(model.press(Pressed::Right), After::Look);
        assert_eq!(model.list(), List::Proxies);
        model.take(late);
        assert!(model.rows().0.is_empty());
        assert!(
            model.summary()[0].contains("users 3"),
            "the overview counts"
        );
        assert_eq!(model.press(Pressed::Letter('1')), After::Look);
        assert_eq!(model.press(Pressed::Letter('1')), After::Nothing);
        assert_eq!(model.press(Pressed::Left), After::Look);
        assert_eq!(model.list(), List::Logins);
        assert_eq!(model.press(Pressed::Letter('9')), After::Nothing);
    }

    #[test]
    fn rates_are_those_between_two_looks() {
        let mut model = Model::new(true);
        model.take(seen(&model, 1, 1000));
        assert!(model.summary()[0].ends_with("in -  out -"));
        model.take(seen(&model, 1, 3000));
        assert!(model.summary()[0].ends_with("in 1.9 KB/s  out 1000 B/s"));
        model.fail("gone\u{1b}[2J");
        let trouble = model.trouble().unwrap_or_default();
        assert_eq!(trouble, "not reached for 0s, trying again: gone\\u{1b}[2J");
        assert!(model.summary()[0].ends_with("in -  out -"));
        model.press(Pressed::Letter('2'));
        model.room = 10;
        model.take(proxies(&model, 4000, &[("a", 100, 0), ("b", 0, 500)]));
        assert_eq!(model.rows().0[0][RATE_IN], Value::Null);
        // "c" is new, and "b" has begun a new day.
        model.take(proxies(
            &model,
            6000,
            &[("a", 300, 0), ("b", 0, 0), ("c", 9, 9)],
        ));
        let rate = |item: &Value| (item[RATE_IN].as_u64(), item[RATE_OUT].as_u64());
        let rows: Vec<_> = model.rows().0.iter().map(rate).collect();
        assert_eq!(
            rows,
            [(Some(100), Some(0)), (Some(0), Some(0)), (None, None)]
        );
        assert_eq!(model.trouble(), None);
    }

    #[test]
    fn one_sorts_by_any_column_and_back() {
        let mut model = Model::new(true);
        model.press(Pressed::Letter('2'));
        model.room = 10;
        model.take(proxies(
            &model,
            1000,
            &[("b", 0, 1), ("A", 0, 9), ("c", 0, 5)],
        ));
        assert_eq!(first_cells(&mut model), ["A", "b", "c"]);
        model.press(Pressed::Letter('r'));
        assert_eq!(first_cells(&mut model), ["c", "b", "A"]);
        for _ in 0..8 {
            assert_eq!(model.press(Pressed::Letter('s')), After::Nothing);
        }
        let Sort { column, backwards } = model.sort();
        assert_eq!(
            (model.columns()[column].title, backwards),
            ("OUT/DAY", true)
        );
        assert_eq!(first_cells(&mut model), ["A", "c", "b"]);
        model.press(Pressed::Letter('S'));
        let column = model.sort().column;
        assert_eq!(model.columns()[column].title, "IN/DAY");
        // What is alike does not jump.
        assert_eq!(first_cells(&mut model), ["A", "b", "c"]);
        // Of more than were asked for, others come first.
        let mut few = proxies(&model, 2000, &[("b", 0, 1)]);
        few.total = 3000;
        model.take(few);
        assert_eq!(model.press(Pressed::Letter('s')), After::Look);
        let path = model.wanted().path();
        assert_eq!(path, "/api/live/proxies?q=&sort=out&order=desc");
        assert_eq!(model.place(), "1-1 of the first 1 of 3000");
    }

    #[test]
    fn one_looks_for_what_one_types() {
        let mut model = Model::new(false);
        assert_eq!(model.press(Pressed::Letter('/')), After::Nothing);
        for letter in "q 中".chars() {
            assert_eq!(model.press(Pressed::Letter(letter)), After::Look);
        }
        assert_eq!(model.wanted().path(), "/api/live/proxies?q=q%20%E4%B8%AD");
        assert_eq!(model.press(Pressed::Backspace), After::Look);
        assert_eq!(model.press(Pressed::Enter), After::Nothing);
        assert_eq!(model.filter(), "q ");
        // It counts for the other lists, too, until it is given up.
        model.press(Pressed::Right);
        assert_eq!(model.wanted().path(), "/api/live/visitors?q=q%20");
        assert_eq!(model.press(Pressed::Escape), After::Look);
        assert_eq!(model.filter(), "");
        assert_eq!(model.press(Pressed::Escape), After::Nothing);
        model.press(Pressed::Letter('/'));
        for _ in 0..200 {
            model.press(Pressed::Letter('x'));
        }
        assert_eq!(model.filter().len(), LONGEST_FILTER);
        assert_eq!(model.press(Pressed::Interrupt), After::Leave);
    }

    #[test]
    fn one_leaves_wherever_one_is() {
        let mut model = Model::new(true);
        assert_eq!(model.press(Pressed::Letter('q')), After::Leave);
        model.press(Pressed::Letter('?'));
        assert!(model.is_help);
        assert_eq!(model.press(Pressed::Letter('x')), After::Nothing);
        assert!(!model.is_help);
        model.press(Pressed::Letter('?'));
        assert_eq!(model.press(Pressed::Letter('q')), After::Leave);
        assert_eq!(model.press(Pressed::Interrupt), After::Leave);
    }

    #[test]
    fn a_program_that_says_something_else_is_survived() {
        for of_server in [true, false] {
            let mut model = Model::new(of_server);
            for odd in [
                json!(null),
                json!([]),
                json!({"total": -1, "items": {}, "now": "x"}),
            ] {
                for _ in 0..4 {
                    model.take(Seen {
                        wanted: model.wanted(),
                        overview: odd.clone(),
                        total: 3,
                        items: vec![odd.clone(), json!(1), json!({"in": "x", "name": [1]})],
                    });
                    let _ = (model.summary(), model.detail(), model.place());
                    model.rows();
                    model.press(Pressed::Right);
                }
            }
        }
    }
}
