//! Commands and flags that do something: quick proxies, frps by flags, a directory of files, the
//! admin commands against frp's own frpc, conversion, completion.

use std::process::{Output, Stdio};

use frp_tests::rig::{ini_proxy, tcp_proxy};
use frp_tests::*;
use tokio::process::Command;

async fn run_side(
    rig: &Rig,
    side: &Side,
    program: &str,
    args: &[&str],
) -> (Option<i32>, String, String) {
    let mut command = Command::new(side.program(program));
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

async fn run(rig: &Rig, program: &str, args: &[&str]) -> (Option<i32>, String, String) {
    run_side(rig, &Side::Ours, program, args).await
}

#[tokio::test]
async fn a_tunnel_of_flags_alone() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let (bind, remote) = (free_port().to_string(), free_port());
    let frps = rig.run(
        &Side::Ours,
        "frps",
        ["--bind_addr=127.0.0.1", "-p", &bind, "-t", "secret"],
    );
    frps.expect("frps uses command line arguments for config")
        .await;
    frps.expect("frps started successfully").await;
    let (local, remote_text) = (service.port.to_string(), remote.to_string());
    let frpc = rig.run(
        &Side::Ours,
        "frpc",
        [
            "tcp",
            "-s",
            "127.0.0.1",
            "-P",
            &bind,
            "-t",
            "secret",
            "-n",
            "quick",
            "-l",
            &local,
            "--remote_port",
            &remote_text,
            "--ue",
            "--uc",
        ],
    );
    frpc.expect("[quick] start proxy success").await;
    assert!(!frpc.log().text().contains("start frpc service"));
    echo(remote, &pattern(100_000, 1)).await;
}

#[tokio::test]
async fn every_file_of_a_directory_is_a_client() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let (first, second) = (free_port(), free_port());
    let common = format!("serverAddr = \"127.0.0.1\"\nserverPort = {}\n", frps.port);
    std::fs::create_dir_all(rig.path().join("clients/below")).unwrap();
    rig.file(
        "clients/a.toml",
        format!("{common}{}", tcp_proxy("a", service.port, first, "")),
    );
    rig.file(
        "clients/below/b.ini",
        format!(
            "[common]\nserver_addr = 127.0.0.1\nserver_port = {}\n{}",
            frps.port,
            ini_proxy("b", service.port, second, "")
        ),
    );
    rig.file("clients/broken.toml", "foo = 1\n");
    let frpc = rig.run(&Side::Ours, "frpc", ["--config_dir", "clients"]);
    frpc.expect("[a] start proxy success").await;
    frpc.expect("[b] start proxy success").await;
    frpc.expect("frpc service error for config file [clients/broken.toml]")
        .await;
    for port in [first, second] {
        echo(port, &pattern(1000, 1)).await;
    }
}

#[tokio::test]
async fn a_directory_without_a_good_file_ends_with_status_0() {
    let rig = Rig::new();
    std::fs::create_dir(rig.path().join("clients")).unwrap();
    rig.file("clients/broken.toml", "foo = 1\n");
    let (status, stdout, _) = run(&rig, "frpc", &["--config-dir", "clients"]).await;
    assert_eq!(status, Some(0));
    assert!(stdout.contains("unknown field \"foo\""), "{stdout}");
    assert!(
        stdout.ends_with("frpc service error for config file [clients/broken.toml]\n"),
        "{stdout}"
    );
    let (status, stdout, _) = run(&rig, "frpc", &["--config-dir", "nowhere"]).await;
    assert_eq!((status, stdout.as_str()), (Some(0), ""));
}

/// frp's frpc has an admin interface; what ours says to it, and shows, is what frp's says and shows.
#[tokio::test]
async fn the_admin_commands_speak_to_frp_s_frpc() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let admin = free_port();
    let text = format!(
        "serverAddr = \"127.0.0.1\"\nserverPort = {}\nwebServer.port = {admin}\n\
         webServer.user = \"me\"\nwebServer.password = \"secret\"\n{}{}",
        frps.port,
        tcp_proxy("first", service.port, free_port(), ""),
        tcp_proxy("a-second-one", service.port, free_port(), "")
    );
    rig.file("admin.toml", &text);
    let mut frpc = rig.run(&go, "frpc", ["-c", "admin.toml"]);
    frpc.expect("[first] start proxy success").await;
    frpc.expect("[a-second-one] start proxy success").await;

    let args = ["status", "-c", "admin.toml"];
    let ours = run(&rig, "frpc", &args).await;
    assert_eq!(ours, run_side(&rig, &go, "frpc", &args).await);
    assert_eq!(ours.0, Some(0));
    assert!(ours.1.contains("a-second-one  running"), "{}", ours.1);

    let added = tcp_proxy("third", service.port, free_port(), "");
    rig.file("admin.toml", format!("{text}{added}"));
    let (status, stdout, _) = run(&rig, "frpc", &["reload", "-c", "admin.toml"]).await;
    assert_eq!((status, stdout.as_str()), (Some(0), "reload success\n"));
    frpc.expect("[third] start proxy success").await;

    rig.file("wrong.toml", text.replace("secret", "wrong"));
    let (status, stdout, _) = run(&rig, "frpc", &["stop", "-c", "wrong.toml"]).await;
    assert_eq!(status, Some(1));
    assert!(stdout.starts_with("api status code [401]"), "{stdout}");

    let (status, stdout, _) = run(&rig, "frpc", &["stop", "-c", "admin.toml"]).await;
    assert_eq!((status, stdout.as_str()), (Some(0), "stop success\n"));
    assert_eq!(frpc.exit_code().await, Some(0));
}

