//! What frps makes of tokens, and of its issuer.

use super::*;

#[tokio::test]
async fn forged_expired_and_foreign_tokens_are_refused() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = server(&rig, &issuer).await;
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
    let frps = server(&rig, &issuer).await;
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
    let frps = server(&rig, &issuer).await;
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
    let frps = server(&rig, &issuer).await;
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
    frps.program.expect("answers, it has 1 keys").await;
    assert_eq!(frps.program.log().count("answers, it has 1 keys"), 1);
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_only_those_who_need_it() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    issuer.state().hangs = true;
    let frps = server(&rig, &issuer).await;
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

/// In frp whoever may log in ends the session of anybody whose run id is known.
#[tokio::test]
async fn a_run_id_is_taken_over_by_its_own_subject_only() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let lines = format!(
        "{}{SCOPES}transport.tcpMux = false\n",
        issuer.server_lines()
    );
    let frps = rig.frps(&lines).await;
    let (mut ann, answer) = login(frps.port, &issuer.token("ann")).await;
    let again = async |subject: &str| {
        let login = json!({"privilege_key": issuer.token(subject), "run_id": answer["run_id"]});
        Control::login(connect(frps.port).await, "", &login).await
    };
    let (_, refused) = again("bob").await;
    assert_eq!(
        refused["error"],
        "the run id is in use by a client with other credentials"
    );
    assert_eq!(ping(&mut ann, &issuer.token("ann")).await, "");
    let (mut successor, taken) = again("ann").await;
    assert_eq!(taken["run_id"], answer["run_id"]);
    assert_eq!(ping(&mut successor, &issuer.token("ann")).await, "");
    assert!(ann.recv().await.is_none(), "the first session has ended");
}

/// Pings whose tokens need the issuer do not stop what else the session does.
#[tokio::test]
async fn pings_that_wait_for_the_issuer_hold_up_nothing() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let lines = format!(
        "{}auth.additionalScopes = [\"HeartBeats\"]\ntransport.tcpMux = false\n",
        issuer.server_lines()
    );
    let frps = rig.frps(&lines).await;
    let (mut control, answer) = login(frps.port, &issuer.token("me")).await;
    issuer.state().hangs = true;
    let unknown = Key::ec("unknown").token(&issuer.claims("me"));
    for _ in 0..2 {
        control
            .send(wire::PING, &json!({ "privilege_key": unknown }))
            .await;
    }
    let port = free_port();
    let proxy = json!({"proxy_name": "p", "proxy_type": "tcp", "remote_port": port});
    control.send(wire::NEW_PROXY, &proxy).await;
    let what = "answered before the pings";
    assert_eq!(
        control.recv().await.unwrap().0,
        wire::NEW_PROXY_RESP,
        "{what}"
    );
    let mut user = connect(port).await;
    assert_eq!(
        control.recv().await.unwrap().0,
        wire::REQ_WORK_CONN,
        "{what}"
    );
    let mut work = connect(frps.port).await;
    let hello = wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": answer["run_id"]}));
    work.write_all(&hello).await.unwrap();
    let (kind, _) = wire::read_v1(&mut work).await.unwrap();
    assert_eq!(kind, wire::START_WORK_CONN);
    work.write_all(b"served").await.unwrap();
    let mut served = [0; 6];
    user.read_exact(&mut served).await.unwrap();
    assert_eq!(&served, b"served");
    for _ in 0..2 {
        let pong = answer_to(&mut control, wire::PONG).await;
        assert!(
            pong["error"]
                .as_str()
                .unwrap()
                .contains("failed to verify id token signature")
        );
    }
}
