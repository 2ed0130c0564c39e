//! Paths and queries of requests, as Go reads them.

/// The values of a query, e.g. `status=online&page=2`.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query; what cannot be read is passed over, as in Go.
    pub fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        };
        let pairs = text
            .split('&')
            .filter(|p| !p.is_empty() && !p.contains(';'));
        Self(pairs.filter_map(pair).collect())
    }

    /// The first value of `name`; empty where there is none.
    pub fn value(&self, name: &str) -> &str {
        self.given(name).unwrap_or_default()
    }

    /// As [`value`](Self::value), telling an empty value from none.
    pub fn given(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name)?;
        Some(&found.1)
    }
}

/// Resolves percent escapes; `None` where one is broken.
pub fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let value = |digit: u8| char::from(digit).to_digit(16);
                u8::try_from(value(digits[0])? * 16 + value(digits[1])?).ok()?
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Puts percent escapes in, as Go does for a path.
pub fn encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/$&+,:;=@".contains(&byte);
    path.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// The path without empty, `.` and `..` parts; a slash at the end stays.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", parts.join("/"))
}

/// The way from `path`, as a request has it, to the absolute path `to`, both with their escapes: so
/// that it leads there whatever a proxy in front of us puts before both (`/frp/`).
pub fn relative(path: &str, to: &str) -> String {
    let mut depth = 0_usize;
    let folders = path.strip_prefix('/').unwrap_or(path);
    let folders = folders.rsplit_once('/').map(|(folders, _)| folders);
    for folder in folders.into_iter().flat_map(|folders| folders.split('/')) {
        // Also what is empty counts, as RFC 3986, section 5.2.4 has it.
        match decode(folder, false).as_deref() {
            Some(".") => {}
            Some("..") => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    let below = to.strip_prefix('/').unwrap_or(to);
    match depth {
        0 => format!("./{below}"),
        depth => format!("{}{below}", "../".repeat(depth)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let query = Query::parse("a=1&b=x+y%20z&a=2&c&d=%zz&e=1;f=2");
        assert_eq!(query.value("a"), "1");
        assert_eq!(query.value("b"), "x y z");
        assert_eq!(query.given("c"), Some(""));
        assert_eq!(query.given("d"), None);
        assert_eq!(query.given("e"), None);
    }

    #[test]
    fn the_way_to_a_path_holds_behind_a_prefix() {
        assert_eq!(relative("/", "/static/"), "./static/");
        assert_eq!(relative("//api/status", "/api/status"), "../../api/status");
        assert_eq!(relative("/api//status", "/api/status"), "../../api/status");
        assert_eq!(relative("/api/./status", "/api/status"), "../api/status");
        assert_eq!(relative("/x/../a/b", "/a/b"), "../a/b");
        assert_eq!(relative("/%2e%2e/a", "/a"), "./a");
        assert_eq!(relative("//evil.example/..", "/"), "../../");
    }
}
