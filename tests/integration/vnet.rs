//! The virtual network: machines that reach each other by their own addresses, with ping and iperf3, between
//! network namespaces. Takes root and /dev/net/tun.

use std::net::Ipv4Addr;
use std::path::Path as FilePath;
use std::process::{Output, Stdio};
use std::time::Duration;

use frp_tests::clients::until_closed;
use frp_tests::network::middlebox::Open;
use frp_tests::network::{Host, NatKind, NatNetwork, Network, Path};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PORT: u16 = 7000;
const COMMON: &str = "auth.token = \"vnet\"\n";
/// For what takes a connection to be made or made again; frp waits 10 s before it does.
const LONG: Duration = Duration::from_secs(40);

/// Runs a command on a host, to its end.
async fn run(host: &Host, command: &str) -> Output {
    let mut words = command.split(' ');
    let mut std = host.command(FilePath::new(words.next().unwrap()));
    std.args(words).stdin(Stdio::null());
    let mut command_ = tokio::process::Command::from(std);
    command_.kill_on_drop(true);
    within(LONG, command, command_.output()).await.unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What a command prints; it must succeed.
async fn prints(host: &Host, command: &str) -> String {
    let output = run(host, command).await;
    assert!(output.status.success(), "{command}: {}", said(&output));
    said(&output)
}

/// Waits until one ping is answered.
async fn answers(host: &Host, ip: &str) {
    wait::eventually_within(LONG, &format!("{ip} answers"), async || {
        let output = run(host, &format!("ping -c 1 -W 1 {ip}")).await;
        output.status.success()
    })
    .await;
}

async fn is_silent(host: &Host, ip: &str) {
    let output = run(host, &format!("ping -c 2 -i 0.2 -W 1 {ip}")).await;
    assert!(!output.status.success(), "{}", said(&output));
}

/// Pings of one packet and of many fragments, and those that may not be cut: 1420 bytes pass, and no more.
async fn pings(host: &Host, ip: &str) {
    // The header of IP, and 8 bytes of ICMP.
    let most = if ip.contains(':') {
        1420 - 48
    } else {
        1420 - 28
    };
    for size in [56, most, most + 1, 3000, 20_000] {
        let answered = prints(host, &format!("ping -c 3 -i 0.2 -W 5 -s {size} {ip}")).await;
        assert!(answered.contains(" 0% packet loss"), "{size}: {answered}");
    }
    prints(host, &format!("ping -c 1 -W 5 -M do -s {most} {ip}")).await;
    let too_long = run(host, &format!("ping -c 1 -W 1 -M do -s {} {ip}", most + 1)).await;
    assert!(!too_long.status.success());
    assert!(said(&too_long).contains("mtu"), "{}", said(&too_long));
}

/// A server of iperf3 that ends with the value.
async fn iperf3_server(host: &Host, directory: &FilePath) -> Program {
    let server = host.spawn(FilePath::new("iperf3"), ["-s", "--forceflush"], directory);
    server.expect("Server listening").await;
    server
}

/// TCP in both directions, and UDP with datagrams that are cut into fragments.
async fn carries_much(host: &Host, ip: &str) {
    for how in ["-n 20M", "-n 20M -R", "-u -b 5M -l 4000 -n 400K"] {
        let told = prints(
            host,
            &format!("iperf3 -c {ip} {how} --connect-timeout 5000"),
        )
        .await;
        assert!(told.contains("iperf Done"), "{how}: {told}");
        if how.starts_with("-u") {
            assert!(told.contains("(0%)"), "{told}");
        }
    }
}

/// What must be there, or the test is left out.
fn network(more: u8) -> Option<Network> {
    for tool in ["ping", "iperf3"] {
        let there = std::process::Command::new(tool).arg("-V").output();
        if there.is_err() {
            skipped(tool);
            return None;
        }
    }
    Network::with_more(more, Path::default(), Open)
}

async fn frps(net: &Network, rig: &Rig, side: &Side) -> Program {
    frps_on(&net.server, rig, side).await
}

async fn frps_on(host: &Host, rig: &Rig, side: &Side) -> Program {
    let config = format!("bindPort = {PORT}\n{COMMON}");
    let frps = host.start(rig, side, "frps", &config);
    frps.expect("frps started successfully").await;
    frps
}

/// A frpc whose machine has `address`, with these keys in front of tables.
fn frpc(net: &Network, rig: &Rig, host: &Host, side: &Side, address: &str, rest: &str) -> Program {
    frpc_of(net.server.ip, rig, host, side, address, rest)
}

fn frpc_of(
    server: Ipv4Addr,
    rig: &Rig,
    host: &Host,
    side: &Side,
    address: &str,
    rest: &str,
) -> Program {
    let config = format!(
        "serverAddr = \"{server}\"\nserverPort = {PORT}\n{COMMON}featureGates = {{ VirtualNet = true }}\n\
         virtualNet.address = \"{address}\"\n{rest}"
    );
    host.start(rig, side, "frpc", &config)
}

const OWNER: &str = "[[proxies]]\nname = \"machine\"\ntype = \"stcp\"\nsecretKey = \"s\"\n\
                     plugin = { type = \"virtual_net\" }\n";

fn visitor(name: &str, proxy: &str, ip: &str, lines: &str) -> String {
    format!(
        "[[visitors]]\nname = \"{name}\"\ntype = \"stcp\"\nserverName = \"{proxy}\"\nsecretKey = \"s\"\n\
         bindPort = -1\n{lines}plugin = {{ type = \"virtual_net\", destinationIP = \"{ip}\" }}\n"
    )
}

/// The devices of a host that are ours, and what leads to them.
async fn left(host: &Host) -> String {
    let links = prints(host, "ip -o link").await;
    let routes = prints(host, "ip route show table all").await;
    let addresses = prints(host, "ip -o address").await;
    let all = format!("{links}{routes}{addresses}");
    all.lines().filter(|line| line.contains("utun")).collect()
}

/// An owner and a visitor of these sides; all that two machines do with each other.
async fn reach_each_other(sides: [&Side; 3], ips: [&str; 2], prefix: u8, legs: [&str; 2]) {
    let Some(net) = network(0) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, sides[0]).await;
    let (a, b) = (&net.client, &net.proxy);
    let _served = iperf3_server(a, rig.path()).await;
    let proxy = format!("{OWNER}{}", legs[0]);
    let owner = frpc(
        &net,
        &rig,
        a,
        sides[1],
        &format!("{}/{prefix}", ips[0]),
        &proxy,
    );
    owner.expect("[machine] start proxy success").await;
    let visit = visitor("way", "machine", ips[0], legs[1]);
    let _visitor = frpc(
        &net,
        &rig,
        b,
        sides[2],
        &format!("{}/{prefix}", ips[1]),
        &visit,
    );
    answers(b, ips[0]).await;
    answers(a, ips[1]).await;
    pings(b, ips[0]).await;
    pings(a, ips[1]).await;
    carries_much(b, ips[0]).await;
}

