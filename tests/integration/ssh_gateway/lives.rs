//! How long a tunnel lives, and what it does meanwhile.

use std::time::Duration;

use frp_tests::clients::{echoes, until_echoes};
use frp_tests::ssh_clients::{SSH_CLIENTS, SshClient};
use frp_tests::wait::eventually_within;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Office, SOON};

#[tokio::test]
async fn a_client_that_dies_frees_its_names_at_once() {
    let office = Office::open("").await;
    let service = Service::echo().await;
    for client in SSH_CLIENTS {
        let port = free_port();
        let command = format!("tcp -n mine -r {port}");
        for signal in ["KILL", "TERM"] {
            let mut ssh = office.gateway().run(client, service.port, &command);
            ssh.expect("RemoteAddress").await;
            ssh.signal(signal).await;
            ssh.exit_status_within(SOON).await;
            let what = format!("{client:?} is forgotten after SIG{signal}");
            eventually_within(Duration::from_secs(5), &what, || async {
                !echoes(port).await
            })
            .await;
        }
        let again = office.gateway().run(client, service.port, &command);
        again.expect("ProxyName: mine").await;
    }
}

/// Its connection is there, and nobody at its other end.
#[tokio::test]
async fn a_client_that_is_silent_is_noticed() {
    let office = Office::open("").await;
    let service = Service::echo().await;
    let port = free_port();
    let ssh = office.ssh(service.port, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    ssh.signal("STOP").await;
    let gone = || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
    };
    eventually_within(Duration::from_secs(90), "the silent client is gone", gone).await;
    ssh.signal("CONT").await;
}

