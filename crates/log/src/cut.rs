//! What the log shows of the texts of others: as much as is of use.

use std::borrow::Cow;

/// Characters of a field of a stranger's message that the log shows. Host names have 64 at most.
const FIELD: usize = 64;

/// Characters of the name of a proxy or visitor.
pub(crate) const NAME: usize = 256;

/// Characters of an error, which may have such fields in it.
const ERROR: usize = 512;

/// What the log shows of a short field that a peer says: a run id, a version, a host name.
#[must_use]
pub fn shown(field: &str) -> Cow<'_, str> {
    cut(field, FIELD)
}

/// What the log shows of a name that a peer gives to a proxy.
#[must_use]
pub fn shown_name(name: &str) -> Cow<'_, str> {
    cut(name, NAME)
}

/// What the log shows of an error that a peer tells, or that quotes a peer.
#[must_use]
pub fn shown_error(error: &str) -> Cow<'_, str> {
    cut(error, ERROR)
}

/// At most the first characters of a text, and a sign that there are more.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_peer_says_the_log_shows_the_beginning() {
        assert_eq!(shown("office"), "office");
        let longest = "ü".repeat(FIELD);
        assert_eq!(shown(&longest), longest);
        assert_eq!(shown(&"ü".repeat(60_000)), format!("{longest}…"));
        assert_eq!(shown_name(&"n".repeat(9000)).chars().count(), NAME + 1);
        assert_eq!(shown_error(&"e".repeat(9000)).chars().count(), ERROR + 1);
    }
}
