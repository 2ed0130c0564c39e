//! What signals do to the programs, as process 1 of a container, too.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use tokio::process::{Child, Command};

/// What a container's stop may take.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A program that is process 1 of its namespace.
struct Process1 {
    /// Who has made the namespace.
    outer: Child,
    log: PathBuf,
}

impl Process1 {
    /// Once it has said `said`.
    async fn start(rig: &Rig, program: &str, args: &[&str], log: &str, said: &str) -> Self {
        let log = rig.path().join(format!("{program}-{log}.log"));
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--kill-child"])
            .arg(Side::Ours.program(program))
            .args(args)
            .current_dir(rig.path())
            .stdout(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true);
        let outer = command.spawn().unwrap();
        let this = Self { outer, log };
        this.says(said).await;
        this
    }

    async fn says(&self, text: &str) {
        eventually(text, || async {
            let log = std::fs::read_to_string(&self.log);
            log.unwrap_or_default().contains(text)
        })
        .await;
    }

    async fn signal(&self, name: &str) {
        let id = self.outer.id().unwrap();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let mut sent = Command::new("kill");
        sent.args(["-s", name, children.trim()]);
        assert!(sent.status().await.unwrap().success());
    }

    async fn ended(&mut self, what: &str) -> Option<i32> {
        within(AT_ONCE, what, self.outer.wait())
            .await
            .unwrap()
            .code()
    }
}

/// The exit status of a program that is process 1 of its namespace and gets `signal` once it has said
/// `said`.
async fn ends_as_process_1(
    rig: &Rig,
    program: &str,
    args: &[&str],
    said: &str,
    signal: &str,
) -> Option<i32> {
    let mut process = Process1::start(rig, program, args, signal, said).await;
    process.signal(signal).await;
    process
        .ended(&format!("{program} {args:?} ends by {signal}"))
        .await
}

/// Where a signal without a handler does nothing, and one with frpc's handler ends the process.
#[tokio::test]
async fn frps_reloads_in_a_container() {
    if !has_namespaces().await {
        return;
    }
    let rig = Rig::new();
    let line = format!("bindAddr = \"127.0.0.1\"\nbindPort = {}\n", free_port());
    rig.file("frps.toml", &line);
    let args = ["-c", "frps.toml"];
    let mut frps = Process1::start(&rig, "frps", &args, "HUP", "frps started").await;
    rig.file("frps.toml", format!("{line}maxPortsPerClient = 1\n"));
    frps.signal("HUP").await;
    frps.says("frps.toml: maxPortsPerClient applied").await;
    frps.signal("HUP").await;
    frps.says("frps.toml: no setting has changed").await;
    frps.signal("TERM").await;
    assert_eq!(frps.ended("frps ends").await, Some(2));
}

async fn has_namespaces() -> bool {
    let tried = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .output()
        .await;
    let is_there = tried.is_ok_and(|output| output.status.success());
    if !is_there {
        skipped("namespaces of processes");
    }
    is_there
}

#[tokio::test]
async fn a_container_stops_when_told() {
    if !has_namespaces().await {
        return;
    }
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let nobody = free_port();
    std::fs::create_dir(rig.path().join("clients")).unwrap();
    let line = |port: u16, more: &str| {
        format!("serverAddr = \"127.0.0.1\"\nserverPort = {port}\nloginFailExit = false\n{more}")
    };
    rig.file("up.toml", line(frps.port, ""));
    rig.file("clients/a.toml", line(frps.port, ""));
    rig.file(
        "clients/b.toml",
        line(nobody, "transport.protocol = \"kcp\"\n"),
    );
    rig.file("down.toml", line(nobody, ""));
    rig.file("quic.toml", line(nobody, "transport.protocol = \"quic\"\n"));
    let bind = free_port().to_string();
    let server: &[&str] = &["--bind-addr", "127.0.0.1", "-p", &bind];
    for (program, args, said, status) in [
        ("frps", server, "frps started", 2),
        ("frpc", &["-c", "up.toml"], "login to server success", 2),
        ("frpc", &["-c", "down.toml"], "try to connect", 2),
        ("frpc", &["-c", "quic.toml"], "try to connect", 0),
        (
            "frpc",
            &["--config-dir", "clients"],
            "login to server success",
            0,
        ),
    ] {
        for signal in ["TERM", "INT"] {
            let ended = ends_as_process_1(&rig, program, args, said, signal).await;
            assert_eq!(ended, Some(status), "{program} {args:?} at {signal}");
        }
    }
    let drains = [server, &["--drain", "60"]].concat();
    let ended = ends_as_process_1(&rig, "frps", &drains, "frps started", "TERM").await;
    assert_eq!(ended, Some(0), "nobody is there, so that it has drained");
    let ended = ends_as_process_1(&rig, "frps", server, "frps started", "QUIT").await;
    assert_eq!(ended, Some(2), "docker stop --signal QUIT");
}

