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
mod rendered;
mod value;

use std::collections::BTreeMap;

pub(crate) use self::rendered::{Functions, Rendered, TemplateError};

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