#[tokio::test]
async fn nobody_at_the_admin_port_is_told_in_frp_s_words() {
    let rig = Rig::new();
    let port = free_port();
    rig.file("admin.toml", format!("webServer.port = {port}\n"));
    for (command, request) in [
        (
            "status",
            format!("Get \"http://127.0.0.1:{port}/api/status\""),
        ),
        (
            "reload",
            format!("Get \"http://127.0.0.1:{port}/api/reload?strictConfig=true\""),
        ),
        ("stop", format!("Post \"http://127.0.0.1:{port}/api/stop\"")),
    ] {
        let (status, stdout, _) = run(&rig, "frpc", &[command, "-c", "admin.toml"]).await;
        let said = format!("{request}: dial tcp 127.0.0.1:{port}: connect: connection refused\n");
        assert_eq!((status, stdout), (Some(1), said));
    }
}

#[tokio::test]
async fn a_silent_admin_port_is_given_up_in_time() {
    let rig = Rig::new();
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = silent.local_addr().unwrap().port();
    rig.file("admin.toml", format!("webServer.port = {port}\n"));
    let args = ["status", "-c", "admin.toml", "--api-timeout", "300ms"];
    let (status, stdout, _) = run(&rig, "frpc", &args).await;
    assert_eq!(status, Some(1));
    assert!(stdout.contains("context deadline exceeded"), "{stdout}");
}

#[tokio::test]
async fn a_converted_file_runs() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let remote = free_port();
    let ini = format!(
        "[common]\nserver_addr = 127.0.0.1\nserver_port = {}\n{}",
        frps.port,
        ini_proxy("old", service.port, remote, "use_encryption = true")
    );
    rig.file("old.ini", &ini);
    let converted = run(&rig, "frpc", &["convert", "old.ini", "-o", "new.toml"]).await;
    assert_eq!(converted, (Some(0), String::new(), String::new()));
    let (status, stdout, _) = run(&rig, "frpc", &["convert", "old.ini"]).await;
    let written = std::fs::read_to_string(rig.path().join("new.toml")).unwrap();
    assert_eq!((status, stdout), (Some(0), written));
    let frpc = rig.run(&Side::Ours, "frpc", ["-c", "new.toml"]);
    frpc.expect("[old] start proxy success").await;
    echo(remote, &pattern(1000, 1)).await;

    let (status, stdout, _) = run(&rig, "frpc", &["convert", "new.toml"]).await;
    assert_eq!(status, Some(1));
    assert!(stdout.contains("no legacy INI file"), "{stdout}");
}

#[tokio::test]
async fn bash_completes_commands_and_flags() {
    let rig = Rig::new();
    let program = Side::Ours.program("frpc");
    let (_, script, _) = run(&rig, "frpc", &["completion", "bash"]).await;
    rig.file("completion.bash", &script);
    for (line, expected) in [
        ("ver", "verify"),
        ("stcp ''", "visitor"),
        ("tcp --remote", "--remote-port"),
        ("tcp --log-level w", "warn"),
    ] {
        let shell = format!(
            "source completion.bash; COMP_WORDS=({} {line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _frpc; echo \"${{COMPREPLY[@]}}\"",
            program.display()
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &shell]).current_dir(rig.path());
        let output = bash.output().await.unwrap();
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(found, format!("{expected}\n"), "{line}");
    }
}

