//! Rendering one line into a buffer that each thread keeps.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

use frp_config::LogLevel as Level;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One line before it is rendered.
pub(crate) struct Event<'a> {
    pub(crate) level: Level,
    /// Put together by [`push_prefix`].
    pub(crate) prefix: &'a str,
    /// As `file!()` gives it.
    pub(crate) file: &'a str,
    pub(crate) line: u32,
    pub(crate) text: &'a dyn fmt::Display,
}

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// frp's.
    Plain,
    /// The same in the colours of the levels.
    Coloured,
    /// An object of JSON each.
    Json,
}

impl Style {
    /// Of the number that it was cast to.
    pub(crate) const fn of(number: u8) -> Self {
        const COLOURED: u8 = Style::Coloured as u8;
        const JSON: u8 = Style::Json as u8;
        match number {
            COLOURED => Self::Coloured,
            JSON => Self::Json,
            _ => Self::Plain,
        }
    }
}

/// Renders `event` and hands the bytes, with their newline, to `write`.
pub(crate) fn with_rendered(
    event: &Event<'_>,
    now: Timestamp,
    zone: &TimeZone,
    style: Style,
    write: impl FnOnce(&[u8]),
) {
    // Taken out rather than borrowed: a Display that logs gets a buffer of its own.
    let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    scratch.buf.clear();
    scratch.render(event, now, zone, style);
    write(scratch.buf.as_bytes());
    if scratch.buf.capacity() <= KEPT_CAPACITY {
        // A thread that is being torn down has no slot to put it back in; then it is dropped.
        let _ = SCRATCH.try_with(|slot| slot.replace(scratch));
    }
}

/// Ends each value of a prefix; escaped, none has it.
const END: char = '\u{1f}';

/// Appends a value, escaped.
pub(crate) fn push_prefix(prefix: &mut String, value: &str) {
    push_escaped(prefix, value);
    prefix.push(END);
}

/// `[a] [b] `
pub(crate) fn prefix_text(prefix: &str) -> String {
    let mut text = String::with_capacity(prefix.len() + 4);
    push_prefix_text(&mut text, prefix);
    text
}

fn push_prefix_text(out: &mut String, prefix: &str) {
    for value in prefix.split_terminator(END) {
        out.push('[');
        out.push_str(value);
        out.push_str("] ");
    }
}

#[derive(Default)]
struct Scratch {
    buf: String,
    /// The second, of the epoch, that `stamp` shows. Lines come in bursts, and the way from a
    /// timestamp to local time is the dearest part of one.
    second: Option<i64>,
    stamp: String,
    /// The text of a line, before it is part of JSON.
    text: String,
}

impl Scratch {
    fn render(&mut self, event: &Event<'_>, now: Timestamp, zone: &TimeZone, style: Style) {
        let color = match style {
            Style::Plain => None,
            Style::Coloured => color_of(event.level),
            Style::Json => return self.render_json(event, now, zone),
        };
        self.buf.push_str(color.unwrap_or_default());
        self.push_time(now, zone);
        self.buf.push_str(tag(event.level));
        // Writing to a String fails only if a Display does; what it wrote until then is kept.
        let _ = write!(self.buf, "[{}:{}] ", ShortPath(event.file), event.line);
        push_prefix_text(&mut self.buf, event.prefix);
        push_text(&mut self.buf, event.text);
        self.buf.push('\n');
        if color.is_some() {
            self.buf.push_str(RESET);
        }
    }

    /// The texts are those of the other styles, escapes included.
    fn render_json(&mut self, event: &Event<'_>, now: Timestamp, zone: &TimeZone) {
        let offset = zone.to_offset(now);
        let time = now.display_with_offset(offset);
        let _ = write!(
            self.buf,
            "{{\"time\":\"{time:.3}\",\"level\":\"{}\"",
            event.level
        );
        let _ = write!(
            self.buf,
            ",\"file\":\"{}\",\"line\":{}",
            ShortPath(event.file),
            event.line
        );
        // Who causes a line, from the session to one of its proxies or visitors (`Log::with`).
        let names = ["runID", "name"].into_iter();
        for (name, value) in names.zip(event.prefix.split_terminator(END)) {
            push_json(&mut self.buf, name, value);
        }
        self.text.clear();
        push_text(&mut self.text, event.text);
        push_json(&mut self.buf, "message", &self.text);
        self.buf.push_str("}\n");
        if self.text.capacity() > KEPT_CAPACITY {
            self.text = String::new();
        }
    }

