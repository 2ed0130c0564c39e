//! Collects the problems of a configuration and gives them their places.

use crate::source::Sources;
use crate::{LoadError, LoadOptions, Problem, Purpose};

/// The problems found so far.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) sources: Sources,
    pub(crate) options: &'a LoadOptions,
    errors: Vec<(usize, Problem)>,
    warnings: Vec<(usize, Problem)>,
    /// Those of the warnings that tell of an unknown key.
    unknown: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(options: &'a LoadOptions) -> Self {
        Self {
            sources: Sources::default(),
            options,
            errors: Vec::new(),
            warnings: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// So many problems that suggestions are no longer worth their time.
    pub(crate) fn is_long(&self) -> bool {
        self.errors.len() + self.warnings.len() > 100
    }

    pub(crate) fn error(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        let problem = self.problem(at, message.into(), advice);
        self.errors.push((at, problem));
    }

    pub(crate) fn warn(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        let problem = self.problem(at, message.into(), advice);
        self.warnings.push((at, problem));
    }

    /// A problem that was found before the text had places.
    pub(crate) fn add(&mut self, at: usize, problem: Problem) {
        self.errors.push((at, problem));
    }

    /// Something that is valid for frp, but that this program cannot run with.
    pub(crate) fn refuse(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        match self.options.purpose {
            Purpose::Run => self.error(at, message, advice),
            Purpose::Verify => self.warn(at, message, advice),
        }
    }

    /// An unknown key: an error in strict mode.
    pub(crate) fn unknown(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        if self.options.strict {
            return self.error(at, message, advice);
        }
        let problem = self.problem(at, message.into(), advice);
        self.unknown.push(problem.clone());
        self.warnings.push((at, problem));
    }

    /// Whether there are no errors so far.
    pub(crate) fn is_fine(&self) -> bool {
        self.errors.is_empty()
    }

    /// The unknown keys that are no errors, in the order in which they were found.
    pub(crate) fn unknown_keys(&self) -> &[Problem] {
        &self.unknown
    }

    /// The warnings with the texts they are about, or all errors, in the order of the files.
    pub(crate) fn finish(self) -> Result<(Vec<Problem>, Sources), LoadError> {
        let sources = self.sources;
        let in_order = |mut problems: Vec<(usize, Problem)>| {
            problems.sort_by_cached_key(|(at, _)| sources.rank(*at));
            problems.into_iter().map(|(_, problem)| problem).collect()
        };
        if self.errors.is_empty() {
            let warnings = in_order(self.warnings);
            Ok((warnings, sources))
        } else {
            Err(LoadError::Invalid(in_order(self.errors)))
        }
    }

    fn problem(&self, at: usize, message: String, advice: &str) -> Problem {
        let (file, position) = self.sources.position(at);
        Problem {
            file: file.to_owned(),
            position: Some(position),
            message,
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
        }
    }
}
