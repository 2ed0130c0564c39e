//! The texts that a configuration consists of, and where in the user's files their parts stand.
//!
//! Every text has a stretch of one common row of byte offsets, so that one number names a place
//! in any of the files. Offsets count in the text that was parsed; where that is the result of a
//! template, the place is the one in the file that it came from.

use std::sync::Arc;

use crate::template::Rendered;

/// One file's text.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The name as the user gave it.
    pub(crate) origin: String,
    /// Offset of its first byte in the common row.
    base: usize,
    /// What is parsed.
    text: Arc<str>,
    /// Where the parsed text came from, if it was rendered.
    rendered: Option<(String, Rendered)>,
    /// Byte offset of each line of the file.
    lines: Vec<usize>,
}

/// The files of one configuration, the main one first.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file as it is on disk; returns its first offset and the text to parse.
    pub(crate) fn add(
        &mut self,
        origin: &str,
        original: &str,
        rendered: Option<Rendered>,
    ) -> (usize, Arc<str>) {
        let base = self.files.last().map_or(0, |last| last.end() + 1);
        let lines = std::iter::once(0)
            .chain(original.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let text: Arc<str> = match &rendered {
            Some(rendered) => rendered.text.as_str().into(),
            None => original.into(),
        };
        self.files.push(Source {
            origin: origin.to_owned(),
            base,
            text: text.clone(),
            rendered: rendered.map(|rendered| (original.to_owned(), rendered)),
            lines,
        });
        (base, text)
    }

    /// Name of the file, line and column of an offset, the numbers from 1.
    pub(crate) fn position(&self, at: usize) -> (&str, (usize, usize)) {
        let index = self.files.partition_point(|file| file.base <= at);
        match self.files.get(index.saturating_sub(1)) {
            Some(file) => (&file.origin, file.position(at.saturating_sub(file.base))),
            None => ("", (1, 1)),
        }
    }

    /// `line 3`, with the name of the file when that is not the one of `from`.
    pub(crate) fn place(&self, at: usize, from: usize) -> String {
        let (file, (line, _)) = self.position(at);
        if file == self.position(from).0 {
            format!("line {line}")
        } else {
            format!("line {line} of {file}")
        }
    }

    pub(crate) fn line(&self, at: usize) -> usize {
        self.position(at).1.0
    }

    /// The place of an offset in the order in which problems are told.
    pub(crate) fn rank(&self, at: usize) -> (usize, (usize, usize)) {
        let index = self.files.partition_point(|file| file.base <= at);
        (index, self.position(at).1)
    }
}

impl Source {
    fn end(&self) -> usize {
        self.base + self.text.len()
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let (original, at): (&str, usize) = match &self.rendered {
            Some((original, rendered)) => (original, rendered.origin(at)),
            None => (&self.text, at),
        };
        let mut at = at.min(original.len());
        while !original.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = original.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let mut sources = Sources::default();
        sources.add("x", "a\näö=1\n", None);
        let position = |at| sources.position(at).1;
        assert_eq!(position(0), (1, 1));
        assert_eq!(position(2), (2, 1));
        assert_eq!(position(6), (2, 3));
        assert_eq!(position(5), (2, 2), "inside a character");
        assert_eq!(position(9), (3, 1));
    }

    #[test]
    fn an_offset_names_its_file() {
        let mut sources = Sources::default();
        sources.add("x", "a\n", None);
        let (base, _) = sources.add("y", "\nb", None);
        assert_eq!(sources.position(base + 1), ("y", (2, 1)));
        assert_eq!(sources.place(base + 1, 0), "line 2 of y");
        assert_eq!(sources.place(0, 1), "line 1");
    }
}
