//! What frp allows in `annotations`; the rules are those of Kubernetes for qualified names.

use std::collections::BTreeMap;

/// Bytes that the keys and values of one proxy may have together.
const SIZE_LIMIT: usize = 256 * 1024;

/// What is wrong with the annotations of a proxy, in frp's words; empty when nothing is.
///
/// frpc checks its own file with this, frps what arrives in a `NewProxy`.
#[must_use]
pub fn annotation_problems(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let mut problems: Vec<String> = annotations
        .keys()
        .flat_map(|key| {
            let wrong = name_problems(&key.to_lowercase());
            wrong
                .into_iter()
                .map(move |text| format!("annotation key {key} is invalid: {text}"))
        })
        .collect();
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > SIZE_LIMIT {
        problems.push(format!(
            "annotations size {size} is larger than limit {SIZE_LIMIT}"
        ));
    }
    problems
}

/// `[prefix/]name`, the prefix a DNS name in lower case.
fn name_problems(key: &str) -> Vec<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let (prefix, name) = match parts[..] {
        [name] => (None, name),
        [prefix, name] => (Some(prefix), name),
        _ => {
            return vec![
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and \
                 must start and end with an alphanumeric character with an optional DNS subdomain \
                 prefix and '/' (e.g. 'example.com/MyName')"
                    .to_owned(),
            ];
        }
    };
    let mut problems = Vec::new();
    match prefix {
        Some("") => problems.push("prefix part must be non-empty".to_owned()),
        Some(prefix) if prefix.len() > 253 => {
            problems.push("prefix part must be no more than 253 bytes".to_owned());
        }
        Some(prefix) if !prefix.split('.').all(|label| framed(label, "-")) => {
            problems.push(
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case \
                 alphanumeric characters, '-' or '.', and must start and end with an alphanumeric \
                 character (e.g. 'example.com')"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 bytes".to_owned());
    }
    if !framed(name, "-_.") {
        problems.push(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
             and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc')"
                .to_owned(),
        );
    }
    problems
}

/// Alphanumeric at both ends, alphanumeric or one of `inner` between.
fn framed(text: &str, inner: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    ends(text.chars().next())
        && ends(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || inner.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(key: &str) -> usize {
        annotation_problems(&BTreeMap::from([(key.to_owned(), String::new())])).len()
    }

    #[test]
    fn qualified_names_pass_and_others_do_not() {
        for good in ["a", "Prometheus.io/Scrape", "a-b_c.d", "1"] {
            assert_eq!(problems(good), 0, "{good}");
        }
        for bad in ["a b", "-a", "a/b/c", "/a", "a..b/c", "a_b/c"] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
        assert_eq!(problems(""), 2);
    }

    #[test]
    fn the_size_is_limited() {
        let big = BTreeMap::from([("a".to_owned(), "x".repeat(SIZE_LIMIT))]);
        assert_eq!(
            annotation_problems(&big),
            ["annotations size 262145 is larger than limit 262144"]
        );
    }
}
