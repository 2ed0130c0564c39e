//! Figures of all rounds, their medians, and how they compare.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::mode::{MODES, Mode};
use crate::pair::Programs;

/// The mean over ways and numbers of streams.
pub(crate) const MEAN_CPU: &str = "CPU mean, s/GB";

/// Whose figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        })
    }
}

/// All that was measured.
pub(crate) struct Report {
    ours: String,
    theirs: Option<String>,
    rows: Vec<Row>,
    failures: Vec<String>,
    /// The share of the machine, 0 to 1, that other programs took during the run.
    pub(crate) used_by_others: Option<f64>,
}

struct Row {
    mode: &'static Mode,
    metric: String,
    ours: Rounds,
    theirs: Rounds,
}

/// A figure by round; one that failed is missing.
type Rounds = BTreeMap<usize, f64>;

impl Report {
    pub(crate) fn new(ours: &Programs, theirs: Option<&Programs>) -> Self {
        Self {
            ours: ours.name.clone(),
            theirs: theirs.map(|theirs| theirs.name.clone()),
            rows: Vec::new(),
            failures: Vec::new(),
            used_by_others: None,
        }
    }

    pub(crate) fn record(
        &mut self,
        round: usize,
        mode: &'static Mode,
        metric: &str,
        side: Side,
        value: f64,
    ) {
        let is_same = |row: &Row| row.mode.name == mode.name && row.metric == metric;
        let index = self.rows.iter().position(is_same).unwrap_or_else(|| {
            let (ours, theirs) = (Rounds::new(), Rounds::new());
            self.rows.push(Row {
                mode,
                metric: metric.to_owned(),
                ours,
                theirs,
            });
            self.rows.len() - 1
        });
        let Some(row) = self.rows.get_mut(index) else {
            return;
        };
        match side {
            Side::Ours => row.ours.insert(round, value),
            Side::Theirs => row.theirs.insert(round, value),
        };
    }

    pub(crate) fn failed(&mut self, text: String) {
        self.failures.push(text);
    }

