//! OpenSSH through the pair with its defaults: TLS, mux, wire v1.

use std::process::{Output, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use frp_tests::openssh::Sshd;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// An office with sshd behind frpc; users come to `port`.
struct Office {
    rig: Rig,
    sshd: Sshd,
    frps: Frps,
    frpc: Program,
    port: u16,
}

impl Office {
    async fn open() -> Self {
        let rig = Rig::new();
        let sshd = Sshd::start(rig.path()).await;
        let frps = rig.frps("auth.token = \"office\"\n").await;
        let port = free_port();
        let proxy = tcp_proxy("ssh", sshd.port, port, "");
        let frpc = rig.frpc(frps.port, &format!("auth.token = \"office\"\n{proxy}"));
        frpc.expect("[ssh] start proxy success").await;
        Self {
            rig,
            sshd,
            frps,
            frpc,
            port,
        }
    }

    /// An ssh session whose stdin and stdout are ours.
    fn session(&self, options: &[&str], command: &str) -> Session {
        let mut ssh = self.sshd.ssh(self.port);
        ssh.args(options).arg(command).stdin(Stdio::piped());
        let mut child = ssh.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Session { child, lines }
    }
}

struct Session {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Session {
    async fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self, wanted: &str) {
        within(Duration::from_secs(60), wanted, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.trim() == wanted {
                    return;
                }
            }
            let mut errors = String::new();
            self.child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut errors)
                .await
                .unwrap();
            panic!("the session ended before `{wanted}`: {errors}");
        })
        .await;
    }

    async fn end(mut self) {
        drop(self.child.stdin.take());
        let status = within(wait::SOON, "ssh ends", self.child.wait())
            .await
            .unwrap();
        assert!(status.success(), "ssh: {status}");
    }
}

async fn run(command: &mut Command) -> Output {
    let output = within(Duration::from_secs(120), "ssh or scp", command.output())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}: {errors}",
        output.status
    );
    output
}

#[tokio::test]
async fn a_command_runs_in_the_office() {
    let office = Office::open().await;
    let output = run(office
        .sshd
        .ssh(office.port)
        .arg("echo hello from $((40 + 2))"))
    .await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello from 42\n");

    let mut failing = office.sshd.ssh(office.port);
    let output = failing.arg("exit 7").output().await.unwrap();
    assert_eq!(output.status.code(), Some(7), "the exit status passes too");
}

#[tokio::test]
async fn a_hundred_megabytes_by_scp_arrive_whole_in_both_directions() {
    let office = Office::open().await;
    let content = pattern(100_000_000, 22);
    let hash = digest(&SHA256, &content);
    let here = office.rig.file("here", &content);
    drop(content);
    let there = office.rig.path().join("there");
    let back = office.rig.path().join("back");

    run(office
        .sshd
        .scp(office.port)
        .arg(&here)
        .arg(office.sshd.remote(&there)))
    .await;
    let uploaded = std::fs::read(&there).unwrap();
    assert!(
        digest(&SHA256, &uploaded).as_ref() == hash.as_ref(),
        "upload differs"
    );
    drop(uploaded);

    run(office
        .sshd
        .scp(office.port)
        .arg(office.sshd.remote(&there))
        .arg(&back))
    .await;
    let downloaded = std::fs::read(&back).unwrap();
    assert!(
        digest(&SHA256, &downloaded).as_ref() == hash.as_ref(),
        "download differs"
    );
}

#[tokio::test]
async fn fifty_sessions_at_once_share_one_control_connection() {
    let office = Office::open().await;
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(office.session(&[], "echo ready; read line; echo got $line"));
    }
    for session in &mut sessions {
        session.hear("ready").await;
    }
    // All fifty are open at this moment.
    for (i, session) in sessions.iter_mut().enumerate() {
        session.say(&format!("number {i}")).await;
    }
    for (i, mut session) in sessions.into_iter().enumerate() {
        session.hear(&format!("got number {i}")).await;
        session.end().await;
    }
    assert_eq!(office.frps.program.log().count("client login info"), 1);
    assert_eq!(office.frpc.log().count("login to server success"), 1);
}

/// The one test that really waits: whatever times out in less than a minute would show here.
#[tokio::test]
async fn an_interactive_session_survives_a_minute_of_silence() {
    let office = Office::open().await;
    let mut session = office.session(&["-tt"], "stty -echo; echo ready; cat");
    session.hear("ready").await;
    session.say("before").await;
    session.hear("before").await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    session.say("after").await;
    session.hear("after").await;
    assert_eq!(
        office.frpc.log().count("login to server success"),
        1,
        "one login all along"
    );
}
