//! The traffic of the last days survives the end of frps, where `store.path` is set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use frp_tests::clients::{echo, pattern, until_echoes};
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use serde_json::{Value, json};

/// Longer than frps waits between two times that it writes the file.
const NEXT_SAVE: Duration = Duration::from_secs(40);

fn lines(web: u16, store: &Path) -> String {
    format!("webServer.port = {web}\nenablePrometheus = true\nstore.path = {store:?}\n")
}

fn saved(store: &Path) -> Value {
    let text = std::fs::read_to_string(store).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

async fn traffic(web: u16, name: &str) -> Value {
    http::get(web, &format!("/api/traffic/{name}")).await.json()
}

/// What has counted so much today is told everywhere that tells of a day.
async fn tells(web: u16, name: &str, bytes: u64) {
    eventually(&format!("{name} has {bytes}"), || async {
        let told = traffic(web, name).await;
        told["trafficIn"][0] == bytes && told["trafficOut"][0] == bytes
    })
    .await;
    let v2 = http::get(web, &format!("/api/v2/proxies/{name}/traffic")).await;
    let days = v2.json()["data"]["history"].clone();
    let today = days.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&today["trafficIn"], &today["trafficOut"]),
        (&json!(bytes), &json!(bytes))
    );
    let proxy = http::get(web, &format!("/api/proxy/tcp/{name}"))
        .await
        .json();
    assert_eq!(proxy["todayTrafficIn"], bytes);
    let all = http::get(web, "/api/serverinfo").await.json();
    assert_eq!(all["totalTrafficIn"], bytes);
}

#[tokio::test]
async fn traffic_survives_an_end_and_a_kill() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let (web, port) = (free_port(), free_port());
    let store = rig.path().join("made/for it/traffic.json");
    let mut frps = rig.frps(&lines(web, &store)).await;
    let text = format!(
        "transport.poolCount = 1\n{}",
        tcp_proxy("kept", service.port, port, "")
    );
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("start proxy success").await;
    echo(port, &pattern(100_000, 1)).await;
    tells(web, "kept", 100_000).await;

    // Told to end.
    frps.program.signal("TERM").await;
    frps.program.exit_status_within(wait::SOON).await;
    assert_eq!(
        saved(&store)["proxies"][0]["days"][0],
        json!([100_000, 100_000])
    );
    frps.program.start_again();
    until_echoes(port, wait::SOON).await;
    let before = traffic(web, "kept").await["trafficIn"][0].as_u64().unwrap();
    assert!((100_000..110_000).contains(&before), "{before}");
    echo(port, &pattern(50_000, 2)).await;
    tells(web, "kept", before + 50_000).await;

    // Killed: what was written last counts.
    wait::eventually_within(NEXT_SAVE, "it is written meanwhile", || async {
        saved(&store)["proxies"][0]["days"][0][0] == before + 50_000
    })
    .await;
    frps.program.kill().await;
    drop(frpc);
    frps.program.start_again();
    frps.program.expect("frps started successfully").await;
    tells(web, "kept", before + 50_000).await;
    let proxy = http::get(web, "/api/proxy/tcp/kept").await.json();
    assert_eq!(proxy["status"], "offline", "its client is gone");
    // Counters of a process begin with the process.
    let metrics = http::get(web, "/metrics").await.body;
    assert!(
        !metrics.contains("frp_server_traffic_in{name=\"kept\""),
        "{metrics}"
    );
}

/// A day that has ended is yesterday, and eight days are forgotten.
#[tokio::test]
async fn days_go_by_while_frps_is_away() {
    let rig = Rig::new();
    let web = free_port();
    let store = rig.path().join("traffic.json");
    let output = std::process::Command::new("date")
        .args(["-d", "2 days ago", "+%F %s"])
        .output();
    let day = String::from_utf8(output.unwrap().stdout).unwrap();
    let (day, seconds) = day.split_once(' ').unwrap();
    let millis: u64 = seconds.trim().parse::<u64>().unwrap() * 1000;
    let days = json!([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14]]);
    let proxy = |name: &str, closed: Option<u64>| {
        json!({
            "name": name, "type": "tcp", "user": "u", "clientID": "office", "days": days,
            "startedAt": 1, "closedAt": closed,
        })
    };
    let old = millis - 6 * 24 * 60 * 60 * 1000;
    let file = json!({
        "version": 1, "savedAt": millis, "today": day, "days": days,
        "proxies": [proxy("ran", None), proxy("closed", Some(millis)), proxy("old", Some(old))],
    });
    rig.file("traffic.json", file.to_string());
    let _frps = rig.frps(&lines(web, &store)).await;
    for name in ["ran", "closed"] {
        let told = traffic(web, name).await;
        assert_eq!(told["trafficIn"], json!([0, 0, 1, 3, 5, 7, 9]), "{told}");
        assert_eq!(told["trafficOut"], json!([0, 0, 2, 4, 6, 8, 10]));
    }
    let old = http::get(web, "/api/traffic/old").await;
    assert_eq!(old.status, 404, "closed for more than seven days");
    let all = http::get(web, "/api/serverinfo").await.json();
    assert_eq!(all["totalTrafficIn"], 0, "today");
}

/// A file that holds something else is set aside, and one that cannot be written is an error.
#[tokio::test]
async fn a_broken_file_is_set_aside_and_an_impossible_one_refused() {
    let rig = Rig::new();
    let web = free_port();
    let store = rig.file("traffic.json", "{\"version\":1,");
    let frps = rig.frps(&lines(web, &store)).await;
    let said = frps.program.expect("store.path: ").await;
    assert!(
        said.contains("holds no traffic that can be read") && said.contains("EOF"),
        "{said}"
    );
    let aside = rig.path().join("traffic.json.broken");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "{\"version\":1,");
    assert_eq!(saved(&store)["version"], 1);
    drop(frps);

    let refuse = async |store: PathBuf, why: &str| {
        let config = format!("bindPort = {}\nstore.path = {store:?}\n", free_port());
        let mut frps = rig.start(&Side::Ours, "frps", &config);
        let said = frps.expect("store.path: ").await;
        assert!(said.contains(why), "{said}");
        assert_eq!(frps.exit_code().await, Some(1));
    };
    refuse("/proc/traffic.json".into(), "/proc/traffic.json: ").await;
    refuse(rig.path().to_owned(), "not a regular file").await;
}
