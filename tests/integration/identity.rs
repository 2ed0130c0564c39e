//! Who frps is: its fingerprint, its key in a file, and a frpc that does not let anybody pose as it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use frp_tests::impostor::Impostor;
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{Authority, Identity};
use frp_tests::wait::SOON;
use frp_tests::*;

fn files(identity: &Identity) -> String {
    let Identity { cert, key } = identity;
    format!("transport.tls.certFile = {cert:?}\ntransport.tls.keyFile = {key:?}\n")
}

/// The fingerprint in a line of frps' log.
async fn fingerprint(frps: &Frps) -> String {
    let line = frps.program.expect("frps key fingerprint: ").await;
    let at = line.find("SHA256:").unwrap();
    line[at..at + 50].to_owned()
}

/// frpc does not get in and says all of `texts`.
async fn refused(mut frpc: Program, texts: &[&str]) {
    let line = frpc.expect("login to the server failed").await;
    for text in texts {
        assert!(line.contains(text), "{text} is not in: {line}");
    }
    assert!(!line.contains("EOF"), "{line}");
    assert_eq!(frpc.exit_code().await, Some(1));
}

/// The rig of who is on the path, with a certificate that looks right, for each transport that has TLS.
#[tokio::test]
async fn who_poses_as_frps_is_refused_and_named() {
    let rig = Rig::new();
    let (ca, theirs) = (
        Authority::new(rig.path(), "ca"),
        Authority::new(rig.path(), "theirs"),
    );
    let own = ca.issue(rig.path(), "frps", &["127.0.0.1"]);
    let false_one = theirs.issue(rig.path(), "impostor", &["127.0.0.1"]);
    let (kcp, quic) = (free_port(), free_port());
    let udp = |kcp: u16, quic: u16| format!("kcpBindPort = {kcp}\nquicBindPort = {quic}\n");
    // The proof of the token names who relays TLS by itself; frp's does not.
    let settings = format!(
        "auth.challenge = \"off\"\n{}{}",
        udp(kcp, quic),
        files(&own)
    );
    let frps = rig.frps(&settings).await;
    let impostor = Impostor::new(&false_one, frps.port, quic).await;
    // Where there is something below the TLS, somebody with a frps of its own.
    let false_kcp = free_port();
    let false_frps = udp(false_kcp, free_port()) + &files(&false_one);
    let false_frps = rig.frps(&false_frps).await;
    let (real, shown) = (fingerprint(&frps).await, fingerprint(&false_frps).await);

    // It relays well.
    let service = Service::echo().await;
    for (n, protocol) in ["tcp", "wss", "quic"].into_iter().enumerate() {
        let port = free_port();
        let frpc = rig.frpc(
            impostor.port,
            &format!(
                "transport.protocol = \"{protocol}\"\n{}",
                tcp_proxy(&format!("p{n}"), service.port, port, "")
            ),
        );
        frpc.expect("start proxy success").await;
        echo(port, &pattern(10_000, 1)).await;
        assert_eq!(impostor.relayed(), n + 1, "{protocol}");
        let warned = |line: &String| line.contains("the identity of frps is not checked");
        assert_eq!(
            frpc.log()
                .lines()
                .iter()
                .filter(|line| warned(line))
                .count(),
            1
        );
    }
    let relayed = impostor.relayed();

    let pin = format!("transport.tls.pin = \"{real}\"\n");
    let bundle = format!("transport.tls.trustedCaFile = {:?}\n", ca.file);
    let system = "transport.tls.trust = \"system\"\n";
    let env = [("SSL_CERT_FILE", ca.file.to_str().unwrap())];
    for (protocol, port, good) in [
        ("tcp", impostor.port, frps.port),
        ("wss", impostor.port, frps.port),
        ("quic", impostor.port, quic),
        ("websocket", false_frps.port, frps.port),
        ("kcp", false_kcp, kcp),
    ] {
        let known = rig.file(
            &format!("known-{protocol}"),
            format!("127.0.0.1:{port} {real}\n"),
        );
        let first_use = format!(
            "transport.tls.trust = \"first-use\"\ntransport.tls.knownServers = {known:?}\n"
        );
        let start = |port: u16, lines: &str| {
            let text = format!(
                "serverAddr = \"127.0.0.1\"\nserverPort = {port}\nlog.disablePrintColor = true\n\
                 transport.protocol = \"{protocol}\"\n{lines}"
            );
            rig.start_with(&Side::Ours, "frpc", &text, &env)
        };
        let changed = [
            "HAS CHANGED",
            "line 1",
            &real,
            &shown,
            "somebody is in between",
            "frps fingerprint",
            "delete line 1 of",
        ];
        let pinned = [
            &*real,
            &shown,
            "transport.tls.pin",
            "somebody is in between",
        ];
        tokio::join!(
            refused(start(port, &pin), &pinned),
            refused(start(port, &first_use), &changed),
            refused(
                start(port, system),
                &["CAs of this machine", "somebody is in between"]
            ),
            refused(
                start(port, &bundle),
                &["transport.tls.trustedCaFile", "somebody is in between"]
            ),
        );
        // All of them let the real one be.
        for lines in [&pin, &bundle, &format!("{system}{pin}")] {
            let frpc = start(good, lines);
            frpc.expect("login to server success").await;
        }
    }
    assert_eq!(impostor.relayed(), relayed, "nobody else was taken in");
    let said = false_frps.program.log().lines();
    assert!(!said.iter().any(|line| line.contains("client login info")));

    // One of several ways is no way around it.
    let auto = format!(
        "transport.protocol = \"auto\"\ntransport.order = [\"tcp\", \"quic\", \"wss\"]\n{pin}"
    );
    refused(
        rig.frpc(impostor.port, &auto),
        &["tcp+tls shows another key", &shown],
    )
    .await;
    assert_eq!(impostor.relayed(), relayed);
}

