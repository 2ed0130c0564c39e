//! How frpc gets its tokens, and uses them.

use super::*;

#[tokio::test]
async fn a_token_of_the_issuer_opens_and_is_asked_for_once() {
    for (mux, wire) in [(true, "v1"), (false, "v2")] {
        let (rig, issuer) = (Rig::new(), Issuer::start().await);
        let common = format!("{SCOPES}transport.tcpMux = {mux}\n");
        let server = format!(
            "{}{common}transport.heartbeatTimeout = 10\n",
            issuer.server_lines()
        );
        let frps = rig.frps(&server).await;
        let lines = format!(
            "{}{common}transport.wireProtocol = \"{wire}\"\ntransport.heartbeatInterval = 1\n",
            issuer.client_lines()
        );
        let (frpc, port, _service) = tunnel(&rig, &frps, &lines).await;
        eventually("heartbeats", || async {
            frpc.log().count("send heartbeat") >= 4
        })
        .await;
        for _ in 0..5 {
            echo(port, b"again").await;
        }
        assert_eq!(frpc.log().count("login to server success"), 1);
        assert_eq!(
            issuer.count("/token"),
            1,
            "login, pings and work connections share a token"
        );
        assert_eq!(issuer.count(DISCOVERY), 1);
        assert_eq!(issuer.count("/jwks"), 1);
        let asked = last_token_request(&issuer);
        assert_eq!(asked.body, "grant_type=client_credentials&scope=");
        assert!(
            asked
                .head
                .to_lowercase()
                .contains("content-type: application/x-www-form-urlencoded")
        );
    }
}

#[tokio::test]
async fn a_token_is_fetched_anew_before_it_expires_and_always_without_a_time() {
    // Ten seconds before the end it counts as expired: 11 are one, 5 are none.
    for expires_in in [Some(11), Some(5), None] {
        let (rig, issuer) = (Rig::new(), Issuer::start().await);
        issuer.state().expires_in = expires_in;
        let (_frps, frpc, _, _service) = with_heartbeats(&rig, &issuer).await;
        let after_login = issuer.count("/token");
        eventually("fetched again", || async {
            issuer.count("/token") >= after_login + 2
        })
        .await;
        assert!(frpc.log().count("send heartbeat") >= 2);
        assert_eq!(frpc.log().count("login to server success"), 1);
    }
}

#[tokio::test]
async fn all_options_of_the_grant_are_sent_and_parameters_may_carry_the_secret() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().takes_basic = false;
    issuer.state().expires_in = None;
    let scope = "auth.additionalScopes = [\"HeartBeats\"]\n";
    let frps = rig.frps(&format!("{}{scope}", issuer.server_lines())).await;
    let lines = format!(
        "{}{scope}transport.heartbeatInterval = 1\nauth.oidc.scope = \"tunnel office\"\n\
         auth.oidc.audience = \"frps\"\nauth.oidc.additionalEndpointParams = {{ realm = \"a/b\" }}\n",
        issuer.client_lines()
    );
    let (frpc, _, _service) = tunnel(&rig, &frps, &lines).await;
    eventually("a heartbeat", || async { issuer.count("/token") >= 4 }).await;
    let state = issuer.state();
    let with_header = |asked: &&Asked| asked.head.to_lowercase().contains("authorization: basic");
    let grants = || state.asked.iter().filter(|asked| asked.target == "/token");
    assert_eq!(
        grants().filter(with_header).count(),
        1,
        "only until it was refused"
    );
    assert_eq!(
        grants().next_back().unwrap().body,
        "audience=frps&client_id=test-client&client_secret=test+secret%2B%2F%26%25&\
         grant_type=client_credentials&realm=a%2Fb&scope=tunnel+office"
    );
    assert!(
        !frpc.log().text().contains("secret"),
        "no secret in the log"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_said_with_what_to_do() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig.frps(&issuer.server_lines()).await;
    let lines = issuer.client_lines().replace("test secret", "no secret");
    let mut frpc = rig.frpc(frps.port, &lines);
    frpc.expect(
        "connect to server error: couldn't generate OIDC token for login: \
         oauth2: \"invalid_client\" \"who are you?\": the issuer does not accept this client; check \
         auth.oidc.clientID and auth.oidc.clientSecret",
    )
    .await;
    assert_eq!(frpc.exit_code().await, Some(1), "loginFailExit");
    assert_eq!(issuer.count("/token"), 2, "by header and by parameters");
}

