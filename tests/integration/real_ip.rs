//! `transport.realIP`: the local service sees who its user is, without a header.

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::Stdio;
use std::time::Duration;

use frp_tests::clients::{echo_on, until_closed};
use frp_tests::network::middlebox::Open;
use frp_tests::network::{Host, Network, Path};
use frp_tests::openssh::Sshd;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(20);
const PORT: u16 = 7000;
const REMOTE: u16 = 7001;

/// A service that says first who it sees, and then repeats what it hears.
async fn teller() -> Service {
    Service::with_peer(|mut stream, peer| async move {
        let _ = stream.write_all(format!("{peer}\n").as_bytes()).await;
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

async fn user_from(ip: &str, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(ip.parse().unwrap(), 0))
        .unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(to).await.unwrap()
}

/// What the service says that it sees.
async fn seen(user: &mut TcpStream) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(user).read_line(&mut line).await.unwrap();
    line.trim().parse().unwrap()
}

async fn who(rig: &Rig, config: &FilePath, args: &[&str]) -> String {
    let mut command = Command::new(Side::Ours.program("frpc"));
    command.arg("who").args(args).arg("-c").arg(config);
    command.current_dir(rig.path()).stdin(Stdio::null());
    let output = within(SOON, "frpc who ends", command.output())
        .await
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn loopback_has_an_address_for_each_user_that_is_found_again() {
    let rig = Rig::new();
    let (remote, admin) = (free_port(), free_port());
    let frps = rig.frps("").await;
    let service = teller().await;
    let config = format!(
        "webServer.port = {admin}\n{}",
        tcp_proxy(
            "ssh",
            service.port,
            remote,
            "transport.realIP = \"loopback\"\n"
        )
    );
    let mut client = rig.frpc(frps.port, &config);
    client.expect("[ssh] start proxy success").await;
    let file = rig.config("ask", &format!("serverPort = {}\n{config}", frps.port));

    let mut one = user_from("127.0.0.5", remote).await;
    let at = seen(&mut one).await;
    let (first, port) = (at.ip().to_string(), at.port());
    assert!(
        at.ip().is_loopback() && !first.starts_with("127.0."),
        "{at}"
    );
    echo_on(&mut one, b"and all that follows").await;
    client
        .expect(&format!(
            "user [127.0.0.5] is [{first}] at the local service"
        ))
        .await;
    let mut other = user_from("127.0.0.6", remote).await;
    let second = seen(&mut other).await.ip().to_string();
    assert_ne!(first, second);
    let mut again = user_from("127.0.0.5", remote).await;
    assert_eq!(seen(&mut again).await.ip().to_string(), first);

    let told = who(&rig, &file, &[&first]).await;
    let user = one.local_addr().unwrap().to_string();
    let line = told.lines().find(|line| line.contains(&user)).unwrap();
    assert!(
        line.contains("ssh") && line.contains(&port.to_string()),
        "{told}"
    );
    let all = who(&rig, &file, &[]).await;
    assert!(all.contains(&first) && all.contains(&second), "{all}");
    drop((one, again));
    eventually("both have left", || async {
        let told: Value =
            serde_json::from_str(&who(&rig, &file, &[&first, "--json"]).await).unwrap();
        told["connections"].as_array().unwrap().is_empty() && told["user"] == "127.0.0.5"
    })
    .await;
    let told = who(&rig, &file, &[&first]).await;
    assert!(told.contains("127.0.0.5") && told.contains("ago"), "{told}");
    let all = who(&rig, &file, &[]).await;
    assert!(!all.contains(&first) && all.contains(&second), "{all}");
    let nobody = who(&rig, &file, &["127.9.9.9"]).await;
    assert!(
        nobody.contains("no user has had the address 127.9.9.9"),
        "{nobody}"
    );
    let none = who(&rig, &file, &["nobody"]).await;
    assert!(none.contains("name one address"), "{none}");

    // By a frpc that was started again it is the same.
    client.kill().await;
    client.start_again();
    client.expect("[ssh] start proxy success").await;
    let mut one = user_from("127.0.0.5", remote).await;
    assert_eq!(seen(&mut one).await.ip().to_string(), first);
}

#[tokio::test]
async fn where_it_cannot_be_it_says_so() {
    let rig = Rig::new();
    let loopback = "transport.realIP = \"loopback\"\n";
    for (text, why) in [
        (
            tcp_proxy("a", 1, 2, &format!("localIP = \"192.0.2.1\"\n{loopback}")),
            "localIP \"192.0.2.1\" is no address of IPv4 in 127.0.0.0/8",
        ),
        (
            tcp_proxy("a", 1, 2, &format!("localIP = \"::1\"\n{loopback}")),
            "is no address of IPv4 in 127.0.0.0/8",
        ),
        (
            tcp_proxy(
                "a",
                1,
                2,
                "localIP = \"192.0.2.1\"\ntransport.realIP = \"transparent\"\n",
            ),
            "would send its answers to the users and not to frpc",
        ),
        (
            rig::udp_proxy("a", 1, 2, loopback),
            "datagrams of all users go the same way",
        ),
        (
            tcp_proxy("a", 1, 2, &format!("{loopback}plugin.type = \"socks5\"\n")),
            "a plugin serves the users",
        ),
        (
            tcp_proxy("a", 1, 2, "transport.realIP = \"true\"\n"),
            "transparent",
        ),
    ] {
        let mut client = rig.frpc(1, &text);
        let line = client.expect(why).await;
        assert!(line.contains("realIP"), "{line}");
        assert_ne!(client.exit_code().await, Some(0));
    }
}

/// The rules of a host that carry our mark.
async fn rules(host: &Host) -> Vec<String> {
    let mut lines = Vec::new();
    for family in ["-4", "-6"] {
        let mut command = host.command(FilePath::new("ip"));
        command
            .args([family, "-N", "rule", "show"])
            .stdin(Stdio::null());
        let output = Command::from(command).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = text.lines().filter(|line| line.contains("proto 247"));
        lines.extend(ours.map(str::to_owned));
    }
    lines
}

#[tokio::test]
async fn transparent_sshd_sees_the_user_and_rules_come_and_go() {
    let Some(net) = Network::new(Path::default(), Open) else {
        return;
    };
    let rig = Rig::new();
    let frps = format!("bindPort = {PORT}\n");
    let frps = net.server.start(&rig, &Side::Ours, "frps", &frps);
    frps.expect("frps started successfully").await;
    let sshd = Sshd::start_by(rig.path(), |sshd, args| {
        net.client.spawn(sshd, args, rig.path())
    })
    .await;
    let lines = "transport.realIP = \"transparent\"\n";
    let config = |name: &str, remote| {
        let proxy = tcp_proxy(name, sshd.port, remote, lines);
        format!(
            "serverAddr = \"{}\"\nserverPort = {PORT}\n{proxy}",
            net.server.ip
        )
    };

    // Not allowed: it is said, and what to do.
    let file = rig.config("denied", &config("denied", REMOTE + 1));
    let drop_it = ["--bounding-set", "-net_admin,-net_raw"];
    let frpc = Side::Ours.program("frpc");
    let args = drop_it.map(std::ffi::OsString::from).into_iter();
    let args = args.chain([frpc.into_os_string(), "-c".into(), file.into_os_string()]);
    let denied = net.client.spawn(FilePath::new("setpriv"), args, rig.path());
    let line = denied.expect("takes the capability CAP_NET_ADMIN").await;
    assert!(
        line.contains("AmbientCapabilities") && line.contains("loopback"),
        "{line}"
    );
    drop(denied);
    assert!(rules(&net.client).await.is_empty());

    let mut one = net
        .client
        .start(&rig, &Side::Ours, "frpc", &config("one", REMOTE));
    one.expect("[one] start proxy success").await;
    let login = async |port: u16| {
        let mark = sshd.program().log().mark();
        let mut ssh = sshd.ssh_by(
            net.proxy.command(&openssh::find("ssh")),
            net.server.ip,
            port,
        );
        let output = within(SOON, "ssh ends", ssh.arg("echo $SSH_CONNECTION").output()).await;
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let user = net.proxy.ip.to_string();
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with(&format!("{user} ")), "{said} {failed}");
        let accepted = sshd.program().expect_from(mark, "Accepted publickey", SOON);
        assert!(accepted.await.contains(&format!("from {user} port ")));
    };
    login(REMOTE).await;

    // Another frpc beside it has rules of its own.
    let mut two = net
        .client
        .start(&rig, &Side::Ours, "frpc", &config("two", REMOTE + 2));
    two.expect("[two] start proxy success").await;
    login(REMOTE + 2).await;
    let both = rules(&net.client).await;
    // What is not ours stays, even in our table.
    let mut command = net.client.command(FilePath::new("ip"));
    command.args([
        "rule",
        "add",
        "from",
        "127.0.0.9",
        "lookup",
        "1718775808",
        "priority",
        "28000",
    ]);
    assert!(command.status().unwrap().success());
    // Killed, it leaves its own; the next start takes them away.
    one.kill().await;
    assert_eq!(rules(&net.client).await.len(), both.len());
    login(REMOTE + 2).await;
    let mut one = net
        .client
        .start(&rig, &Side::Ours, "frpc", &config("one", REMOTE));
    one.expect("[one] start proxy success").await;
    login(REMOTE).await;
    login(REMOTE + 2).await;
    assert_eq!(rules(&net.client).await, both);
    for client in [&mut one, &mut two] {
        client.signal("TERM").await;
        client.exit_code().await;
    }
    assert!(rules(&net.client).await.is_empty());
    let mut command = net.client.command(FilePath::new("ip"));
    let shown = command.args(["rule", "show"]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("from 127.0.0.9"));
}

#[tokio::test]
async fn who_comes_by_ipv6_is_seen_so() {
    let Some(net) = Network::new(Path::default(), Open) else {
        return;
    };
    let rig = Rig::new();
    let ip = |args: &str| {
        let mut command = net.client.command(FilePath::new("ip"));
        command.args(args.split(' ')).status().unwrap().success()
    };
    if !ip("addr add 2001:db8::5/128 dev lo nodad") {
        return skipped("IPv6");
    }
    let frps = net
        .client
        .start(&rig, &Side::Ours, "frps", &format!("bindPort = {PORT}\n"));
    frps.expect("frps started successfully").await;
    let listener = net.client.within(|| {
        let listener = std::net::TcpListener::bind("[::1]:0")?;
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    });
    let listener = tokio::net::TcpListener::from_std(listener.unwrap()).unwrap();
    let service = Service::on(listener, |mut stream, peer| async move {
        let _ = stream.write_all(format!("{peer}\n").as_bytes()).await;
    });
    let lines = "transport.realIP = \"transparent\"\n";
    let proxy = tcp_proxy("six", service.port, REMOTE, lines);
    let client = net.client.start(
        &rig,
        &Side::Ours,
        "frpc",
        &format!("serverPort = {PORT}\n{proxy}"),
    );
    client.expect("[six] start proxy success").await;
    let user = net.client.within(|| {
        let socket = TcpSocket::new_v6()?;
        socket.bind("[2001:db8::5]:0".parse().unwrap())?;
        Ok::<_, std::io::Error>(socket)
    });
    let to = format!("[2001:db8::5]:{REMOTE}").parse().unwrap();
    let mut user = user.unwrap().connect(to).await.unwrap();
    assert_eq!(seen(&mut user).await.ip().to_string(), "2001:db8::5");
    // One of IPv4 comes to 127.0.0.1, where nobody listens.
    let four = net
        .client
        .connect(std::net::SocketAddrV4::new([127, 0, 0, 1].into(), REMOTE));
    let mut four = four.await.unwrap();
    until_closed(&mut four, SOON, "the user's connection").await;
}
