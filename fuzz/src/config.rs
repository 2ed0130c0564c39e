//! Configuration files: whatever they hold, loading ends with settings or with problems.

use frp_config::{
    EntryKind, Environment, Format, LoadOptions, Purpose, Store, StoreEntry, findings,
    parse_client, parse_server,
};

/// Loads the text as the file of either program. What is valid must be valid again when it is
/// written in any format.
pub fn load(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let options = LoadOptions {
        environment: Environment::from_iter([("A".to_owned(), "1".to_owned())]),
        ..LoadOptions::new(Purpose::Verify)
    };
    stored(text, &options);
    for format in [Some(Format::Toml), None] {
        let _ = findings(text, format, &options);
    }
    if let Ok(loaded) = parse_client(text, "f", &options) {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let again = parse_client(&loaded.document.write(format), "f", &options);
            assert!(again.is_ok_and(|again| again.settings == loaded.settings));
        }
    }
    if let Ok(loaded) = parse_server(text, "f", &options) {
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let again = parse_server(&loaded.document.write(format), "f", &options);
            assert!(again.is_ok_and(|again| again.settings == loaded.settings));
        }
    }
}

/// Takes the text for a store, and for what is asked of one. What was read is there when it is written and
/// read again.
fn stored(text: &str, options: &LoadOptions) {
    if let Ok((store, _)) = Store::parse(text, "f", options) {
        let again = Store::parse(&store.text(), "f", options);
        assert!(again.is_ok_and(|(again, _)| again.text() == store.text()));
    }
    for kind in [EntryKind::Proxy, EntryKind::Visitor] {
        if let Ok((entry, _)) = StoreEntry::parse(kind, text, None, options) {
            let mut store = Store::default();
            assert!(store.add(entry).is_ok());
            let again = Store::parse(&store.text(), "f", options);
            assert!(again.is_ok_and(|(again, _)| again.list(kind) == store.list(kind)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const SEEDS: [&str; 7] = [
        "user = \"a\"\n[[proxies]]\nname = 'b'\ntype = \"tcp\"\nlocalPort = 1\n",
        "a: &a {type: tcp}\nuser: 'x'\nproxies:\n- <<: *a\n  name: b\n  localPort: 0x1\n",
        "{\"user\": \"\\u00e4\", \"proxies\": [{\"name\": \"b\", \"type\": \"udp\"}]}",
        "[common]\nuser = %(x)s\nx = 1\n[range:a]\nlocal_port = 1-2\nremote_port = 3-4\n",
        "{{ range $i, $v := parseNumberRange \"1-3\" }}\n# {{ printf \"%03d\" $v }}\n{{ end }}user = 'a'",
        "{\"proxies\": [{\"name\": \"a\", \"type\": \"tcp\", \"localPort\": 1, \"x\": 1.5}], \"y\": null}",
        "{\"name\": \"a\", \"type\": \"http\", \"http\": {\"localPort\": 1, \"customDomains\": [\"b\"]}}",
    ];

    proptest! {
        #[test]
        fn the_neighbourhood_of_files(
            seed in 0..SEEDS.len(),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut bytes = SEEDS[seed].as_bytes().to_vec();
            for (at, byte) in cuts {
                let at = at.index(bytes.len());
                match byte % 3 {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte & 0x7f),
                    _ => { bytes.truncate(at + 1); }
                }
            }
            super::load(&bytes);
        }
    }
}
