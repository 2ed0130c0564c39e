//! Commands that ask a running frps, as an operator uses them; those of frpc are in `commands.rs`.

use std::path::Path;
use std::time::Duration;

use frp_tests::rig::tcp_proxy;
use frp_tests::tls::Authority;
use frp_tests::*;
use serde_json::Value;
use tokio::process::Command;

/// What `frps ARGS -c FILE` prints, and whether it succeeds.
async fn ask(file: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(Side::Ours.program("frps"));
    let output = command.args(args).arg("-c").arg(file).output();
    let output = within(Duration::from_secs(20), "an answer", output)
        .await
        .unwrap();
    let mut said = String::from_utf8(output.stdout).unwrap();
    said += &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

async fn json(file: &Path, command: &str) -> Value {
    let (success, said) = ask(file, &[command, "--json"]).await;
    assert!(success, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// A frps with a web server, and its file.
pub(crate) async fn server(rig: &Rig, lines: &str) -> (Program, std::path::PathBuf, u16) {
    let (port, web) = (free_port(), free_port());
    let text = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nwebServer.port = {web}\n\
         webServer.user = \"admin\"\nwebServer.password = \"secret\"\n{lines}"
    );
    let file = rig.config("frps", &text);
    let args = ["-c".into(), file.clone().into_os_string()];
    let frps = rig.run::<std::ffi::OsString>(&Side::Ours, "frps", args);
    frps.expect("frps started successfully").await;
    (frps, file, port)
}

/// A client of it, with a proxy whose name would turn a line around: the client, its service, and the proxy's port.
pub(super) async fn office(rig: &Rig, port: u16) -> (Program, Service, u16) {
    let echo = Service::echo().await;
    let remote = free_port();
    let text = format!(
        "clientID = \"office\"\nuser = \"al\"\n{}",
        tcp_proxy("ssh\\u202e", echo.port, remote, "")
    );
    let frpc = rig.frpc(port, &text);
    frpc.expect("start proxy success").await;
    (frpc, echo, remote)
}

#[tokio::test]
async fn an_operator_sees_who_is_there_and_ends_a_session() {
    let rig = Rig::new();
    let (_frps, file, port) = server(&rig, "").await;
    let (frpc, _echo, _) = office(&rig, port).await;
    let (success, said) = ask(&file, &["status"]).await;
    assert!(success, "{said}");
    for expected in [
        "frps 0.70.1, running for ",
        "1 online, 0 offline",
        "(tcp 1)",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(json(&file, "status").await["clients"]["online"], 1);
    let (_, said) = ask(&file, &["clients"]).await;
    assert!(
        said.contains("al.office") && said.contains("online"),
        "{said}"
    );
    assert_eq!(json(&file, "clients").await[0]["clientID"], "office");
    // A name of a stranger cannot turn the line around.
    let (_, said) = ask(&file, &["proxies"]).await;
    assert!(said.contains("al.ssh\\u{202e}  tcp   online"), "{said}");
    assert_eq!(json(&file, "proxies").await[0]["name"], "al.ssh\u{202e}");

    let (success, said) = ask(&file, &["kick", "nobody"]).await;
    assert_eq!(
        (success, said.trim()),
        (
            false,
            "no client nobody is online; `frps clients` lists them"
        )
    );
    let mark = frpc.log().mark();
    let (success, said) = ask(&file, &["kick", "office"]).await;
    assert_eq!(
        (success, said.trim()),
        (true, "the session of al.office has ended")
    );
    frpc.expect_from(mark, "login to server success", Duration::from_secs(30))
        .await;
    let (success, said) = ask(&file, &["kick"]).await;
    assert!(
        !success && said.contains("name one client to kick"),
        "{said}"
    );
}

#[tokio::test]
async fn a_reload_says_what_it_has_done() {
    let rig = Rig::new();
    let (_frps, file, _) = server(&rig, "").await;
    let (success, said) = ask(&file, &["reload"]).await;
    assert_eq!(
        (success, said.trim()),
        (true, "reload success; nothing has changed")
    );
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}maxPortsPerClient = 7\n")).unwrap();
    let (success, said) = ask(&file, &["reload"]).await;
    assert_eq!(
        (success, said.trim()),
        (true, "reload success; applied: maxPortsPerClient")
    );
    assert!(json(&file, "reload").await["applied"].is_array());
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let rig = Rig::new();
    let (mut frps, file, _) = server(&rig, "").await;
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = rig.config("frps", &text.replace("secret", "wrong"));
    let (success, said) = ask(&wrong, &["status"]).await;
    let expected = "api status code [401]: webServer.user and webServer.password are not those of \
                    the running frps";
    assert_eq!((success, said.trim()), (false, expected));
    let none = rig.config("frps", "bindPort = 7000\n");
    let (success, said) = ask(&none, &["clients"]).await;
    assert!(
        !success && said.contains("the file has no webServer.port"),
        "{said}"
    );
    frps.kill().await;
    let (success, said) = ask(&file, &["proxies"]).await;
    assert!(!success && said.contains("connection refused"), "{said}");
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    let args = ["-c".into(), file.clone().into_os_string()];
    let old = rig.run::<std::ffi::OsString>(&go, "frps", args);
    old.expect("frps started successfully").await;
    let (success, said) = ask(&file, &["status"]).await;
    let expected = "api status code [404]: the running frps does not know this command";
    assert_eq!((success, said.trim()), (false, expected));
}

#[tokio::test]
async fn a_web_server_with_tls_is_asked_by_tls() {
    let rig = Rig::new();
    let identity = Authority::new(rig.path(), "ca").issue(rig.path(), "web", &["web.test"]);
    let lines = format!(
        "webServer.tls.certFile = {:?}\nwebServer.tls.keyFile = {:?}\n",
        identity.cert, identity.key
    );
    let (_frps, file, _) = server(&rig, &lines).await;
    assert_eq!(json(&file, "status").await["version"], "0.70.1");
}