    /// Whether every figure of every round was taken.
    pub(crate) fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// Those that were measured, in the order that they are known in.
    fn modes(&self) -> Vec<&'static Mode> {
        let measured = |mode: &&Mode| self.rows.iter().any(|row| row.mode.name == mode.name);
        MODES.iter().filter(measured).collect()
    }

    /// Medians as a table: a row for each metric, a column for each mode.
    pub(crate) fn markdown(&self) -> String {
        let modes = self.modes();
        let mut metrics = Vec::new();
        for row in &self.rows {
            if !metrics.contains(&&row.metric) {
                metrics.push(&row.metric);
            }
        }
        let theirs = self.theirs.as_deref().unwrap_or("none");
        let names = modes.iter().map(|mode| mode.name).collect::<Vec<_>>();
        let mut text = format!(
            "ours: {}; theirs: {theirs}\n\n| ours / theirs | {} |\n|---|{}\n",
            self.ours,
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for metric in metrics {
            let cells = modes.iter().map(|mode| {
                let is_it = |row: &&Row| row.mode.name == mode.name && row.metric == *metric;
                match self.rows.iter().find(is_it) {
                    Some(row) if row.theirs.is_empty() => figure(&row.ours),
                    Some(row) => format!("{} / {}", figure(&row.ours), figure(&row.theirs)),
                    None => String::new(),
                }
            });
            let cells = cells.collect::<Vec<_>>().join(" | ");
            text.push_str(&format!("| {metric} | {cells} |\n"));
        }
        for failure in &self.failures {
            text.push_str(&format!("\nmissing: {failure}\n"));
        }
        text
    }

    pub(crate) fn to_json(&self, seconds: f64) -> Value {
        let rows = self.rows.iter().map(|row| {
            let ratio = row.ratio();
            json!({
                "mode": row.mode.name,
                "metric": row.metric,
                "ours": row.ours.values().collect::<Vec<_>>(),
                "theirs": row.theirs.values().collect::<Vec<_>>(),
                "ours_median": median(row.ours.values()),
                "theirs_median": median(row.theirs.values()),
                "ratio": ratio.as_ref().map(|r| r.median),
                "ratio_min": ratio.as_ref().map(|r| r.min),
                "ratio_max": ratio.as_ref().map(|r| r.max),
                "target": row.mode.target(&row.metric).map(|target| target.to_string()),
                "pass": row.passes(),
            })
        });
        json!({
            "ours": self.ours,
            "theirs": self.theirs,
            "seconds_per_figure": seconds,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "used_by_others": self.used_by_others,
            "rows": rows.collect::<Vec<_>>(),
            "failures": self.failures,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ours:   {}", self.ours)?;
        writeln!(f, "theirs: {}", self.theirs.as_deref().unwrap_or("none"))?;
        for mode in self.modes() {
            writeln!(f, "\n{} - {}", mode.name, mode.what)?;
            writeln!(
                f,
                "  {:<34} {:>9} {:>9} {:>6}  {:<12} target",
                "median of the rounds", "ours", "theirs", "ratio", "min..max"
            )?;
            for row in self.rows.iter().filter(|row| row.mode.name == mode.name) {
                writeln!(f, "  {row}")?;
            }
        }
        writeln!(f)?;
        let judged = self.rows.iter().filter_map(Row::passes).collect::<Vec<_>>();
        if !judged.is_empty() {
            let passed = judged.iter().filter(|pass| **pass).count();
            writeln!(f, "{passed} of {} targets met", judged.len())?;
        }
        if let Some(share) = self.used_by_others {
            writeln!(
                f,
                "other programs took {:.0} % of the machine",
                share * 100.0
            )?;
        }
        for failure in &self.failures {
            writeln!(f, "missing: {failure}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<34} {:>9} {:>9}",
            self.metric,
            figure(&self.ours),
            figure(&self.theirs)
        )?;
        match self.ratio() {
            Some(ratio) => {
                let range = format!("{:.2}..{:.2}", ratio.min, ratio.max);
                write!(f, " {:>6.2}  {range:<12}", ratio.median)?;
            }
            None => write!(f, " {:>6}  {:<12}", "", "")?,
        }
        if let (Some(target), Some(passes)) = (self.mode.target(&self.metric), self.passes()) {
            write!(f, " {target} {}", if passes { "pass" } else { "MISS" })?;
        }
        Ok(())
    }
}

fn figure(rounds: &Rounds) -> String {
    match median(rounds.values()) {
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
        None => "-".to_owned(),
    }
}

struct Ratio {
    median: f64,
    min: f64,
    max: f64,
}

impl Row {
    /// Ours / theirs, round by round: a machine that slows down slows both of a round.
    fn ratio(&self) -> Option<Ratio> {
        // A loss of nothing compares with nothing.
        let pair = |(round, ours): (&usize, &f64)| {
            let ratio = ours / self.theirs.get(round)?;
            ratio.is_finite().then_some(ratio)
        };
        let ratios = self.ours.iter().filter_map(pair).collect::<Vec<_>>();
        Some(Ratio {
            median: median(&ratios)?,
            min: ratios.iter().copied().reduce(f64::min)?,
            max: ratios.iter().copied().reduce(f64::max)?,
        })
    }

    fn passes(&self) -> Option<bool> {
        let target = self.mode.target(&self.metric)?;
        let ratio = self.ratio().map(|ratio| ratio.median);
        target.is_met(median(self.ours.values()), ratio)
    }
}

/// None of nothing.
pub(crate) fn median<'a>(values: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let mut sorted = values.into_iter().copied().collect::<Vec<_>>();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    fn row(metric: &str, ours: &[f64], theirs: &[f64]) -> Row {
        Row {
            mode: &MODES[0],
            metric: metric.to_owned(),
            ours: ours.iter().copied().enumerate().collect(),
            theirs: theirs.iter().copied().enumerate().collect(),
        }
    }

    #[test]
    fn medians_of_odd_even_and_no_rounds() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn ratios_pair_the_rounds_and_meet_the_target_of_the_mode() {
        // The machine halved its speed in the second round; the ratio does not notice.
        let good = row(MEAN_CPU, &[1.0, 2.0, 1.1], &[2.0, 4.0, 2.0]);
        assert_eq!(good.ratio().map(|r| r.median), Some(0.5));
        assert_eq!(good.passes(), Some(true));
        assert_eq!(
            row("CPU up x16, s/GB", &[1.2], &[2.0]).passes(),
            Some(false)
        );
        assert_eq!(
            row("CPU per new connection, ms", &[0.2], &[0.4]).passes(),
            Some(true)
        );
        for (metric, ratio, passes) in [
            ("http keep-alive CPU, us/req", 0.5, Some(true)),
            ("http one-shot CPU, us/req", 0.51, Some(false)),
            ("http one-shot p99, us", 1.0, Some(true)),
            ("http one-shot, req/s", 2.0, None),
            ("udp 64 B CPU, us/echo", 0.34, Some(false)),
            ("udp 1200 B max CPU, us/echo", 0.33, Some(true)),
            ("udp 64 B p99, us", 0.5, None),
        ] {
            assert_eq!(row(metric, &[ratio], &[1.0]).passes(), passes, "{metric}");
        }
        let lossless = row("udp 64 B loss, %", &[0.0, 0.1], &[0.0, 0.0]);
        assert!(lossless.ratio().is_none());
        assert_eq!(row("latency p99, us", &[1.0], &[1.0]).passes(), None);
        assert_eq!(row(MEAN_CPU, &[1.0], &[]).passes(), None);

        let mut gap = row(MEAN_CPU, &[9.0, 1.0], &[1.0, 2.0]);
        gap.theirs.remove(&0);
        assert_eq!(
            gap.ratio().map(|r| r.max),
            Some(0.5),
            "a missing round pairs with none"
        );
    }
}