const IPV4: [&str; 2] = ["100.86.0.1", "100.86.0.2"];
const IPV6: [&str; 2] = ["fd86::1", "fd86::2"];
const PLAIN: [&str; 2] = ["", ""];

#[tokio::test]
async fn two_machines_reach_each_other() {
    reach_each_other([&Side::Ours; 3], IPV4, 24, PLAIN).await;
}

#[tokio::test]
async fn two_machines_reach_each_other_by_ipv6() {
    reach_each_other([&Side::Ours; 3], IPV6, 64, PLAIN).await;
}

#[tokio::test]
async fn packets_go_under_cipher_and_compression() {
    let lines = "transport.useEncryption = true\ntransport.useCompression = true\n";
    reach_each_other([&Side::Ours; 3], IPV4, 24, [lines, lines]).await;
}

#[tokio::test]
async fn our_visitor_reaches_their_owner() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    reach_each_other([&go, &go, &Side::Ours], IPV4, 24, PLAIN).await;
}

#[tokio::test]
async fn their_visitor_reaches_our_owner() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    reach_each_other([&Side::Ours, &Side::Ours, &go], IPV4, 24, PLAIN).await;
}

#[tokio::test]
async fn their_visitor_reaches_our_owner_by_ipv6() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    reach_each_other([&go, &Side::Ours, &go], IPV6, 64, PLAIN).await;
}