    fn push_time(&mut self, now: Timestamp, zone: &TimeZone) {
        let second = now.as_second();
        if self.second != Some(second) {
            let t = zone.to_datetime(now);
            self.stamp.clear();
            let _ = write!(
                self.stamp,
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            );
            self.second = Some(second);
        }
        self.buf.push_str(&self.stamp);
        let _ = write!(self.buf, ".{:03}", now.subsec_millisecond().unsigned_abs());
    }
}

fn push_text(out: &mut String, text: &dyn fmt::Display) {
    let mut escaped = Escaped {
        most: out.len() + LONGEST,
        out,
    };
    // Fails if a Display does; what it wrote until then is kept.
    let _ = write!(escaped, "{text}");
}

/// `,"name":"value"`; of what JSON has to escape, an escaped value has no more than these.
fn push_json(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The last directory and the file name of a source path. `src` says nothing, so the crate's
/// directory stands for it.
struct ShortPath<'a>(&'a str);

impl fmt::Display for ShortPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.rsplit(['/', '\\']);
        let file = parts.next().unwrap_or_default();
        match parts.find(|dir| *dir != "src") {
            Some(dir) => write!(f, "{dir}/{file}"),
            None => f.write_str(file),
        }
    }
}

/// Escapes control characters on their way into a string, up to its length `most`.
struct Escaped<'a> {
    out: &'a mut String,
    most: usize,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.out, text);
        if self.out.len() <= self.most {
            return Ok(());
        }
        self.out.truncate(self.out.floor_char_boundary(self.most));
        self.out.push('…');
        Err(fmt::Error)
    }
}

/// A text of others as a terminal may show it: on one line, with what would drive the terminal or turn the
/// line around escaped.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    match out.contains('\t') {
        true => out.replace('\t', " "),
        false => out,
    }
}

fn push_escaped(out: &mut String, text: &str) {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        if is_invisible(c) && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

/// What drives a terminal, ends a line, or changes the order in which its characters are shown, instead
/// of being shown: controls (also U+0080 to U+009F, which some terminals obey), line and paragraph
/// separators, and format characters (category Cf of Unicode 17).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'
        )
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A thread does not hold on to more than this, in bytes, after one long line.
const KEPT_CAPACITY: usize = 4096;

/// Bytes of a line's text: the names of all proxies of a large file fit.
const LONGEST: usize = 64 * 1024;

const RESET: &str = "\x1b[0m";

const fn tag(level: Level) -> &'static str {
    match level {
        Level::Trace => " [T] ",
        Level::Debug => " [D] ",
        Level::Info => " [I] ",
        Level::Warn => " [W] ",
        Level::Error => " [E] ",
    }
}

