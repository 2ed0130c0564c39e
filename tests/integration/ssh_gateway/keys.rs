//! By which keys the gateway and its clients know each other.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use frp_tests::clients::until_echoes;
use frp_tests::ssh_clients::{SshClient, SshGateway, fingerprint, make_key};
use frp_tests::*;

use super::{Office, SOON};

#[tokio::test]
async fn the_comment_of_a_key_is_the_user_and_no_token_is_asked_for() {
    let rig = Rig::new();
    let (alice, other) = (rig.path().join("alice"), rig.path().join("other"));
    make_key(&alice, "alice", &["-t", "rsa", "-b", "2048"]);
    make_key(&other, "other", &["-t", "ed25519"]);
    let line = std::fs::read_to_string(alice.with_extension("pub")).unwrap();
    // As such files are: with options, and with lines that are no keys, the last of them.
    let authorized = rig.file(
        "authorized_keys",
        format!("# ours\nno key\n\nrestrict,pty {line}\n# end\n"),
    );
    let web = free_port();
    let office = Office::open(&format!(
        "auth.token = \"tok\"\nauth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n\
         auth.tokens = [{{ name = \"ann\", token = \"anns\", user = \"ann\" }}]\n\
         sshTunnelGateway.authorizedKeysFile = \"{}\"\nwebServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n",
        authorized.display()
    ))
    .await;
    let service = Service::echo().await;
    let with = |key: &Path| SshGateway {
        key: Some(key.to_owned()),
        ..office.gateway()
    };
    let port = free_port();
    let ssh = with(&alice).run(
        SshClient::OpenSsh,
        service.port,
        &format!("tcp -n x -r {port} -u bob"),
    );
    ssh.expect("User: alice").await;
    until_echoes(port, SOON).await;
    let api = http::get(web, "/api/proxy/tcp").await.body;
    assert!(api.contains("alice.x"), "{api}");

    let mut refused = with(&other).run(SshClient::OpenSsh, service.port, "tcp");
    assert_eq!(refused.exit_code().await, Some(255));
    let text = refused.log().text();
    assert!(text.contains("Permission denied"), "{text}");
    let mut keyless = office.ssh(service.port, "tcp --token tok");
    assert_eq!(keyless.exit_code().await, Some(255));

    // What the owner of the file writes counts at once.
    std::fs::copy(other.with_extension("pub"), &authorized).unwrap();
    let ssh = with(&other).run(SshClient::OpenSsh, service.port, "tcp -n y");
    ssh.expect("User: other").await;

    // A key that is nobody's in particular is nobody's who has a token.
    let nobody = rig.path().join("nobody");
    make_key(&nobody, "", &["-t", "ed25519"]);
    std::fs::copy(nobody.with_extension("pub"), &authorized).unwrap();
    let ssh = with(&nobody).run(SshClient::OpenSsh, service.port, "tcp -n z -u ann");
    ssh.expect("to be user [ann] takes a key whose comment")
        .await;
    let ssh = with(&nobody).run(SshClient::OpenSsh, service.port, "tcp -n z -u carl");
    ssh.expect("User: carl").await;
}

/// Whatever a client that is not within frps says of itself.
#[tokio::test]
async fn nobody_is_let_in_without_a_token_because_he_says_so() {
    use frp_tests::wire::{LOGIN, read_v1, v1};
    use serde_json::json;
    use tokio::io::AsyncWriteExt as _;
    let office = Office::open("auth.token = \"tok\"\ntransport.tcpMux = false").await;
    let mut stream = connect(office.frps.port).await;
    let login = json!({
        "version": "0.70.1",
        "client_spec": { "type": "ssh-tunnel", "always_auth_pass": true },
    });
    stream.write_all(&v1(LOGIN, &login)).await.unwrap();
    let (_, answer) = read_v1(&mut stream).await.unwrap();
    assert!(
        answer["error"].as_str().unwrap().contains("token"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_host_key_is_made_once_and_read_by_frp() {
    let mut office = Office::open("").await;
    let key = office.rig.path().join(".autogen_ssh_key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let made = fingerprint(&key);
    office.frps.program.kill().await;
    office.frps.program.start_again();
    office
        .frps
        .program
        .expect("frps started successfully")
        .await;
    assert_eq!(shown(&office).await, made);
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    // Back to frp, and from there to ours with a key that frp has made.
    office.frps.program.kill().await;
    let text = format!(
        "bindPort = {}\nsshTunnelGateway.bindPort = {}\n",
        free_port(),
        office.port
    );
    let mut theirs = office.rig.start(&go, "frps", &text);
    theirs.expect("frps started successfully").await;
    assert_eq!(shown(&office).await, made);
    theirs.kill().await;
    std::fs::remove_file(&key).unwrap();
    theirs.start_again();
    theirs.expect("frps started successfully").await;
    theirs.kill().await;
    let text = std::fs::read_to_string(&key).unwrap();
    assert!(
        text.starts_with("-----BEGIN RSA PRIVATE KEY-----"),
        "{text}"
    );
    office.frps.program.start_again();
    office
        .frps
        .program
        .expect("frps started successfully")
        .await;
    assert_eq!(shown(&office).await, fingerprint(&key));
}

#[tokio::test]
async fn keys_of_all_formats_are_read_and_one_with_a_passphrase_is_refused_with_a_reason() {
    let rig = Rig::new();
    for (name, options) in [
        ("openssh", &["-t", "ed25519"][..]),
        ("pkcs1", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("pkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]),
        ("ecdsa", &["-t", "ecdsa"]),
    ] {
        let key = rig.path().join(name);
        make_key(&key, "", options);
        let office = Office::open(&format!(
            "sshTunnelGateway.privateKeyFile = \"{}\"",
            key.display()
        ))
        .await;
        assert_eq!(shown(&office).await, fingerprint(&key), "{name}");
    }
    let key = rig.path().join("secret");
    make_key(&key, "", &["-t", "ed25519", "-N", "passphrase"]);
    let text = format!(
        "bindPort = {}\nsshTunnelGateway.bindPort = {}\nsshTunnelGateway.privateKeyFile = \"{}\"\n",
        free_port(),
        free_port(),
        key.display()
    );
    let mut frps = rig.start(&Side::Ours, "frps", &text);
    assert_eq!(frps.exit_code().await, Some(1));
    let said = frps.log().text();
    assert!(said.contains("it has a passphrase"), "{said}");
}

/// The fingerprint that clients see.
async fn shown(office: &Office) -> String {
    let file = office.rig.path().join("scanned");
    let port = office.port.to_string();
    let mut scan = tokio::process::Command::new(openssh::find("ssh-keyscan"));
    let output = scan
        .args(["-p", &port, "127.0.0.1"])
        .output()
        .await
        .unwrap();
    std::fs::write(&file, output.stdout).unwrap();
    fingerprint(&file)
}
