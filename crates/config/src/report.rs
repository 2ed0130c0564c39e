//! Collects the problems of one file and gives them their places.

use crate::{LoadError, Problem};

/// A file's text under the name that the user gave it.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) origin: &'a str,
    pub(crate) text: &'a str,
    /// Byte offset of each line.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(origin: &'a str, text: &'a str) -> Self {
        let behind = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            origin,
            text,
            lines: std::iter::once(0).chain(behind).collect(),
        }
    }

    /// Line and column of a byte offset, both from 1.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The text of the line that holds a byte offset.
    pub(crate) fn line_text(&self, at: usize) -> &'a str {
        let line = self.line(at);
        self.text
            .lines()
            .nth(line.saturating_sub(1))
            .unwrap_or_default()
    }

    pub(crate) fn line(&self, at: usize) -> usize {
        self.position(at).0
    }
}

/// The problems found so far.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) source: &'a Source<'a>,
    strict: bool,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(source: &'a Source<'a>, strict: bool) -> Self {
        Self {
            source,
            strict,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// So many problems that suggestions are no longer worth their time.
    pub(crate) fn is_long(&self) -> bool {
        self.errors.len() + self.warnings.len() > 100
    }

    pub(crate) fn error(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        let problem = self.problem(at, message.into(), advice);
        self.errors.push(problem);
    }

    pub(crate) fn warn(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        let problem = self.problem(at, message.into(), advice);
        self.warnings.push(problem);
    }

    /// An unknown key: an error in strict mode.
    pub(crate) fn unknown(&mut self, at: usize, message: impl Into<String>, advice: &str) {
        if self.strict {
            self.error(at, message, advice);
        } else {
            self.warn(at, message, advice);
        }
    }

    /// The settings with the warnings, or all errors, in the order of the file.
    pub(crate) fn finish<T>(mut self, settings: T) -> Result<(T, Vec<Problem>), LoadError> {
        self.errors.sort_by_key(|problem| problem.position);
        self.warnings.sort_by_key(|problem| problem.position);
        if self.errors.is_empty() {
            Ok((settings, self.warnings))
        } else {
            Err(LoadError::Invalid(self.errors))
        }
    }

    fn problem(&self, at: usize, message: String, advice: &str) -> Problem {
        Problem {
            file: self.source.origin.to_owned(),
            position: Some(self.source.position(at)),
            message,
            advice: (!advice.is_empty()).then(|| advice.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("x", "a\näö=1\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(2), (2, 1));
        assert_eq!(source.position(6), (2, 3));
        assert_eq!(source.position(5), (2, 2), "inside a character");
        assert_eq!(source.position(999), (3, 1));
    }
}
