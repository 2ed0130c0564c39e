//! The command line: exit status, what goes to stdout, what to stderr.

use std::process::{Output, Stdio};

use frp_tests::*;
use tokio::process::Command;

async fn run(rig: &Rig, program: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(Side::Ours.program(program));
    command
        .args(args)
        .current_dir(rig.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let what = format!("{program} {args:?} ends");
    let output: Output = within(wait::SOON, &what, command.output()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test]
async fn the_version_is_printed_alone() {
    let rig = Rig::new();
    for program in ["frps", "frpc"] {
        for flag in ["-v", "--version"] {
            let (status, stdout, stderr) = run(&rig, program, &[flag]).await;
            assert_eq!((status, stderr.as_str()), (Some(0), ""), "{program} {flag}");
            let version = stdout.strip_suffix('\n').expect("one line");
            let numbers = version
                .split('.')
                .filter(|n| n.parse::<u32>().is_ok())
                .count();
            assert_eq!(numbers, 3, "{version}");
        }
    }
}

#[tokio::test]
async fn verify_judges_a_file_without_running_it() {
    let rig = Rig::new();
    rig.file("good.toml", "serverAddr = \"127.0.0.1\"\n");
    rig.file("server.toml", "bindPort = 7001\n");
    rig.file(
        "old.ini",
        "[common]\nserver_addr = 127.0.0.1\n\n[ssh]\nlocal_port = 22\n",
    );
    rig.file("unknown.toml", "foo = 1\n");
    rig.file("syntax.toml", "serverAddr = \n");
    rig.file("type.toml", "serverPort = \"many\"\n");

    for (program, file) in [
        ("frpc", "good.toml"),
        ("frps", "server.toml"),
        ("frpc", "old.ini"),
    ] {
        let (status, stdout, stderr) = run(&rig, program, &["verify", "-c", file]).await;
        assert_eq!((status, stderr.as_str()), (Some(0), ""), "{program} {file}");
        assert_eq!(
            stdout,
            format!("{program}: the configuration file {file} syntax is ok\n")
        );
    }
    for program in ["frpc", "frps"] {
        for (file, said) in [
            ("missing.toml", "missing.toml"),
            ("unknown.toml", "foo"),
            ("syntax.toml", "toml: "),
        ] {
            let (status, stdout, stderr) = run(&rig, program, &["verify", "-c", file]).await;
            assert_eq!((status, stderr.as_str()), (Some(1), ""), "{program} {file}");
            assert!(stdout.contains(said), "{program} {file}: {stdout}");
        }
    }
    let (status, stdout, _) = run(&rig, "frpc", &["verify", "-c", "type.toml"]).await;
    assert_eq!(status, Some(1));
    assert!(stdout.contains("serverPort"), "{stdout}");
}

#[tokio::test]
async fn a_proxy_without_a_name_or_with_an_unknown_key_is_refused() {
    let rig = Rig::new();
    let proxy = |lines: &str| format!("[[proxies]]\ntype = \"tcp\"\nlocalPort = 22\n{lines}");
    for (name, text, said) in [
        ("unnamed", proxy("remotePort = 1\n"), "name"),
        (
            "misspelt",
            proxy("name = \"a\"\nremoteport_ = 1\n"),
            "remoteport_",
        ),
        (
            "twice",
            proxy("name = \"a\"\n") + &proxy("name = \"a\"\n"),
            "proxy name [a] is duplicated",
        ),
    ] {
        let file = format!("{name}.toml");
        rig.file(&file, text);
        let (status, stdout, _) = run(&rig, "frpc", &["verify", "-c", &file]).await;
        assert_eq!(status, Some(1), "{name}: {stdout}");
        assert!(stdout.contains(said), "{name}: {stdout}");
    }
}

#[tokio::test]
async fn a_bad_file_or_flag_ends_the_run_with_status_1() {
    let rig = Rig::new();
    rig.file("unknown.toml", "foo = 1\n");
    for program in ["frps", "frpc"] {
        let (status, stdout, _) = run(&rig, program, &["-c", "unknown.toml"]).await;
        assert_eq!(status, Some(1));
        assert!(stdout.contains("foo"), "{stdout}");
        let (status, stdout, _) = run(&rig, program, &["-c", "nowhere.toml"]).await;
        assert_eq!(status, Some(1));
        assert!(stdout.contains("nowhere.toml"), "{stdout}");

        let (status, stdout, stderr) = run(&rig, program, &["--bogus"]).await;
        assert_eq!((status, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("--bogus"), "{stderr}");
        let (status, stdout, _) = run(&rig, program, &["--help"]).await;
        assert_eq!(status, Some(0));
        assert!(
            stdout.contains("--config") && stdout.contains("verify"),
            "{stdout}"
        );
    }
}

#[tokio::test]
async fn a_bind_port_in_use_ends_frps_with_status_1() {
    let rig = Rig::new();
    let taken = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n");
    let mut frps = rig.start(&Side::Ours, "frps", &text);
    assert_eq!(frps.exit_code().await, Some(1));
    let log = frps.log().text().to_lowercase();
    assert!(
        log.contains("address already in use") && log.contains(&port.to_string()),
        "{log}"
    );
}

#[tokio::test]
async fn sigterm_ends_both_at_once() {
    let rig = Rig::new();
    let mut frps = rig.frps("").await;
    let mut frpc = rig.frpc(frps.port, "");
    frpc.expect("login to server success").await;
    frpc.signal("TERM").await;
    frpc.exit_status_within(wait::SOON).await;
    frps.program.expect("client exit success").await;
    frps.program.signal("INT").await;
    frps.program.exit_status_within(wait::SOON).await;
}
