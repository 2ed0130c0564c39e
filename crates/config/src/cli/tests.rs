//! The command lines against frp's inventory and texts.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::command::{Act, Command, Takes, flags, own_flags, persistent_flags};
use super::*;
use crate::{LogLevel, PortProxy, ProxyKind};

/// Every command and flag of frp 0.70.1.
const INVENTORY: &str = include_str!("../../tests/cli.tsv");

const NEW_FLAGS: [&str; 4] = ["confirm", "explain", "drain", "json"];
const NEW_COMMANDS: [&str; 5] = ["confirm", "convert", "doctor", "top", "__complete"];
const NEW_IN_FRPS: [&str; 6] = ["clients", "kick", "proxies", "reload", "status", "token"];

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn frpc(line: &str) -> Result<ClientTask, Output> {
    client(
        words(line),
        Environment::default(),
        "0.70.1",
        Build::COMPLETE,
    )
}

fn frps(line: &str) -> Result<Box<ServerRun>, Output> {
    match frps_task(line)? {
        ServerTask::Run(run) => Ok(run),
        other => panic!("{other:?}"),
    }
}

fn frps_task(line: &str) -> Result<ServerTask, Output> {
    server(
        words(line),
        Environment::default(),
        "0.70.1",
        Build::COMPLETE,
    )
}

/// The output of a line that runs nothing.
fn said(program: &str, line: &str) -> Output {
    match program {
        "frpc" => frpc(line).expect_err(line),
        _ => frps(line).expect_err(line),
    }
}

