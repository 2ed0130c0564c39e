//! frps is killed and started again under many clients, each with a session and a proxy of its own.

use std::time::{Duration, Instant};

use frp_tests::http::{ADMIN, request};
use frp_tests::rig::tcp_proxy;
use frp_tests::wait::SOON;
use frp_tests::{Program, Rig, Service, Side, free_port};
use tokio::time::sleep;

/// How long nobody listens.
const OUTAGE: Duration = Duration::from_secs(3);

/// All have to be there after this time.
const LIMIT: Duration = Duration::from_secs(120);

const LOOK_AGAIN: Duration = Duration::from_millis(50);

const LINES: &str = "auth.token = \"storm\"\nlog.level = \"warn\"\nlog.disablePrintColor = true\n";

/// The clients live in one process. Prints after how long half of them and all were back; true: all were, and frps has
/// as many sessions, proxies and descriptors as before, give or take those that are on their way.
pub(super) async fn under(name: &str, server: &Side, client: &Side, clients: usize) -> bool {
    let (rig, service) = (Rig::new(), Service::echo().await);
    let (bind, web) = (free_port(), free_port());
    let toml = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {bind}\n{LINES}webServer.port = {web}\nwebServer.user = \"admin\"\n\
         webServer.password = \"secret\"\n"
    );
    let mut frps = rig.start(server, "frps", &toml);
    until_listens(web).await;
    let configs = rig.path().join("clients");
    std::fs::create_dir(&configs).unwrap();
    for n in 0..clients {
        let toml = format!(
            "serverAddr = \"127.0.0.1\"\nserverPort = {bind}\nloginFailExit = false\n{LINES}{}",
            tcp_proxy(&format!("p{n}"), service.port, 0, "")
        );
        std::fs::write(configs.join(format!("{n}.toml")), toml).unwrap();
    }
    let begin = Instant::now();
    let args = ["--config_dir".into(), configs.into_os_string()];
    let frpc = rig.run(client, "frpc", args);
    let first = all_there(web, clients, begin).await;
    println!(
        "{name}: {clients} clients there after {}",
        shown(first.map(|times| times.1))
    );
    sleep(OUTAGE).await;
    let (files, cpu) = (frps.open_files(), frpc.cpu_time());

    frps.kill().await;
    sleep(OUTAGE).await;
    frps.start_again();
    until_listens(web).await;
    let begin = Instant::now();
    let back = all_there(web, clients, begin).await;
    let cpu = frpc.cpu_time() - cpu + frps.cpu_time();
    let [half, all] = [back.map(|times| times.0), back.map(|times| times.1)].map(shown);
    println!(
        "{name}: killed for {OUTAGE:?}: half back after {half}, all after {all}, with {cpu:.2?} of CPU"
    );
    let rests = back.is_some() && comes_to_rest(&frps, web, clients, files).await;
    println!(
        "{name}: {:?} sessions and proxies, {} descriptors of frps; before: {files}",
        counts(web).await,
        frps.open_files()
    );
    rests
}

/// After how long half of the clients have their proxies, and all.
async fn all_there(web: u16, clients: usize, begin: Instant) -> Option<(Duration, Duration)> {
    let mut half = None;
    while begin.elapsed() < LIMIT {
        let (sessions, proxies) = counts(web).await;
        if half.is_none() && proxies * 2 >= clients {
            half = Some(begin.elapsed());
        }
        if sessions == clients && proxies == clients {
            return Some((half?, begin.elapsed()));
        }
        sleep(LOOK_AGAIN).await;
    }
    None
}

/// Each is there once, and no descriptor is left.
async fn comes_to_rest(frps: &Program, web: u16, clients: usize, files: usize) -> bool {
    let begin = Instant::now();
    loop {
        let is_as_before = counts(web).await == (clients, clients) && frps.open_files() <= files;
        if is_as_before || begin.elapsed() > SOON {
            return is_as_before;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Sessions and proxies.
async fn counts(web: u16) -> (usize, usize) {
    let info = request(web, "GET", "/api/serverinfo", Some(ADMIN))
        .await
        .json();
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default() as usize;
    (
        number(&info["clientCounts"]),
        number(&info["proxyTypeCount"]["tcp"]),
    )
}

async fn until_listens(port: u16) {
    let begin = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        assert!(begin.elapsed() < SOON, "frps does not listen");
        sleep(Duration::from_millis(5)).await;
    }
}

fn shown(time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("{:.2} s", time.as_secs_f64()),
        None => "never".to_owned(),
    }
}
