//! How many lines of one kind a source may cause, and what is said of those that were left out.
//!
//! A kind is a place in the source code that prints, a source is whoever made it print: a
//! stranger's network, a session, a proxy ([`Source`]). Each pair has a [`Bucket`] of lines, and
//! each kind one for all its sources, so that a flood from many addresses is bounded, too. What
//! does not fit is counted; a thread that lives as long as there is a count says it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frp_config::LogLevel as Level;

use crate::cut::cut;
use crate::line;

/// How many lines a kind is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Budget {
    /// What goes wrong, and what strangers do.
    #[default]
    Events,
    /// Users, each of whom frp gives a line.
    Users,
    /// What a client that has logged in registers: thousands of proxies at once, perhaps.
    Registrations,
}

/// Who caused a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Nobody in particular.
    Any,
    /// Somebody of a network.
    Net(Net),
    /// Whom the prefixes of a line name: a session, a proxy.
    Prefix(Arc<str>),
}

/// The network of a peer: one host may have all its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Net(IpAddr);

/// Where a line is printed, and by which budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) level: Level,
    pub(crate) budget: Budget,
}

/// Whether a line is printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Print,
    /// Only counted.
    LeaveOut,
    /// Only counted; the first of its kind, so that [`Limiter::example`] wants to know what it was.
    LeaveOutAndShow,
}

/// What is to be said of the lines of a kind that were left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) prefix: Option<Arc<str>>,
    pub(crate) text: String,
}

/// A burst of lines, then so many a second.
#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// For one source, and for all of them together.
const fn rates(kind: Kind) -> (Rate, Rate) {
    let (one, all) = match kind.budget {
        Budget::Events => ((50.0, 1.0), (200.0, 2.0)),
        Budget::Users => ((300.0, 5.0), (1000.0, 20.0)),
        Budget::Registrations => ((2000.0, 5.0), (5000.0, 10.0)),
    };
    // Whoever asked for details has asked for many lines.
    let times = match kind.level {
        Level::Trace | Level::Debug => 50.0,
        Level::Info | Level::Warn | Level::Error => 1.0,
    };
    (
        Rate {
            burst: one.0 * times,
            per_second: one.1 * times,
        },
        Rate {
            burst: all.0 * times,
            per_second: all.1 * times,
        },
    )
}

/// Sources that are remembered, over all kinds. A few hundred bytes each.
const MAX_SOURCES: usize = 4096;

/// Sources that have been quiet are forgotten no more often than this.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

/// What was left out is said after this time, and while that goes on, after the longer one.
const FIRST_REPORT: Duration = Duration::from_secs(10);
const NEXT_REPORT: Duration = Duration::from_secs(60);

/// Characters that a report shows of a line.
const EXAMPLE: usize = 120;

/// All kinds that were printed.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    kinds: HashMap<Kind, State>,
    sources: usize,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct State {
    all: Bucket,
    sources: HashMap<Source, One>,
    /// When the first of the lines was left out that are not yet said.
    since: Option<Instant>,
    example: String,
    /// Left out of sources for which there was no room.
    of_others: u64,
    reported: Option<Instant>,
}

#[derive(Debug)]
struct One {
    bucket: Bucket,
    left_out: u64,
}

/// Lines that may be printed now. It fills up by its rate.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    lines: f64,
    at: Instant,
}

