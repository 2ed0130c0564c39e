//! How the live view looks: lines about the program, the names of the lists, a list, what else is known of the
//! row that is pointed at, and the keys or what is wrong.
//!
//! Every text of others has passed `frp_log::visible` before it comes here, and a cell that is too short for its
//! text ends with `~`.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::lists::{Column, Sort};
use super::model::Model;

const KEYS: &str = "q quit  Tab 1-9 lists  up/down  s sort  r reverse  / find  ? help";

const HELP: &[&str] = &[
    "q, Ctrl-C          leave",
    "Tab, left, right   another list; 1 to 9: that one",
    "up, down, j, k     point at a row; what else is known of it stands below",
    "PgUp, PgDn, b, space, Home, End, g, G",
    "s, S               sort by the next column, or the one before",
    "r                  turn the order around",
    "/                  show only what has a text in it; Enter keeps it, Esc drops it",
    "",
    "IN: from users to services, OUT: the other way; /S: bytes a second; /DAY: today",
    "K, M, G: 1024 bytes, 1024 of these, and so on",
];

/// The least that the column of names has, before others go.
const NAME_WIDTH: u16 = 14;

/// Where the parts are: numbers of lines.
#[derive(Debug, PartialEq, Eq)]
struct Heights {
    summary: u16,
    tabs: u16,
    header: u16,
    rows: u16,
    detail: u16,
    foot: u16,
}

impl Heights {
    fn of(height: u16) -> Self {
        let summary = match height {
            12.. => 3,
            6.. => 1,
            _ => 0,
        };
        let detail = match height {
            16.. => 2,
            12.. => 1,
            _ => 0,
        };
        let (tabs, header) = (u16::from(height >= 4), u16::from(height >= 3));
        let foot = u16::from(height >= 2);
        let taken = summary + tabs + header + detail + foot;
        Self {
            summary,
            tabs,
            header,
            rows: height.saturating_sub(taken),
            detail,
            foot,
        }
    }
}

/// Draws all of it. Without `colours` bold and reversed letters tell what they would.
pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, colours: bool) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    let look = Look { colours };
    let heights = Heights::of(area.height);
    model.room = usize::from(heights.rows);
    let mut rest = area;
    let mut take = |height: u16| {
        let taken = Rect {
            height: height.min(rest.height),
            ..rest
        };
        rest.y += taken.height;
        rest.height -= taken.height;
        taken
    };
    let summary = take(heights.summary);
    let (tabs, header, rows) = (take(heights.tabs), take(heights.header), take(heights.rows));
    let (detail, foot) = (take(heights.detail), take(heights.foot));
    for (n, (text, at)) in model.summary().iter().zip(summary.rows()).enumerate() {
        let style = if n == 0 { look.bold() } else { Style::new() };
        write(buffer, at, text, style);
    }
    if model.is_help {
        let places = rows.union(header).rows();
        for (text, at) in HELP.iter().zip(places) {
            write(buffer, at, text, Style::new());
        }
    } else {
        let shown = chosen(model.columns(), header.width.max(rows.width));
        titles(buffer, header, &shown, model.sort(), look);
        list(buffer, rows, &shown, model, look);
    }
    names(buffer, tabs, model, look);
    if let Some(trouble) = model.trouble() {
        let style = look.tint(look.bold(), Color::Red);
        for (text, at) in wrapped(&trouble, foot.width)
            .iter()
            .zip(detail.union(foot).rows())
        {
            write(buffer, at, text, style);
        }
        return;
    }
    let known = model.detail();
    for (text, at) in wrapped(&known, detail.width).iter().zip(detail.rows()) {
        write(buffer, at, text, Style::new().add_modifier(Modifier::DIM));
    }
    let (text, style) = match () {
        () if model.is_typing => {
            let text = format!("find: {}_", frp_log::visible(model.filter()));
            (text, look.bold())
        }
        () if model.is_help => ("any key: back".to_owned(), look.bold()),
        () => (KEYS.to_owned(), Style::new().add_modifier(Modifier::DIM)),
    };
    write(buffer, foot, &text, style);
}

#[derive(Clone, Copy)]
struct Look {
    colours: bool,
}

impl Look {
    fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn tint(self, style: Style, colour: Color) -> Style {
        match self.colours {
            true => style.fg(colour),
            false => style,
        }
    }
}

