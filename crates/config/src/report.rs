//! Collects the problems of one file and gives them their places.

use crate::{LoadError, Problem};

/// A file's text under the name that the user gave it.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) origin: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// Line and column of a byte offset, both from 1.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = self.text.split_at(at).0;
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count())
            + 1;
        (line, column)
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
        let source = Source {
            origin: "x",
            text: "a\näö=1\n",
        };
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(2), (2, 1));
        assert_eq!(source.position(6), (2, 3));
        assert_eq!(source.position(5), (2, 2), "inside a character");
        assert_eq!(source.position(999), (3, 1));
    }
}
