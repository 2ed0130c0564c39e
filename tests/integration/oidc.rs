//! Logins by tokens of an OpenID Connect issuer, which runs in the test.

use std::path::Path;
use std::time::Duration;

use frp_tests::issuer::{Asked, Issuer, Key, now, unsigned_token};
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::Authority;
use frp_tests::wait::eventually_within;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const SCOPES: &str = "auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n";
const LONG: Duration = Duration::from_secs(40);

/// Logs in with `token` by wire v1; without the mux.
async fn login(port: u16, token: &str) -> (Control<TcpStream>, Value) {
    let login = json!({ "privilege_key": token });
    Control::login(connect(port).await, "", &login).await
}

async fn refusal(port: u16, token: &str) -> String {
    let (_, answer) = login(port, token).await;
    answer["error"].as_str().unwrap_or("").to_owned()
}

async fn answer_to(control: &mut Control<TcpStream>, wanted: u8) -> Value {
    loop {
        let (kind, body) = control.recv().await.expect("an answer");
        if kind == wanted {
            return body;
        }
    }
}

async fn ping(control: &mut Control<TcpStream>, token: &str) -> String {
    control
        .send(wire::PING, &json!({ "privilege_key": token }))
        .await;
    let answer = answer_to(control, wire::PONG).await;
    answer["error"].as_str().unwrap_or("").to_owned()
}

/// A tunnel that works, and its frpc.
async fn tunnel(rig: &Rig, frps: &Frps, lines: &str) -> (Program, u16, Service) {
    let service = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{lines}{proxy}"));
    frpc.expect_from(0, "[web] start proxy success", LONG).await;
    echo(port, b"hello").await;
    (frpc, port, service)
}

fn last_token_request(issuer: &Issuer) -> Asked {
    let state = issuer.state();
    let mut asked = state.asked.iter().rev();
    asked
        .find(|asked| asked.target.contains("/token"))
        .unwrap()
        .clone()
}

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
        let scope = "auth.additionalScopes = [\"HeartBeats\"]\n";
        let frps = rig.frps(&format!("{}{scope}", issuer.server_lines())).await;
        let lines = format!(
            "{}{scope}transport.heartbeatInterval = 1\n",
            issuer.client_lines()
        );
        let (frpc, _, _service) = tunnel(&rig, &frps, &lines).await;
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

#[tokio::test]
async fn forged_expired_and_foreign_tokens_are_refused() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig
        .frps(&format!(
            "{}transport.tcpMux = false\n",
            issuer.server_lines()
        ))
        .await;
    let key = issuer.state().key.clone();
    let claims = issuer.claims("me");
    assert_eq!(refusal(frps.port, &key.token(&claims)).await, "");

    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        key.token(&claims)
    };
    let malformed = "invalid OIDC token in login: oidc: malformed jwt: ";
    let unexpected = |alg: &str| {
        format!(
            "{malformed}unexpected signature algorithm \"{alg}\"; expected [\"RS256\" \"ES256\"]"
        )
    };
    let forged = "invalid OIDC token in login: failed to verify signature: failed to verify id token \
                  signature";
    let stranger = Key::rsa("key-1");
    for (token, expected) in [
        (String::new(), format!("{malformed}a token has three parts, separated by dots")),
        (unsigned_token(&claims), unexpected("none")),
        (key.hmac_token(&claims), unexpected("HS256")),
        (
            with("iss", json!("http://other")),
            format!(
                "invalid OIDC token in login: oidc: id token issued by a different provider, \
                 expected \"{}\" got \"http://other\"",
                issuer.url
            ),
        ),
        (
            with("aud", json!(["a", "b"])),
            "invalid OIDC token in login: oidc: expected audience \"frps\" got [\"a\" \"b\"]".to_owned(),
        ),
        (
            with("exp", json!(1_000_000_000)),
            "invalid OIDC token in login: oidc: token is expired (Token Expiry: 2001-09-09 01:46:40 \
             +0000 UTC)"
                .to_owned(),
        ),
        (stranger.token(&claims), forged.to_owned()),
        (key.token_with(&json!({"alg": "ES256"}), &claims), forged.to_owned()),
    ] {
        assert_eq!(refusal(frps.port, &token).await, expected, "{token}");
    }
    let early = refusal(frps.port, &with("nbf", json!(now() + 400))).await;
    assert!(
        early.contains("before the nbf (not before) time"),
        "{early}"
    );
    assert_eq!(
        refusal(frps.port, &with("nbf", json!(now() + 200))).await,
        ""
    );
    assert_eq!(
        refusal(frps.port, &with("aud", json!(["a", "frps"]))).await,
        ""
    );
}

