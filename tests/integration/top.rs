//! The live view in a real terminal (`frps top`, `frpc top`). How it looks is tested where it is drawn.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use frp_tests::rig::tcp_proxy;
use frp_tests::terminal::Terminal;
use frp_tests::*;
use tokio::process::Command;

use crate::ask::{office, server};

fn args(file: &Path) -> Vec<OsString> {
    vec!["top".into(), "-c".into(), file.into()]
}

fn top(program: &str, file: &Path, environment: &[(&str, &str)]) -> Terminal {
    Terminal::run(&Side::Ours.program(program), &args(file), environment)
}

/// The terminal is as it was: its modes, and the screen that was there before.
fn assert_given_back(terminal: &Terminal) {
    let (before, after) = terminal.modes();
    assert_eq!(before, after);
    let shown = terminal.shown();
    let (taken, given) = (
        shown.matches("\u{1b}[?1049h"),
        shown.matches("\u{1b}[?1049l"),
    );
    assert_eq!((taken.count(), given.count()), (1, 1), "{shown:?}");
    assert!(shown.contains("\u{1b}[?25h"), "the cursor: {shown:?}");
}

#[tokio::test]
async fn an_operator_watches_a_server_and_leaves() {
    let rig = Rig::new();
    let (_frps, file, port) = server(&rig, "").await;
    let (_frpc, _echo, remote) = office(&rig, port).await;
    let user = tokio::net::TcpStream::connect(("127.0.0.1", remote)).await;
    let user = user.unwrap();
    let mut terminal = top("frps", &file, &[]);
    terminal.expect("al.office").await;
    terminal.type_in("2").await;
    // A name of a stranger cannot turn the line around.
    terminal.expect("al.ssh\\u{202e}").await;
    assert!(!terminal.shown().contains('\u{202e}'));
    terminal.type_in("\t").await;
    terminal
        .expect(&user.local_addr().unwrap().to_string())
        .await;
    terminal.type_in("?").await;
    // Blanks between words are not drawn again.
    terminal.expect("around").await;
    terminal.type_in("xq").await;
    assert!(terminal.ended().await.success());
    assert_given_back(&terminal);
}

#[tokio::test]
async fn a_user_watches_a_client_and_interrupts_it() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let web = free_port();
    let text = format!(
        "serverAddr = \"127.0.0.1\"\nserverPort = {}\nwebServer.port = {web}\n{}",
        frps.port,
        tcp_proxy("ssh", echo.port, free_port(), "")
    );
    let file = rig.config("frpc", &text);
    let frpc = rig.run::<OsString>(&Side::Ours, "frpc", ["-c".into(), file.clone().into()]);
    frpc.expect("start proxy success").await;
    let mut terminal = top("frpc", &file, &[("NO_COLOR", "1")]);
    terminal.expect("[1 Proxies]").await;
    terminal.expect("running").await;
    terminal.type_in("\u{3}").await;
    assert!(terminal.ended().await.success());
    assert_given_back(&terminal);
    // Letters may be bold, but have no colour.
    let shown = terminal.shown();
    let colours = ["\u{1b}[38;", "\u{1b}[48;"].into_iter();
    let codes = (30..=47).map(|code| format!("\u{1b}[{code}m"));
    for code in colours.map(str::to_owned).chain(codes) {
        assert!(!shown.contains(&code), "{code:?} in {shown:?}");
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_told_of_and_found_again() {
    let rig = Rig::new();
    let (mut frps, file, _) = server(&rig, "").await;
    let mut terminal = top("frps", &file, &[]);
    terminal.expect("q quit").await;
    let mark = terminal.mark();
    frps.kill().await;
    terminal.expect_from(mark, "not reached").await;
    terminal.expect_from(mark, "refused").await;
    let mark = terminal.mark();
    frps.start_again();
    terminal.expect_from(mark, "q quit").await;
    // Whatever ends it, the terminal is given back.
    terminal.signal("TERM");
    let ended = terminal.ended().await;
    // As a shell tells that of what it ran.
    assert_eq!((ended.code(), ended.signal()), (Some(128 + 15), None));
    assert_given_back(&terminal);
}

#[tokio::test]
async fn without_a_terminal_it_says_so() {
    let rig = Rig::new();
    let (_frps, file, _) = server(&rig, "").await;
    let output = Command::new(Side::Ours.program("frps"))
        .args(args(&file))
        .output()
        .await
        .unwrap();
    assert_eq!(
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).trim()
        ),
        (
            false,
            "frps top: it needs a terminal, and standard output is none; `frps status` says once what there is"
        )
    );
    let mut dumb = top("frps", &file, &[("TERM", "dumb")]);
    assert_eq!(dumb.ended().await.code(), Some(1));
    dumb.expect("TERM is dumb").await;
    assert!(!dumb.shown().contains('\u{1b}'), "{:?}", dumb.shown());
    // What cannot be asked is told where it stays to be read.
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = rig.config("frps", &text.replace("secret", "wrong"));
    let mut refused = top("frps", &wrong, &[]);
    assert_eq!(refused.ended().await.code(), Some(1));
    refused.expect("are not those of the running frps").await;
    assert!(!refused.shown().contains('\u{1b}'), "{:?}", refused.shown());
}