/// Packets go by the path through two NATs that a xtcp proxy has.
#[tokio::test]
async fn two_machines_reach_each_other_by_a_direct_path() {
    if network(0).is_none() {
        return;
    }
    let kind = NatKind::FullCone;
    let Some(net) = NatNetwork::new(kind, kind) else {
        return;
    };
    let rig = Rig::new();
    let _frps = frps_on(&net.server, &rig, &Side::Ours).await;
    let direct = |tables: &str| {
        let tables = tables.replace("\"stcp\"", "\"xtcp\"");
        format!("natHoleStunServer = \"{}\"\n{tables}", net.stun.addr)
    };
    let start = |host: &Host, address: &str, tables: &str| {
        frpc_of(
            net.server.ip,
            &rig,
            host,
            &Side::Ours,
            address,
            &direct(tables),
        )
    };
    let owner = start(&net.owner, "100.86.0.1/24", OWNER);
    owner.expect("[machine] start proxy success").await;
    let visit = visitor("way", "machine", "100.86.0.1", "");
    let visitor = start(&net.visitor, "100.86.0.2/24", &visit);
    visitor
        .expect_from(0, "users go by the direct path to", LONG)
        .await;
    answers(&net.visitor, "100.86.0.1").await;
    pings(&net.visitor, "100.86.0.1").await;
}

/// Each visits the other, so that what goes out and what comes in take different connections.
#[tokio::test]
async fn two_machines_that_visit_each_other() {
    let Some(net) = network(0) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let (a, b) = (&net.client, &net.proxy);
    let with = |own: &str, other: &str, ip: &str| {
        OWNER.replace("machine", own) + &visitor("way", other, ip, "")
    };
    let one = frpc(
        &net,
        &rig,
        a,
        &Side::Ours,
        "100.86.0.1/24",
        &with("a", "b", "100.86.0.2"),
    );
    one.expect("[a] start proxy success").await;
    let _other = frpc(
        &net,
        &rig,
        b,
        &Side::Ours,
        "100.86.0.2/24",
        &with("b", "a", "100.86.0.1"),
    );
    answers(b, "100.86.0.1").await;
    answers(a, "100.86.0.2").await;
    pings(a, "100.86.0.2").await;
}

/// Ten machines by one proxy. One that does not take its packets holds up none of the others.
#[tokio::test]
async fn ten_machines_reach_the_eleventh_and_one_that_hangs_holds_up_none() {
    let Some(net) = network(9) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let hub = &net.client;
    let owner = frpc(&net, &rig, hub, &Side::Ours, "100.86.0.1/24", OWNER);
    owner.expect("[machine] start proxy success").await;
    let _served = iperf3_server(hub, rig.path()).await;
    let visit = visitor("way", "machine", "100.86.0.1", "");
    let hosts: Vec<&Host> = std::iter::once(&net.proxy).chain(&net.more).collect();
    let start = |(n, host): (usize, &&Host)| {
        frpc(
            &net,
            &rig,
            host,
            &Side::Ours,
            &format!("100.86.0.{}/24", n + 2),
            &visit,
        )
    };
    let visitors: Vec<Program> = hosts.iter().enumerate().map(start).collect();
    for host in &hosts {
        answers(host, "100.86.0.1").await;
    }
    for n in 0..hosts.len() {
        answers(hub, &format!("100.86.0.{}", n + 2)).await;
    }
    // The first of them stops, and more than its queue holds is sent to it.
    visitors[0].signal("STOP").await;
    let flood = hub.spawn(
        FilePath::new("ping"),
        ["-f", "-s", "60000", "-c", "2000", "-W", "1", "100.86.0.2"],
        rig.path(),
    );
    for (n, host) in hosts.iter().enumerate().skip(1) {
        let answered = prints(hub, &format!("ping -c 3 -i 0.2 -W 5 100.86.0.{}", n + 2)).await;
        assert!(answered.contains(" 0% packet loss"), "{answered}");
        if n == 1 {
            carries_much(host, "100.86.0.1").await;
        }
    }
    drop(flood);
    visitors[0].signal("CONT").await;
    answers(hub, "100.86.0.2").await;
}