#[tokio::test]
async fn checks_can_be_switched_off_one_by_one() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let lines = format!(
        "auth.method = \"oidc\"\nauth.oidc.issuer = \"{}\"\nauth.oidc.skipExpiryCheck = true\n\
         auth.oidc.skipIssuerCheck = true\ntransport.tcpMux = false\n",
        issuer.url
    );
    let frps = rig.frps(&lines).await;
    let key = issuer.state().key.clone();
    let claims = json!({"sub": "me", "iss": "http://other", "exp": 1});
    assert_eq!(refusal(frps.port, &key.token(&claims)).await, "");
    let forged = Key::rsa("key-1").token(&claims);
    assert!(
        refusal(frps.port, &forged)
            .await
            .contains("failed to verify")
    );
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_withdrawn_one_forgotten() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig
        .frps(&format!(
            "{}transport.tcpMux = false\n",
            issuer.server_lines()
        ))
        .await;
    let old = issuer.token("me");
    assert_eq!(refusal(frps.port, &old).await, "");
    issuer.rotate(Key::ec("key-2"));
    assert_eq!(refusal(frps.port, &issuer.token("me")).await, "");
    assert_eq!(issuer.count("/jwks"), 2);
    assert_eq!(issuer.count(DISCOVERY), 1);
    assert!(
        refusal(frps.port, &old)
            .await
            .contains("failed to verify id token signature")
    );
}

/// Whoever makes tokens up can have the issuer asked, but seldom, and holds up nobody.
#[tokio::test]
async fn unknown_keys_do_not_flood_the_issuer_nor_hold_up_others() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig
        .frps(&format!(
            "{}transport.tcpMux = false\n",
            issuer.server_lines()
        ))
        .await;
    frps.program.expect("answers, it has 1 keys").await;
    let made_up = Key::ec("unknown").token(&issuer.claims("me"));
    let flood: Vec<_> = (0..50)
        .map(|_| {
            let made_up = made_up.clone();
            tokio::spawn(async move { refusal(frps.port, &made_up).await })
        })
        .collect();
    assert_eq!(refusal(frps.port, &issuer.token("me")).await, "");
    for refused in flood {
        assert!(
            refused
                .await
                .unwrap()
                .contains("failed to verify id token signature")
        );
    }
    assert!(
        issuer.count("/jwks") <= 4,
        "{} times",
        issuer.count("/jwks")
    );
}

/// frp crashes at start where its issuer does not answer.
#[tokio::test]
async fn an_issuer_that_is_down_at_start_is_waited_for() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().broken = Some((502, "bad gateway".to_owned()));
    let frps = rig
        .frps(&format!(
            "{}transport.tcpMux = false\n",
            issuer.server_lines()
        ))
        .await;
    frps.program
        .expect("502 Bad Gateway: bad gateway; check auth.oidc.issuer; logins are refused until it answers")
        .await;
    let refused = refusal(frps.port, &issuer.token("me")).await;
    assert_eq!(
        refused,
        "invalid OIDC token in login: frps has not reached its issuer yet and cannot check any token; \
         its log says why"
    );
    issuer.state().broken = None;
    eventually_within(LONG, "a login", || async {
        refusal(frps.port, &issuer.token("me")).await.is_empty()
    })
    .await;
    assert_eq!(frps.program.log().count("answers, it has 1 keys"), 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_only_those_who_need_it() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().hangs = true;
    let frps = rig
        .frps(&format!(
            "{}transport.tcpMux = false\n",
            issuer.server_lines()
        ))
        .await;
    // The client is told before its own patience ends, which is 10 s.
    let token = issuer.token("me");
    let refused = within(
        Duration::from_secs(30),
        "an answer",
        refusal(frps.port, &token),
    )
    .await;
    assert!(
        refused.contains("has not reached its issuer yet"),
        "{refused}"
    );
    frps.program
        .expect_from(0, "no answer within 10 s", LONG)
        .await;
    issuer.state().hangs = false;
    eventually_within(LONG, "a login", || async {
        refusal(frps.port, &issuer.token("me")).await.is_empty()
    })
    .await;

    // What is known is enough, whatever becomes of the issuer.
    issuer.state().hangs = true;
    assert_eq!(refusal(frps.port, &issuer.token("me")).await, "");
}

