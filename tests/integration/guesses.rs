//! Guesses at a ssh server behind a proxy: it refuses them, its log says so, and frps bans whoever guesses (`sshd.log`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frp_tests::clients::{connect_from, echo_on, is_served_from};
use frp_tests::openssh::Sshd;
use frp_tests::rig::{stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::*;
use futures_util::future::join_all;
use russh::client::{AuthResult, Config, Handle, Handler};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Bans of failures at once, for as long as the test takes.
const SERVER: &str = "auth.token = \"right\"\nguard.ban.exceptIPs = []\nguard.ban.time = 3600\n";

/// A client that takes whatever key the server shows.
struct Anyone;

impl Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn ssh(n: u8, port: u16) -> Option<Handle<Anyone>> {
    let stream = connect_from(n, port).await;
    let connecting = russh::client::connect_stream(Arc::new(Config::default()), stream, Anyone);
    within(Duration::from_secs(60), "ssh connects or ends", connecting)
        .await
        .ok()
}

/// Whether the ssh server has said no to a guess.
async fn is_refused(session: &mut Handle<Anyone>, user: &str) -> bool {
    let guess = session.authenticate_password(user, "guess");
    matches!(guess.await, Ok(AuthResult::Failure { .. }))
}

/// `count` guesses from 127.0.0.`n`, each by a connection of its own, `at_once` of them: how many the server has seen.
async fn guesses(n: u8, port: u16, count: usize, at_once: usize) -> usize {
    let mut seen = 0;
    for _ in 0..count / at_once {
        let all = (0..at_once).map(|_| async {
            match ssh(n, port).await {
                Some(mut session) => is_refused(&mut session, "root").await,
                None => false,
            }
        });
        seen += join_all(all).await.into_iter().filter(|seen| *seen).count();
    }
    seen
}

/// One who mistypes the password `typos` times, and then has a key.
async fn person(n: u8, port: u16, sshd: &Sshd, typos: usize) -> bool {
    let Some(mut session) = ssh(n, port).await else {
        return false;
    };
    for _ in 0..typos {
        assert!(is_refused(&mut session, sshd.user()).await);
    }
    let key = Arc::new(load_secret_key(sshd.key(), None).unwrap());
    let key = PrivateKeyWithHashAlg::new(key, None);
    let entering = session.authenticate_publickey(sshd.user(), key).await;
    entering.is_ok_and(|entered| entered.success())
}

/// A ssh server behind a proxy, whose log is followed.
struct Office {
    rig: Rig,
    sshd: Sshd,
    log: PathBuf,
    frps: Frps,
    frpc: Program,
    port: u16,
}

impl Office {
    /// With these proxies, too.
    async fn open(more: &str) -> Self {
        let rig = Rig::new();
        let log = rig.path().join("sshd.log");
        let sshd = Sshd::start_logging(rig.path(), &log).await;
        let frps = rig.frps(SERVER).await;
        let port = free_port();
        // So that the server's own log tells sources apart.
        let lines = format!("transport.realIP = \"loopback\"\nsshd.log = {log:?}\n");
        let own = tcp_proxy("ssh", sshd.port, port, &lines);
        let frpc = rig.frpc(frps.port, &format!("auth.token = \"right\"\n{own}{more}"));
        frpc.expect("[ssh] start proxy success").await;
        Self {
            rig,
            sshd,
            log,
            frps,
            frpc,
            port,
        }
    }

    /// That 127.0.0.`n` was banned, and how many of its guesses the server has seen.
    async fn barred(&self, n: u8) -> usize {
        let source = format!("127.0.0.{n}");
        let text = format!("guard: barred {source} cause=password");
        let barred = self.frps.program.expect(&text).await;
        let text = format!("network={source}/32 seconds=3600 proxy=\"ssh\" from=\"client ");
        assert!(barred.contains(&text), "{barred}");
        let said = self.frpc.expect(&format!("user [{source}] is [")).await;
        let (_, local) = said.split_once("is [").unwrap();
        let (local, _) = local.split_once(']').unwrap();
        let text = std::fs::read_to_string(&self.log).unwrap();
        let failed = format!("Failed password for root from {local} port ");
        text.matches(&failed).count()
    }
}

#[tokio::test]
#[ignore = "10,000 connections"]
async fn a_replay_of_ten_thousand_guesses_gets_no_further() {
    let office = Office::open("").await;
    let sources = 100..150;
    let replay = sources.clone().map(|n| guesses(n, office.port, 200, 20));
    join_all(replay).await;
    let mut seen = Vec::new();
    for n in sources {
        seen.push(office.barred(n).await);
    }
    println!("guesses that the ssh server saw, by source: {seen:?}");
    assert!(seen.iter().all(|seen| (1..=5).contains(seen)), "{seen:?}");
}

#[tokio::test]
async fn guesses_ban_their_source_and_typos_do_not() {
    let echo = Service::echo().await;
    let (other, third) = (free_port(), free_port());
    let office = Office::open(&tcp_proxy("echo", echo.port, other, "")).await;
    let Office {
        rig,
        sshd,
        frps,
        port,
        ..
    } = &office;
    let port = *port;
    office.frpc.expect("[echo] start proxy success").await;
    let another = format!(
        "auth.token = \"right\"\n{}",
        tcp_proxy("b", echo.port, third, "")
    );
    let neighbour = rig.frpc(frps.port, &another);
    neighbour.expect("[b] start proxy success").await;

    // A replay: many at once, and one after the other.
    let crowds = (10..13).map(|n| guesses(n, port, 40, 20));
    tokio::join!(join_all(crowds), guesses(20, port, 8, 1));
    for n in [10, 11, 12, 20] {
        let seen = office.barred(n).await;
        assert!((1..=5).contains(&seen), "127.0.0.{n}: {seen}");
    }
    // It comes to nothing else of that client either; what others have is none of its business.
    assert!(!is_served_from(10, other).await && is_served_from(10, third).await);
    assert!(is_served_from(1, other).await);

    // Typos of somebody who then gets in.
    for _ in 0..3 {
        assert!(person(50, port, sshd, 2).await);
        frps.program
            .expect("guard: reported 127.0.0.50 cause=password count=2 proxy=\"ssh\" by=\"client ")
            .await;
    }
    assert!(person(50, port, sshd, 0).await);
    assert_eq!(frps.program.log().count("barred 127.0.0.50 "), 0);

    // A guess too many ends the connection that it came by, and those of that source that are not in.
    let mut first = ssh(60, port).await.unwrap();
    let mut idle = connect_from(60, port).await;
    for _ in 0..4 {
        assert!(is_refused(&mut first, "nobody-here").await);
    }
    assert!(
        frps.program.log().count("reported 127.0.0.60 ") <= 4,
        "no such user and a wrong password is one failure"
    );
    is_refused(&mut first, "nobody-here").await;
    clients::until_closed(&mut idle, wait::SOON, "an idle connection of it ends").await;
    frps.program.expect("closed: address banned").await;
}

/// A service that says which port it sees.
async fn teller() -> Service {
    Service::with_peer(|mut stream, peer| async move {
        let _ = stream
            .write_all(format!("{}\n", peer.port()).as_bytes())
            .await;
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

/// Somebody from 127.0.0.`n` there, and the port that the service sees.
async fn told(n: u8, port: u16) -> (TcpStream, u16) {
    let mut user = connect_from(n, port).await;
    let mut line = String::new();
    BufReader::new(&mut user)
        .read_line(&mut line)
        .await
        .unwrap();
    (user, line.trim().parse().unwrap())
}

fn append(file: &Path, line: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(file).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}

#[tokio::test]
async fn lines_come_from_the_journal_or_from_a_file_that_is_rotated() {
    let rig = Rig::new();
    let service = teller().await;
    let frps = rig.frps(SERVER).await;
    // What stands in for the journal.
    let entries = rig.file("entries", "");
    let bin = rig.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >{0}.args\nexec tail -n +1 -F {0}\n",
        entries.display()
    );
    std::fs::write(bin.join("journalctl"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("journalctl"), executable).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // The file comes later, as after a rotation.
    let auth = rig.path().join("auth.log");
    let [journal, file, visited] = [(); 3].map(|()| free_port());
    let follows = format!("sshd.log = {auth:?}\n");
    let text = [
        format!("serverPort = {}\nauth.token = \"right\"\n", frps.port),
        tcp_proxy("journal", service.port, journal, "sshd.log = \"journal\"\n"),
        tcp_proxy("file", service.port, file, &follows),
        stcp_proxy("secret", service.port, &follows),
    ];
    let frpc = rig.start_with(&Side::Ours, "frpc", &text.concat(), &[("PATH", &path)]);
    for name in ["journal", "file", "secret"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    frpc.expect("auth.log: there is no such file yet").await;

    let reported = async |n: u8, proxy: &str| {
        let text = format!("guard: reported 127.0.0.{n} cause=password count=1 proxy=\"{proxy}\"");
        frps.program.expect(&text).await
    };
    let (_user, port) = told(30, journal).await;
    append(
        &entries,
        &format!(
            "{{\"SYSLOG_IDENTIFIER\":\"sshd-session\",\"_PID\":\"7\",\"MESSAGE\":\"Failed password for invalid \
             user x from 203.0.113.1 port 1 ssh2 from 127.0.0.1 port {port} ssh2\"}}"
        ),
    );
    reported(30, "journal").await;
    let args = std::fs::read_to_string(rig.path().join("entries.args")).unwrap();
    assert!(
        args.contains("_UID=0") && args.contains("SYSLOG_IDENTIFIER=sshd "),
        "{args}"
    );

    let failed = |port: u16| {
        format!(
            "Dec  1 00:00:00 host sshd[7]: Failed password for root from 127.0.0.1 port {port} ssh2"
        )
    };
    let (_user, port) = told(31, file).await;
    append(&auth, &failed(port).replace("sshd[7]", "su[7]"));
    append(&auth, &failed(port));
    reported(31, "file").await;
    std::fs::rename(&auth, auth.with_extension("log.1")).unwrap();
    let (_user, port) = told(32, file).await;
    append(&auth, &failed(port));
    reported(32, "file").await;
    let again = "message repeated 4 times: [ ";
    append(
        &auth,
        &format!(
            "{}]",
            failed(port).replace("Failed", &format!("{again}Failed"))
        ),
    );
    frps.program
        .expect("guard: barred 127.0.0.32 cause=password")
        .await;

    // A visitor is known by its own address; that of a client which is logged in is never banned.
    let text = format!(
        "auth.token = \"right\"\ntransport.connectServerLocalIP = \"127.0.0.33\"\n{}",
        stcp_visitor("v", "secret", visited, "")
    );
    let visitor = rig.frpc(frps.port, &text);
    visitor.expect("start visitor success").await;
    let (mut user, port) = told(1, visited).await;
    append(
        &auth,
        &format!(
            "{}]",
            failed(port).replace("Failed", "message repeated 9 times: [ Failed")
        ),
    );
    frps.program
        .expect("guard: reported 127.0.0.33 cause=password count=9")
        .await;
    echo_on(&mut user, b"still there").await;
    assert_eq!(frps.program.log().count("barred 127.0.0.33 "), 0);
}

#[tokio::test]
async fn where_nothing_would_come_of_it_it_says_so() {
    let rig = Rig::new();
    let log = "sshd.log = \"journal\"\n";
    for (text, why) in [
        (
            udp_proxy("a", 1, 2, log),
            "no ssh server is reached by this type",
        ),
        (
            tcp_proxy("a", 1, 2, &format!("{log}plugin.type = \"socks5\"\n")),
            "a plugin serves the users",
        ),
        (
            tcp_proxy("a", 1, 2, "sshd.log = \"auth.log\"\n"),
            "neither \"journal\" nor the whole path of a file",
        ),
    ] {
        let mut client = rig.frpc(1, &text);
        let line = client.expect(why).await;
        assert!(line.contains("sshd.log"), "{line}");
        assert_ne!(client.exit_code().await, Some(0));
    }

    let echo = Service::echo().await;
    let frps = rig.frps("").await;
    let missing = [
        (
            "sshd.log = \"/\"\n",
            "start error: sshd.log: read /: not a regular file",
        ),
        (log, "start error: sshd.log: start journalctl: "),
    ];
    for (lines, why) in missing {
        let text = format!(
            "serverPort = {}\n{}",
            frps.port,
            tcp_proxy("a", echo.port, free_port(), lines)
        );
        let frpc = rig.start_with(&Side::Ours, "frpc", &text, &[("PATH", "/nowhere")]);
        frpc.expect(why).await;
    }

    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    let frps = rig.frps_of(&go, "").await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("a", echo.port, port, log));
    frpc.expect("sshd.log: this frps does not ban").await;
    frpc.expect("[a] start proxy success").await;
    assert!(is_served_from(1, port).await);
}