/// The keys of the issuer were replaced, and with them a token that would be good for an hour.
#[tokio::test]
async fn a_token_that_is_refused_is_not_used_again() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().expires_in = Some(3600);
    let mut frps = rig.frps(&issuer.server_lines()).await;
    let (frpc, port, _service) = tunnel(&rig, &frps, &issuer.client_lines()).await;
    frps.program.kill().await;
    issuer.rotate(Key::ec("new"));
    let mark = frpc.log().mark();
    frps.program.start_again();
    frpc.expect_from(mark, "[web] start proxy success", LONG)
        .await;
    echo(port, b"hello").await;
    assert_eq!(issuer.count("/token"), 2);
}

#[tokio::test]
async fn what_is_wrong_on_the_way_to_the_endpoint_is_told_apart() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig.frps(&issuer.server_lines()).await;
    let plain = Service::greeting("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let lines = issuer
        .client_lines()
        .replace(&issuer.url, &format!("https://127.0.0.1:{}", plain.port));
    let trusting = format!("{lines}auth.oidc.insecureSkipVerify = true\n");
    rig.frpc(frps.port, &trusting)
        .expect("the token endpoint does not speak TLS with us; if it speaks plain HTTP")
        .await;

    let proxy = format!(
        "auth.oidc.proxyURL = \"http://127.0.0.1:{}\"\n",
        free_port()
    );
    rig.frpc(frps.port, &format!("{}{proxy}", issuer.client_lines()))
        .expect("the proxy on the way to the token endpoint cannot be reached; check")
        .await;
}

#[tokio::test]
async fn an_endpoint_that_is_down_broken_or_silent_is_said_and_tried_again() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig.frps(&issuer.server_lines()).await;
    let service = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let lines = format!("loginFailExit = false\n{}", issuer.client_lines());

    let nobody = lines.replace(&issuer.port.to_string(), &free_port().to_string());
    let frpc = rig.frpc(frps.port, &nobody);
    let line = frpc
        .expect("couldn't generate OIDC token for login: Post \"http://127.0.0.1:")
        .await;
    assert!(
        line.contains("connection refused: the token endpoint does not answer"),
        "{line}"
    );

    issuer.state().broken = Some((503, "<h1>\nbusy</h1>".to_owned()));
    let frpc = rig.frpc(frps.port, &format!("{lines}{proxy}"));
    frpc.expect("oauth2: cannot fetch token: 503 Service Unavailable Response: <h1> busy</h1>")
        .await;
    issuer.state().broken = None;
    issuer.state().hangs = true;
    frpc.expect_from(0, "no answer within 10 s", LONG).await;
    issuer.state().hangs = false;
    frpc.expect_from(0, "[web] start proxy success", LONG).await;
    echo(port, b"hello").await;
}

/// frp `client/control.go`: no ping is sent without credentials, and the next try comes soon.
#[tokio::test]
async fn a_ping_without_a_token_is_tried_again() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().expires_in = None;
    let (_frps, frpc, port, _service) = with_heartbeats(&rig, &issuer).await;
    issuer.state().broken = Some((500, "no".to_owned()));
    let failed = "error during ping authentication: couldn't generate OIDC token for login: oauth2: \
                  cannot fetch token: 500 Internal Server Error Response: no, skip sending ping message";
    eventually("two failures", || async { frpc.log().count(failed) >= 2 }).await;
    issuer.state().broken = None;
    let mark = frpc.log().mark();
    frpc.expect_from(mark, "receive heartbeat from server", LONG)
        .await;
    assert_eq!(
        frpc.log().count("login to server success"),
        1,
        "the session went on"
    );
    echo(port, b"still").await;
}

