//! `frps doctor`: what keeps a frps from starting or from serving is named; what is well is found well, and left alone.

use std::time::{Duration, SystemTime};

use frp_tests::findings::{Findings, Wanted};
use frp_tests::tls::Authority;
use frp_tests::*;
use tokio::io::AsyncWriteExt as _;

const TOKEN: &str = "auth.token = \"a token of the doctor's\"\n";

async fn findings(rig: &Rig, config: &str) -> Findings {
    let file = rig.config("doctor", config);
    let args = ["doctor".into(), "--json".into(), "-c".into(), file];
    Findings::of(Program::spawn(
        &Side::Ours.program("frps"),
        args,
        rig.path(),
    ))
    .await
}

async fn finds(rig: &Rig, config: &str, wanted: &Wanted<'_>) {
    let wrong = findings(rig, config).await.against(wanted);
    assert!(wrong.is_empty(), "{config}\n{wrong}");
}

fn here(port: u16) -> String {
    format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n")
}

/// Also before its first start, of which nothing is made.
#[tokio::test]
async fn a_frps_that_can_start_is_well_and_its_weak_points_are_told() {
    let rig = Rig::new();
    let (port, web) = (free_port(), free_port());
    let key = rig.path().join("key.pem");
    let config = format!(
        "{}auth.token = \"short\"\nallowPorts = [{{ start = 40000, end = 50000 }}]\n\
         transport.tls.keyStore = {key:?}\nwebServer.addr = \"0.0.0.0\"\nwebServer.port = {web}\n",
        here(port)
    );
    finds(
        &rig,
        &config,
        &Wanted {
            told: &[
                ("token", "warning", &["short", "frps token new"]),
                ("tls", "ok", &["made at the next start"]),
                ("login", "notChecked", &["does not run"]),
                ("port", "ok", &["bindPort", "free"]),
                ("port", "ok", &["webServer.port", "free"]),
                ("webServer", "warning", &["webServer.password"]),
                (
                    "allowPorts",
                    "warning",
                    &["ip_local_reserved_ports=40000-50000"],
                ),
            ],
            never: &["\"short\\\""],
            ..Wanted::default()
        },
    )
    .await;
    assert!(!key.exists());
    let names = std::fs::read_dir(rig.path()).unwrap().count();
    assert_eq!(names, 1, "the configuration alone");
}

