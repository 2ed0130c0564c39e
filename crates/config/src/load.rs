//! From a file to settings.

use std::path::Path;

use crate::{ClientConfig, LoadError, Problem, ServerConfig};

/// Settings and what is worth telling the user about the file they came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Doubtful things that do not keep the program from running.
    pub warnings: Vec<Problem>,
    /// The file has the legacy INI form.
    pub legacy_ini: bool,
}

/// Reads the configuration file of frpc. With `strict`, unknown keys are errors, else warnings.
///
/// # Errors
/// When the file cannot be read or anything in it is wrong; all problems are reported together.
pub fn load_client(path: &Path, strict: bool) -> Result<Loaded<ClientConfig>, LoadError> {
    parse_client(&read(path)?, &path.display().to_string(), strict)
}

/// Reads the configuration file of frps. With `strict`, unknown keys are errors, else warnings.
///
/// # Errors
/// When the file cannot be read or anything in it is wrong; all problems are reported together.
pub fn load_server(path: &Path, strict: bool) -> Result<Loaded<ServerConfig>, LoadError> {
    parse_server(&read(path)?, &path.display().to_string(), strict)
}

/// Like [`load_client`] for text that is at hand; `origin` is the file name shown in problems.
///
/// # Errors
/// When anything in the text is wrong.
pub fn parse_client(
    _text: &str,
    origin: &str,
    _strict: bool,
) -> Result<Loaded<ClientConfig>, LoadError> {
    Err(not_there(origin))
}

/// Like [`load_server`] for text that is at hand; `origin` is the file name shown in problems.
///
/// # Errors
/// When anything in the text is wrong.
pub fn parse_server(
    _text: &str,
    origin: &str,
    _strict: bool,
) -> Result<Loaded<ServerConfig>, LoadError> {
    Err(not_there(origin))
}

fn not_there(origin: &str) -> LoadError {
    LoadError::Invalid(vec![Problem {
        file: origin.to_owned(),
        position: None,
        message: "loading is not implemented yet".to_owned(),
        advice: None,
    }])
}

fn read(path: &Path) -> Result<String, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