#[tokio::test]
async fn device_address_and_routes_go_with_the_program_however_it_ends() {
    let Some(net) = network(0) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let (a, b) = (&net.client, &net.proxy);
    let mut owner = frpc(&net, &rig, a, &Side::Ours, "100.86.0.1/24", OWNER);
    owner.expect("[machine] start proxy success").await;
    let visit = visitor("way", "machine", "100.86.0.1", "");
    let _visitor = frpc(&net, &rig, b, &Side::Ours, "100.86.0.2/24", &visit);
    answers(b, "100.86.0.1").await;
    let there = left(a).await;
    assert!(
        there.contains("mtu 1420") && there.contains("100.86.0.0/24 dev utun0"),
        "{there}"
    );
    for signal in ["TERM", "KILL", "INT"] {
        owner.signal(signal).await;
        owner.exit_status_within(LONG).await;
        assert_eq!(left(a).await, "", "after SIG{signal}");
        owner.start_again();
        owner.expect("[machine] start proxy success").await;
        assert!(left(a).await.contains("100.86.0.0/24 dev utun0"));
        // Which takes frp's visitor a minute.
        answers(b, "100.86.0.1").await;
    }
}

#[tokio::test]
async fn a_reload_adds_and_removes_machines_and_the_device_stays() {
    let Some(net) = network(0) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let (a, b) = (&net.client, &net.proxy);
    let owner = frpc(&net, &rig, a, &Side::Ours, "100.86.0.1/24", OWNER);
    owner.expect("[machine] start proxy success").await;
    let server = net.server.ip;
    let common = format!(
        "serverAddr = \"{server}\"\nserverPort = {PORT}\n{COMMON}featureGates.VirtualNet = true\n\
         virtualNet.address = \"100.86.0.2/24\"\n"
    );
    let file = rig.file("frpc-reloaded.toml", &common);
    let args = ["-c".into(), file.clone().into_os_string()];
    let peer = b.spawn(&Side::Ours.program("frpc"), args, rig.path());
    peer.expect("login to server success").await;
    let device = left(b).await;
    assert!(device.contains("utun0"));
    let reload = async |text: &str, line: &str| {
        let mark = peer.log().lines().len();
        std::fs::write(&file, format!("{common}{text}")).unwrap();
        peer.signal("HUP").await;
        peer.expect_from(mark, line, LONG).await;
    };
    reload(
        &visitor("way", "machine", "100.86.0.1", ""),
        "visitor added: [way]",
    )
    .await;
    answers(b, "100.86.0.1").await;
    reload("", "visitor removed: [way]").await;
    is_silent(b, "100.86.0.1").await;
    assert_eq!(left(b).await, device);
}

