//! Log lines as frp writes them: users and their scripts search them.

use std::os::unix::fs::PermissionsExt as _;

use frp_tests::rig::tcp_proxy;
use frp_tests::*;

/// `YYYY-MM-DD HH:MM:SS.mmm [L] [dir/file.ext:line] rest`: the level and the rest.
fn parse(line: &str) -> Option<(char, &str)> {
    let (stamp, rest) = line.split_at_checked(23)?;
    let shape: String = stamp
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    if shape != "0000-00-00 00:00:00.000" {
        return None;
    }
    let (level, rest) = rest.strip_prefix(" [")?.split_once("] [")?;
    let (place, rest) = rest.split_once("] ")?;
    let (file, number) = place.rsplit_once(':')?;
    number.parse::<u32>().ok()?;
    (file.contains('/') && file.contains('.')).then_some(())?;
    let mut level = level.chars();
    let letter = level.next().filter(|l| "TDIWE".contains(*l))?;
    level.next().is_none().then_some((letter, rest))
}

#[tokio::test]
async fn lines_have_frps_shape_prefixes_and_texts() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = rig.frps("").await;
    let port = free_port();
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let mut frpc = rig.frpc(frps.port, &format!("user = \"ann\"\n{proxy}"));
    frpc.expect("[ssh] start proxy success").await;
    echo(port, b"hello").await;
    frps.program
        .expect("get a user connection [127.0.0.1:")
        .await;
    let line = frpc.expect("login to server success, get run id [").await;
    let run_id = line
        .rsplit('[')
        .next()
        .unwrap()
        .trim_end_matches(']')
        .to_owned();
    frpc.signal("TERM").await;
    frpc.exit_status_within(wait::SOON).await;
    frps.program.expect("client exit success").await;
    frps.program.signal("TERM").await;
    frps.program.exit_status_within(wait::SOON).await;

    for line in [frps.program.log().lines(), frpc.log().lines()].concat() {
        assert!(parse(&line).is_some(), "not of frp's shape: {line}");
    }
    let has = |program: &Program, level: char, text: &str| {
        let lines = program.log().lines();
        let found = lines
            .iter()
            .filter_map(|l| parse(l))
            .any(|(l, t)| l == level && t == text);
        assert!(found, "no [{level}] `{text}` in:\n{}", program.log().text());
    };
    let contains = |program: &Program, text: &str| {
        assert!(
            program.log().count(text) > 0,
            "no `{text}` in:\n{}",
            program.log().text()
        );
    };
    let server = frps.port;
    contains(&frps.program, "frps uses config file: ");
    has(
        &frps.program,
        'I',
        &format!("frps tcp listen on 127.0.0.1:{server}"),
    );
    has(&frps.program, 'I', "frps started successfully");
    contains(&frps.program, "client login info: ip [127.0.0.1:");
    has(
        &frps.program,
        'I',
        &format!("[{run_id}] new proxy [ann.ssh] type [tcp] success"),
    );
    contains(&frps.program, &format!("[{run_id}] [ann.ssh] "));
    has(
        &frps.program,
        'I',
        &format!("[{run_id}] client exit success"),
    );
    contains(&frpc, "start frpc service for config file [");
    has(&frpc, 'I', "try to connect to server...");
    has(
        &frpc,
        'I',
        &format!("[{run_id}] login to server success, get run id [{run_id}]"),
    );
    has(&frpc, 'I', &format!("[{run_id}] [ssh] start proxy success"));
}

#[tokio::test]
async fn the_console_is_coloured_unless_told_otherwise() {
    for (lines, coloured) in [
        ("log.level = \"info\"\n", true),
        (
            "log.level = \"info\"\nlog.disablePrintColor = true\n",
            false,
        ),
    ] {
        let rig = Rig::new();
        let frps = rig.frps(lines).await;
        assert_eq!(frps.program.log().text().contains("\u{1b}["), coloured);
    }
}

#[tokio::test]
async fn a_level_hides_what_is_below_it() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let mut frpc = rig.frpc(
        frps.port,
        "log.level = \"warn\"\nlog.disablePrintColor = true\nauth.token = \"wrong\"\n",
    );
    assert_eq!(frpc.exit_code().await, Some(1));
    let log = frpc.log();
    assert_eq!(log.count("[I]"), 0, "{}", log.text());
    assert_eq!(log.count("[W]"), 1, "{}", log.text());
}

#[tokio::test]
async fn a_file_is_appended_to_is_private_and_old_ones_go() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let outdated = rig.file("frpc.20200101-000000.log", "old\n");
    let other = rig.file("frpc.notes.log", "mine\n");
    let lines = "log.to = \"./frpc.log\"\nlog.level = \"info\"\nlog.maxDays = 2\n";
    let mut frpc = rig.frpc(frps.port, lines);
    let file = rig.path().join("frpc.log");
    let logins = || async {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.matches("login to server success").count()
    };
    eventually("a login in the file", || async { logins().await == 1 }).await;
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    frpc.kill().await;
    frpc.start_again();
    eventually("the next login behind it", || async { logins().await == 2 }).await;

    let text = std::fs::read_to_string(&file).unwrap();
    for line in text.lines() {
        assert!(parse(line).is_some(), "not of frp's shape: {line}");
    }
    assert_eq!(
        frpc.log().count("login to server success"),
        0,
        "the console stays quiet"
    );
    eventually("the outdated file is gone", || async { !outdated.exists() }).await;
    assert!(other.exists());
}