#[tokio::test]
async fn a_frps_that_runs_lets_its_doctor_in_however_tokens_are_proven() {
    let entry =
        "[[auth.tokens]]\nname = \"ann\"\ntoken = \"a token of ann alone\"\nuser = \"ann\"\n";
    for lines in [
        TOKEN.to_owned(),
        format!("{TOKEN}auth.challenge = \"required\"\ntransport.tcpMux = false\n"),
        format!("{TOKEN}auth.challenge = \"off\"\ntransport.tls.force = true\n"),
        format!("auth.strictUsers = true\n{entry}"),
    ] {
        let rig = Rig::new();
        let frps = rig.frps(&lines).await;
        let config = format!("{}{lines}", here(frps.port));
        finds(
            &rig,
            &config,
            &Wanted {
                told: &[
                    ("login", "ok", &["runs", "token"]),
                    ("port", "ok", &["bindPort", "in use by frps"]),
                ],
                never: &["a token of"],
                ..Wanted::default()
            },
        )
        .await;
        eventually("the doctor has left", async || {
            frps.program.log().count("client exit success") == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_frps_of_another_file_is_told_from_the_one_that_runs() {
    let rig = Rig::new();
    let frps = rig.frps(TOKEN).await;
    let other = Service::silent().await;
    let me = format!("process {}", std::process::id());
    let config = format!(
        "{}auth.token = \"another token of it\"\nvhostHTTPPort = {}\nkcpBindPort = {}\n",
        here(frps.port),
        other.port,
        free_port()
    );
    finds(
        &rig,
        &config,
        &Wanted {
            failed: &["login", "port"],
            told: &[
                ("login", "failed", &["token", "frps reload"]),
                ("port", "ok", &["bindPort", "in use by frps"]),
                ("port", "failed", &["vhostHTTPPort", &me]),
                ("port", "warning", &["kcpBindPort", "restart frps"]),
            ],
            first: &["frps reload"],
            ..Wanted::default()
        },
    )
    .await;
}

#[tokio::test]
async fn another_program_at_the_port_is_named() {
    let rig = Rig::new();
    let web = Service::new(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let me = format!("process {}", std::process::id());
    finds(
        &rig,
        &format!("{}{TOKEN}", here(web.port)),
        &Wanted {
            failed: &["login", "port"],
            told: &[
                ("login", "failed", &["no frps of this configuration"]),
                ("port", "failed", &["bindPort", &me, "another port"]),
            ],
            ..Wanted::default()
        },
    )
    .await;
}

#[tokio::test]
async fn files_that_frps_cannot_use_are_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new();
    let authority = Authority::new(rig.path(), "ours");
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let next_week = SystemTime::now() + Duration::from_secs(7 * 86_400);
    let over = authority.issue_until(rig.path(), "over", &["frps.test"], yesterday);
    let soon = authority.issue_until(rig.path(), "soon", &["frps.test"], next_week);
    let key = rig.file("key.pem", "");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let tls = |cert: &dyn std::fmt::Debug, key: &dyn std::fmt::Debug| {
        format!("transport.tls.certFile = {cert:?}\ntransport.tls.keyFile = {key:?}\n")
    };
    type Told = (&'static str, &'static str, &'static [&'static str]);
    let cases: [(String, &[&str], Told); 8] = [
        (
            tls(&over.cert, &over.key),
            &["certificate"],
            ("certificate", "failed", &["expired", "over.crt", "renew"]),
        ),
        (
            tls(&soon.cert, &soon.key),
            &[],
            ("certificate", "warning", &["6 days", "\"ours\"", "renew"]),
        ),
        (
            tls(&"gone.crt", &soon.key),
            &["tls"],
            ("tls", "failed", &["gone.crt", "no such file"]),
        ),
        (
            tls(&soon.cert, &over.key),
            &["tls"],
            ("tls", "failed", &["does not belong"]),
        ),
        (
            format!("transport.tls.keyStore = {key:?}\n"),
            &["tls"],
            ("tls", "failed", &["chmod 600"]),
        ),
        (
            "guard.denyIPFiles = [\"gone.txt\"]\n".to_owned(),
            &["guard"],
            ("guard", "failed", &["gone.txt"]),
        ),
        (
            "log.to = \"/proc/frps.log\"\n".to_owned(),
            &["file"],
            ("file", "failed", &["log.to", "/proc/frps.log"]),
        ),
        (
            "bindPrt = 1\n".to_owned(),
            &["configuration"],
            ("configuration", "failed", &["bindPrt"]),
        ),
    ];
    for (lines, failed, told) in cases {
        let config = format!("{}{TOKEN}{lines}", here(free_port()));
        let wanted = Wanted {
            failed,
            told: &[told],
            ..Wanted::default()
        };
        finds(&rig, &config, &wanted).await;
    }
}

/// As people read it.
#[tokio::test]
async fn people_get_a_line_for_each_step() {
    let rig = Rig::new();
    let file = rig.config("doctor", &format!("{}{TOKEN}", here(free_port())));
    let args = ["doctor".into(), "-c".into(), file];
    let mut doctor = Program::spawn(&Side::Ours.program("frps"), args, rig.path());
    assert_eq!(doctor.exit_code().await, Some(0));
    let text = doctor.log().text();
    assert!(text.contains("\nok           token"), "{text}");
    assert!(text.contains("not checked  login"), "{text}");
    assert!(
        !text.contains('\u{1b}') && !text.contains("a token of"),
        "{text}"
    );
}
