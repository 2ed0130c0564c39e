//! What do the fuzz targets try of frps that nobody else may call? A finding is a panic.

/// The file of the traffic, beside that of `store.path`. What is read is there when it is written and read again.
#[cfg(feature = "pages")]
pub fn traffic_file(content: &[u8]) {
    use crate::stats::traffic_file::{lines, parse, text};

    let Ok(kept) = parse(content) else { return };
    let again = text(&kept, &lines(&kept)).expect("texts and numbers");
    let again = parse(again.as_bytes()).expect("what we write ourselves");
    assert_eq!(
        (again.today, again.saved, again.days),
        (kept.today, kept.saved, kept.days)
    );
    assert_eq!(again.proxies.len(), kept.proxies.len());
}

/// What an OpenID Connect issuer says of itself, and for how long its keys are good.
#[cfg(feature = "oidc")]
pub fn issuer(body: &[u8]) {
    use crate::auth::issuer::{Metadata, life};
    use crate::limits::{ISSUER_KEYS_LIFE_MAX, ISSUER_KEYS_LIFE_MIN};
    use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

    let _ = serde_json::from_slice::<Metadata>(body);
    let mut headers = HeaderMap::new();
    for line in body.split(|byte| *byte == b'\n') {
        headers.extend(
            HeaderValue::from_bytes(line)
                .ok()
                .map(|line| (CACHE_CONTROL, line)),
        );
    }
    assert!((ISSUER_KEYS_LIFE_MIN..=ISSUER_KEYS_LIFE_MAX).contains(&life(&headers)));
}

/// The file of the bans, beside that of `store.path`. What is read is there when it is written and read again.
#[cfg(feature = "pages")]
pub fn bans_file(content: &[u8]) {
    use crate::bans::file::{parse, text};

    let Ok(kept) = parse(content) else { return };
    let written = text(kept.clone()).expect("texts and numbers");
    let again = parse(written.as_bytes()).expect("what we write ourselves");
    assert_eq!(format!("{again:?}"), format!("{kept:?}"));
}

/// A file of addresses that `guard` names. The networks that are found are found again where they are all there is.
pub fn address_list(content: &str) {
    use crate::guards::lists::parse;
    use crate::networks::Networks;

    let (found, wrong) = parse(content);
    assert!(found.len() + wrong.len() <= content.lines().count());
    let alone: Vec<String> = found.iter().map(ToString::to_string).collect();
    let alone = alone.join("\n");
    let (again, wrong) = parse(&alone);
    assert!(again == found && wrong.is_empty());
    let all: Networks = found.iter().copied().collect();
    for network in found {
        let (first, last) = network.range();
        for ip in [first, last] {
            assert_eq!(network.contains(ip), all.contain(ip));
        }
    }
}

/// A file of keys that may log in by ssh, a line each. A key that is found is found without its options, too.
#[cfg(feature = "ssh")]
pub fn authorized_keys(content: &str) {
    use crate::ssh::authorized::key_of;

    for line in content.lines().map(str::trim) {
        let Some((key, user)) = key_of(line) else {
            continue;
        };
        assert_eq!(user.trim(), user);
        let bare = key.to_openssh().expect("a key that was read");
        let line = format!("{bare} {user}");
        let (again, name) = key_of(&line).expect("a bare key");
        assert!(again.key_data() == key.key_data() && name == user);
    }
}

/// What a user of a tcpmux proxy says first. It is whole where it has an end, wherever the network cuts it.
#[cfg(feature = "http")]
pub fn connect_request(bytes: &[u8]) {
    use crate::vhost::connect::{has_blank_line, parse};

    let found = |step: usize| {
        let mut searched = 0;
        let ends = (step..bytes.len()).step_by(step).chain([bytes.len()]);
        for end in ends {
            let all = bytes.get(..end).unwrap_or_default();
            if has_blank_line(all, searched) {
                return true;
            }
            searched = end;
        }
        false
    };
    let is_whole = found(bytes.len().max(1));
    for step in [1, 2, 3, 5] {
        assert_eq!(found(step), is_whole, "by {step}");
    }
    if let Ok(request) = parse(bytes) {
        assert!(is_whole);
        let head = bytes.get(..request.length).expect("no more than came");
        assert!(parse(head).is_ok_and(|alone| alone.host == request.host));
    }
}