#[tokio::test]
async fn a_token_source_is_read_anew_each_time() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let scope = "auth.additionalScopes = [\"HeartBeats\"]\n";
    let frps = rig.frps(&format!("{}{scope}", issuer.server_lines())).await;
    let source = |kind: &str| {
        format!(
            "auth.method = \"oidc\"\n{scope}loginFailExit = false\ntransport.heartbeatInterval = 1\n\
             [auth.oidc.tokenSource]\ntype = \"{kind}\"\n"
        )
    };
    let token = rig.path().join("token");
    let by_file = format!("{}file.path = {token:?}\n", source("file"));
    let frpc = rig.frpc(frps.port, &by_file);
    let error = format!(
        "couldn't acquire OIDC token for login: failed to read file {0}: open {0}: no such file or \
         directory: auth.oidc.tokenSource gives no token; check",
        token.display()
    );
    frpc.expect(&error).await;
    rig.file("token", format!("  {}\n", issuer.token("me")));
    frpc.expect_from(0, "receive heartbeat from server", LONG)
        .await;
    rig.file("token", issuer.token("you"));
    frpc.expect("received different OIDC subject in login and ping. new subject: you")
        .await;
    eventually("the next login", || async {
        frpc.log().count("login to server success") >= 2
    })
    .await;
    drop(frpc);

    let by_program = format!(
        "{}exec.command = \"cat\"\nexec.args = [{token:?}]\n",
        source("exec")
    );
    let refused = rig.frpc(frps.port, &by_program);
    refused
        .expect("unsafe feature \"TokenSourceExec\" is not enabled")
        .await;
    let file = rig.file(
        "exec.toml",
        format!(
            "serverPort = {}\nlog.level = \"debug\"\n{by_program}",
            frps.port
        ),
    );
    let args = [
        "-c".into(),
        file.into_os_string(),
        "--allow-unsafe=TokenSourceExec".into(),
    ];
    let frpc = rig.run(&Side::Ours, "frpc", args);
    frpc.expect("receive heartbeat from server").await;
}

#[tokio::test]
async fn the_endpoint_is_reached_through_a_proxy() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let identity = ca.issue(rig.path(), "issuer", &["issuer.test"]);
    let secure = Issuer::start_tls(&identity).await;
    let plain = Issuer::start().await;
    plain.rotate(secure.state().key.clone());
    let frps = rig
        .frps(&format!(
            "{}auth.oidc.skipIssuerCheck = true\n",
            plain.server_lines()
        ))
        .await;

    // By plain http the proxy gets the whole URL, by https it makes a tunnel; it resolves the name.
    let (by_url, mut asked) = proxy(plain.port).await;
    let lines = format!(
        "{}auth.oidc.proxyURL = \"http://me:p%40ss@127.0.0.1:{}\"\n",
        plain
            .client_lines()
            .replace(&format!("127.0.0.1:{}", plain.port), "issuer.test"),
        by_url.port
    );
    let frpc = rig.frpc(frps.port, &lines);
    frpc.expect("login to server success").await;
    let head = asked.recv().await.unwrap();
    assert!(
        head.starts_with("POST http://issuer.test/token HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("proxy-authorization: basic bwu6cebzcw=="),
        "{head}"
    );

    let (by_connect, mut asked) = proxy(secure.port).await;
    let target = format!("127.0.0.1:{}", secure.port);
    let lines = format!(
        "{}auth.oidc.trustedCaFile = {:?}\nauth.oidc.proxyURL = \"http://127.0.0.1:{}\"\n",
        secure.client_lines().replace(&target, "issuer.test"),
        ca.file,
        by_connect.port
    );
    let frpc = rig.frpc(frps.port, &lines);
    frpc.expect("login to server success").await;
    assert!(
        asked
            .recv()
            .await
            .unwrap()
            .starts_with("CONNECT issuer.test:443 HTTP/1.1\r\n")
    );

    // The proxy of the environment, where nothing else is said of the way.
    let lines = format!(
        "serverPort = {}\n{}",
        frps.port,
        plain
            .client_lines()
            .replace(&format!("127.0.0.1:{}", plain.port), "issuer.test")
    );
    let (by_environment, mut asked) = proxy(plain.port).await;
    let url = format!("http://127.0.0.1:{}", by_environment.port);
    let frpc = in_environment(&rig, "frpc", &lines, &[("HTTP_PROXY", Path::new(&url))]);
    frpc.expect("login to server success").await;
    assert!(
        asked
            .recv()
            .await
            .unwrap()
            .starts_with("POST http://issuer.test/token")
    );

    let mut frpc = rig.frpc(
        frps.port,
        &format!(
            "{}auth.oidc.proxyURL = \"ftp://x:secret@y\"\n",
            plain.client_lines()
        ),
    );
    let line = frpc.expect("auth.oidc.proxyURL").await;
    assert!(!line.contains("secret"), "{line}");
    assert_eq!(frpc.exit_code().await, Some(1));
}

#[tokio::test]
async fn a_redirect_within_the_server_is_followed() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig.frps(&issuer.server_lines()).await;
    let frpc = rig.frpc(
        frps.port,
        &issuer.client_lines().replace("/token", "/moved"),
    );
    frpc.expect("login to server success").await;
}
