//! What a doctor has found: one line per step for people, or JSON (docs/doctor.md). Which steps there are is each
//! program's own.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

/// How a step has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// All is well.
    Ok,
    /// It works, and something about it should be known.
    Warning,
    /// It does not work.
    Failed,
    /// It was not tried, or cannot be known from here.
    NotChecked,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Which stage it belongs to; these are stable.
    pub step: &'static str,
    /// What it is about: an address, a file, a proxy; or empty.
    pub about: String,
    /// How it ended.
    pub mark: Mark,
    /// What was seen.
    pub found: String,
    /// Why.
    pub cause: Option<String>,
    /// What to do, with the key to set.
    pub cure: Option<String>,
}

/// The steps so far; whoever looks may be cut short and the rest still told.
#[derive(Debug)]
pub struct Report {
    program: &'static str,
    version: &'static str,
    steps: Mutex<Vec<Step>>,
    tells: bool,
}

impl Step {
    /// One that ended so.
    pub fn new(
        step: &'static str,
        about: impl Into<String>,
        mark: Mark,
        found: impl Into<String>,
    ) -> Self {
        Self {
            step,
            about: about.into(),
            mark,
            found: found.into(),
            cause: None,
            cure: None,
        }
    }

    /// With why, and what to do.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        self.cause = Some(cause.into()).filter(|text| !text.is_empty());
        self.cure = Some(cure.into()).filter(|text| !text.is_empty());
        self
    }
}

impl Report {
    /// An empty one. Where people wait at a terminal they are told what is being looked at.
    pub fn new(program: &'static str, version: &'static str, json: bool) -> Self {
        Self {
            program,
            version,
            steps: Mutex::default(),
            tells: !json && std::io::stderr().is_terminal(),
        }
    }

    /// What is being looked at.
    pub fn now(&self, what: &str) {
        if self.tells {
            let _ = write!(std::io::stderr(), "\r\x1b[K{what} ...");
        }
    }

    /// One more step.
    pub fn add(&self, step: Step) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(step);
    }

    /// Whether something has failed so far.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.steps().iter().any(|step| step.mark == Mark::Failed)
    }

    /// What could have been well with a warning of `step` was not.
    pub fn worsen(&self, step: &str) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        for known in steps.iter_mut().filter(|known| known.step == step) {
            if known.mark == Mark::Warning {
                known.mark = Mark::Failed;
            }
        }
    }

    fn steps(&self) -> Vec<Step> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.clone()
    }

    /// Shows all, and gives the exit status: 0 where nothing has failed.
    #[must_use]
    pub fn end(&self, json: bool) -> ExitCode {
        if self.tells {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let text = match json {
            true => self.json(),
            false => self.text(std::io::stdout().is_terminal()),
        };
        // A reader that went away is no reason to fail.
        let _ = std::io::stdout().write_all(text.as_bytes());
        match self.has_failed() {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }

    /// For programs.
    fn json(&self) -> String {
        let mut steps = self.steps();
        for step in &mut steps {
            step.about = shown(&step.about);
            step.found = shown(&step.found);
            step.cause = step.cause.as_deref().map(shown);
            step.cure = step.cure.as_deref().map(shown);
        }
        let of = json!({
            "program": self.program,
            "version": self.version,
            "ok": steps.iter().all(|step| step.mark != Mark::Failed),
            "first": first(&steps),
            "steps": steps,
        });
        format!("{of}\n")
    }

    /// For people.
    fn text(&self, colour: bool) -> String {
        let steps = self.steps();
        let label = |step: &Step| match step.about.as_str() {
            "" => name(step.step).to_owned(),
            about => format!("{} {}", name(step.step), shown(about)),
        };
        let widest = steps.iter().map(|step| label(step).chars().count());
        let width = widest.max().unwrap_or(0).min(44);
        let mut text = String::new();
        for step in &steps {
            let (mark, paint) = match step.mark {
                Mark::Ok => ("ok         ", "32"),
                Mark::Warning => ("warning    ", "33"),
                Mark::Failed => ("failed     ", "31"),
                Mark::NotChecked => ("not checked", "2"),
            };
            let mark = match colour {
                true => format!("\x1b[{paint}m{mark}\x1b[0m"),
                false => mark.to_owned(),
            };
            let _ = writeln!(
                text,
                "{mark}  {:width$}  {}",
                label(step),
                shown(&step.found)
            );
            if let Some(cause) = &step.cause {
                let _ = writeln!(text, "             because: {}", shown(cause));
            }
            if let Some(cure) = &step.cure {
                let _ = writeln!(text, "             do:      {}", shown(cure));
            }
        }
        let _ = writeln!(text, "\n{}", first(&steps));
        text
    }
}

fn name(step: &'static str) -> &'static str {
    match step {
        "localService" => "local service",
        "remotePort" => "from outside",
        other => other,
    }
}

/// What to do first.
fn first(steps: &[Step]) -> String {
    let failed = steps.iter().filter(|step| step.mark == Mark::Failed);
    // What comes of a cause that stands further down says less than that.
    let telling = failed.clone().find(|step| step.cure.is_some());
    let of = |step: &Step| match &step.cure {
        Some(cure) => shown(cure),
        None => shown(step.cause.as_deref().unwrap_or(&step.found)),
    };
    match telling.or_else(|| failed.clone().next()) {
        Some(step) => format!("First of all: {}.", of(step).trim_end_matches('.')),
        None => match steps
            .iter()
            .filter(|step| step.mark == Mark::Warning)
            .count()
        {
            0 => "All is well.".to_owned(),
            1 => "It works; read the warning above.".to_owned(),
            n => format!("It works; read the {n} warnings above."),
        },
    }
}

/// In one line. What a peer says must not steer the terminal.
fn shown(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(frp_log::visible).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let report = Report {
            program: "frpc",
            version: "0",
            steps: Mutex::default(),
            tells: false,
        };
        report.add(Step::new("dns", "a.example", Mark::Ok, "192.0.2.1"));
        let failed = Step::new("login", "", Mark::Failed, "EOF\x1b[2J\nof two lines");
        report.add(failed.because("a firewall", "set transport.tls.enable = true"));
        report
    }

    #[test]
    fn people_get_a_line_per_step_and_what_to_do_first() {
        let text = report().text(false);
        assert!(!text.contains('\x1b'), "{text}");
        assert!(
            text.contains("ok           dns a.example  192.0.2.1\n"),
            "{text}"
        );
        assert!(text.contains("[2J; of two lines\n"), "{text}");
        assert!(text.contains("because: a firewall\n"), "{text}");
        assert!(
            text.ends_with("\nFirst of all: set transport.tls.enable = true.\n"),
            "{text}"
        );
        assert!(report().text(true).contains("\x1b[31mfailed"));
    }

    #[test]
    fn programs_get_json() {
        let of: serde_json::Value = serde_json::from_str(&report().json()).unwrap_or_default();
        assert_eq!(of["ok"], false);
        assert_eq!(of["steps"][0]["mark"], "ok");
        assert_eq!(of["steps"][1]["cure"], "set transport.tls.enable = true");
    }
}
