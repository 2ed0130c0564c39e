//! The plugins of `examples/server-plugins`, as somebody runs them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frp_tests::clients::{until_closed, until_echoes};
use frp_tests::plugin_server::config;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use serde_json::json;

use super::{PLAIN, error, login, tcp};

fn examples() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("examples/server-plugins")
}

/// One of the examples, and the port that it listens on.
async fn example(rig: &Rig, name: &str, file: &Path) -> Option<(Program, u16)> {
    let python = Path::new("/usr/bin/python3");
    let python = [python, Path::new("/usr/local/bin/python3")];
    let Some(python) = python.into_iter().find(|path| path.is_file()) else {
        skipped("python3");
        return None;
    };
    let script = examples().join(name);
    let args = [
        "-B".into(),
        script.into_os_string(),
        file.into(),
        "--listen".into(),
    ];
    let args = args.into_iter().chain(["127.0.0.1:0".into()]);
    let program = Program::spawn(python, args, rig.path());
    let line = program.expect("listening on 127.0.0.1:").await;
    let port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
    Some((program, port))
}

#[tokio::test]
async fn the_example_gives_each_user_a_token() {
    let rig = Rig::new();
    let users = rig.file("users", "# users\nalice=wonder\n");
    let Some((_plugin, port)) = example(&rig, "multi_user.py", &users).await else {
        return;
    };
    let addr = format!("127.0.0.1:{port}");
    let frps = rig
        .frps(&(PLAIN.to_owned() + &config("users", &addr, "Login NewProxy", "")))
        .await;
    let as_user = |user: &str, token: &str| json!({"user": user, "metas": {"token": token}});
    let told = async |user: &str, token: &str| {
        let (_, answer) = login(frps.port, &as_user(user, token)).await;
        error(&answer).to_owned()
    };
    let invalid = "invalid user or metadatas.token";
    assert_eq!(told("alice", "wonder").await, "");
    assert_eq!(told("alice", "wrong").await, invalid);
    assert_eq!(told("bob", "builder").await, invalid);
    assert_eq!(told("", "").await, "user or metadatas.token is empty");
    let (mut alice, _) = login(frps.port, &as_user("alice", "wonder")).await;
    assert_eq!(error(&alice.register(&tcp("alice.a")).await), "");
    let answer = alice.register(&tcp("bob.a")).await;
    assert_eq!(
        error(&answer),
        "the name of a proxy of alice begins with alice."
    );
    // A user that is added is known at once; a file that is broken changes nothing.
    rig.file("users", "alice=wonder\nbob=builder\n");
    assert_eq!(told("bob", "builder").await, "");
    rig.file("users", "alice\n");
    assert_eq!(told("bob", "builder").await, "");
}

#[tokio::test]
async fn the_example_knows_who_may_have_which_port_and_who_is_banned() {
    let rig = Rig::new();
    let (mine, others) = (free_port(), free_port());
    let rules = json!({"ports": {"alice": [mine.to_string()]}, "banned": []}).to_string();
    let file = rig.file("rules.json", &rules);
    let Some((_plugin, port)) = example(&rig, "ports_and_bans.py", &file).await else {
        return;
    };
    let addr = format!("127.0.0.1:{port}");
    let ops = "Login NewProxy NewUserConn";
    let frps = rig.frps(&config("rules", &addr, ops, "")).await;
    let echo = Service::echo().await;
    let text = format!(
        "user = \"alice\"\n{}{}{}",
        tcp_proxy("mine", echo.port, mine, ""),
        tcp_proxy("others", echo.port, others, ""),
        tcp_proxy("any", echo.port, 0, ""),
    );
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[mine] start proxy success").await;
    let line = format!("[others] start error: port {others} is not one of yours");
    frpc.expect(&line).await;
    frpc.expect("[any] start error: remotePort is not set: ask for one of your ports")
        .await;
    until_echoes(mine, Duration::from_secs(20)).await;
    let banned = rules.replace("\"banned\":[]", "\"banned\":[\"127.0.0.0/8\"]");
    rig.file("rules.json", &banned);
    let mut user = connect(mine).await;
    until_closed(&mut user, Duration::from_secs(20), "a banned user").await;
    frps.program.expect("closed: 127.0.0.1 is banned").await;
    let other = rig.frpc(frps.port, "user = \"alice\"\n");
    other.expect("127.0.0.1 is banned").await;
}
