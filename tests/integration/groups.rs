//! Groups of tcp proxies: who serves, who may join, and when the port goes.

use std::collections::BTreeMap;
use std::time::Duration;

use frp_tests::clients::{echoes, until_closed};
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::Control;
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const SINGLE: &str = "transport.tcpMux = false\n";
const GROUP: &str = "loadBalancer.group = \"web\"\nloadBalancer.groupKey = \"key\"";

async fn login(port: u16) -> Control<TcpStream> {
    Control::login(connect(port).await, "", &json!({})).await.0
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or("")
}

fn member(name: &str, port: u16) -> Value {
    json!({"proxy_name": name, "remote_port": port, "group": "web", "group_key": "key"})
}

/// The four letters that a user of `port` is greeted with.
async fn greeting(port: u16) -> String {
    let mut user = connect(port).await;
    let mut heard = [0; 4];
    within(wait::SOON, "a greeting", user.read_exact(&mut heard))
        .await
        .unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn users_go_to_the_members_in_turn() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let port = free_port();
    let mut clients = Vec::new();
    let mut services = Vec::new();
    for name in ["anna", "bert", "carl"] {
        let service = Service::greeting(name).await;
        let frpc = rig.frpc(frps.port, &tcp_proxy(name, service.port, port, GROUP));
        frpc.expect(&format!("[{name}] start proxy success")).await;
        clients.push(frpc);
        services.push(service);
    }
    let text = format!("tcp proxy listen port [{port}] in group [web]");
    assert_eq!(frps.program.log().count(&text), 3);
    let mut heard = Vec::new();
    for _ in 0..9 {
        heard.push(greeting(port).await);
    }
    assert_eq!(heard[..3], heard[3..6], "{heard:?}");
    assert_eq!(heard[..3], heard[6..], "{heard:?}");
    heard.sort();
    heard.dedup();
    assert_eq!(heard, ["anna", "bert", "carl"]);

    // Who is gone is passed over, and takes its turn again when it is back.
    clients[1].kill().await;
    frps.program.expect("client exit success").await;
    for _ in 0..4 {
        assert_ne!(greeting(port).await, "bert");
    }
    clients[1].start_again();
    clients[1].expect("[bert] start proxy success").await;
    let mut count = BTreeMap::new();
    for _ in 0..6 {
        *count.entry(greeting(port).await).or_insert(0) += 1;
    }
    assert!(count.values().all(|times| *times == 2), "{count:?}");
}

#[tokio::test]
async fn who_may_not_join_is_told_why_in_frps_words() {
    let rig = Rig::new();
    let frps = rig.frps(&format!("{SINGLE}maxPortsPerClient = 2\n")).await;
    let (port, other) = (free_port(), free_port());
    let mut first = login(frps.port).await;
    let answer = first.register(&member("a", port)).await;
    assert_eq!(answer["remote_addr"], format!(":{port}"));

    let mut second = login(frps.port).await;
    let refused = second.register(&member("b", other)).await;
    assert_eq!(error(&refused), "group should have same remote port");
    let mut wrong = member("b", port);
    for key in ["", "kex", "keys"] {
        wrong["group_key"] = json!(key);
        let refused = second.register(&wrong).await;
        assert_eq!(error(&refused), "group auth failed", "{key:?}");
    }
    // Of another group, or of none, it is just a port in use.
    wrong["group"] = json!("other");
    assert_eq!(error(&second.register(&wrong).await), "port already used");
    let alone = json!({"proxy_name": "b", "remote_port": port});
    assert_eq!(error(&second.register(&alone).await), "port already used");
    let again = second.register(&member("a", port)).await;
    assert_eq!(error(&again), "proxy [a] already exists");

    // A refusal leaves nothing behind, and each member counts.
    assert_eq!(error(&second.register(&member("b", port)).await), "");
    assert_eq!(error(&second.register(&member("c", port)).await), "");
    let more = second.register(&member("d", port)).await;
    assert_eq!(error(&more), "exceed the max_ports_per_client");
}

#[tokio::test]
async fn a_random_port_is_shared_by_all_who_ask_for_none() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let mut first = login(frps.port).await;
    let mut second = login(frps.port).await;
    let answer = first.register(&member("a", 0)).await;
    let address = answer["remote_addr"].as_str().unwrap().to_owned();
    assert_ne!(address, ":0");
    let answer = second.register(&member("b", 0)).await;
    assert_eq!(answer["remote_addr"], address);
    let port: u16 = address.trim_start_matches(':').parse().unwrap();
    let refused = second.register(&member("c", port)).await;
    assert_eq!(error(&refused), "group should have same remote port");
    // The first may go; the port stays.
    first.close_proxy("a").await;
    drop(connect(port).await);
    let answer = first.register(&member("a", 0)).await;
    assert_eq!(answer["remote_addr"], address);
}

