//! `dnsServer`, and addresses that change, are dead or come late.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use frp_tests::dns::{Answer, DnsServer};
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use tokio::net::TcpSocket;

use super::{clients, frpc_text};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 99));

fn ask(dns: &DnsServer) -> String {
    format!("dnsServer = \"127.0.0.1:{}\"\n", dns.port)
}

/// frpc of `side` finds frps under `name` and carries a user.
async fn finds(side: &Side, dns: &DnsServer, name: &str) {
    println!("{side:?} finds {name}");
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let service = Service::echo().await;
    let remote = free_port();
    let text = frpc_text(name, &frps, &ask(dns), service.port, remote);
    let frpc = rig.start(side, "frpc", &text);
    frpc.expect("[echo] start proxy success").await;
    echo(remote, b"by name").await;
}

#[tokio::test]
async fn names_are_looked_up_there() {
    let dns = DnsServer::start([
        ("frps.test", Answer::Addresses(vec![HERE])),
        ("alias.test", Answer::Alias("frps.test", vec![HERE])),
        ("long.test", Answer::ByTcp(vec![HERE])),
        ("half.test", Answer::NoAnswerForV6(vec![HERE])),
    ])
    .await;
    for side in clients() {
        for name in ["frps.test", "alias.test", "long.test"] {
            let before = dns.asked_for(name);
            finds(&side, &dns, name).await;
            assert!(dns.asked_for(name) > before);
        }
        // This one the machine itself knows.
        finds(&side, &dns, "localhost").await;
        assert_eq!(dns.asked_for("localhost"), 0);
    }
    // frp waits for the answer that does not come, and gives up before it has.
    finds(&Side::Ours, &dns, "half.test").await;
}

#[tokio::test]
async fn local_services_are_looked_up_there_too() {
    let dns = DnsServer::start([("office.test", Answer::Addresses(vec![HERE]))]).await;
    for side in clients() {
        let rig = Rig::new();
        let frps = rig.frps("").await;
        let (service, datagrams) = (Service::echo().await, UdpService::echo().await);
        let (tcp, udp) = (free_port(), free_port());
        let local = "localIP = \"office.test\"";
        let text = format!(
            "{}{}{}",
            ask(&dns),
            tcp_proxy("tcp", service.port, tcp, local),
            rig::udp_proxy("udp", datagrams.port, udp, local)
        );
        let frpc = rig.frpc_of(&side, frps.port, &text);
        frpc.expect("[tcp] start proxy success").await;
        frpc.expect("[udp] start proxy success").await;
        echo(tcp, b"by name").await;
        let user = UdpUser::of(udp).await;
        user.echo(b"by name").await;
        assert!(dns.asked_for("office.test") >= 2);
    }
}

/// The address is looked up anew for each try: nothing that was found before is kept.
#[tokio::test]
async fn an_address_that_changes_between_tries() {
    let dns = DnsServer::start([("frps.test", Answer::Addresses(vec![ELSEWHERE]))]).await;
    let rig = Rig::new();
    let mut frps = rig.frps("").await;
    let service = Service::echo().await;
    let remote = free_port();
    let lines = format!("{}loginFailExit = false\n", ask(&dns));
    let text = frpc_text("frps.test", &frps, &lines, service.port, remote);
    let frpc = rig.start(&Side::Ours, "frpc", &text);
    frpc.expect("127.0.0.99").await;
    dns.set("frps.test", Answer::Addresses(vec![HERE]));
    clients::until_echoes(remote, Duration::from_secs(60)).await;
    // And the same when a session is lost.
    frps.program.kill().await;
    dns.set("frps.test", Answer::Code(3));
    frpc.expect("no such host").await;
    frps.program.start_again();
    dns.set("frps.test", Answer::Addresses(vec![HERE]));
    clients::until_echoes(remote, Duration::from_secs(60)).await;
}

#[tokio::test]
async fn ipv6_addresses_that_are_dead() {
    let nowhere = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let dns = DnsServer::start([
        ("refuses.test", Answer::Addresses(vec![HERE_V6, HERE])),
        ("nowhere.test", Answer::Addresses(vec![nowhere, HERE])),
        ("other.test", Answer::Addresses(vec![ELSEWHERE, HERE])),
    ])
    .await;
    for side in clients() {
        for name in ["refuses.test", "nowhere.test", "other.test"] {
            finds(&side, &dns, name).await;
        }
    }
}

/// A host that swallows what comes by IPv6 costs less than a second.
#[tokio::test]
async fn an_ipv6_address_that_swallows_everything() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let socket = TcpSocket::new_v6().unwrap();
    if socket.bind((HERE_V6, frps.port).into()).is_err() {
        return skipped("an address ::1");
    }
    let full = socket.listen(0).unwrap();
    let fill = || {
        let connecting = tokio::net::TcpStream::connect((HERE_V6, frps.port));
        tokio::time::timeout(Duration::from_millis(200), connecting)
    };
    let mut held = Vec::new();
    while let Ok(conn) = fill().await {
        held.push(conn.unwrap());
    }
    let dns = DnsServer::start([("frps.test", Answer::Addresses(vec![HERE_V6, HERE]))]).await;
    let service = Service::echo().await;
    let remote = free_port();
    let text = frpc_text("frps.test", &frps, &ask(&dns), service.port, remote);
    let frpc = rig.start(&Side::Ours, "frpc", &text);
    frpc.expect("[echo] start proxy success").await;
    drop((full, held));
}

/// Runs frpc with this server's name; its last words hold each of `words`.
async fn fails_saying(lines: &str, server: &str, words: &[&str]) {
    let rig = Rig::new();
    let text = format!("serverAddr = \"{server}\"\nserverPort = 7000\n{lines}");
    let mut frpc = rig.start(&Side::Ours, "frpc", &text);
    let status = frpc.exit_status_within(Duration::from_secs(40)).await;
    assert_eq!(status.code(), Some(1));
    let log = frpc.log().text();
    for word in words {
        assert!(log.contains(word), "no `{word}` in: {log}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_told_as_such() {
    let dns = DnsServer::start([("failed.test", Answer::Code(2))]).await;
    let place = format!("on 127.0.0.1:{}", dns.port);
    let unknown = format!("lookup unknown.test {place}: no such host");
    fails_saying(&ask(&dns), "unknown.test", &[&unknown, "dnsServer"]).await;
    let failed = format!("lookup failed.test {place}: server misbehaving");
    fails_saying(&ask(&dns), "failed.test", &[&failed, "dnsServer"]).await;

    let nobody = format!("dnsServer = \"127.0.0.1:{}\"\n", free_port());
    fails_saying(&nobody, "frps.test", &["connection refused", "dnsServer"]).await;
    let silent = UdpService::new(|_| None).await;
    let lines = format!("dnsServer = \"127.0.0.1:{}\"\n", silent.port);
    let timeout = format!("lookup frps.test on 127.0.0.1:{}: i/o timeout", silent.port);
    let said = [timeout.as_str(), "dnsServer is a DNS server"];
    fails_saying(&lines, "frps.test", &said).await;
    let name = "dnsServer = \"dns.example\"\n";
    fails_saying(name, "frps.test", &["dnsServer", "is not an IP address"]).await;
}