/// The names of the lists, and which part of which one is shown.
fn names(buffer: &mut Buffer, at: Rect, model: &Model, look: Look) {
    let now = model.list();
    let full = |n: usize, name: &str| format!(" {n} {name} ");
    let width: usize = model.lists().map(|list| full(1, list.name()).width()).sum();
    let mut place = model.place();
    if !model.filter().is_empty() {
        place = format!("{place} with {:?}", frp_log::visible(model.filter()));
    }
    let is_narrow = width > usize::from(at.width);
    let mut left = at;
    for (n, list) in (1..).zip(model.lists()) {
        let (text, style) = match (list == now, is_narrow) {
            (true, _) => {
                let style = look.bold().add_modifier(Modifier::REVERSED);
                (
                    format!("[{n} {}]", list.name()),
                    look.tint(style, Color::Cyan),
                )
            }
            (false, false) => (full(n, list.name()), Style::new()),
            (false, true) => (format!(" {n} "), Style::new()),
        };
        left = write(buffer, left, &text, style);
    }
    let room = usize::from(left.width).saturating_sub(1);
    if place.width() <= room {
        left.x += left.width - u16::try_from(place.width()).unwrap_or(0);
        write(buffer, left, &place, Style::new());
    }
}

/// A column with the width that it gets.
type Chosen = Vec<(usize, &'static Column, u16)>;

/// The columns that there is room for.
fn chosen(columns: &'static [Column], width: u16) -> Chosen {
    let mut shown: Vec<_> = columns.iter().enumerate().collect();
    loop {
        // A blank is between any two.
        let fixed: u16 = shown.iter().map(|(_, column)| column.width).sum();
        let blanks = u16::try_from(shown.len())
            .unwrap_or(u16::MAX)
            .saturating_sub(1);
        let rest = width.saturating_sub(fixed + blanks);
        if rest >= NAME_WIDTH || shown.len() <= 1 {
            let wide = |column: &Column| match column.width {
                0 => rest,
                width => width,
            };
            return shown
                .into_iter()
                .map(|(n, column)| (n, column, wide(column)))
                .collect();
        }
        let highest = shown
            .iter()
            .map(|(_, column)| column.rank)
            .max()
            .unwrap_or(0);
        shown.retain(|(_, column)| column.width == 0 || column.rank != highest);
    }
}

fn titles(buffer: &mut Buffer, mut at: Rect, shown: &Chosen, sort: Sort, look: Look) {
    let style = look.tint(look.bold(), Color::Cyan);
    for (n, column, width) in shown {
        let mut title = column.title.to_owned();
        if *n == sort.column {
            title.push(if sort.backwards { '-' } else { '+' });
        }
        at = cell(buffer, at, &title, (*width, column.number.is_some()), style);
    }
}

fn list(buffer: &mut Buffer, at: Rect, shown: &Chosen, model: &mut Model, look: Look) {
    let (rows, pointed) = model.rows();
    for (n, (item, line)) in rows.iter().zip(at.rows()).enumerate() {
        let mut left = line;
        for (_, column, width) in shown {
            let text = frp_log::visible(&(column.show)(item));
            let style = match (column.title, text.as_str()) {
                ("STATUS", "online" | "running") => look.tint(Style::new(), Color::Green),
                ("STATUS", _) => look.tint(look.bold(), Color::Yellow),
                _ => Style::new(),
            };
            left = cell(
                buffer,
                left,
                &text,
                (*width, column.number.is_some()),
                style,
            );
        }
        if n == pointed {
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
}

/// Writes one cell, numbers to the right; gives what is left of the line.
fn cell(
    buffer: &mut Buffer,
    mut at: Rect,
    text: &str,
    (width, is_number): (u16, bool),
    style: Style,
) -> Rect {
    let width = width.min(at.width);
    let text = fitted(text, width);
    let mut place = Rect { width, ..at };
    if is_number {
        let blank = usize::from(width).saturating_sub(text.width());
        let blank = u16::try_from(blank).unwrap_or(0);
        place.x += blank;
        place.width -= blank;
    }
    write(buffer, place, &text, style);
    let taken = width.saturating_add(1).min(at.width);
    at.x += taken;
    at.width -= taken;
    at
}

/// Writes into the first line of `at`; gives what is left of it.
fn write(buffer: &mut Buffer, mut at: Rect, text: &str, style: Style) -> Rect {
    if at.is_empty() {
        return at;
    }
    let text = fitted(text, at.width);
    let (end, _) = buffer.set_stringn(at.x, at.y, &text, at.width.into(), style);
    let taken = end.saturating_sub(at.x).min(at.width);
    at.x += taken;
    at.width -= taken;
    at
}

/// A text of at most that many cells.
fn fitted(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut cells) = (String::new(), 1);
    for letter in text.chars() {
        cells += letter.width().unwrap_or(0);
        if cells > width {
            break;
        }
        kept.push(letter);
    }
    if width > 0 {
        kept.push('~');
    }
    kept
}

/// Broken into lines, anywhere.
fn wrapped(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width).max(1);
    let mut lines = vec![String::new()];
    let mut cells = 0;
    for letter in text.chars() {
        let more = letter.width().unwrap_or(0);
        if cells + more > width {
            lines.push(String::new());
            cells = 0;
        }
        cells += more;
        if let Some(line) = lines.last_mut() {
            line.push(letter);
        }
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::{Value, json};

    use super::super::model::tests::seen;
    use super::super::model::{Pressed, Seen};
    use super::*;

    fn drawn(model: &mut Model, size: (u16, u16), colours: bool) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| draw(frame, model, colours)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let rows = buffer.content.chunks(usize::from(buffer.area.width));
        let line = |row: &[ratatui::buffer::Cell]| {
            let line: String = row.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned()
        };
        rows.map(line).collect()
    }

    fn shown(model: &mut Model, size: (u16, u16)) -> Vec<String> {
        lines(&drawn(model, size, false))
    }

    fn take(model: &mut Model, overview: Value, items: Vec<Value>) {
        model.take(Seen {
            wanted: model.wanted(),
            overview,
            total: items.len(),
            items,
        });
    }

    #[test]
    fn everything_fits_eighty_columns_and_twenty_four_rows() {
        let mut model = Model::new(true);
        model.take(seen(&model, 30, 3_661_000));
        let screen = shown(&mut model, (80, 24));
        assert_eq!(screen.len(), 24);
        assert_eq!(
            screen[..7],
            [
                "frps 0.70.1  up 1h 1m  users 3  in -  out -",
                "clients 30, 1 offline  proxies 2, 0 offline  today in 5 B, out 6 B",
                "failed logins 7  strangers 0  memory 12.0 MB  descriptors 40 of 1024",
                "[1 Clients] 2 Proxies  3 Connections  4 Failed logins                 1-16 of 30",
                "CLIENT+          STATUS  ADDRESS               VERSION  VIA            RTT  USERS",
                "client-000       online  192.0.2.1:50000       0.70.1   quic+tls   12.3 ms      0",
                "client-001       online  192.0.2.1:50000       0.70.1   quic+tls   13.3 ms      1",
            ]
        );
        assert!(screen[20].starts_with("client-015 "));
        assert_eq!(screen[21], "client client-000");
        assert_eq!(screen[23], KEYS);
    }

    #[test]
    fn a_smaller_terminal_shows_what_matters_most() {
        let mut model = Model::new(true);
        model.take(seen(&model, 30, 3_661_000));
        assert_eq!(
            shown(&mut model, (40, 8)),
            [
                "frps 0.70.1  up 1h 1m  users 3  in -  o~",
                "[1 Clients] 2  3  4           1-4 of 30",
                "CLIENT+                   STATUS   USERS",
                "client-000                online       0",
                "client-001                online       1",
                "client-002                online       2",
                "client-003                online       3",
                "q quit  Tab 1-9 lists  up/down  s sort ~",
            ]
        );
        assert_eq!(
            shown(&mut model, (10, 3)),
            ["CLIENT+", "client-000", "q quit  T~"]
        );
        for size in [(1, 1), (2, 2), (5, 30), (300, 1), (300, 60)] {
            drawn(&mut model, size, true);
        }
        let wide = shown(&mut model, (120, 24));
        assert!(wide[4].ends_with("USERS  PROXIES"), "{}", wide[4]);
    }

    #[test]
    fn without_colour_there_is_none_and_nothing_is_lost() {
        let mut model = Model::new(true);
        model.take(seen(&model, 3, 1000));
        model.fail("dial tcp 127.0.0.1:7500: connect: connection refused");
        let plain = drawn(&mut model, (80, 24), false);
        let is_plain =
            |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
        assert!(plain.content.iter().all(is_plain));
        let coloured = drawn(&mut model, (80, 24), true);
        assert_eq!(lines(&plain), lines(&coloured));
        assert!(coloured.content.iter().any(|cell| cell.fg == Color::Red));
        assert_eq!(
            lines(&plain)[21..],
            [
                "not reached for 0s, trying again: dial tcp 127.0.0.1:7500: connect: connection r",
                "efused",
                "",
            ]
        );
        // The row that is pointed at.
        let reversed = |y: u16| plain[(0, y)].modifier.contains(Modifier::REVERSED);
        assert_eq!((reversed(5), reversed(6)), (true, false));
    }

    #[test]
    fn names_of_strangers_stay_in_their_cells() {
        let mut model = Model::new(true);
        let items = vec![
            json!({"key": "\u{1b}]0;title\u{7}", "online": true, "version": "1\n2"}),
            json!({"key": "中文".repeat(40), "address": "x".repeat(300)}),
            json!({"key": "\u{202e}abc\u{301}", "hostname": "\u{1b}[31m", "transport": "\r\n"}),
        ];
        take(&mut model, json!({"version": "\u{9b}31m"}), items);
        model.press(Pressed::Letter('/'));
        model.press(Pressed::Letter('\u{7f}'));
        let harmful = |symbol: &str| symbol.chars().any(|c| c.is_control() || c == '\u{202e}');
        for size in [(80, 24), (20, 6), (1, 1), (300, 30)] {
            for _ in 0..3 {
                let buffer = drawn(&mut model, size, true);
                assert!(buffer.content.iter().all(|cell| !harmful(cell.symbol())));
                model.press(Pressed::Down);
            }
        }
        let screen = shown(&mut model, (80, 24));
        assert!(screen[5].starts_with("\\u{1b}]0;title"), "{}", screen[5]);
        assert!(
            screen[6].starts_with("\\u{202e}abc\u{301} "),
            "{}",
            screen[6]
        );
        assert!(screen[7].contains("~ offline "), "{}", screen[7]);
    }

    #[test]
    fn a_client_is_shown_likewise() {
        let mut model = Model::new(false);
        let overview = json!({
            "version": "0.70.1", "startedAt": 0, "now": 5000, "server": "a.test:7000",
            "session": {
                "state": "connected", "since": 2000, "transport": "tcp", "tls": true, "roundTripMs": 1.25,
            },
            "connections": 1, "visitors": 2,
            "proxies": {"running": 1, "failed": 1, "waiting": 0, "closed": 0},
        });
        let items = vec![json!({
            "name": "ssh", "type": "tcp", "status": "start error", "remoteAddr": "",
            "connections": 0, "err": "port unavailable", "cure": "stop the other program",
        })];
        take(&mut model, overview, items);
        let screen = shown(&mut model, (80, 24));
        assert_eq!(
            screen[..6],
            [
                "frpc 0.70.1  up 5s  users 1  in -  out -",
                "server a.test:7000  connected for 3s  via tcp+tls  round trip 1.2 ms",
                "proxies 1 running, 1 failed, 0 waiting, 0 closed  visitors 2",
                "[1 Proxies] 2 Visitors  3 Connections                                   1-1 of 1",
                "PROXY+                 TYPE   STATUS       REMOTE            USERS   IN/S  OUT/S",
                "ssh                    tcp    start error                        0",
            ]
        );
        let detail = "proxy ssh  error port unavailable  cure stop the other program";
        assert_eq!(screen[21], detail);
        take(
            &mut model,
            json!({"session": {"state": "waiting", "error": "refused", "cure": "start frps"}}),
            vec![],
        );
        assert_eq!(shown(&mut model, (80, 24))[2], "refused: start frps");
    }

    #[test]
    fn connections_and_failed_logins_have_their_columns() {
        let mut model = Model::new(true);
        model.press(Pressed::Letter('3'));
        let connection = |bytes: u64| {
            json!({
                "id": "1", "proxy": "ssh", "type": "tcp", "client": "office", "user": "192.0.2.7:5555",
                "startedAt": 1000, "in": bytes, "out": 2048 * bytes,
            })
        };
        take(
            &mut model,
            json!({"now": 3000, "startedAt": 1}),
            vec![connection(0)],
        );
        take(
            &mut model,
            json!({"now": 4000, "startedAt": 1}),
            vec![connection(1500)],
        );
        let screen = shown(&mut model, (80, 24));
        assert_eq!(
            screen[4..6],
            [
                "PROXY                  USER                     AGE+   IN/S  OUT/S     IN    OUT",
                "ssh                    192.0.2.7:5555             3s   1.4K   2.9M   1.4K   2.9M",
            ]
        );
        model.press(Pressed::Letter('4'));
        take(
            &mut model,
            json!({"now": 61_000}),
            vec![json!({
                "at": 1000, "address": "192.0.2.7", "user": "al", "transport": "tcp", "count": 9,
                "cause": "token in login doesn't match", "cure": "set auth.token",
            })],
        );
        let screen = shown(&mut model, (80, 24));
        assert_eq!(
            screen[4..6],
            [
                "   AGO+  TIMES ADDRESS               USER       VIA       CAUSE",
                "  1m 0s      9 192.0.2.7             al         tcp       token in login doesn't~",
            ]
        );
        assert_eq!(
            screen[21],
            "cause token in login doesn't match  cure set auth.token"
        );
    }

    #[test]
    fn help_and_what_is_looked_for_are_shown() {
        let mut model = Model::new(true);
        model.take(seen(&model, 3, 1000));
        model.press(Pressed::Letter('?'));
        let screen = shown(&mut model, (80, 24));
        assert_eq!(
            (screen[4].as_str(), screen[23].as_str()),
            (HELP[0], "any key: back")
        );
        assert!(HELP.iter().all(|line| line.len() <= 80));
        model.press(Pressed::Letter('x'));
        model.press(Pressed::Letter('/'));
        model.press(Pressed::Letter('a'));
        let screen = shown(&mut model, (80, 24));
        assert!(screen[3].ends_with("1-3 of 3 with \"a\""), "{}", screen[3]);
        assert_eq!(screen[23], "find: a_");
    }
}