#[tokio::test]
async fn a_key_is_remembered_from_the_first_login_and_another_one_refused() {
    let rig = Rig::new();
    let store = rig.path().join("frps.key");
    let settings = format!("transport.tls.keyStore = {store:?}\nauth.token = \"right\"\n");
    let mut frps = rig.frps(&settings).await;
    let key = fingerprint(&frps).await;
    let mode = std::fs::metadata(&store).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let known = rig.path().join("known_servers");
    let trust = "transport.tls.trust = \"first-use\"\n";
    // Whoever does not let us in is not the server.
    refused(rig.frpc(frps.port, trust), &["token"]).await;
    assert!(!known.exists());
    let trust = format!("{trust}auth.token = \"right\"\n");
    let frpc = rig.frpc(frps.port, &trust);
    frpc.expect("is known from now on by its key").await;
    let line = format!("127.0.0.1:{} {key} proof\n", frps.port);
    assert_eq!(std::fs::read_to_string(&known).unwrap(), line);

    // The key is that of before, and so are others with it.
    let mark = frpc.log().mark();
    frps.program.kill().await;
    frps.program.start_again();
    frpc.expect_from(mark, "login to server success", SOON)
        .await;
    assert_eq!(std::fs::read_to_string(&known).unwrap(), line);

    // A new one is not taken, neither by who is there nor by who comes.
    let mark = frpc.log().mark();
    frps.program.kill().await;
    std::fs::remove_file(&store).unwrap();
    frps.program.start_again();
    frpc.expect_from(mark, "HAS CHANGED", SOON).await;
    let said = format!("delete line 1 of {}", known.display());
    refused(rig.frpc(frps.port, &trust), &["HAS CHANGED", &key, &said]).await;
    // The way out: frpc that runs sees it, too.
    let mark = frpc.log().mark();
    std::fs::write(&known, "# deleted\n").unwrap();
    let line = frpc.expect_from(mark, "is known from now on", SOON).await;
    assert!(!line.contains(&key), "{line}");
}

/// `frps ARGS`, which ends by itself: its lines and its exit status.
async fn run(rig: &Rig, args: &[&str]) -> (String, Option<i32>) {
    let mut frps = rig.run(&Side::Ours, "frps", args.iter().copied());
    let code = frps.exit_code().await;
    (frps.log().lines().join("\n"), code)
}

#[tokio::test]
async fn frps_tells_its_fingerprint_without_running() {
    let rig = Rig::new();
    let fingerprint_of = async |lines: &str| {
        let file = rig.config("frps", lines);
        run(&rig, &["fingerprint", "-c", file.to_str().unwrap()]).await
    };
    let (said, code) = fingerprint_of("").await;
    assert!(
        said.contains("in its memory only") && said.contains("keyStore"),
        "{said}"
    );
    assert_eq!(code, Some(1));
    let store = rig.path().join("key");
    let lines = format!("transport.tls.keyStore = {store:?}\n");
    let (said, code) = fingerprint_of(&lines).await;
    assert!(said.contains("there is no key yet"), "{said}");
    assert_eq!(code, Some(1));
    let frps = rig.frps(&lines).await;
    let key = fingerprint(&frps).await;
    assert_eq!(fingerprint_of(&lines).await, (key, Some(0)));
    let ca = Authority::new(rig.path(), "ca");
    let identity = ca.issue(rig.path(), "frps", &["frps.example"]);
    let (said, code) = fingerprint_of(&files(&identity)).await;
    assert_eq!(said, of_openssl(&identity.cert));
    assert_eq!(code, Some(0));
    let both = format!("{lines}{}", files(&identity));
    let (said, code) = fingerprint_of(&both).await;
    assert!(said.contains("both name the key of frps"), "{said}");
    assert_eq!(code, Some(1));
}

/// What others make of it.
fn of_openssl(cert: &Path) -> String {
    let script = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform DER | \
                  openssl dgst -sha256 -binary | openssl base64 -A";
    let out = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(cert)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    format!("SHA256:{}", text.trim_end_matches('='))
}