impl Bucket {
    const fn full(rate: Rate, now: Instant) -> Self {
        Self {
            lines: rate.burst,
            at: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.lines = (self.lines + passed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    const fn has_one(self) -> bool {
        self.lines >= 1.0
    }
}

impl State {
    fn due(&self) -> Option<Instant> {
        let wait = match self.reported {
            Some(_) => NEXT_REPORT,
            None => FIRST_REPORT,
        };
        Some(self.since? + wait)
    }
}

impl Limiter {
    /// Whether a line of this kind is printed that `source` causes.
    pub(crate) fn admit(&mut self, kind: Kind, source: Source, now: Instant) -> Verdict {
        if kind.level == Level::Trace {
            return Verdict::Print;
        }
        let (of_one, of_all) = rates(kind);
        if self.sources >= MAX_SOURCES {
            self.sweep(now);
        }
        let has_room = self.sources < MAX_SOURCES;
        let state = self.kinds.entry(kind).or_insert_with(|| State {
            all: Bucket::full(of_all, now),
            sources: HashMap::new(),
            since: None,
            example: String::new(),
            of_others: 0,
            reported: None,
        });
        state.all.fill(of_all, now);
        let may = state.all.has_one();
        let (may, left_out) = match state.sources.get_mut(&source) {
            Some(one) => {
                one.bucket.fill(of_one, now);
                let may = may && one.bucket.has_one();
                one.bucket.lines -= if may { 1.0 } else { 0.0 };
                (may, &mut one.left_out)
            }
            None if has_room => {
                self.sources += 1;
                let one = state.sources.entry(source).or_insert_with(|| One {
                    bucket: Bucket::full(of_one, now),
                    left_out: 0,
                });
                one.bucket.lines -= if may { 1.0 } else { 0.0 };
                (may, &mut one.left_out)
            }
            None => (may, &mut state.of_others),
        };
        if may {
            state.all.lines -= 1.0;
            return Verdict::Print;
        }
        *left_out += 1;
        if state.since.is_some() {
            return Verdict::LeaveOut;
        }
        state.since = Some(now);
        state.example.clear();
        // A flood that began anew, rather than one that goes on.
        if state
            .reported
            .is_some_and(|at| now.saturating_duration_since(at) > NEXT_REPORT)
        {
            state.reported = None;
        }
        Verdict::LeaveOutAndShow
    }

    /// What the first line of this kind was that was left out.
    pub(crate) fn example(&mut self, kind: &Kind, text: &str) {
        if let Some(state) = self.kinds.get_mut(kind) {
            state.example = cut(text, EXAMPLE).into_owned();
        }
    }

    /// When there is something to say next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.kinds.values().filter_map(State::due).min()
    }

    /// What is due to be said, or with `all`, everything that was left out.
    pub(crate) fn reports(&mut self, now: Instant, all: bool) -> Vec<Report> {
        let mut reports = Vec::new();
        for (kind, state) in &mut self.kinds {
            if let Some(since) = state.since
                && (all || state.due().is_some_and(|due| due <= now))
            {
                reports.push(state.report(*kind, now.saturating_duration_since(since)));
                state.since = None;
                state.reported = Some(now);
            }
        }
        reports.sort_by_key(|report| (report.kind.file, report.kind.line));
        reports
    }

    /// Forgets the sources that may print a whole burst again anyway.
    fn sweep(&mut self, now: Instant) {
        let due = |at: Instant| now.saturating_duration_since(at) >= SWEEP_AFTER;
        if !self.swept.is_none_or(due) {
            return;
        }
        self.swept = Some(now);
        self.sources = 0;
        for (kind, state) in &mut self.kinds {
            let (rate, _) = rates(*kind);
            state.sources.retain(|_, one| {
                one.bucket.fill(rate, now);
                one.left_out > 0 || one.bucket.lines < rate.burst
            });
            self.sources += state.sources.len();
        }
    }
}

impl State {
    fn report(&mut self, kind: Kind, passed: Duration) -> Report {
        let mut total = std::mem::take(&mut self.of_others);
        let unknown = total;
        let mut others = 0_usize;
        let mut most: Option<(&Source, u64)> = None;
        for (source, one) in &mut self.sources {
            let left_out = std::mem::take(&mut one.left_out);
            if left_out == 0 {
                continue;
            }
            total += left_out;
            others += 1;
            if most.is_none_or(|(_, n)| left_out > n) {
                most = Some((source, left_out));
            }
        }
        others = others.saturating_sub(1);
        let mut text = format!("{} ({total} more like this", self.example);
        let alone = others == 0 && unknown == 0;
        let prefix = match most {
            // The line has it.
            Some((Source::Prefix(prefix), _)) if alone => Some(prefix.clone()),
            Some((source, n)) => {
                let name = match source {
                    Source::Any => None,
                    Source::Net(net) => Some(net.to_string()),
                    Source::Prefix(prefix) => Some(line::prefix_text(prefix).trim_end().to_owned()),
                };
                if let Some(name) = name {
                    let _ = write!(text, " from {name}");
                    if !alone {
                        let _ = write!(text, " ({n})");
                    }
                }
                None
            }
            None => None,
        };
        let _ = match (others, unknown) {
            (0, 0) => Ok(()),
            (n, 0) => write!(text, " and {n} other sources"),
            (_, _) => write!(text, " and many other sources"),
        };
        let _ = write!(text, " in the last {} s)", passed.as_secs().max(1));
        Report { kind, prefix, text }
    }
}

impl From<IpAddr> for Net {
    fn from(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & (!0 << 8))),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (!0 << 64))),
        })
    }
}