#[tokio::test]
async fn an_issuer_of_another_name_is_not_believed() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().name = "http://other".to_owned();
    let frps = rig.frps(&issuer.server_lines()).await;
    let expected = format!(
        "oidc: issuer URL provided to client (\"{}\") did not match the issuer URL returned by \
         provider (\"http://other\")",
        issuer.url
    );
    frps.program.expect(&expected).await;
}

/// frp has one list of subjects for all clients: whoever may log in can sign for everybody.
#[tokio::test]
async fn a_session_belongs_to_the_subject_that_logged_in() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let lines = format!(
        "{}{SCOPES}transport.tcpMux = false\n",
        issuer.server_lines()
    );
    let frps = rig.frps(&lines).await;
    let (mut ann, answer) = login(frps.port, &issuer.token("ann")).await;
    let (mut bob, _) = login(frps.port, &issuer.token("bob")).await;
    assert_eq!(ping(&mut ann, &issuer.token("ann")).await, "");
    assert_eq!(ping(&mut bob, &issuer.token("bob")).await, "");
    let other = "received different OIDC subject in login and ping. new subject: ";
    assert_eq!(
        ping(&mut ann, &issuer.token("bob")).await,
        format!("{other}bob")
    );
    assert_eq!(
        ping(&mut bob, &issuer.token("ann")).await,
        format!("{other}ann")
    );
    let malformed = ping(&mut ann, "").await;
    assert!(
        malformed.starts_with("invalid OIDC token in ping: oidc: malformed jwt"),
        "{malformed}"
    );

    let offer = async |token: &str| {
        let mut work = connect(frps.port).await;
        let hello = json!({"run_id": answer["run_id"], "privilege_key": token});
        work.write_all(&wire::v1(wire::NEW_WORK_CONN, &hello))
            .await
            .unwrap();
        let answered = tokio::time::timeout(Duration::from_secs(1), wire::read_v1(&mut work)).await;
        answered
            .ok()
            .flatten()
            .map(|(_, body)| body["error"].clone())
    };
    assert_eq!(
        offer(&issuer.token("bob")).await,
        Some(json!(format!("{other}bob")))
    );
    assert_eq!(offer(&issuer.token("ann")).await, None, "kept in the pool");
}

/// A ping whose token needs the issuer does not stop what else the session does.
#[tokio::test]
async fn a_ping_that_waits_for_the_issuer_holds_up_nothing() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let lines = format!(
        "{}{SCOPES}transport.tcpMux = false\n",
        issuer.server_lines()
    );
    let frps = rig.frps(&lines).await;
    let (mut control, _) = login(frps.port, &issuer.token("me")).await;
    issuer.state().hangs = true;
    let unknown = Key::ec("unknown").token(&issuer.claims("me"));
    control
        .send(wire::PING, &json!({ "privilege_key": unknown }))
        .await;
    let port = free_port();
    let proxy = json!({"proxy_name": "p", "proxy_type": "tcp", "remote_port": port});
    control.send(wire::NEW_PROXY, &proxy).await;
    let answered = loop {
        let (kind, _) = control.recv().await.unwrap();
        if [wire::PONG, wire::NEW_PROXY_RESP].contains(&kind) {
            break kind;
        }
    };
    assert_eq!(
        answered,
        wire::NEW_PROXY_RESP,
        "the proxy was answered first"
    );
    let pong = answer_to(&mut control, wire::PONG).await;
    assert!(
        pong["error"]
            .as_str()
            .unwrap()
            .contains("failed to verify id token signature")
    );
}

