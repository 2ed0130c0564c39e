//! What log lines look like for programs that collect them, and for people.

use std::ffi::OsString;
use std::time::Duration;

use frp_tests::clients::until_echoes;
use frp_tests::rig::tcp_proxy;
use frp_tests::terminal::Terminal;
use frp_tests::*;
use serde_json::Value;

const JSON: &str = "log.format = \"json\"\nlog.level = \"debug\"\n";

/// The lines of a log, each of which must be an object.
fn objects(program: &Program) -> Vec<Value> {
    let lines = program.log().lines();
    let read = lines.iter().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["time", "level", "file", "message"] {
            assert!(object[key].is_string(), "{key}: {line}");
        }
        let time = object["time"].as_str().unwrap();
        assert!(time.len() >= 24 && &time[10..11] == "T", "{line}");
        assert!(object["line"].is_u64(), "{line}");
        object
    });
    read.collect()
}

#[tokio::test]
async fn every_line_of_either_program_is_an_object_of_json() {
    let rig = Rig::new();
    let frps = rig.frps(JSON).await;
    let echo = Service::echo().await;
    let port = free_port();
    let text = JSON.to_owned() + &tcp_proxy("s \\\"h", echo.port, port, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start proxy success").await;
    until_echoes(port, Duration::from_secs(20)).await;
    frps.program.expect("get a user connection").await;
    let of_users = objects(&frps.program);
    assert!(of_users.iter().any(|line| line["name"] == "s \"h"));
    for program in [&frps.program, &frpc] {
        let objects = objects(program);
        let about = |text: &str| {
            let found = objects.iter().find(|line| {
                let message = line["message"].as_str().unwrap();
                message.contains(text)
            });
            found.unwrap_or_else(|| panic!("no {text}: {objects:?}"))
        };
        let line = about("proxy");
        assert_eq!(line["runID"].as_str().map(str::len), Some(16), "{line}");
        assert!(objects.iter().any(|line| line["runID"].is_null()));
    }
}

/// frp sends colours wherever its console leads.
#[tokio::test]
async fn colours_are_for_terminals_whose_user_wants_them() {
    let rig = Rig::new();
    let program = Side::Ours.program("frps");
    let file = |lines: &str| -> Vec<OsString> {
        let port = free_port();
        let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{lines}");
        vec!["-c".into(), rig.config("frps", &text).into()]
    };
    let up = "frps started successfully";
    let piped = Program::spawn(&program, file(""), rig.path());
    piped.expect(up).await;
    assert!(!piped.log().text().contains('\u{1b}'), "{piped:?}");
    for (lines, environment, coloured) in [
        ("", vec![], true),
        ("", vec![("NO_COLOR", "")], true),
        ("", vec![("NO_COLOR", "1")], false),
        ("log.disablePrintColor = true\n", vec![], false),
        ("log.format = \"json\"\n", vec![], false),
    ] {
        let terminal = Terminal::run(&program, &file(lines), &environment);
        terminal.expect(up).await;
        let shown = terminal.shown();
        assert_eq!(shown.contains("\u{1b}[1;34m"), coloured, "{lines}: {shown}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{lines}: {shown}");
    }
}
