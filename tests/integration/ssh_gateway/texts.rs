//! What the user of an ssh client reads.

use frp_tests::ssh_clients::SshClient;
use frp_tests::*;

use super::Office;

/// Commands that come to nothing, and what frp says to each.
const MISTAKES: [(&str, &str); 12] = [
    (
        "tcp --token wrong",
        "login to the server failed: token in login doesn't match token from configuration. \
         With loginFailExit enabled, no additional retries will be attempted",
    ),
    (
        "udp --token tok",
        "invalid proxy type: udp, support types: [tcp http https tcpmux stcp]",
    ),
    ("tcp --bad", "unknown flag: --bad"),
    ("tcp -z", "unknown shorthand flag: 'z' in -z"),
    ("tcp --remote_port", "flag needs an argument: --remote_port"),
    (
        "tcp --remote_port abc",
        "invalid argument \"abc\" for \"-r, --remote-port\" flag: strconv.ParseInt: parsing \"abc\": invalid syntax",
    ),
    (
        "tcp --metadatas a",
        "invalid argument \"a\" for \"--metadatas\" flag: a must be formatted as key=value",
    ),
    (
        "http --token tok --sd a",
        "subdomain is not supported because this feature is not enabled in server",
    ),
    ("tcpmux --token tok -n m -d a.b", "unknown multiplexer []"),
    ("tcp --token tok -n taken", "proxy [taken] already exists"),
    ("tcp --token tok -n y -r TAKEN", "port already used"),
    ("tcp --local_port 80", "unknown flag: --local_port"),
];

async fn each_mistake_is_told(side: &Side) {
    let ports = (free_port(), free_port());
    let office = Office::open_of(
        side,
        &format!(
            "auth.token = \"tok\"\nvhostHTTPPort = {}\ntcpmuxHTTPConnectPort = {}",
            ports.0, ports.1
        ),
    )
    .await;
    let service = Service::echo().await;
    let port = free_port().to_string();
    let first = office.ssh(service.port, &format!("tcp --token tok -n taken -r {port}"));
    first.expect("RemoteAddress").await;
    for (command, said) in MISTAKES {
        let command = command.replace("TAKEN", &port);
        let mut ssh = office.ssh(service.port, &command);
        let status = ssh.exit_code().await;
        let text = ssh.log().text();
        assert!(
            text.lines().any(|line| line.trim_end() == said),
            "{command}: {text}"
        );
        // So that whoever starts it again by itself does, as with frp.
        assert_eq!(status, Some(255), "{command}: {text}");
    }
    // And nobody has lost what it has.
    echo(port.parse().unwrap(), b"still there").await;
}

#[tokio::test]
async fn mistakes_are_told_in_the_words_of_frp() {
    each_mistake_is_told(&Side::Ours).await;
}

#[tokio::test]
async fn frp_tells_them_so() {
    if let Some(go) = Side::reference("0.70.1") {
        each_mistake_is_told(&go).await;
    }
}

#[tokio::test]
async fn help_shows_the_flags() {
    let office = Office::open("").await;
    let mut ssh = office.ssh(1, "http --help");
    assert_eq!(ssh.exit_code().await, Some(255));
    let text = ssh.log().text();
    for word in [
        "ssh v0@{address} [command] [flags]",
        "--custom-domain",
        "--locations",
        "--token",
    ] {
        assert!(text.contains(word), "{text}");
    }
    assert!(!text.contains("--local-port"), "{text}");
}

#[tokio::test]
async fn whoever_forgets_something_is_told_what() {
    let office = Office::open("").await;
    let forward = || ["-R".to_owned(), "80:127.0.0.1:1".to_owned()];
    // A shell is what one asks for who gives no command; dbclient does so at a terminal only.
    for client in [SshClient::OpenSsh, SshClient::Plink] {
        let mut ssh = office.gateway().run_with(client, forward(), "");
        ssh.exit_code().await;
        let text = ssh.log().text();
        assert!(
            text.contains("tcp --remote_port 9090"),
            "{client:?}: {text}"
        );
    }
    let mut ssh = office.gateway().run_with(SshClient::OpenSsh, [], "tcp");
    ssh.exit_code().await;
    let text = ssh.log().text();
    assert!(text.contains("add -R :80:127.0.0.1:8080"), "{text}");
    let mut options = forward().to_vec();
    options.push("-N".to_owned());
    let mut ssh = office.gateway().run_with(SshClient::OpenSsh, options, "");
    assert_eq!(ssh.exit_code().await, Some(255));
}

#[tokio::test]
async fn a_terminal_gets_whole_lines_and_may_interrupt() {
    let office = Office::open("").await;
    let options = ["-tt", "-R", "80:127.0.0.1:1"].map(str::to_owned);
    let mut ssh = office
        .gateway()
        .run_with(SshClient::OpenSsh, options, "tcp -n x --bad");
    ssh.exit_code().await;
    let text = ssh.log().text();
    assert!(text.contains("unknown flag: --bad"), "{text}");
}