/// Nothing that hangs on the way to the login keeps frpc from ending.
#[tokio::test]
async fn a_token_that_does_not_come_holds_up_no_end() {
    if !has_namespaces().await {
        return;
    }
    let rig = Rig::new();
    rig.file(
        "exec.toml",
        "serverAddr = \"127.0.0.1\"\nloginFailExit = false\n[auth.tokenSource]\ntype = \"exec\"\n\
         [auth.tokenSource.exec]\ncommand = \"sleep\"\nargs = [\"8\"]\n",
    );
    let args = ["-c", "exec.toml", "--allow-unsafe", "TokenSourceExec"];
    let ended = ends_as_process_1(&rig, "frpc", &args, "start frpc service", "TERM").await;
    assert_eq!(ended, Some(2));
}

/// One client that says goodbye must not keep the others.
#[tokio::test]
async fn all_clients_of_a_directory_end_together() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    std::fs::create_dir(rig.path().join("clients")).unwrap();
    let common = format!("serverAddr = \"127.0.0.1\"\nserverPort = {}\n", frps.port);
    rig.file("clients/tcp.toml", &common);
    let quic = "loginFailExit = false\ntransport.protocol = \"quic\"\n";
    rig.file("clients/quic.toml", format!("{common}{quic}"));
    let mut frpc = rig.run(&Side::Ours, "frpc", ["--config-dir", "clients"]);
    frpc.expect("login to server success").await;
    frpc.signal("TERM").await;
    let status = frpc.exit_status_within(AT_ONCE).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn outside_of_containers_the_exit_status_tells_the_signal() {
    let rig = Rig::new();
    let mut frps = rig.frps("").await;
    let mut frpc = rig.frpc(frps.port, "");
    frpc.expect("login to server success").await;
    frpc.signal("INT").await;
    let status = frpc.exit_status_within(AT_ONCE).await;
    assert_eq!(status.signal(), Some(2));
    frps.program.signal("TERM").await;
    let status = frps.program.exit_status_within(AT_ONCE).await;
    assert_eq!(status.signal(), Some(15));
}

#[tokio::test]
async fn signals_that_go_takes_no_notice_of_end_nothing() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = rig.frps("").await;
    let port = free_port();
    let mut frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    for name in [
        "USR1", "USR2", "ALRM", "WINCH", "PIPE", "XCPU", "XFSZ", "VTALRM", "PROF", "IO", "PWR",
        "URG", "35", "64",
    ] {
        frps.program.signal(name).await;
        frpc.signal(name).await;
        echo(port, &pattern(1000, 1)).await;
        assert!(frps.program.is_running() && frpc.is_running(), "{name}");
    }
}

#[tokio::test]
async fn logrotate_has_the_log_file_opened_anew() {
    let rig = Rig::new();
    let (log, old) = (rig.path().join("frps.log"), rig.path().join("frps.log.1"));
    let port = free_port();
    let args = [
        "--bind-addr".to_owned(),
        "127.0.0.1".to_owned(),
        "-p".to_owned(),
        port.to_string(),
        "--log-file".to_owned(),
        log.display().to_string(),
    ];
    let frps = rig.run(&Side::Ours, "frps", args);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("frps runs", || async {
        read(&log).contains("frps started")
    })
    .await;
    std::fs::rename(&log, &old).unwrap();
    frps.signal("USR1").await;
    eventually("there is a new file", || async { log.exists() }).await;
    let frpc = rig.frpc(port, "");
    frpc.expect("login to server success").await;
    eventually("lines go there", || async {
        read(&log).contains("client login info")
    })
    .await;
    assert!(!read(&old).contains("client login info"));
}