/// frp `client/control.go`: no ping is sent without credentials, and the next try comes soon.
#[tokio::test]
async fn a_ping_without_a_token_is_tried_again() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().expires_in = None;
    let scope = "auth.additionalScopes = [\"HeartBeats\"]\n";
    let frps = rig.frps(&format!("{}{scope}", issuer.server_lines())).await;
    let lines = format!(
        "{}{scope}transport.heartbeatInterval = 1\n",
        issuer.client_lines()
    );
    let (frpc, port, _service) = tunnel(&rig, &frps, &lines).await;
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
async fn https_is_checked_against_the_given_ca() {
    let (rig, dir) = (Rig::new(), Rig::new());
    let ca = Authority::new(dir.path(), "ca");
    let other = Authority::new(dir.path(), "other");
    let identity = ca.issue(dir.path(), "issuer", &["127.0.0.1"]);
    let issuer = Issuer::start_tls(&identity).await;

    // frps trusts what the system trusts.
    let config = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = 0\n{}",
        issuer.server_lines()
    );
    let started = |ca: &Path| in_environment(&rig, "frps", &config, &[("SSL_CERT_FILE", ca)]);
    let distrusting = started(&other.file);
    distrusting.expect("invalid peer certificate").await;
    let trusting = started(&ca.file);
    trusting.expect("answers, it has 1 keys").await;
    drop((distrusting, trusting));

    let http = Issuer::start().await;
    let frps = rig
        .frps(&format!(
            "{}auth.oidc.skipIssuerCheck = true\n",
            http.server_lines()
        ))
        .await;
    http.rotate(issuer.state().key.clone());
    let lines = |more: &str| format!("loginFailExit = false\n{}{more}", issuer.client_lines());
    let frpc = rig.frpc(frps.port, &lines(""));
    let line = frpc.expect("invalid peer certificate").await;
    assert!(
        line.contains("set auth.oidc.trustedCaFile to the CA that signed it"),
        "{line}"
    );
    let frpc = rig.frpc(
        frps.port,
        &lines(&format!("auth.oidc.trustedCaFile = {:?}\n", ca.file)),
    );
    frpc.expect("login to server success").await;
    let frpc = rig.frpc(frps.port, &lines("auth.oidc.insecureSkipVerify = true\n"));
    frpc.expect("login to server success").await;

    let mut frpc = rig.frpc(
        frps.port,
        &lines("auth.oidc.trustedCaFile = \"/nonexistent\"\n"),
    );
    frpc.expect("auth.oidc.trustedCaFile: open /nonexistent: no such file or directory")
        .await;
    assert_eq!(frpc.exit_code().await, Some(1));
}

/// `program` with that configuration and environment.
fn in_environment(rig: &Rig, program: &str, config: &str, vars: &[(&str, &Path)]) -> Program {
    let file = rig.file(&format!("{program}-{}.toml", free_port()), config);
    let mut args: Vec<_> = vars
        .iter()
        .map(|(name, value)| format!("{name}={}", value.display()).into())
        .collect();
    args.push(Side::Ours.program(program).into_os_string());
    args.extend(["-c".into(), file.into_os_string()]);
    Program::spawn(Path::new("/usr/bin/env"), args, rig.path())
}

/// An HTTP proxy that takes whole URLs and CONNECT, and leads everything to `target`. What it was
/// asked first comes out of the receiver.
async fn proxy(target: u16) -> (Service, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::new(move |mut near| {
        let sender = sender.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match near.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            if head.starts_with("CONNECT ") {
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            } else {
                let path = head.replacen("http://issuer.test", "", 1);
                far.write_all(path.as_bytes()).await.unwrap();
            }
            let _ = sender.send(head);
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    })
    .await;
    (service, asked)
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

#[tokio::test]
async fn methods_that_differ_are_said() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig.frps(&issuer.server_lines()).await;
    let frpc = rig.frpc(frps.port, "auth.token = \"x\"\n");
    frpc.expect("auth.method must be the same in frpc and frps")
        .await;
    let frps = rig.frps("auth.token = \"x\"\n").await;
    let frpc = rig.frpc(frps.port, &issuer.client_lines());
    frpc.expect("auth.method must be the same in frpc and frps")
        .await;
}

#[tokio::test]
async fn ours_and_theirs_understand_each_other() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    for (server, client) in [(&Side::Ours, &go), (&go, &Side::Ours)] {
        for mux in [true, false] {
            let (rig, issuer) = (Rig::new(), Issuer::start().await);
            // The key of the ciphers is auth.token whatever the method.
            let common = format!("{SCOPES}auth.token = \"key\"\ntransport.tcpMux = {mux}\n");
            let frps = rig
                .frps_of(server, &format!("{}{common}", issuer.server_lines()))
                .await;
            let service = Service::echo().await;
            let port = free_port();
            let frpc = rig.frpc_of(
                client,
                frps.port,
                &format!(
                    "{}{common}transport.heartbeatInterval = 1\n{}",
                    issuer.client_lines(),
                    tcp_proxy(
                        "web",
                        service.port,
                        port,
                        "transport.useEncryption = true\n"
                    )
                ),
            );
            frpc.expect_from(0, "[web] start proxy success", LONG).await;
            echo(port, b"hello").await;
            eventually("heartbeats", || async {
                frpc.log().count("receive heartbeat from server") >= 3
            })
            .await;
            echo(port, b"hello").await;
            assert_eq!(frpc.log().count("login to server success"), 1);
            assert_eq!(issuer.count("/token"), 1);
        }
    }
}
