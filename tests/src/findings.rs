//! What a doctor (`frpc doctor --json`, `frps doctor --json`) has found, and whether it is what it should find.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::program::Program;

/// It promises to end within 30 s; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// The report of a doctor that has ended.
#[derive(Clone, Debug)]
pub struct Findings {
    /// As it was printed.
    pub report: Value,
    /// The exit status.
    pub code: Option<i32>,
}

/// What the report should say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The steps that fail, in their order: these and no others.
    pub failed: &'a [&'a str],
    /// A step, how it ended, and words of which each is in what it says (one of several where they are separated by
    /// `|`), whatever their case.
    pub told: &'a [(&'a str, &'a str, &'a [&'a str])],
    /// Words of which each is in what is to be done first.
    pub first: &'a [&'a str],
    /// Words that are nowhere in the report.
    pub never: &'a [&'a str],
}

impl Findings {
    /// Waits for the end of a doctor that was asked for JSON.
    pub async fn of(mut doctor: Program) -> Self {
        let code = doctor.exit_status_within(LIMIT).await.code();
        let lines = doctor.log().lines();
        let line = lines.iter().rev().find(|line| line.starts_with('{'));
        let report = line.and_then(|line| serde_json::from_str(line).ok());
        let report = report.unwrap_or_else(|| panic!("no report in:\n{}", doctor.log().text()));
        Self { report, code }
    }

    /// What is not as `wanted`, a line each; empty where all is.
    #[must_use]
    pub fn against(&self, wanted: &Wanted<'_>) -> String {
        let mut wrong = String::new();
        let failed: Vec<&str> = self
            .steps()
            .filter(|s| s.1 == "failed")
            .map(|s| s.0)
            .collect();
        if failed != wanted.failed {
            let _ = writeln!(wrong, "failed: {failed:?} in place of {:?}", wanted.failed);
        }
        let code = i32::from(!wanted.failed.is_empty());
        if self.code != Some(code) || self.report["ok"] != (code == 0) {
            let _ = writeln!(
                wrong,
                "exit status {:?}, ok {}",
                self.code, self.report["ok"]
            );
        }
        for (step, mark, words) in wanted.told {
            let is_told = self.steps().any(|(name, ended, said)| {
                name == *step && ended == *mark && lacks(&said, words).is_none()
            });
            if !is_told {
                let _ = writeln!(wrong, "no step {step}, {mark}, with {words:?}");
            }
        }
        let first = self.report["first"].as_str().unwrap_or_default();
        if let Some(word) = lacks(first, wanted.first) {
            let _ = writeln!(wrong, "no `{word}` in what is to be done first: {first}");
        }
        let all = self.report.to_string().to_lowercase();
        for word in wanted.never {
            if all.contains(&word.to_lowercase()) {
                let _ = writeln!(wrong, "`{word}` is said");
            }
        }
        if !wrong.is_empty() {
            for (name, ended, said) in self.steps() {
                let _ = writeln!(wrong, "    {name} {ended}: {said}");
            }
        }
        wrong
    }

    /// Name, how it ended, and all that is said.
    fn steps(&self) -> impl Iterator<Item = (&str, &str, String)> {
        let steps = self.report["steps"].as_array().into_iter().flatten();
        steps.map(|step| {
            let text = |key: &str| step[key].as_str().unwrap_or_default();
            let said = ["about", "found", "cause", "cure"].map(text).join(" | ");
            (text("step"), text("mark"), said)
        })
    }
}

/// The first of `words` that is not in `text`.
fn lacks<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    let text = text.to_lowercase();
    let is_in = |word: &&str| {
        word.split('|')
            .any(|word| text.contains(&word.to_lowercase()))
    };
    words.iter().find(|word| !is_in(word)).copied()
}