/// The code that golib puts before a coloured line (`log/output_console.go`).
const fn color_of(level: Level) -> Option<&'static str> {
    match level {
        Level::Trace => None,
        Level::Debug => Some("\x1b[1;36m"),
        Level::Info => Some("\x1b[1;34m"),
        Level::Warn => Some("\x1b[1;33m"),
        Level::Error => Some("\x1b[1;31m"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rendered(level: Level, prefix: &str, text: &dyn fmt::Display, color: bool) -> String {
        let style = match color {
            true => Style::Coloured,
            false => Style::Plain,
        };
        in_style(level, prefix, text, style)
    }

    fn in_style(level: Level, prefix: &str, text: &dyn fmt::Display, style: Style) -> String {
        let event = Event {
            level,
            prefix,
            file: "crates/frps/src/proxy/tcp.rs",
            line: 42,
            text,
        };
        let now: Timestamp = "2024-03-09T15:04:05.067Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        let mut out = String::new();
        with_rendered(&event, now, &zone, style, |line| {
            out = String::from_utf8(line.to_vec()).unwrap();
        });
        out
    }

    #[test]
    fn a_line_has_frps_shape_in_local_time() {
        assert_eq!(
            rendered(
                Level::Info,
                "run\u{1f}ssh\u{1f}",
                &"start proxy success",
                false
            ),
            "2024-03-09 10:04:05.067 [I] [proxy/tcp.rs:42] [run] [ssh] start proxy success\n"
        );
    }

    #[test]
    fn a_line_of_json_has_the_same_in_fields() {
        let mut prefix = String::new();
        for value in ["run", "a] [b\"\\"] {
            push_prefix(&mut prefix, value);
        }
        for (prefix, text, expected) in [
            (
                &*prefix,
                "x \"y\"\t\n\u{1b}[2J\u{202e} é \\",
                r#""runID":"run","name":"a] [b\"\\","message":"x \"y\"\t\\n\\u{1b}[2J\\u{202e} é \\""#,
            ),
            ("run\u{1f}", "z", r#""runID":"run","message":"z""#),
            ("", "", r#""message":"""#),
        ] {
            let line = in_style(Level::Warn, prefix, &text, Style::Json);
            let begin = r#"{"time":"2024-03-09T10:04:05.067-05:00","level":"warn","file":"proxy/tcp.rs","line":42,"#;
            assert_eq!(line, format!("{begin}{expected}}}\n"));
        }
    }

    #[test]
    fn each_level_has_its_letter() {
        let levels = [
            Level::Trace,
            Level::Debug,
            Level::Info,
            Level::Warn,
            Level::Error,
        ];
        let letters = levels.map(|level| rendered(level, "", &"x", false)[24..27].to_owned());
        assert_eq!(letters, ["[T]", "[D]", "[I]", "[W]", "[E]"]);
    }

    #[test]
    fn colour_wraps_line_and_newline_as_golib_does() {
        for (level, code) in [
            (Level::Debug, "1;36"),
            (Level::Info, "1;34"),
            (Level::Warn, "1;33"),
            (Level::Error, "1;31"),
        ] {
            let plain = rendered(level, "", &"x", false);
            assert_eq!(
                rendered(level, "", &"x", true),
                format!("\x1b[{code}m{plain}\x1b[0m")
            );
        }
        assert_eq!(
            rendered(Level::Trace, "", &"x", true),
            rendered(Level::Trace, "", &"x", false)
        );
    }

    #[test]
    fn a_peer_cannot_forge_a_line_or_drive_the_terminal() {
        let mut prefix = String::new();
        push_prefix(&mut prefix, "a\nb");
        let line = rendered(
            Level::Warn,
            &prefix,
            &"x\r\n\x1b[2J\u{9b}31m\u{7f} tab\t ok é",
            false,
        );
        assert!(
            line.ends_with("[a\\nb] x\\r\\n\\u{1b}[2J\\u{9b}31m\\u{7f} tab\t ok é\n"),
            "{line:?}"
        );
    }

    #[test]
    fn a_peer_cannot_turn_a_line_around() {
        for c in "\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}\u{feff}\u{85}\u{ad}\u{e0041}".chars() {
            let line = rendered(Level::Info, "", &format!("a{c}b"), false);
            assert!(line.ends_with(&format!("a\\u{{{:x}}}b\n", c as u32)), "{line:?}");
        }
        for text in [
            "é",
            "—",
            "中文",
            "שלום",
            "مرحبا",
            "🙂",
            "\u{fe0f}",
            "e\u{301}",
        ] {
            assert!(rendered(Level::Info, "", &text, false).ends_with(&format!("{text}\n")));
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let line = rendered(Level::Info, "", &"é".repeat(LONGEST), false);
        assert!(line.len() < LONGEST + 100 && line.ends_with("é…\n"));
    }

    #[test]
    fn milliseconds_move_within_one_cached_second() {
        let zone = TimeZone::UTC;
        let mut scratch = Scratch::default();
        for (at, want) in [
            ("2024-03-09T15:04:05.001Z", "2024-03-09 15:04:05.001"),
            ("2024-03-09T15:04:05.999Z", "2024-03-09 15:04:05.999"),
            ("2024-03-09T15:04:06Z", "2024-03-09 15:04:06.000"),
        ] {
            scratch.buf.clear();
            scratch.push_time(at.parse().unwrap(), &zone);
            assert_eq!(scratch.buf, want);
        }
    }

    #[test]
    fn the_place_names_the_module_directory_or_the_crate() {
        for (file, want) in [
            ("crates/frps/src/service.rs", "frps/service.rs"),
            ("crates/frps/src/proxy/tcp.rs", "proxy/tcp.rs"),
            ("src\\main.rs", "main.rs"),
            ("/r/rustls-0.23.46/src/tls12/prf.rs", "tls12/prf.rs"),
        ] {
            assert_eq!(ShortPath(file).to_string(), want);
        }
    }

    #[test]
    fn a_display_that_logs_gets_its_own_buffer() {
        struct Nested;
        impl fmt::Display for Nested {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                assert!(rendered(Level::Info, "", &"inner", false).ends_with(" inner\n"));
                f.write_str("outer")
            }
        }
        assert!(rendered(Level::Info, "", &Nested, false).ends_with(" outer\n"));
    }
}