#[tokio::test]
async fn commands_take_each_file_of_a_directory() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    std::fs::create_dir_all(rig.path().join("clients/below")).unwrap();
    let (admin, nobody) = (free_port(), free_port());
    let line = |port: u16| {
        format!(
            "serverAddr = \"127.0.0.1\"\nserverPort = {}\nwebServer.port = {port}\n",
            frps.port
        )
    };
    rig.file("clients/a.toml", line(admin));
    rig.file("clients/below/b.toml", line(nobody));
    let frpc = rig.run(&Side::Ours, "frpc", ["-c", "clients/a.toml"]);
    frpc.expect("login to server success").await;
    let (status, stdout, _) = run(&rig, "frpc", &["verify", "--config-dir", "clients"]).await;
    assert_eq!(status, Some(0), "{stdout}");
    for file in ["clients/a.toml", "clients/below/b.toml"] {
        let ok = format!("{file}: frpc: the configuration file {file} syntax is ok\n");
        assert!(stdout.contains(&ok), "{stdout}");
    }
    let (status, stdout, _) = run(&rig, "frpc", &["reload", "--config_dir", "clients"]).await;
    assert_eq!(status, Some(1), "the other does not run");
    assert!(
        stdout.contains("clients/a.toml: reload success\n"),
        "{stdout}"
    );
    assert!(
        stdout.contains("clients/below/b.toml: Get \"http://127.0.0.1"),
        "{stdout}"
    );
    std::fs::remove_dir_all(rig.path().join("clients/below")).unwrap();
    let (status, stdout, _) = run(&rig, "frpc", &["status", "--config-dir", "clients"]).await;
    assert_eq!(status, Some(0), "{stdout}");
    assert!(
        stdout.starts_with("clients/a.toml: Proxy Status...\n"),
        "{stdout}"
    );
    rig.file("clients/c.toml", "foo = 1\n");
    let (status, stdout, _) = run(&rig, "frpc", &["verify", "--config-dir", "clients"]).await;
    assert_eq!(status, Some(1), "{stdout}");
    assert!(
        stdout.contains("clients/a.toml: frpc: the configuration file"),
        "{stdout}"
    );
    assert!(
        stdout.contains("clients/c.toml:1:1: json: unknown field \"foo\""),
        "{stdout}"
    );
    let (status, stdout, _) = run(&rig, "frpc", &["stop", "--config-dir", "nowhere"]).await;
    assert_eq!(
        (status, stdout.as_str()),
        (Some(1), "nowhere: no file is there\n")
    );
}

#[tokio::test]
async fn the_admin_api_is_reached_wherever_it_listens() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    for addr in [
        "",
        "0.0.0.0",
        "::",
        "[::]",
        "::1",
        "[::1]",
        "[::1%lo]",
        "localhost",
    ] {
        let lines = format!(
            "serverAddr = \"127.0.0.1\"\nserverPort = {}\nwebServer.addr = {addr:?}\n\
             webServer.port = {}\nwebServer.user = \"me\"\n",
            frps.port,
            free_port()
        );
        rig.file("frpc.toml", lines);
        let frpc = rig.run(&Side::Ours, "frpc", ["-c", "frpc.toml"]);
        frpc.expect("login to server success").await;
        let (status, stdout, _) = run(&rig, "frpc", &["reload", "-c", "frpc.toml"]).await;
        assert_eq!(
            (status, stdout.as_str()),
            (Some(0), "reload success\n"),
            "{addr:?}"
        );
    }
}

/// Scripts of old write the port behind the address.
#[tokio::test]
async fn the_port_may_stand_behind_the_address_of_the_server() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let at = format!("127.0.0.1:{}", frps.port);
    for flag in ["-s", "--server-addr", "--server_addr"] {
        let args = ["tcp", flag, &at, "-n", "a", "-l", "1"];
        let frpc = rig.run(&Side::Ours, "frpc", args);
        frpc.expect("login to server success").await;
    }
    let args = ["tcp", "-s", &at, "-P", "1", "-n", "a", "-l", "1"];
    let (status, stdout, _) = run(&rig, "frpc", &args).await;
    assert_eq!(status, Some(1));
    let port = frps.port;
    let text = format!("has the port {port}, but serverPort is 1");
    assert!(stdout.contains(&text), "{stdout}");
}

#[tokio::test]
async fn the_dashboard_of_flags_speaks_tls() {
    let rig = Rig::new();
    let ca = tls::Authority::new(rig.path(), "ca");
    let own = ca.issue(rig.path(), "own", &["127.0.0.1"]);
    let (bind, web) = (free_port().to_string(), free_port());
    let web_text = web.to_string();
    let (cert, key) = (
        own.cert.display().to_string(),
        own.key.display().to_string(),
    );
    let mut args = vec![
        "--bind-addr",
        "127.0.0.1",
        "-p",
        &bind,
        "--dashboard-addr",
        "127.0.0.1",
    ];
    args.extend([
        "--dashboard-port",
        &web_text,
        "--dashboard_tls_mode",
        "true",
    ]);
    let (status, stdout, _) = run(&rig, "frps", &args).await;
    assert_eq!(status, Some(1));
    assert!(
        stdout.contains("tls.certFile must be specified"),
        "{stdout}"
    );
    args.extend([
        "--dashboard-tls-key-file",
        &key,
        "--dashboard-tls-cert-file",
    ]);
    let missing = [&args[..], &["none.crt"]].concat();
    let (status, stdout, _) = run(&rig, "frps", &missing).await;
    assert_eq!(status, Some(1));
    assert!(
        stdout.contains("webServer.tls: open none.crt: no such file"),
        "{stdout}"
    );
    args.push(&cert);
    let frps = rig.run(&Side::Ours, "frps", args.clone());
    frps.expect("frps started successfully").await;
    let connected = tls::connect_tls(web, tls::client(rustls::DEFAULT_VERSIONS)).await;
    drop(connected);
}