#[tokio::test]
async fn an_owner_that_comes_later_is_reached_with_the_next_packet() {
    let Some(net) = network(0) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let visit = visitor("way", "machine", "100.86.0.1", "");
    let early = frpc(&net, &rig, &net.proxy, &Side::Ours, "100.86.0.2/24", &visit);
    let line = early.expect("of the virtual network is not reached").await;
    assert!(line.contains("trying again in 60 s"), "{line}");
    let owner = frpc(&net, &rig, &net.client, &Side::Ours, "100.86.0.1/24", OWNER);
    owner.expect("[machine] start proxy success").await;
    answers(&net.proxy, "100.86.0.1").await;
}

/// A stream to the plugin of an owner, by a visitor that is a port.
async fn raw(net: &Network, rig: &Rig, host: &Host, proxy: &str) -> (Program, TcpStream) {
    let server = net.server.ip;
    let port = 6001;
    let config = format!(
        "serverAddr = \"{server}\"\nserverPort = {PORT}\n{COMMON}[[visitors]]\nname = \"raw\"\ntype = \"stcp\"\n\
         serverName = \"{proxy}\"\nsecretKey = \"s\"\nbindAddr = \"{}\"\nbindPort = {port}\n",
        host.ip
    );
    let frpc = host.start(rig, &Side::Ours, "frpc", &config);
    frpc.expect("start visitor success").await;
    let stream = host
        .connect(std::net::SocketAddrV4::new(host.ip, port))
        .await;
    (frpc, stream.unwrap())
}

fn sum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A frame with a ping.
fn ping_frame(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let checksum = sum(&icmp);
    icmp[2..4].copy_from_slice(&checksum);
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0];
    packet.extend(from);
    packet.extend(to);
    let checksum = sum(&packet);
    packet[10..12].copy_from_slice(&checksum);
    packet.extend(icmp);
    let mut frame = (packet.len() as u32).to_le_bytes().to_vec();
    frame.extend(packet);
    frame
}

/// The source and the destination of the next packet.
async fn next_packet(stream: &mut TcpStream) -> ([u8; 4], [u8; 4]) {
    let reading = async {
        loop {
            let length = stream.read_u32_le().await.unwrap();
            let mut packet = vec![0; length as usize];
            stream.read_exact(&mut packet).await.unwrap();
            if packet[0] >> 4 == 4 {
                let address = |at: usize| packet[at..at + 4].try_into().unwrap();
                return (address(12), address(16));
            }
        }
    };
    within(SOON, "a packet", reading).await
}

const SOON: Duration = Duration::from_secs(20);
const ME: [u8; 4] = [100, 86, 0, 9];
const HUB: [u8; 4] = [100, 86, 0, 1];

