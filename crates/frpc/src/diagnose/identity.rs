//! Why the key of a server is not taken for its own.

use super::explained::{Explained, explained};
use crate::identity::Refusal;

pub(super) fn explain(refusal: &Refusal) -> Explained {
    match refusal {
        Refusal::Pin { shown, .. } => explained(
            refusal,
            "either frps has a new key, or somebody is in between and poses as it",
            format!(
                "compare with what `frps fingerprint` prints on the server: if that is {shown}, add it to \
                 transport.tls.pin; if not, do not"
            ),
        ),
        Refusal::Changed {
            shown, file, known, ..
        } => explained(
            refusal,
            "either frps was set up anew, or makes a new key at each start (it has no transport.tls.keyStore), or \
             somebody is in between and poses as it",
            format!(
                "compare with what `frps fingerprint` prints on the server: if that is {shown}, delete {} of {}, or \
                 set transport.tls.pin in place of transport.tls.trust; if not, do not",
                lines(known.iter().map(|(line, _)| *line).collect()),
                file.display()
            ),
        ),
        Refusal::OtherWay {
            server,
            shown,
            file,
            ..
        } => explained(
            refusal,
            "either a proxy with a certificate of its own stands before frps on this way, or somebody is in between \
             and poses as it",
            format!(
                "if that key is the one of your proxy, add a line to {}: {server} {shown}",
                file.display()
            ),
        ),
        Refusal::Damaged { line, file, .. } => explained(
            refusal,
            "the key that it had may have stood there",
            format!(
                "mend line {line} of {}; or delete it, where that key is what `frps fingerprint` prints on the server",
                file.display()
            ),
        ),
        Refusal::Unread { .. } => explained(
            refusal,
            "the keys that servers had are not known now",
            "let the user that frpc runs as read and write the file",
        ),
    }
}

/// `line 3`, `lines 3 and 7`
fn lines(numbers: Vec<usize>) -> String {
    let word = if numbers.len() == 1 { "line" } else { "lines" };
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    format!("{word} {}", numbers.join(" and "))
}
