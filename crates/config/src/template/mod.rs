//! The part of Go's text/template that configuration files use (Go: `text/template`, frp:
//! `pkg/config/load.go`, `template.go`).
//!
//! The data are frp's: `.Envs` holds the environment. Actions: output, `if`, `range`, `with`,
//! variables, pipelines, `break`, `continue`, comments and the trimming of white space. Templates
//! that define others (`define`, `template`, `block`) are refused by name.

mod exec;
mod funcs;
mod lex;
mod parse;
mod printf;
mod value;

use std::collections::BTreeMap;

/// Output of one file; more is not meant.
const OUTPUT_LIMIT: usize = 8 * 1024 * 1024;
/// Actions that one file may execute.
const STEP_LIMIT: usize = 2_000_000;
/// How deep actions and parentheses may stand in each other.
const DEPTH_LIMIT: usize = 100;

/// Which functions a file may call beyond Go's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    /// `parseNumberRange` and `parseNumberRangePair`: TOML, YAML and JSON.
    Frp,
    /// None: legacy INI.
    Builtin,
}

/// The output with the places that its parts came from.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// Begins of stretches: offset in the output, offset in the template, and whether the two run
    /// on side by side (text that is copied) or not (output of an action).
    map: Vec<(usize, usize, bool)>,
}

/// Why a template cannot be rendered; the texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateError {
    /// Byte offset in the template.
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl TemplateError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

impl Rendered {
    /// The offset in the template of an offset in the output.
    pub(crate) fn origin(&self, at: usize) -> usize {
        let index = self.map.partition_point(|(begin, _, _)| *begin <= at);
        match self.map.get(index.wrapping_sub(1)) {
            Some((begin, from, true)) => from + (at - begin),
            Some((_, from, false)) => *from,
            None => 0,
        }
    }
}

/// Renders the text with the environment; `None` when it holds no action.
///
/// # Errors
/// The first thing that is wrong, as Go would tell it.
pub(crate) fn render(
    text: &str,
    environment: &BTreeMap<String, String>,
    functions: Functions,
) -> Result<Option<Rendered>, TemplateError> {
    if !text.contains("{{") {
        return Ok(None);
    }
    let tree = parse::parse(text, functions)?;
    exec::execute(text, &tree, environment).map(Some)
}

#[cfg(test)]
mod tests;
