//! What `verify` says: agreement with frp, formats, templates, sources of tokens, ports.
#![allow(clippy::unwrap_used)]

use frp_config::{
    Environment, LoadError, LoadOptions, Problem, Purpose, load_client, parse_client, parse_server,
};

fn options(purpose: Purpose) -> LoadOptions {
    LoadOptions {
        environment: Environment::from_iter([("PORT".to_owned(), "7001".to_owned())]),
        ..LoadOptions::new(purpose)
    }
}

fn lines(result: Result<Vec<Problem>, LoadError>) -> Vec<String> {
    match result {
        Ok(warnings) => warnings.iter().map(|w| format!("WARNING: {w}")).collect(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

fn frpc(text: &str) -> Vec<String> {
    let loaded = parse_client(text, "f", &options(Purpose::Verify));
    lines(loaded.map(|loaded| loaded.warnings))
}

fn frps(text: &str) -> Vec<String> {
    let loaded = parse_server(text, "f", &options(Purpose::Verify));
    lines(loaded.map(|loaded| loaded.warnings))
}

#[test]
fn problems_in_other_formats_have_their_places() {
    assert_eq!(
        frpc("{\n  \"serverPort\": \"7000\",\n  \"zzz\": 1\n}\n"),
        [
            "f:2:17: field \"serverPort\": cannot unmarshal string \"7000\" into int; \
             serverPort takes a whole number, without quotes",
            "f:3:3: json: unknown field \"zzz\": frpc has no key zzz; \
             remove it or correct its name",
        ]
    );
    assert_eq!(
        frpc("{\"serverPort\": 7000,}"),
        [
            "f:1:21: json: invalid character '}' looking for beginning of object key string; \
             JSON has keys in double quotes and no comma before a bracket"
        ]
    );
    assert_eq!(
        frpc("serverPort: 7000\nproxies:\n- name: a\n  type: tcp\n  webServer:\n    port: 1\n"),
        [
            "f:5:3: proxy a: json: unknown field \"webServer\": webServer.port is a key of the \
             whole file, but stands inside [[proxies]] \"a\" (line 3); move it above line 3"
        ]
    );
    assert!(frpc("user: a: b\n")[0].starts_with("f:1:8: yaml: "));
    // frp explains broken TOML as if it were YAML, unless the file is called .toml.
    assert!(frpc("serverAddr = 1.2.3.4\n")[0].contains(": toml: "));
}

#[test]
fn templates() {
    let text = "serverPort = {{ .Envs.PORT }}\n";
    let loaded = parse_client(text, "f", &options(Purpose::Run)).unwrap();
    assert_eq!(loaded.settings.server_port, 7001);
    let ini = "[common]\nserver_port = {{ .Envs.PORT }}\n";
    let loaded = parse_client(ini, "f", &options(Purpose::Run)).unwrap();
    assert_eq!(
        (loaded.settings.server_port, loaded.legacy_ini),
        (7001, true)
    );
    assert_eq!(
        frpc("# {{ .Nope }}\n"),
        [
            "f:1:6: template: executing \"frp\" at <.Nope>: can't evaluate field Nope in type \
             *config.Values; {{ begins a template action, even in a comment"
        ]
    );
    // In lines that a template made, problems stand where the template has them.
    let text = "{{ range parseNumberRange \"1-2\" }}\n[[proxies]]\nname = 'p{{ . }}'\n\
                type = 'tcp'\nlocalPort = 1\nremote = {{ . }}\n{{ end }}";
    let lines = frpc(text);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("f:6:1: ")),
        "{lines:?}"
    );
    assert!(lines[0].contains("proxy p1") && lines[1].contains("proxy p2"));
}

#[test]
fn what_frp_takes_is_valid_and_what_this_version_lacks_is_named() {
    let none: [String; 0] = [];
    assert_eq!(
        frpc("virtualNet.address = '10.0.0.1/24'\nfeatureGates = { VirtualNet = true }\n"),
        none
    );
    assert!(frpc("serverPort = 70000\n")[0].starts_with("WARNING: f:1:14: serverPort: port"));
    assert!(frpc("auth.method = 'x'\n")[0].starts_with("f:1:15: invalid auth method"));
}

/// Defect 23 of frp: its `verify` fails a valid file with the gate on, and passes unknown gates.
#[test]
fn feature_gates_count() {
    let address = "virtualNet.address = '100.86.0.1/24'\n";
    let on = frpc(&format!(
        "{address}featureGates = {{ VirtualNet = true }}\n"
    ));
    assert!(
        on.iter().all(|line| line.starts_with("WARNING: ")),
        "{on:?}"
    );
    assert!(frpc(address)[0].starts_with(
        "f:1:22: VirtualNet feature is not enabled; enable it by setting the appropriate \
             feature gate flag"
    ),);
    assert_eq!(
        frpc("featureGates = { Foo = true }\n"),
        ["f:1:16: unrecognized feature gate: Foo; the one gate is VirtualNet"]
    );
}

#[test]
fn token_sources() {
    let cases = [
        (
            "",
            "unsupported value source type:  (only 'file' and 'exec' are supported)",
        ),
        (
            "type = 'x'",
            "unsupported value source type: x (only 'file' and",
        ),
        (
            "type = 'file'",
            "file configuration is required when type is 'file'",
        ),
        ("type = 'file'\nfile.path = ''", "file path cannot be empty"),
        (
            "type = 'exec'",
            "exec configuration is required when type is 'exec'",
        ),
        ("type = 'exec'\nexec = {}", "exec command cannot be empty"),
        (
            "type = 'exec'\nexec.command = 'a'\nexec.env = [{ name = '' }]",
            "exec env name cannot be empty",
        ),
        (
            "type = 'exec'\nexec.command = 'a'\nexec.env = [{ name = 'a=b' }]",
            "exec env name cannot contain '='",
        ),
    ];
    let allowed = LoadOptions {
        allow_unsafe: vec!["TokenSourceExec".to_owned()],
        ..LoadOptions::new(Purpose::Run)
    };
    for (text, expected) in cases {
        let text = format!("[auth.tokenSource]\n{text}\n");
        let error = parse_server(&text, "f", &allowed).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        let expected = format!(": invalid auth.tokenSource: {expected}");
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(
        frps("[auth.tokenSource]\ntype = 'exec'\nexec.command = 'a'\n"),
        [
            "f:2:8: unsafe feature \"TokenSourceExec\" is not enabled. To enable it, ensure it is \
             allowed in the configuration or command line flags; \
             start with --allow-unsafe TokenSourceExec, if this file may run programs"
        ]
    );
    assert_eq!(
        frpc("auth.token = 'a'\nauth.tokenSource = { type = 'file', file = { path = 'x' } }\n"),
        ["f:2:6: cannot specify both auth.token and auth.tokenSource; remove one of the two"]
    );
    let file = "[auth.tokenSource]\ntype = 'file'\nfile.path = '/nonexistent'\n";
    let loaded = parse_server(file, "f", &options(Purpose::Run)).unwrap();
    assert_eq!(
        loaded.settings.auth.resolve().unwrap_err().to_string(),
        "failed to resolve auth.tokenSource: failed to read file /nonexistent: \
         open /nonexistent: no such file or directory"
    );
}

#[test]
fn ports_that_collide() {
    let collisions = |text: &str| -> Vec<String> {
        let lines = frps(text).into_iter();
        lines
            .filter(|line| line.contains("is also that of"))
            .collect()
    };
    assert_eq!(
        collisions("bindPort = 7000\nwebServer.port = 7000\n"),
        [
            "WARNING: f:2:18: webServer.port: port 7000 is also that of bindPort (line 1); \
             only one can listen on it; choose another port"
        ]
    );
    let shared = "vhostHTTPPort = 7000\nvhostHTTPSPort = 7000\nkcpBindPort = 7000\n";
    assert!(collisions(shared).is_empty());
    let other_address = "vhostHTTPPort = 7000\nproxyBindAddr = '127.0.0.1'\n";
    assert_eq!(collisions(other_address).len(), 1);
    assert_eq!(collisions("kcpBindPort = 1\nquicBindPort = 1\n").len(), 1);
    let visitors = "[[visitors]]\nname = 'a'\ntype = 'stcp'\nserverName = 's'\nbindPort = 9\n\
                    [[visitors]]\nname = 'b'\ntype = 'stcp'\nserverName = 's'\nbindPort = 9\n";
    assert!(frpc(visitors).iter().any(|line| {
        line.contains("f:10:12: visitor b: port 9 is also that of visitor a (line 5)")
    }));
}

#[test]
fn included_files() {
    let dir = std::env::temp_dir().join(format!("frp-includes-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("parts/sub.toml")).unwrap();
    let proxy = |name: &str| format!("[[proxies]]\nname = '{name}'\ntype = 'tcp'\nlocalPort = 1\n");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("parts/b.toml", &(format!("user = 'x'\n{}", proxy("b"))));
    write(
        "parts/a.yaml",
        "proxies: [{name: a, type: tcp, localPort: 2}]\n",
    );
    write("parts/c.txt", "no file of ours");
    let main = |pattern: &str, more: &str| {
        let pattern = dir.join(pattern);
        format!("includes = ['{}']\n{more}", pattern.display())
    };
    let load = |text: &str| {
        write("main.toml", text);
        load_client(&dir.join("main.toml"), &options(Purpose::Run))
    };
    let names = |text: &str| -> Vec<String> {
        let proxies = load(text).unwrap().settings.proxies;
        proxies.into_iter().map(|proxy| proxy.name).collect()
    };
    assert_eq!(names(&main("parts/*.toml", "")), ["b"]);
    assert_eq!(names(&main("parts/[ab].*", &proxy("c"))), ["a", "b", "c"]);
    let warnings = load(&main("parts/b*", "")).unwrap().warnings;
    assert!(warnings[0].to_string().ends_with(
        "parts/b.toml:1:1: user has no effect in an included file; \
         only proxies and visitors are taken from it"
    ));
    let twice = load(&main("parts/a.*", &proxy("a")))
        .unwrap_err()
        .to_string();
    assert!(
        twice.contains("parts/a.yaml:1:18: proxy name [a] is duplicated: line 3 of "),
        "{twice}"
    );
    let none = load(&main("nowhere/*.toml", "")).unwrap_err().to_string();
    assert!(
        none.contains("main.toml:1:12: include: directory of "),
        "{none}"
    );
    assert!(none.contains(": no such file or directory"), "{none}");
    let ini = format!(
        "[common]\nincludes = {}\n[m]\n",
        dir.join("parts/i.*").display()
    );
    write(
        "parts/i.ini",
        "[i]\nlocal_port = 1\nfoo = {{ .Envs.PORT }}\n",
    );
    let loaded = load(&ini).unwrap();
    assert_eq!(loaded.settings.proxies.len(), 2);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("parts/i.ini:3:1: there is no key foo")
    );
    std::fs::remove_dir_all(&dir).unwrap();
}
