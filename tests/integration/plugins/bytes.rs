//! Plugins that pass bytes on as they are: unix_domain_socket and tls2raw.

use std::path::Path;

use frp_tests::clients::until_closed;
use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::plugged;

/// Echoes on a Unix socket until the set is dropped.
fn unix_echo(path: &Path) -> JoinSet<()> {
    let listener = UnixListener::bind(path).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut users = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            users.spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    tasks
}

fn unix_plugin(path: &Path) -> String {
    format!("type = \"unix_domain_socket\"\nunixPath = {path:?}\n")
}

#[tokio::test]
async fn a_unix_socket_is_published() {
    let layers = "transport.useEncryption = true\ntransport.useCompression = true";
    for lines in ["", layers] {
        let rig = Rig::new();
        let path = rig.path().join("echo.sock");
        let _service = unix_echo(&path);
        let web = plugged(&rig, lines, &unix_plugin(&path)).await;
        echo(web.port, &pattern(700_000, 1)).await;

        // The end of one direction is passed on; the other goes on.
        let mut user = connect(web.port).await;
        user.write_all(b"last words").await.unwrap();
        user.shutdown().await.unwrap();
        assert_eq!(clients::read_all(&mut user).await, b"last words");
    }
}

#[tokio::test]
async fn a_unix_socket_is_told_the_users_address() {
    let rig = Rig::new();
    let path = rig.path().join("service.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let lines = "transport.proxyProtocolVersion = \"v1\"";
    let web = plugged(&rig, lines, &unix_plugin(&path)).await;
    let mut user = connect(web.port).await;
    user.write_all(b"hello").await.unwrap();
    let from = user.local_addr().unwrap().port();
    let (mut service, _) = within(SOON, "the service is reached", listener.accept())
        .await
        .unwrap();
    let expected = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {from} {}\r\nhello",
        web.port
    );
    let mut heard = vec![0; expected.len()];
    within(SOON, "header and data", service.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), expected);
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_named_and_the_user_sees_the_end() {
    let rig = Rig::new();
    let path = rig.path().join("late.sock");
    let web = plugged(&rig, "", &unix_plugin(&path)).await;
    until_closed(&mut connect(web.port).await, SOON, "no service").await;
    let why = format!(
        "[web] dial to uds {0} error: dial unix {0}: connect: no such file or directory",
        path.display()
    );
    web.frpc.expect(&why).await;

    // The proxy runs on, and serves when the service is there.
    let _service = unix_echo(&path);
    echo(web.port, b"now").await;
}