#[tokio::test]
async fn the_port_goes_with_the_last_member_and_is_free_at_once() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let port = free_port();
    let mut first = login(frps.port).await;
    let mut second = login(frps.port).await;
    for round in 0..20 {
        assert_eq!(error(&first.register(&member("a", port)).await), "");
        assert_eq!(error(&second.register(&member("b", port)).await), "");
        first.close_proxy("a").await;
        drop(connect(port).await);
        second.close_proxy("b").await;
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
        // Free for others, also for a group of the same name with another key.
        let alone = json!({"proxy_name": "b", "remote_port": port});
        assert_eq!(error(&first.register(&alone).await), "", "{round}");
        first.close_proxy("b").await;
        let mut rekeyed = member("c", port);
        rekeyed["group_key"] = json!("new");
        assert_eq!(error(&second.register(&rekeyed).await), "", "{round}");
        second.close_proxy("c").await;
    }
    // And when its last client vanishes, before that is reported.
    assert_eq!(error(&first.register(&member("a", port)).await), "");
    let mark = frps.program.log().mark();
    drop(first);
    let limit = wait::SOON;
    let gone = frps.program.expect_from(mark, "client exit success", limit);
    gone.await;
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    let alone = json!({"proxy_name": "a", "remote_port": port});
    assert_eq!(error(&second.register(&alone).await), "");
}

/// Unlike in frp, where whoever got a member that does not answer was out of luck.
#[tokio::test]
async fn a_member_without_work_connections_costs_nobody() {
    let rig = Rig::new();
    let frps = rig.frps(&format!("{SINGLE}userConnTimeout = 4\n")).await;
    let service = Service::echo().await;
    let port = free_port();
    // Registers, and never opens a work connection.
    let mut mute = login(frps.port).await;
    assert_eq!(error(&mute.register(&member("mute", port)).await), "");
    let proxy = tcp_proxy("good", service.port, port, GROUP);
    let frpc = rig.frpc(frps.port, &format!("{SINGLE}{proxy}"));
    frpc.expect("[good] start proxy success").await;
    let mut users = tokio::task::JoinSet::new();
    for i in 0..6 {
        users.spawn(async move { echo(port, &pattern(5000, i)).await });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
    frps.program.expect("goes to [good]: timeout trying").await;

    // Nobody left who could: closed, within the time that one user may wait.
    drop(frpc);
    eventually("the good one is gone", || async {
        frps.program.log().count("client exit success") == 1
    })
    .await;
    let mut user = connect(port).await;
    until_closed(&mut user, Duration::from_secs(15), "nobody is left").await;
}

/// Ours and theirs in one group, at either server.
#[tokio::test]
async fn a_group_of_ours_and_theirs() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    for server in [Side::Ours, theirs.clone()] {
        let rig = Rig::new();
        let frps = rig.frps_of(&server, "").await;
        let port = free_port();
        let (ours, other) = (
            Service::greeting("ours").await,
            Service::greeting("them").await,
        );
        let first = rig.frpc(frps.port, &tcp_proxy("ours", ours.port, port, GROUP));
        first.expect("[ours] start proxy success").await;
        let proxy = tcp_proxy("them", other.port, port, GROUP);
        let mut second = rig.frpc_of(&theirs, frps.port, &proxy);
        second.expect("[them] start proxy success").await;
        let wrong = GROUP.replace("\"key\"", "\"wrong\"");
        let proxy = tcp_proxy("bad", other.port, port, &wrong);
        let third = rig.frpc(frps.port, &proxy);
        third.expect("[bad] start error: group auth failed").await;
        let mut heard = Vec::new();
        for _ in 0..20 {
            heard.push(greeting(port).await);
        }
        assert!(heard.iter().any(|who| who == "ours"), "{heard:?}");
        assert!(heard.iter().any(|who| who == "them"), "{heard:?}");
        second.kill().await;
        frps.program.expect("client exit success").await;
        for _ in 0..4 {
            assert_eq!(greeting(port).await, "ours");
        }
        drop(first);
        eventually("the port is closed", || async { !echoes(port).await }).await;
    }
}
