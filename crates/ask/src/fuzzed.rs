//! What do the fuzz targets try of this crate that nobody else may call? A finding is a panic.

use serde_json::Value;

use crate::command::{Status, clients, overview, proxies, read, reloaded, tables, who};

/// The answer of a program to any of the commands. What a terminal is shown of it moves nothing there.
pub fn answer(body: &str) {
    let mut shown = Vec::new();
    match read::<Status>(body) {
        Ok(status) => shown.push(tables(&status)),
        Err(error) => shown.push(error.to_string()),
    }
    if let Ok(answer) = read::<Value>(body) {
        shown.push(overview(&answer));
        shown.push(reloaded(&answer));
        let items = match &answer["items"] {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(&answer),
        };
        shown.extend([clients(items), proxies(items), who(items)]);
        shown.push(crate::bans::shown(items));
        shown.push(crate::bans::added(&answer, None));
        #[cfg(feature = "top")]
        shown.extend(crate::top::fuzzed::screens(&answer, items));
    }
    for text in shown {
        let moves = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(moves), "{text:?}");
    }
}