#[tokio::test]
async fn keys_are_exchanged_again_under_load() {
    let office = Office::open("").await;
    let service = Service::echo().await;
    let port = free_port();
    let options = [
        "-R",
        &format!("80:127.0.0.1:{}", service.port),
        "-o",
        "RekeyLimit=300K",
    ];
    let options = options.map(str::to_owned);
    let ssh = office
        .gateway()
        .run_with(SshClient::OpenSsh, options, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    let users: Vec<_> = (0..4)
        .map(|n| tokio::spawn(async move { echo(port, &pattern(2_000_000, n)).await }))
        .collect();
    for user in users {
        user.await.unwrap();
    }
}

/// A service that echoes, or sends without an end to one who asks for that.
async fn tap() -> Service {
    Service::new(|mut stream| async move {
        let mut asked = [0; 4];
        if stream.read_exact(&mut asked).await.is_err() {
            return;
        }
        if &asked == b"tap!" {
            let water = vec![7; 64 * 1024];
            while stream.write_all(&water).await.is_ok() {}
            return;
        }
        let (mut reader, mut writer) = stream.split();
        if writer.write_all(&asked).await.is_ok() {
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    })
    .await
}

#[tokio::test]
async fn users_that_read_nothing_hold_up_nobody_and_cost_little() {
    let office = Office::open("").await;
    let service = tap().await;
    let port = free_port();
    let ssh = office.ssh(service.port, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    until_echoes(port, SOON).await;
    let before = office.frps.program.private_bytes();
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut user = connect(port).await;
        user.write_all(b"tap!").await.unwrap();
        deaf.push(user);
    }
    for n in 0..10 {
        echo(port, &pattern(500_000, n)).await;
    }
    let held = office.frps.program.private_bytes().saturating_sub(before);
    // The window of each, and a buffer that has grown by halves.
    assert!(held < 20 * 4 * 1024 * 1024, "{held} bytes");
    // And they get what they wanted once they read.
    let mut user = deaf.pop().unwrap();
    let mut heard = vec![0; 8 * 1024 * 1024];
    within(SOON, "the tap runs", user.read_exact(&mut heard))
        .await
        .unwrap();
    assert!(heard.iter().all(|byte| *byte == 7));
}

/// The other way: a service that reads nothing.
#[tokio::test]
async fn a_service_that_reads_nothing_holds_up_nobody() {
    let office = Office::open("").await;
    let service = Service::new(|mut stream| async move {
        let mut asked = [0; 4];
        if stream.read_exact(&mut asked).await.is_ok() {
            if &asked == b"deaf" {
                return std::future::pending().await;
            }
            let (mut reader, mut writer) = stream.split();
            if writer.write_all(&asked).await.is_ok() {
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        }
    })
    .await;
    let port = free_port();
    let ssh = office.ssh(service.port, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    until_echoes(port, SOON).await;
    let mut talkers = Vec::new();
    for _ in 0..5 {
        let mut user = connect(port).await;
        talkers.push(tokio::spawn(async move {
            let _ = user.write_all(b"deaf").await;
            let words = vec![1; 64 * 1024];
            while user.write_all(&words).await.is_ok() {}
        }));
    }
    for n in 0..10 {
        echo(port, &pattern(500_000, n)).await;
    }
    talkers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn the_address_of_the_user_arrives() {
    let office = Office::open("").await;
    let service = Service::echo().await;
    let port = free_port();
    let options = [
        "-v",
        "-o",
        "LogLevel=DEBUG1",
        "-R",
        &format!("80:127.0.0.1:{}", service.port),
    ];
    // The first of an option counts, so the level is given in its own place.
    let options = options.map(str::to_owned);
    let ssh = office
        .gateway()
        .run_with(SshClient::OpenSsh, options, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    let mut user = connect(port).await;
    let from = user.local_addr().unwrap();
    clients::echo_on(&mut user, b"hello").await;
    ssh.expect(&format!("originator 127.0.0.1 port {}", from.port()))
        .await;
}

/// One connection, two commands with a port each; one of them goes.
#[tokio::test]
async fn a_shared_connection_has_several_tunnels() {
    let office = Office::open("").await;
    let (one, two) = (
        Service::greeting("one").await,
        Service::greeting("two").await,
    );
    let socket = office.rig.path().join("control");
    let shared = |service: u16, listen: u16| {
        [
            "-S".to_owned(),
            socket.display().to_string(),
            "-o".to_owned(),
            "ControlMaster=auto".to_owned(),
            "-R".to_owned(),
            format!("{listen}:127.0.0.1:{service}"),
        ]
    };
    let (first, second) = (free_port(), free_port());
    let gateway = office.gateway();
    let master = gateway.run_with(
        SshClient::OpenSsh,
        shared(one.port, 80),
        &format!("tcp -n a -r {first}"),
    );
    master.expect("RemoteAddress").await;
    let mut other = gateway.run_with(
        SshClient::OpenSsh,
        shared(two.port, 81),
        &format!("tcp -n b -r {second}"),
    );
    other.expect("RemoteAddress").await;
    let heard = |port| async move {
        let mut user = connect(port).await;
        let mut heard = [0; 3];
        within(SOON, "a greeting", user.read_exact(&mut heard))
            .await
            .unwrap();
        String::from_utf8(heard.to_vec()).unwrap()
    };
    assert_eq!(heard(first).await, "one");
    assert_eq!(heard(second).await, "two");
    other.kill().await;
    let gone = || async {
        tokio::net::TcpStream::connect(("127.0.0.1", second))
            .await
            .is_err()
    };
    eventually("the second is gone", gone).await;
    assert_eq!(heard(first).await, "one");
}

#[tokio::test]
async fn a_port_that_is_left_to_the_server_is_told() {
    let office = Office::open("").await;
    let service = Service::echo().await;
    let port = free_port();
    let options = ["-R".to_owned(), format!("0:127.0.0.1:{}", service.port)];
    let ssh = office
        .gateway()
        .run_with(SshClient::OpenSsh, options, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    until_echoes(port, SOON).await;
}

#[tokio::test]
async fn a_frps_that_ends_ends_its_ssh_clients() {
    let mut office = Office::open("").await;
    let service = Service::echo().await;
    let mut ssh = office.ssh(service.port, "tcp");
    ssh.expect("RemoteAddress").await;
    office.frps.program.signal("TERM").await;
    office.frps.program.exit_code().await;
    assert_eq!(ssh.exit_code().await, Some(255));
}

#[tokio::test]
async fn it_is_a_client_like_any_other_and_can_be_ended_by_an_administrator() {
    let web = free_port();
    let office = Office::open(&format!(
        "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\""
    ))
    .await;
    let service = Service::echo().await;
    let mut ssh = office.ssh(service.port, "tcp -n x --client-id box");
    ssh.expect("RemoteAddress").await;
    let clients = http::get(web, "/api/clients").await.body;
    assert!(
        clients.contains("\"box\"") && clients.contains("127.0.0.1"),
        "{clients}"
    );
    let config = office.rig.config(
        "kick.toml",
        &format!(
            "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
        ),
    );
    let kick = ["kick", "box", "-c", &config.display().to_string()].map(str::to_owned);
    let mut kick = office.rig.run(&Side::Ours, "frps", kick);
    assert_eq!(kick.exit_code().await, Some(0), "{}", kick.log().text());
    assert_eq!(ssh.exit_code().await, Some(255));
    let text = ssh.log().text();
    assert!(text.contains("frps has ended the session"), "{text}");
}

#[tokio::test]
async fn without_the_mux_it_is_not_taken_for_silent() {
    let office = Office::open("transport.tcpMux = false\ntransport.heartbeatTimeout = 3").await;
    let service = Service::echo().await;
    let port = free_port();
    let mut ssh = office.ssh(service.port, &format!("tcp -r {port}"));
    ssh.expect("RemoteAddress").await;
    let late = Duration::from_secs(8);
    let _ = tokio::time::timeout(
        late,
        office
            .frps
            .program
            .expect_from(0, "heartbeat timeout", late * 2),
    )
    .await;
    assert!(ssh.is_running());
    echo(port, b"still there").await;
}
