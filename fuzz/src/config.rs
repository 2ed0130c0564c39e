//! Configuration files: whatever they hold, loading ends with settings or with problems.

use frp_config::{Environment, Format, LoadOptions, Purpose, parse_client, parse_server};

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const SEEDS: [&str; 5] = [
        "user = \"a\"\n[[proxies]]\nname = 'b'\ntype = \"tcp\"\nlocalPort = 1\n",
        "a: &a {type: tcp}\nuser: 'x'\nproxies:\n- <<: *a\n  name: b\n  localPort: 0x1\n",
        "{\"user\": \"\\u00e4\", \"proxies\": [{\"name\": \"b\", \"type\": \"udp\"}]}",
        "[common]\nuser = %(x)s\nx = 1\n[range:a]\nlocal_port = 1-2\nremote_port = 3-4\n",
        "{{ range $i, $v := parseNumberRange \"1-3\" }}\n# {{ printf \"%03d\" $v }}\n{{ end }}user = 'a'",
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
