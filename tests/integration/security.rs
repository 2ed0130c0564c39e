//! What docs/security.md recommends does what it says: the hardened configurations, and the units of systemd.

use std::path::PathBuf;

use frp_tests::*;
use tokio::process::Command;

fn of_repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// The blocks of TOML behind `heading` in docs/security.md.
fn hardened(heading: &str) -> Vec<String> {
    let page = std::fs::read_to_string(of_repository("docs/security.md")).unwrap();
    let (_, section) = page.split_once(heading).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```toml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// As it stands there, with paths and ports of this test in place of those of a machine: a user comes to the service,
/// and whoever does not prove the token, or is not on the list, comes nowhere.
#[tokio::test]
async fn the_hardened_configurations_work_together() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let [frps, frpc] = &hardened("\n## Harden it in ten lines\n")[..] else {
        panic!("two blocks");
    };
    for block in [frps, frpc] {
        let lines = block.lines().filter(|line| !line.trim().is_empty());
        assert!(lines.count() <= 14, "{block}");
    }
    let token = rig.file("token", "a token of the test\n");
    let (bind, port) = (free_port(), free_port());
    let dir = rig.path().display();
    let adapt = |text: &str| {
        let text = text
            .replace("/etc/frp/token", &token.display().to_string())
            .replace("/var/lib/frps", &dir.to_string())
            .replace("frps.example.com", "127.0.0.1")
            .replace("203.0.113.0/24", "127.0.0.0/29")
            .replace("bindPort = 7000", &format!("bindPort = {bind}"))
            .replace("serverPort = 7000", &format!("serverPort = {bind}"))
            .replace("remotePort = 6022", &format!("remotePort = {port}"))
            .replace("localPort = 22", &format!("localPort = {}", service.port));
        text.replace("start = 6000, end = 6999", &format!("single = {port}"))
    };
    let start = |name: &'static str, text: &str| {
        let file = rig.file(&format!("{name}.toml"), adapt(text));
        let run = rig.run(&Side::Ours, name, ["-c".as_ref(), file.as_os_str()]);
        (run, file)
    };
    let (server, _) = start("frps", frps);
    let said = server.expect("frps key fingerprint: ").await;
    server.expect("frps started successfully").await;
    let at = said.find("SHA256:").unwrap();
    let key = said[at..at + 50].to_owned();
    let pin = frpc.find("SHA256:").unwrap();
    let frpc = frpc.replace(&frpc[pin..pin + 50], &key);
    let (client, file) = start("frpc", &frpc);
    client.expect("start proxy success").await;
    echo(port, b"through the hardened ones").await;
    assert_eq!(client.log().count("is not checked"), 0);
    for name in ["frps", "frpc"] {
        let file = file.with_file_name(format!("{name}.toml"));
        let mut verify = rig.run(
            &Side::Ours,
            name,
            ["verify".as_ref(), "-c".as_ref(), file.as_os_str()],
        );
        assert_eq!(verify.exit_code().await, Some(0));
        assert_eq!(verify.log().count("WARN"), 0, "{}", verify.log().text());
    }

    // Who does not prove the token.
    let answer = wire::login("a token of the test", &serde_json::json!({}));
    let mut old = connect(bind).await;
    let plain = wire::v1(wire::LOGIN, &answer);
    tokio::io::AsyncWriteExt::write_all(&mut old, &plain)
        .await
        .unwrap();
    clients::until_closed(&mut old, wait::SOON, "without TLS").await;
    // Who is not on the list.
    let far = tokio::net::TcpSocket::new_v4().unwrap();
    far.bind(([127, 0, 0, 99], 0).into()).unwrap();
    let mut far = far.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    clients::until_closed(&mut far, wait::SOON, "not allowed").await;
    server
        .expect("guard: refused 127.0.0.99 cause=not-allowed")
        .await;
}

/// Each is whole, and leaves whoever breaks in with little.
#[tokio::test]
async fn the_units_of_systemd_are_hardened() {
    let rig = Rig::new();
    let program = Command::new("systemd-analyze").arg("--version").output();
    if program.await.is_err() {
        return skipped("systemd-analyze (package systemd)");
    }
    for name in ["frps", "frpc"] {
        let unit = of_repository(&format!("examples/systemd/{name}.service"));
        let unit = std::fs::read_to_string(unit).unwrap();
        let installed = format!("/usr/local/bin/{name}");
        assert!(unit.contains(&installed), "{unit}");
        let ours = Side::Ours.program(name);
        let unit = unit.replace(&installed, &ours.display().to_string());
        let file = rig.file(&format!("{name}.service"), unit);
        for args in [
            // In tenths.
            &["security", "--no-pager", "--offline=true", "--threshold=20"][..],
            &["verify", "--man=no"],
        ] {
            let asking = Command::new("systemd-analyze")
                .args(args)
                .arg(&file)
                .output();
            let said = within(wait::SOON, "an answer", asking).await.unwrap();
            let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
            assert!(said.status.success(), "{name} {args:?}: {text}");
            assert!(!text.contains("Unknown"), "{name} {args:?}: {text}");
        }
    }
}

/// Each test that the page names for a defect of frp is there.
#[test]
fn the_tests_that_are_named_for_defects_are_there() {
    let page = std::fs::read_to_string(of_repository("docs/security.md")).unwrap();
    let (_, section) = page.split_once("\n## frp's defects\n").unwrap();
    let rows = section
        .split("\n\n")
        .find(|part| part.starts_with("| "))
        .unwrap();
    let mut sources = String::new();
    let mut folders = vec![of_repository("tests/integration"), of_repository("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let rows: Vec<&str> = rows.lines().skip(2).collect();
    assert!(rows.len() >= 26, "{}", rows.len());
    for row in rows {
        let tests = row
            .rsplit('|')
            .nth(1)
            .unwrap()
            .split('`')
            .skip(1)
            .step_by(2);
        for name in tests {
            let name = name.rsplit([':', ' ']).next().unwrap();
            let is_there = name.is_empty() || sources.contains(&format!("fn {name}("));
            assert!(is_there, "{name}: {row}");
        }
    }
}
