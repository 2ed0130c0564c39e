//! Whatever a file holds, loading ends with settings or with problems.

use frp_config::{LoadError, LoadOptions, Purpose, parse_client, parse_server};
use proptest::prelude::*;

/// Loads the text in every way; problems must have places in the text.
fn load(text: &str) -> Result<(), TestCaseError> {
    let last_line = text.split('\n').count();
    for (strict, purpose) in [(true, Purpose::Run), (false, Purpose::Verify)] {
        let options = LoadOptions {
            strict,
            ..LoadOptions::new(purpose)
        };
        let results = [
            parse_client(text, "f", &options).map(|loaded| loaded.warnings),
            parse_server(text, "f", &options).map(|loaded| loaded.warnings),
        ];
        for result in results {
            let problems = match result {
                Ok(warnings) => warnings,
                Err(LoadError::Invalid(errors)) => {
                    prop_assert!(!errors.is_empty());
                    errors
                }
                Err(LoadError::Read { .. }) => Vec::new(),
            };
            for problem in problems {
                let line = problem.position.map_or(1, |(line, _)| line);
                prop_assert!((1..=last_line).contains(&line), "{problem}");
                prop_assert!(!problem.to_string().contains('\n'), "{problem:?}");
            }
        }
    }
    Ok(())
}

/// Pieces that together come near to files.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "\n",
            "\n",
            "\n",
            " = ",
            "=",
            ": ",
            "[common]\n",
            "[[proxies]]\n",
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            ".",
            ",",
            "#",
            ";",
            "'",
            "\"",
            "\"\"\"",
            "`",
            "\\\n",
            "%(",
            ")s",
            "%(name)s",
            "name",
            "type",
            "tcp",
            "udp",
            "stcp",
            "role",
            "visitor",
            "[range:x]\n",
            "local_port",
            "remote_port",
            "1-65535",
            "1-3,5",
            "-1",
            "70000",
            "7000.0",
            "1e400",
            "true",
            "'a'",
            "\"b\"",
            "{ a = 1 }",
            "['x']",
            "serverAddr",
            "serverPort",
            "auth",
            "auth.token",
            "transport",
            "tls",
            "plugin",
            "socks5",
            "allowPorts",
            "allow_ports",
            "start",
            "end",
            "single",
            "meta_a",
            "meta_",
            "plugin_x",
            "proxies",
            "visitors",
            "annotations",
            "bandwidth_limit",
            "1MB",
            "nanMB",
            "\u{feff}",
            "ß",
            "{{",
            "2026-01-01",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(|c| c.to_string()),
    ]
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        load(&text)?;
    }

    #[test]
    fn nearly_files(pieces in prop::collection::vec(piece(), 0..40)) {
        load(&pieces.concat())?;
    }

    #[test]
    fn nearly_ini_files(pieces in prop::collection::vec(piece(), 0..40)) {
        load(&format!("[common]\n{}", pieces.concat()))?;
    }

    #[test]
    fn nearly_proxies(pieces in prop::collection::vec(piece(), 0..20)) {
        load(&format!("[[proxies]]\nname = 'a'\ntype = 'tcp'\n{}", pieces.concat()))?;
    }
}

#[test]
fn values_that_refer_to_each_other_stay_small() {
    let mut text = "[common]\n".to_owned();
    for index in 0..200 {
        let next = index + 1;
        text.push_str(&format!("k{index} = %(k{next})s%(k{next})s\n"));
    }
    text.push_str("user = %(k0)s\n");
    let user = parse_client(&text, "f", &LoadOptions::new(Purpose::Run))
        .map(|loaded| loaded.settings.user.len());
    assert!(user.is_ok_and(|length| length <= 64 * 1024));
}

#[test]
fn deep_nesting_ends() {
    let text = format!("a = {}", "[".repeat(100_000));
    assert!(parse_client(&text, "f", &LoadOptions::new(Purpose::Run)).is_err());
    let text = format!("{} = 1", vec!["a"; 10_000].join("."));
    assert!(parse_client(&text, "f", &LoadOptions::new(Purpose::Run)).is_err());
}
