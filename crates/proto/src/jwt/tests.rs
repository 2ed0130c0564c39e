//! Signatures are those of the RFCs' own examples.

use proptest::prelude::*;

use super::*;

const ALL: [Algorithm; 10] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Es512,
    Algorithm::EdDsa,
];

/// RFC 7515 appendix A.2.
const RS256: (&str, &str) = (
    r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);

/// RFC 7515 appendix A.3.
const ES256: (&str, &str) = (
    r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
);

/// RFC 7520 sections 3.3 and 4.2.
const PS384: (&str, &str) = (
    r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB"}"#,
    "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
);

/// RFC 7520 sections 3.1 and 4.3.
const ES512: (&str, &str) = (
    r#"{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#,
    "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
);

/// RFC 8037 appendix A.2 and A.4.
const EDDSA: (&str, &str) = (
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
);

const EXAMPLES: [(&str, &str); 5] = [RS256, ES256, PS384, ES512, EDDSA];

fn set(keys: &[&str]) -> KeySet {
    let json = format!("{{\"keys\":[{}]}}", keys.join(","));
    KeySet::parse(json.as_bytes()).unwrap()
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn the_examples_of_the_rfcs_verify_with_their_own_keys_only() {
    let all: Vec<_> = EXAMPLES.iter().map(|(key, _)| *key).collect();
    let everyone = set(&all);
    assert_eq!(everyone.len(), EXAMPLES.len());
    for (key, text) in EXAMPLES {
        let token = SignedToken::parse(text, &ALL).unwrap();
        assert!(set(&[key]).verifies(&token), "{text}");
        assert!(everyone.verifies(&token), "{text}");
        let others: Vec<_> = all.iter().copied().filter(|other| *other != key).collect();
        assert!(!set(&others).verifies(&token), "{text}");
        assert!(!KeySet::default().verifies(&token));
    }
}

#[test]
fn a_changed_token_does_not_verify() {
    for (key, text) in EXAMPLES {
        let parts: Vec<_> = text.split('.').collect();
        let payload = encoded(r#"{"iss":"joe","exp":9999999999}"#);
        let changed = format!("{}.{payload}.{}", parts[0], parts[2]);
        let token = SignedToken::parse(&changed, &ALL).unwrap();
        assert!(!set(&[key]).verifies(&token));
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        let token = SignedToken::parse(&unsigned, &ALL).unwrap();
        assert!(!set(&[key]).verifies(&token));
    }
}

#[test]
fn only_what_the_issuer_announces_is_taken() {
    assert_eq!(Algorithm::allowed(["none", "HS256"]), [Algorithm::Rs256]);
    assert_eq!(Algorithm::allowed([]), [Algorithm::Rs256]);
    assert_eq!(
        Algorithm::allowed(["HS256", "ES256", "EdDSA"]),
        [Algorithm::Es256, Algorithm::EdDsa]
    );
    let refused = SignedToken::parse(ES256.1, &[Algorithm::Rs256]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "unexpected signature algorithm \"ES256\"; expected [\"RS256\"]"
    );
}

/// The two classic forgeries: no signature at all, and a MAC whose key is the public key.
#[test]
fn a_token_cannot_choose_to_be_unsigned_or_symmetric() {
    let payload = encoded(r#"{"iss":"joe"}"#);
    for alg in ["none", "None", "NONE", "HS256", "HS512", "rs256", ""] {
        let header = encoded(&format!("{{\"alg\":\"{alg}\"}}"));
        for signature in ["", "AAAA"] {
            let text = format!("{header}.{payload}.{signature}");
            let refused = SignedToken::parse(&text, &ALL).unwrap_err();
            assert!(matches!(refused, Malformed::Algorithm { .. }), "{alg}");
        }
    }
}

#[test]
fn what_is_no_token_is_said_to_be_none() {
    let parse = |text: &str| SignedToken::parse(text, &ALL).unwrap_err();
    assert_eq!(parse(""), Malformed::Parts);
    assert_eq!(parse("a.b"), Malformed::Parts);
    assert_eq!(parse("a.b.c.d"), Malformed::Parts);
    assert_eq!(parse("!.b.c"), Malformed::Base64("header"));
    let header = |json: &str| format!("{}..", encoded(json));
    assert_eq!(parse(&header("[]")), Malformed::Header);
    assert_eq!(parse(&header(r#"{"kid":"1"}"#)), Malformed::Header);
    let twice = header(r#"{"alg":"none","alg":"RS256"}"#);
    assert_eq!(parse(&twice), Malformed::Header);
    let critical = header(r#"{"alg":"RS256","crit":["exp"]}"#);
    assert_eq!(parse(&critical), Malformed::Critical);
}

#[test]
fn keys_are_for_what_their_issuer_says() {
    let with = |more: &str| RS256.0.replace("\"kty\"", &format!("{more},\"kty\""));
    let token = SignedToken::parse(RS256.1, &ALL).unwrap();
    assert!(set(&[&with(r#""kid":"any","alg":"RS256","use":"sig""#)]).verifies(&token));
    assert!(!set(&[&with(r#""alg":"RS512""#)]).verifies(&token));
    assert!(set(&[&with(r#""use":"enc""#)]).is_empty());
    // A token that names its key is tried with no other.
    let token = SignedToken::parse(PS384.1, &ALL).unwrap();
    let renamed = PS384.0.replace("bilbo.baggins", "frodo");
    assert!(!set(&[&renamed]).verifies(&token));
}

#[test]
fn unknown_keys_in_a_set_do_not_spoil_it() {
    let odd = [
        r#"{"kty":"oct","k":"AAAA"}"#,
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
        r#"{"kty":"RSA","n":"!","e":"AQAB"}"#,
        r#"{"kty":7}"#,
        "7",
        RS256.0,
    ];
    let set = set(&odd);
    assert_eq!(set.len(), 1);
    assert!(set.verifies(&SignedToken::parse(RS256.1, &ALL).unwrap()));
    assert!(KeySet::parse(b"{}").is_err());
    assert!(KeySet::parse(b"<html>").is_err());
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
}

#[test]
fn what_an_issuer_leaves_empty_it_does_not_say() {
    let token = SignedToken::parse(RS256.1, &ALL).unwrap();
    let key = |more: &str| {
        let mut key: serde_json::Value = serde_json::from_str(RS256.0).unwrap();
        let more: serde_json::Value = serde_json::from_str(more).unwrap();
        for (name, value) in more.as_object().unwrap() {
            key[name] = value.clone();
        }
        key.to_string()
    };
    assert!(set(&[&key(r#"{"use":"","alg":""}"#)]).verifies(&token));
    assert!(!set(&[&key(r#"{"use":"enc"}"#)]).verifies(&token));
}

#[test]
fn short_rsa_keys_do_not_count() {
    let short =
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0","e":"AQAB"}"#;
    let token = SignedToken::parse(RS256.1, &ALL).unwrap();
    assert!(!set(&[short]).verifies(&token));
}

fn claims(json: &str) -> Claims {
    Claims::parse(json.as_bytes()).unwrap()
}

fn checked(json: &str, rules: &Rules) -> String {
    match claims(json).check(rules, 1000) {
        Ok(()) => "ok".to_owned(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn claims_are_read_in_the_forms_that_issuers_write() {
    let read = claims(r#"{"iss":"i","sub":"s","aud":"a","exp":12.9,"nbf":3,"more":[{}]}"#);
    assert_eq!(
        read,
        Claims {
            issuer: "i".to_owned(),
            subject: "s".to_owned(),
            audience: vec!["a".to_owned()],
            expiry: Some(12),
            not_before: Some(3),
        }
    );
    assert_eq!(claims(r#"{"aud":["a","b"]}"#).audience, ["a", "b"]);
    assert_eq!(
        claims(r#"{"aud":null,"sub":null,"exp":null}"#),
        Claims::default()
    );
    for wrong in [
        "",
        "[]",
        r#"{"exp":"soon"}"#,
        r#"{"aud":7}"#,
        r#"{"sub":7}"#,
    ] {
        assert!(Claims::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn the_texts_are_those_of_go_oidc() {
    let rules = Rules {
        issuer: Some("http://i".to_owned()),
        audience: Some("frps".to_owned()),
        any_time: false,
    };
    let good = r#"{"iss":"http://i","aud":["x","frps"],"exp":1000}"#;
    assert_eq!(checked(good, &rules), "ok");
    assert_eq!(
        checked(r#"{"iss":"http://j"}"#, &rules),
        "oidc: id token issued by a different provider, expected \"http://i\" got \"http://j\""
    );
    assert_eq!(
        checked(r#"{"iss":"http://i","aud":["x","y"]}"#, &rules),
        "oidc: expected audience \"frps\" got [\"x\" \"y\"]"
    );
    assert_eq!(
        checked(&good.replace("1000", "999"), &rules),
        "oidc: token is expired (Token Expiry: 1970-01-01 00:16:39 +0000 UTC)"
    );
    assert_eq!(
        checked(r#"{"iss":"http://i","aud":"frps"}"#, &rules),
        "oidc: token is expired (Token Expiry: 0001-01-01 00:00:00 +0000 UTC)"
    );
    let early = |nbf: i64| good.replace("}", &format!(",\"nbf\":{nbf}}}"));
    assert_eq!(checked(&early(1300), &rules), "ok");
    assert_eq!(
        checked(&early(1301), &rules),
        "oidc: current time 1970-01-01 00:16:40 +0000 UTC before the nbf (not before) time: \
         1970-01-01 00:21:41 +0000 UTC"
    );
    let lax = Rules {
        any_time: true,
        ..Rules::default()
    };
    assert_eq!(checked("{}", &lax), "ok");
    let google = Rules {
        issuer: Some("https://accounts.google.com".to_owned()),
        any_time: true,
        ..Rules::default()
    };
    assert_eq!(checked(r#"{"iss":"accounts.google.com"}"#, &google), "ok");
}

proptest! {
    #[test]
    fn any_text_may_be_offered(text: String, json: String, now: i64) {
        let _ = SignedToken::parse(&text, &ALL);
        let _ = KeySet::parse(json.as_bytes());
        let header = encoded(r#"{"alg":"ES256"}"#);
        let dressed = format!("{header}.{}.{}", encoded(&json), encoded(&text));
        let token = SignedToken::parse(&dressed, &ALL).unwrap();
        prop_assert!(!set(&[RS256.0, ES256.0]).verifies(&token));
        if let Ok(claims) = token.claims() {
            let _ = claims.check(&Rules::default(), now).map_err(|e| e.to_string());
        }
    }

    #[test]
    fn times_at_the_ends_of_the_range_do_not_overflow(exp: i64, nbf: i64, now: i64) {
        let claims = Claims { expiry: Some(exp), not_before: Some(nbf), ..Claims::default() };
        let ok = claims.check(&Rules::default(), now).map_err(|e| e.to_string()).is_ok();
        prop_assert_eq!(ok, exp >= now && i128::from(now) + 300 >= i128::from(nbf));
    }
}