#[tokio::test]
async fn packets_of_a_peer_come_from_its_own_addresses_only() {
    let Some(net) = network(1) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let owner = frpc(&net, &rig, &net.client, &Side::Ours, "100.86.0.1/24", OWNER);
    owner.expect("[machine] start proxy success").await;
    let visit = visitor("way", "machine", "100.86.0.1", "");
    let _honest = frpc(
        &net,
        &rig,
        &net.more[0],
        &Side::Ours,
        "100.86.0.2/24",
        &visit,
    );
    answers(&net.more[0], "100.86.0.1").await;
    let received = async || {
        let all = prints(
            &net.client,
            "cat /sys/class/net/utun0/statistics/rx_packets",
        )
        .await;
        all.trim().parse::<u64>().unwrap()
    };
    let (_hostile, mut stream) = raw(&net, &rig, &net.proxy, "machine").await;
    stream.write_all(&ping_frame(ME, HUB)).await.unwrap();
    assert_eq!(next_packet(&mut stream).await, (HUB, ME));
    let before = received().await;
    // The hub's own, of no machine, not of the network.
    for source in [
        HUB,
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [169, 254, 1, 1],
        [8, 8, 8, 8],
        [10, 77, 2, 2],
    ] {
        stream.write_all(&ping_frame(source, HUB)).await.unwrap();
    }
    for destination in [[127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        stream
            .write_all(&ping_frame(ME, destination))
            .await
            .unwrap();
    }
    // Neither a packet nor the end: shorter than its header says, of no version, longer than a packet may be.
    let mut cut = ping_frame(ME, HUB);
    cut.truncate(24);
    cut[0] = 20;
    stream.write_all(&cut).await.unwrap();
    stream.write_all(&[3, 0, 0, 0, 0xff, 1, 2]).await.unwrap();
    let mut long = 100_000_u32.to_le_bytes().to_vec();
    long.resize(100_004, 0x45);
    stream.write_all(&long).await.unwrap();
    stream.write_all(&ping_frame(ME, HUB)).await.unwrap();
    assert_eq!(next_packet(&mut stream).await, (HUB, ME));
    assert_eq!(received().await, before + 1);
    // A frame of more than 1 MiB is the end.
    stream.write_all(&[0, 0, 0x11, 0]).await.unwrap();
    until_closed(&mut stream, SOON, "the hostile peer").await;
    owner
        .expect("announces 1114112 bytes, more than 1 MiB")
        .await;
    let line = owner.expect("packets dropped: ").await;
    for part in [
        "3 malformed",
        "6 from addresses that are not the peer's, such as 100.86.0.1",
        "3 for no machine's address",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    answers(&net.more[0], "100.86.0.1").await;
}

#[tokio::test]
async fn what_keeps_the_network_from_starting_is_said_with_what_to_do() {
    let Some(net) = network(0) else { return };
    let rig = Rig::new();
    let _frps = frps(&net, &rig, &Side::Ours).await;
    let host = &net.client;
    let refused = async |address: &str, text: &[&str]| {
        let mut frpc = frpc(&net, &rig, host, &Side::Ours, address, OWNER);
        let line = frpc.expect("init virtual network controller error: ").await;
        for part in text {
            assert!(line.contains(part), "no {part} in {line}");
        }
        assert_eq!(frpc.exit_code().await, Some(1));
    };
    prints(host, "ip tuntap add dev other mode tun").await;
    prints(host, "ip address add 100.86.0.7/24 dev other").await;
    prints(host, "ip link set other up").await;
    refused(
        "100.86.0.7/24",
        &["100.86.0.7 is the address of other already"],
    )
    .await;
    let text = [
        "the network 100.86.0.7/24 is that of other already",
        "ip link delete other",
    ];
    refused("100.86.0.1/24", &text).await;
    assert_eq!(left(host).await, "");
    assert!(
        prints(host, "ip route")
            .await
            .contains("100.86.0.0/24 dev other")
    );

    let config = rig.config(
        "frpc",
        "featureGates.VirtualNet = true\nvirtualNet.address = \"100.87.0.1/24\"\n",
    );
    let mut args = vec![
        "--bounding-set=-net_admin".into(),
        "--inh-caps=-net_admin".into(),
    ];
    args.push(Side::Ours.program("frpc").into_os_string());
    args.extend(["-c".into(), config.into_os_string()]);
    let weak = host.spawn(FilePath::new("setpriv"), args, rig.path());
    let line = weak.expect("init virtual network controller error: ").await;
    assert!(
        line.contains("run frpc as root, or give it CAP_NET_ADMIN"),
        "{line}"
    );
}

#[tokio::test]
async fn the_plugins_want_a_network() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let both = OWNER.to_owned() + &visitor("way", "machine", "100.86.0.2", "");
    let frpc = rig.frpc(frps.port, &both);
    let text = "this frpc has no virtual network; set virtualNet.address";
    frpc.expect(&format!(
        "[machine] start error: plugin virtual_net: {text}"
    ))
    .await;
    frpc.expect(&format!("[way] start error: plugin virtual_net: {text}"))
        .await;
    let mut gateless = rig.frpc(frps.port, "virtualNet.address = \"100.86.0.1/24\"\n");
    gateless.expect("VirtualNet feature is not enabled").await;
    assert_eq!(gateless.exit_code().await, Some(1));
}