impl std::fmt::Display for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = match self.0 {
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 64,
        };
        write!(f, "{}/{bits}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        file: "crates/frps/src/login.rs",
        line: 1,
        level: Level::Warn,
        budget: Budget::Events,
    };

    fn net(ip: [u8; 4]) -> Source {
        Source::Net(Net::from(IpAddr::from(ip)))
    }

    /// How many of `lines` are printed.
    fn printed(
        limiter: &mut Limiter,
        kind: Kind,
        source: &Source,
        lines: usize,
        now: Instant,
    ) -> usize {
        let mut printed = 0;
        for _ in 0..lines {
            match limiter.admit(kind, source.clone(), now) {
                Verdict::Print => printed += 1,
                Verdict::LeaveOut => {}
                Verdict::LeaveOutAndShow => limiter.example(&kind, "no such token"),
            }
        }
        printed
    }

    #[test]
    fn a_flood_is_a_burst_then_a_rate_and_no_line_is_uncounted() {
        let mut limiter = Limiter::default();
        let source = net([203, 0, 113, 7]);
        let start = Instant::now();
        let mut shown = 0;
        let mut said = 0;
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            shown += printed(&mut limiter, KIND, &source, 1000, now);
            for report in limiter.reports(now, second == 99) {
                let text = report.text;
                assert!(text.starts_with("no such token ("), "{text}");
                assert!(
                    text.contains(" more like this from 203.0.113.0/24 in the last "),
                    "{text}"
                );
                let count = text
                    .split(['(', ' '])
                    .find_map(|word| word.parse::<usize>().ok());
                said += count.unwrap();
            }
        }
        assert_eq!(shown, 50 + 99);
        assert_eq!(shown + said, 100_000);
        assert_eq!(limiter.next_due(), None);
    }

    #[test]
    fn another_source_and_another_kind_have_their_own() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        assert_eq!(
            printed(&mut limiter, KIND, &net([10, 0, 0, 1]), 1000, now),
            50
        );
        assert_eq!(
            printed(&mut limiter, KIND, &net([10, 0, 0, 255]), 1, now),
            0
        );
        assert_eq!(printed(&mut limiter, KIND, &net([10, 0, 1, 1]), 3, now), 3);
        let other = Kind { line: 2, ..KIND };
        assert_eq!(printed(&mut limiter, other, &net([10, 0, 0, 1]), 3, now), 3);
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_in_lines_in_memory_and_in_what_is_said_of_it() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        let mut shown = 0;
        for n in 0..20_000_u32 {
            let [_, a, b, _] = (n << 8).to_be_bytes();
            shown += printed(&mut limiter, KIND, &net([10, a, b, 1]), 2, now);
        }
        assert_eq!(shown, 200);
        assert!(limiter.sources <= MAX_SOURCES);
        assert!(limiter.reports(now, false).is_empty(), "not yet");
        let later = now + FIRST_REPORT;
        let reports = limiter.reports(later, false);
        let [report] = &reports[..] else {
            panic!("{reports:?}")
        };
        assert!(
            report.text.contains("(39800 more like this from "),
            "{}",
            report.text
        );
        assert!(
            report
                .text
                .contains("and many other sources in the last 10 s)"),
            "{}",
            report.text
        );
        // Everybody is quiet: their places are for others.
        let later = now + Duration::from_secs(3600);
        printed(&mut limiter, KIND, &net([11, 0, 0, 1]), 1, later);
        assert_eq!(limiter.sources, 1);
    }

    #[test]
    fn who_is_named_by_the_prefix_is_not_named_twice() {
        let mut limiter = Limiter::default();
        let now = Instant::now();
        let source = Source::Prefix("run\u{1f}ssh\u{1f}".into());
        printed(&mut limiter, KIND, &source, 60, now);
        let report = limiter.reports(now + FIRST_REPORT, false).pop().unwrap();
        assert_eq!(report.prefix.as_deref(), Some("run\u{1f}ssh\u{1f}"));
        assert_eq!(
            report.text,
            "no such token (10 more like this in the last 10 s)"
        );
    }

    #[test]
    fn users_and_details_have_more_and_trace_has_no_bound() {
        let now = Instant::now();
        let all = |level, budget| {
            let kind = Kind {
                level,
                budget,
                ..KIND
            };
            printed(&mut Limiter::default(), kind, &Source::Any, 100_000, now)
        };
        assert_eq!(all(Level::Info, Budget::Users), 300);
        assert_eq!(all(Level::Info, Budget::Registrations), 2000);
        assert_eq!(all(Level::Debug, Budget::Events), 2500);
        assert_eq!(all(Level::Trace, Budget::Events), 100_000);
    }

    #[test]
    fn the_network_of_an_address_is_what_one_host_may_have() {
        for (ip, want) in [
            ("203.0.113.9", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(Net::from(ip.parse::<IpAddr>().unwrap()).to_string(), want);
        }
    }
}