fn quick(line: &str) -> ClientConfig {
    match frpc(line) {
        Ok(ClientTask::RunFlags(loaded)) => loaded.settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn path(program: Program, command: &str) -> Vec<&'static Command> {
    let mut path = vec![table::root(program)];
    for word in command.split(' ').filter(|word| *word != "(root)") {
        let below = path.last().unwrap().below;
        path.push(below.iter().find(|c| c.name == word).expect(command));
    }
    path
}

fn program(name: &str) -> Program {
    match name {
        "frpc" => Program::Frpc,
        _ => Program::Frps,
    }
}

#[test]
fn every_command_and_flag_of_frp_is_there_as_it_is_there() {
    let mut wrong = Vec::new();
    let mut known = BTreeSet::new();
    for row in INVENTORY.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [what, name, command, flag, short, kind, default, key, scope] = fields[..] else {
            panic!("{row}")
        };
        if command.starts_with("completion") {
            continue;
        }
        let program = program(name);
        let path = path(program, command);
        let last = path.last().copied().unwrap();
        if what == "command" {
            continue;
        }
        let flag = flag.trim_start_matches('-');
        known.insert((name.to_owned(), command.to_owned(), flag.to_owned()));
        let Some(found) = own_flags(last).into_iter().find(|own| own.name == flag) else {
            wrong.push(format!("{name} {command} has no --{flag}"));
            continue;
        };
        let found_short = found.short.map_or_else(String::new, |s| format!("-{s}"));
        if found_short != short {
            wrong.push(format!(
                "{command} --{flag} is {short}, not {found_short:?}"
            ));
        }
        let expected = match found.takes {
            Takes::Bool => "bool",
            Takes::Int => "integer",
            Takes::Text | Takes::Ports | Takes::Bandwidth => "string",
            Takes::Texts => "string list (comma or repeated)",
            Takes::Pairs => "k=v list (comma or repeated)",
            Takes::Duration => "duration",
        };
        // It is declared as a boolean that needs a value; no value has an effect.
        if kind != expected && flag != "dashboard-tls-mode" {
            wrong.push(format!("{command} --{flag} takes {kind}, not {expected}"));
        }
        let shown = found.shown_default();
        let same = default.trim_matches('"') == shown
            || shown.is_empty() && ["\"\"", "0", "false", "[]"].contains(&default)
            // Empty for the default, which frp fills in later.
            || flag == "bind-addr" && command.ends_with("visitor");
        if !same {
            wrong.push(format!(
                "{command} --{flag} is {default} by default, not {shown:?}"
            ));
        }
        let own_key = match found.gives {
            Some(gives) if !gives.of_item => gives.path,
            Some(gives) if matches!(last.act, Act::Proxy(_)) => format!("proxies[].{}", gives.path),
            Some(gives) => format!("visitors[].{}", gives.path),
            None => String::new(),
        };
        if key != own_key && !flag.starts_with("dashboard-tls") {
            wrong.push(format!("{command} --{flag} gives {key}, not {own_key:?}"));
        }
        let persistent = persistent_flags(last).iter().any(|own| own.name == flag);
        if persistent != (scope == "persistent") {
            wrong.push(format!("{command} --{flag}: is it inherited?"));
        }
    }
    for name in ["frpc", "frps"] {
        each_command(
            table::root(program(name)),
            "(root)",
            &mut |command, path| {
                for flag in own_flags(command) {
                    let row = (name.to_owned(), path.to_owned(), flag.name.to_owned());
                    let new = NEW_FLAGS.contains(&flag.name)
                        || NEW_COMMANDS.contains(&path)
                        || ["fingerprint", "who"].contains(&path)
                        || name == "frps" && NEW_IN_FRPS.iter().any(|new| path.starts_with(new))
                        || path.starts_with("completion")
                        || path.starts_with("ban")
                        || matches!(path, "who" | "fingerprint")
                        || path == "help";
                    if !new && !known.contains(&row) {
                        wrong.push(format!("frp has no {name} {path} --{}", flag.name));
                    }
                }
            },
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn each_command(
    command: &'static Command,
    path: &str,
    each: &mut dyn FnMut(&'static Command, &str),
) {
    each(command, path);
    for below in command.below {
        let path = match path {
            "(root)" => below.name.to_owned(),
            path => format!("{path} {}", below.name),
        };
        each_command(below, &path, each);
    }
}

#[test]
fn every_flag_finds_its_key_and_no_two_share_a_name_or_letter() {
    for program in [Program::Frpc, Program::Frps] {
        let mut check = |path: &[&'static Command]| {
            let command = path.last().unwrap();
            let (mut names, mut letters) = (BTreeSet::new(), BTreeSet::new());
            for flag in flags(path) {
                let place = format!("{} --{}", command.name, flag.name);
                assert!(!flag.about.is_empty(), "{place}");
                assert!(names.insert(flag.name), "{place}");
                if let Some(letter) = flag.short {
                    assert!(letters.insert(letter), "{place}");
                }
                let default = flag.default.map(|text| value::read(flag.takes, text));
                assert!(default.is_none_or(|value| value.is_ok()), "{place}");
            }
        };
        each_path(&mut vec![table::root(program)], &mut check);
    }
}

fn each_path(path: &mut Vec<&'static Command>, check: &mut dyn FnMut(&[&'static Command])) {
    check(path);
    for below in path.last().unwrap().below {
        path.push(below);
        each_path(path, check);
        path.pop();
    }
}

/// What frp 0.70.1 prints first on standard error; the status is 1.
#[test]
fn mistakes_are_told_in_frp_s_words() {
    for (program, line, text) in [
        (
            "frpc",
            "--foo",
            "Error: unknown flag: --foo\nUsage:\n  frpc [flags]\n",
        ),
        ("frpc", "--foo_bar=1", "Error: unknown flag: --foo_bar\n"),
        (
            "frpc",
            "other --bad",
            "Error: unknown command \"other\" for \"frpc\"\nRun 'frpc --help' for usage.\n",
        ),
        (
            "frpc",
            "verfy",
            "Error: unknown command \"verfy\" for \"frpc\"\n\nDid you mean this?\n\tverify\n\nRun",
        ),
        ("frpc", "-xv", "Error: unknown shorthand flag: 'x' in -xv\n"),
        ("frpc", "-vx", "Error: unknown shorthand flag: 'x' in -x\n"),
        ("frpc", "-c", "Error: flag needs an argument: 'c' in -c\n"),
        (
            "frpc",
            "tcp --local_port",
            "Error: flag needs an argument: --local_port\n",
        ),
        ("frpc", "tcp --=x", "Error: bad flag syntax: --=x\n"),
        (
            "frpc",
            "tcp -l abc",
            "Error: invalid argument \"abc\" for \"-l, --local-port\" flag: \
             strconv.ParseInt: parsing \"abc\": invalid syntax\nUsage:\n  frpc tcp [flags]\n",
        ),
        (
            "frpc",
            "tcp --ue=x",
            "Error: invalid argument \"x\" for \"--ue\" flag: \
             strconv.ParseBool: parsing \"x\": invalid syntax\n",
        ),
        (
            "frpc",
            "tcp --bandwidth-limit 3",
            "Error: invalid argument \"3\" for \"--bandwidth-limit\" flag: unit not support\n",
        ),
        (
            "frpc",
            "status --api_timeout 30",
            "Error: invalid argument \"30\" for \"--api-timeout\" flag: \
             time: missing unit in duration \"30\"\n",
        ),
        (
            "frps",
            "other",
            "Error: unknown command \"other\" for \"frps\"\n",
        ),
        (
            "frps",
            "--allow_ports x",
            "Error: invalid argument \"x\" for \"--allow-ports\" flag: range number is invalid",
        ),
        (
            "frps",
            "--dashboard-tls-mode",
            "Error: flag needs an argument: --dashboard-tls-mode\n",
        ),
        (
            "frpc",
            "convert",
            "Error: name one file to convert\nUsage:\n  frpc convert FILE [flags]\n",
        ),
    ] {
        let output = said(program, line);
        assert!(output.to_stderr && !output.success, "{line}: {output:?}");
        assert!(output.text.starts_with(text), "{line}: {}", output.text);
    }
}

#[test]
fn help_is_an_answer() {
    for (program, line, parts) in [
        (
            "frpc",
            "--help",
            vec![
                "Usage:\n  frpc [flags]\n  frpc [command]\n",
                "  -c, --config string",
                "(default \"./frpc.ini\")",
                "  verify ",
            ],
        ),
        ("frpc", "help", vec!["Available Commands:\n  completion "]),
        (
            "frpc",
            "-h tcp",
            vec![
                "Usage:\n  frpc tcp [flags]\n",
                "-r, --remote-port int",
                "\nGlobal Flags:\n",
            ],
        ),
        (
            "frpc",
            "help stcp visitor",
            vec![
                "Usage:\n  frpc stcp visitor [flags]\n",
                "--server-name string",
                "-s, --server-addr string",
            ],
        ),
        (
            "frpc",
            "nathole",
            vec!["Usage:\n  frpc nathole [command]\n", "discover"],
        ),
        (
            "frps",
            "-h",
            vec![
                "-p, --bind-port int",
                "(default 7000)",
                "--dashboard-user string",
                "(default \"admin\")",
            ],
        ),
    ] {
        let output = said(program, line);
        assert!(output.success && !output.to_stderr, "{line}");
        for part in parts {
            assert!(
                output.text.contains(part),
                "{line}: {part:?} in\n{}",
                output.text
            );
        }
        assert!(!output.text.contains("__complete"), "{line}");
    }
    let output = said("frpc", "help nonsense");
    assert!(
        output.text.starts_with("Unknown help topic [`nonsense`]\n"),
        "{output:?}"
    );
}

#[test]
fn the_version_is_alone_and_only_for_the_program() {
    for line in ["-v", "--version", "--version=true", "-v -c nowhere"] {
        let output = said("frpc", line);
        assert_eq!((output.text.as_str(), output.success), ("0.70.1\n", true));
    }
    assert!(matches!(frpc("--version=false"), Ok(ClientTask::Run(..))));
    // As in frp, where only the program itself looks at the flag.
    assert!(matches!(frpc("tcp -v -n a"), Ok(ClientTask::RunFlags(_))));
}

#[test]
fn files_and_their_options_are_found_anywhere_on_the_line() {
    for line in [
        "-c a --strict_config=false",
        "--strict-config=0 -ca",
        "--config=a --strict-config=F",
        "-c=a --strict-config=true --strict_config=false",
    ] {
        let Ok(ClientTask::Run(file, options)) = frpc(line) else {
            panic!("{line}")
        };
        assert_eq!(
            (file, options.strict),
            (PathBuf::from("a"), false),
            "{line}"
        );
    }
    let Ok(ClientTask::Run(file, options)) = frpc("--allow-unsafe A,B --allow_unsafe C") else {
        panic!()
    };
    assert_eq!((file, options.strict), (PathBuf::from("./frpc.ini"), true));
    assert_eq!(options.allow_unsafe, ["A", "B", "C"]);
    let Ok(ClientTask::RunDirectory(directory, _)) = frpc("--config_dir d") else {
        panic!()
    };
    assert_eq!(directory, PathBuf::from("d"));
    // Commands take no notice of further words.
    let output = said("frpc", "-c /nonexistent/f verify more words");
    assert_eq!(
        output.text,
        "open /nonexistent/f: no such file or directory\n"
    );
}

#[test]
fn a_quick_proxy_is_what_a_file_would_say() {
    let line = "tcp -n ssh -l 22 -r 6000 -s frps.example -P 7001 -t secret -u me --log-level debug \
                --ue --uc=true --bandwidth_limit 1MB --bandwidth-limit-mode server \
                --metadatas a=1,b=2 --metadatas c=3 --tls-enable=false --client-id id";
    let file = "serverAddr = 'frps.example'\nserverPort = 7001\nauth.token = 'secret'\n\
                user = 'me'\nclientID = 'id'\nlog.level = 'debug'\ntransport.tls.enable = false\n\
                [[proxies]]\nname = 'ssh'\ntype = 'tcp'\nlocalPort = 22\nremotePort = 6000\n\
                transport.useEncryption = true\ntransport.useCompression = true\n\
                transport.bandwidthLimit = '1MB'\ntransport.bandwidthLimitMode = 'server'\n\
                metadatas = { a = '1', b = '2', c = '3' }\n";
    let from_file = parse_client(file, "f", &LoadOptions::new(Purpose::Run))
        .unwrap()
        .settings;
    assert_eq!(quick(line), from_file);
}

#[test]
fn defaults_of_flags_are_their_own() {
    let client = quick("tcp -n a");
    // A file without the key means 0.0.0.0.
    assert_eq!(client.server_addr, "127.0.0.1");
    assert_eq!(
        (client.server_port, client.transport.tls.enable),
        (7000, true)
    );
    assert_eq!(
        client.proxies[0].kind,
        ProxyKind::Tcp(PortProxy { remote_port: 0 })
    );

    let server = frps("").unwrap();
    assert_eq!(server.file, None);
    let settings = server.loaded.settings;
    assert_eq!(
        (settings.bind_addr.as_str(), settings.bind_port),
        ("0.0.0.0", 7000)
    );
    let settings = frps("--bind-addr 127.0.0.1").unwrap().loaded.settings;
    assert_eq!(settings.proxy_bind_addr, "0.0.0.0", "not that of bindAddr");
}

#[test]
fn users_have_the_seconds_that_they_are_given() {
    for (line, seconds) in [("", 0), ("--drain 90", 90), ("--drain=0x10 -p 7", 16)] {
        assert_eq!(frps(line).unwrap().drain.as_secs(), seconds, "{line}");
    }
    let refused = said("frps", "--drain -1");
    assert_eq!(
        refused.text,
        "--drain -1: give the seconds that users have, or 0\n"
    );
    assert!(!refused.success);
}

#[test]
fn frps_runs_by_flags_alone() {
    let line = "-p 7002 --bind_addr ::1 --proxy_bind_addr 127.0.0.2 --allow_ports 1000-2000,3000 \
                --max-ports-per-client 4 --tls-only -t secret --log_level=warn --log-max-days 5 \
                --disable_log_color --vhost-http-timeout 9 --dashboard_tls_mode true";
    let settings = frps(line).unwrap().loaded.settings;
    assert_eq!(
        (settings.bind_port, settings.bind_addr.as_str()),
        (7002, "::1")
    );
    assert_eq!(settings.proxy_bind_addr, "127.0.0.2");
    assert_eq!(settings.allow_ports.len(), 2);
    assert_eq!(settings.max_ports_per_client, 4);
    assert!(settings.transport.tls.force && settings.log.disable_print_color);
    assert_eq!(
        (settings.log.level, settings.log.max_days),
        (LogLevel::Warn, 5)
    );
    assert_eq!(settings.auth.token.expose(), "secret");
}

/// The texts are those of files; the place is the flag.
#[test]
fn wrong_values_are_told_as_those_of_files() {
    for (program, line, text) in [
        (
            "frps",
            "--bind_port 70000",
            "--bind-port: bindPort: port number 70000 must be in the range 0..65535; ",
        ),
        (
            "frps",
            "-p -1",
            "--bind-port: bindPort: port number -1 must be in the range 0..65535; ",
        ),
        (
            "frpc",
            "tcp -n a -l 70000",
            "localPort: localPort: port number 70000 must be in the range 0..65535; ",
        ),
        (
            "frpc",
            "tcp",
            "name should not be empty; see frpc tcp --help\n",
        ),
        (
            "frpc",
            "tcp -n a -p foo",
            "--protocol: invalid transport.protocol, optional values are",
        ),
    ] {
        let output = said(program, line);
        assert!(!output.success && !output.to_stderr, "{line}");
        assert!(output.text.contains(text), "{line}: {}", output.text);
    }
}

#[test]
fn values_may_begin_with_a_dash_and_words_end_at_two() {
    assert_eq!(quick("tcp -n -x -t --y").proxies[0].name, "-x");
    assert_eq!(quick("tcp -n -x -t --y").auth.token.expose(), "--y");
    assert_eq!(quick("tcp -n a -- -n b").proxies[0].name, "a");
    assert_eq!(quick("tcp -n a -n b").proxies[0].name, "b");
    // A flag of the command may stand before it, with its value.
    assert_eq!(quick("-n a tcp").proxies[0].name, "a");
}

#[test]
fn the_admin_interface_is_that_of_the_file() {
    let file = tempfile(
        "admin.toml",
        "webServer.port = 7400\nwebServer.user = 'u'\nwebServer.password = 'p'\n",
    );
    let file = file.display();
    let Ok(ClientTask::Admin(call)) = frpc(&format!(
        "reload -c {file} --strict-config=false --api-timeout 1m"
    )) else {
        panic!()
    };
    let reload = AdminRequest::Reload {
        strict: false,
        confirm: None,
    };
    assert_eq!(call.request, reload);
    assert_eq!((call.addr.as_str(), call.port), ("127.0.0.1", 7400));
    assert_eq!((call.user.as_str(), call.password.expose()), ("u", "p"));
    assert_eq!(call.timeout, Duration::from_secs(60));

    let none = tempfile("none.toml", "");
    for command in ["reload", "status", "stop"] {
        let output = said("frpc", &format!("{command} -c {}", none.display()));
        assert_eq!(
            output.text,
            "web server port should be set if you want to use this feature\n"
        );
    }
}

#[test]
fn one_program_is_watched_where_its_file_says() {
    let file = tempfile("watch.toml", "webServer.port = 7400\n");
    let line = format!("top -c {}", file.display());
    assert!(matches!(frpc(&line), Ok(ClientTask::Watch(call)) if call.port == 7400));
    assert!(matches!(frps_task(&line), Ok(ServerTask::Watch(_))));
    let several = said("frpc", "top --config-dir .").text;
    assert!(several.contains("name its file by -c"), "{several}");
}

#[test]
fn flags_beside_a_file_are_pointed_out() {
    let file = tempfile("frps.toml", "bindPort = 7001\n");
    let task = frps(&format!("-c {} -p 7002", file.display())).unwrap();
    assert_eq!(task.loaded.settings.bind_port, 7001);
    assert_eq!(
        task.loaded.warnings[0].to_string(),
        "--bind-port: has no effect beside a configuration file; put it into the file"
    );
}

#[test]
fn candidates_follow_the_line() {
    let names = |line: &[&str]| {
        let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let text = complete::candidates(Program::Frpc, &words);
        let names = text
            .lines()
            .map(|line| line.split('\t').next().unwrap().to_owned());
        names.collect::<Vec<String>>()
    };
    assert_eq!(names(&[":ver"]), ["verify"]);
    assert_eq!(names(&[":st"]), ["status", "stcp", "stop"]);
    assert_eq!(names(&["-c", ":"]), [""; 0], "files");
    assert_eq!(names(&["-c", "x", "stcp", ":"]), ["visitor"]);
    assert_eq!(names(&["tcp", ":--remote"]), ["--remote-port"]);
    assert_eq!(names(&["tcp", "--log_level", ":w"]), ["warn"]);
    assert!(names(&[":"]).iter().all(|name| !name.starts_with("__")));
    for shell in ["bash", "zsh", "fish", "powershell"] {
        for program in ["frpc", "frps"] {
            let output = said(program, &format!("completion {shell}"));
            assert!(output.success && output.text.contains(program), "{shell}");
            assert!(!output.text.contains("PROGRAM"), "{shell}");
        }
    }
}

#[test]
fn a_key_is_explained_with_its_value_in_force() {
    let file = tempfile(
        "explain.toml",
        "serverPort = 7001\nauth.token = 'hidden'\ntransport.poolCount = 0\n\n[[proxies]]\nname = 'ssh'\ntype = 'tcp'\nlocalPort = 22\n",
    );
    let file = file.display();
    let explained = |key: &str| said("frpc", &format!("--explain {key} -c {file}"));
    for (key, parts) in [
        (
            "serverPort",
            vec![
                "serverPort\n",
                "Default:  7000",
                "In INI:   server_port",
                "In force: 7001 (",
                ":1)",
            ],
        ),
        ("SERVER_PORT", vec!["serverPort\n"]),
        ("auth.token", vec!["(secret, not shown)", ":2)"]),
        ("transport.poolCount", vec!["In force: 1 (the default; "]),
        ("loginFailExit", vec!["In force: true (the default)"]),
        (
            "proxies.localPort",
            vec!["proxies[].localPort\n", "In force: \"ssh\" 22 (", ":8)"],
        ),
        (
            "remotePort",
            vec!["For:      type tcp, udp", "\"ssh\" 0 (the default)"],
        ),
        ("transport.heartbeatTimeout", vec!["Unit:     seconds"]),
        ("log", vec!["Keys:     to, level, format, maxDays"]),
    ] {
        let output = explained(key);
        assert!(output.success, "{key}: {}", output.text);
        for part in parts {
            assert!(
                output.text.contains(part),
                "{key}: {part:?} in\n{}",
                output.text
            );
        }
        assert!(!output.text.contains("hidden"), "{key}");
    }
    for (program, key, part) in [
        ("frpc", "servrPort", "did you mean serverPort"),
        ("frpc", "keepalive", "transport.tcpMuxKeepaliveInterval"),
        ("frpc", "bindPort", "visitors[].bindPort"),
        (
            "frpc",
            "allowPorts",
            "allowPorts is a key of frps, not of frpc",
        ),
        ("frps", "quux", "frps has no key quux"),
    ] {
        let output = said(program, &format!("--explain {key}"));
        assert!(output.text.contains(part), "{key}: {}", output.text);
    }
}

#[test]
fn no_secret_is_shown_in_debug_output() {
    let file = tempfile(
        "secret.toml",
        "webServer.port = 1\nwebServer.password = 'hidden'\n",
    );
    let call = frpc(&format!("stop -c {}", file.display())).unwrap();
    assert!(!format!("{call:?}").contains("hidden"));
    let quick = frpc("tcp -n a -t hidden").unwrap();
    assert!(!format!("{quick:?}").contains("hidden"));
}

/// A file in a directory of its own, both gone when this is dropped.
struct TempFile(PathBuf);

impl std::ops::Deref for TempFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn tempfile(name: &str, text: &str) -> TempFile {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = format!("frp-config-{}-{nth}", std::process::id());
    let directory = std::env::temp_dir().join(directory);
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    TempFile(path)
}

#[test]
fn the_dashboard_speaks_tls_where_its_mode_is_on() {
    let tls =
        "--dashboard-port 7500 --dashboard_tls_cert_file a.crt --dashboard-tls-key-file a.key";
    let settings = |line: &str| frps(line).unwrap().loaded;
    let on = settings(&format!("{tls} --dashboard-tls-mode true")).settings;
    let files = on.web_server.unwrap().tls.unwrap();
    assert_eq!(files.cert_file.to_str(), Some("a.crt"));
    assert_eq!(files.key_file.to_str(), Some("a.key"));
    for (line, warning) in [
        (
            tls.to_owned(),
            "--dashboard-tls-cert-file: has no effect without",
        ),
        (
            format!("{tls} --dashboard-tls-mode false"),
            "--dashboard-tls-cert-file: has no",
        ),
        (
            "--dashboard-tls-mode true".to_owned(),
            "--dashboard-tls-mode: has no effect without",
        ),
    ] {
        let loaded = settings(&line);
        let tls = loaded.settings.web_server.and_then(|web| web.tls);
        assert!(tls.is_none(), "{line}");
        let told = loaded
            .warnings
            .iter()
            .any(|w| w.to_string().starts_with(warning));
        assert!(told, "{line}: {:?}", loaded.warnings);
    }
    let error = frps("--dashboard-port 1 --dashboard-tls-mode maybe").unwrap_err();
    assert!(
        error.text.contains("neither true nor false"),
        "{}",
        error.text
    );
}

#[test]
fn a_port_behind_an_address_goes_to_its_key() {
    let place = |line: &str| {
        let ClientTask::RunFlags(loaded) = frpc(line).unwrap() else {
            panic!("{line}");
        };
        let settings = loaded.settings;
        let proxy = settings
            .proxies
            .first()
            .map(|p| (p.local_ip.clone(), p.local_port));
        ((settings.server_addr, settings.server_port), proxy.unwrap())
    };
    let (server, local) = place("tcp -n a -s [::1]:7123 -i [fe80::1%eth0]:22");
    assert_eq!(server, ("::1".to_owned(), 7123));
    assert_eq!(local, ("fe80::1%eth0".to_owned(), 22));
    let (server, local) = place("tcp -n a -s 127.0.0.1:7000 -P 7000 -i ::1 -l 22");
    assert_eq!(server, ("127.0.0.1".to_owned(), 7000));
    assert_eq!(local, ("::1".to_owned(), 22));
    for (program, line, text) in [
        (
            "frpc",
            "tcp -n a -l 1 -s a:7000 -P 7001",
            "has the port 7000, but serverPort is 7001",
        ),
        (
            "frpc",
            "tcp -n a -l 23 -i 127.0.0.1:22",
            "has the port 22, but localPort is 23",
        ),
        (
            "frpc",
            "tcp -n a -l 1 -s a:70000",
            "has a port beyond 65535",
        ),
        (
            "frps",
            "--bind-addr 0.0.0.0:7001 -p 7000",
            "has the port 7001, but bindPort is 7000",
        ),
        ("frps", "--proxy-bind-addr 0.0.0.0:80", "takes a host only"),
    ] {
        let error = match program {
            "frps" => frps(line).unwrap_err(),
            _ => frpc(line).unwrap_err(),
        };
        assert!(error.text.contains(text), "{line}: {}", error.text);
    }
    let settings = frps("--bind-addr [::]:7001").unwrap().loaded.settings;
    assert_eq!(
        (settings.bind_addr.as_str(), settings.bind_port),
        ("::", 7001)
    );
    // Nobody listens there, as in frp.
    frpc("stcp visitor -n v --server-name a --bind-addr 127.0.0.1:9000 --bind-port -1").unwrap();
}
