//! How the live view looks: two lines about the program, the names of the lists, a list, the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table};

use super::model::Model;

const KEYS: &str = "q quit  1 2 3 Tab lists  arrows PgUp PgDn Home End scroll";

pub(super) fn draw(frame: &mut Frame<'_>, model: &mut Model, colours: bool) {
    let places = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ]);
    let [head, tabs, list, foot] = places.areas(frame.area());
    // Without the header.
    model.room = usize::from(list.height.saturating_sub(1)).max(1);
    let tint = |style: Style, colour: Color| match colours {
        true => style.fg(colour),
        false => style,
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let [first, second] = model.summary();
    let lines = [Line::styled(first, bold), Line::raw(second)];
    frame.render_widget(Paragraph::new(lines.to_vec()), head);

    let mut names = Vec::new();
    for (n, of) in (1..).zip(model.lists()) {
        let style = match of == model.list() {
            true => tint(bold.add_modifier(Modifier::REVERSED), Color::Cyan),
            false => Style::new(),
        };
        names.push(Span::styled(format!(" {n} {} ", of.name()), style));
        names.push(Span::raw(" "));
    }
    let (at, rows) = model.rows();
    let shown = match rows.len() {
        0 => format!("none of {}", model.total()),
        count => format!("{} to {} of {}", at + 1, at + count, model.total()),
    };
    names.push(Span::raw(shown));
    frame.render_widget(Line::from(names), tabs);

    let columns = model.columns();
    let widths = columns.iter().map(|(_, width, _)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(*width),
    });
    let header = columns.iter().map(|(name, _, _)| *name);
    let header = Row::new(header).style(tint(bold, Color::Cyan));
    let table = Table::new(rows.into_iter().map(Row::new), widths).header(header);
    frame.render_widget(table, list);

    let foot_line = match model.error() {
        Some(error) => Line::styled(error.to_owned(), tint(bold, Color::Red)),
        None => Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
    };
    frame.render_widget(foot_line, foot);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use serde_json::json;

    use super::super::Seen;
    use super::super::model::tests::seen;
    use super::*;

    fn drawn(model: &mut Model, size: (u16, u16), colours: bool) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| draw(frame, model, colours)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn lines(buffer: &Buffer) -> Vec<String> {
        let width = usize::from(buffer.area.width);
        let rows = buffer.content.chunks(width);
        rows.map(|row| {
            let line: String = row.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
    }

    #[test]
    fn everything_fits_eighty_columns_and_twenty_four_rows() {
        let mut model = Model::new("frps");
        model.take(seen(&model, 30, 3_661_000));
        let shown = lines(&drawn(&mut model, (80, 24), true));
        assert_eq!(shown.len(), 24);
        assert_eq!(
            shown[..5],
            [
                "frps 0.70.1  up 1h 1m  connections 3  in 0 B/s  out 0 B/s",
                "clients 30 (+1 offline)  proxies 2 (+0 offline)  today in 5 B  out 6 B",
                " 1 Clients   2 Proxies   3 Connections  1 to 1 of 30",
                "CLIENT           STATUS  ADDRESS               VERSION  VIA       RTT      CONNS",
                "client-0         online  192.0.2.1:50000       0.70.1   quic+tls  12.3 ms  0",
            ]
        );
        // The room is known once it was drawn.
        let shown = lines(&drawn(&mut model, (80, 24), true));
        assert!(shown[2].ends_with("1 to 19 of 30"), "{}", shown[2]);
        assert!(shown[22].starts_with("client-18 "));
        assert_eq!(shown[23], KEYS);
    }

    #[test]
    fn without_colour_there_is_none() {
        let mut model = Model::new("frps");
        model.take(seen(&model, 3, 1000));
        model.fail("dial tcp 127.0.0.1:7500: connect: connection refused");
        let plain = drawn(&mut model, (80, 24), false);
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        let coloured = drawn(&mut model, (80, 24), true);
        assert!(coloured.content.iter().any(|cell| cell.fg == Color::Red));
        assert!(lines(&plain)[23].starts_with("dial tcp 127.0.0.1:7500"));
    }

    #[test]
    fn names_of_strangers_stay_in_their_cells() {
        let mut model = Model::new("frps");
        let items = [
            json!({"key": "\u{1b}]0;title\u{7}", "online": true, "version": "1\n2"}),
            json!({"key": "中文".repeat(40), "address": "x".repeat(300)}),
            json!({"key": "\u{202e}abc\u{301}"}),
        ];
        let wanted = model.wanted();
        model.take(Seen {
            overview: json!({"version": "\u{9b}31m"}),
            list: json!({"total": 3, "items": items}),
            wanted,
        });
        model.room = 10;
        for size in [(80, 24), (20, 6), (1, 1), (300, 3)] {
            let buffer = drawn(&mut model, size, true);
            let harmful = |symbol: &str| symbol.chars().any(|c| c.is_control() || c == '\u{202e}');
            assert!(buffer.content.iter().all(|cell| !harmful(cell.symbol())));
        }
        let shown = lines(&drawn(&mut model, (80, 24), true));
        assert!(shown[4].starts_with("\\u{1b}]0;title"), "{}", shown[4]);
        assert!(shown[6].starts_with("\\u{202e}abc\u{301}"), "{}", shown[6]);
    }

    #[test]
    fn a_client_is_shown_likewise() {
        let mut model = Model::new("frpc");
        let wanted = model.wanted();
        model.take(Seen {
            overview: json!({
                "version": "0.70.1", "startedAt": 0, "now": 5000, "server": "a.test:7000",
                "session": {"state": "connected", "transport": "tcp"}, "connections": 1,
                "proxies": {"running": 1, "failed": 1, "waiting": 0},
            }),
            list: json!({"total": 1, "items": [{
                "name": "ssh", "type": "tcp", "status": "start error", "remoteAddr": "",
                "connections": 0, "err": "port unavailable",
            }]}),
            wanted,
        });
        let shown = lines(&drawn(&mut model, (80, 24), false));
        assert_eq!(
            shown[..5],
            [
                "frpc 0.70.1  up 5s  connections 1  in 0 B/s  out 0 B/s",
                "server a.test:7000  connected  via tcp  running 1  failed 1  waiting 0",
                " 1 Proxies   2 Visitors   3 Connections  1 to 1 of 1",
                "PROXY        TYPE   STATUS      REMOTE                CONNS ERROR",
                "ssh          tcp    start error                       0     port unavailable",
            ]
        );
    }
}
