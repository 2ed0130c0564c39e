//! The exchange as the RFC has it, and what is refused.

use super::*;

const ROUNDS: NonZeroU32 = NonZeroU32::new(ITERATIONS).unwrap();
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";

fn salt() -> Vec<u8> {
    BASE64.decode(SALT).unwrap()
}

/// RFC 7677, section 3.
#[test]
fn the_exchange_is_that_of_the_rfc() {
    let client = Client::with(Binding::None, "user", "rOprNGfwEbeRWgbNEkqO".to_owned(), "");
    assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");

    let verifier = Verifier::of(b"pencil", &salt(), ROUNDS);
    let hello = Hello::read(&client.first()).unwrap();
    assert_eq!(hello.user(), "user");
    let own = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let server = hello.challenge_by(own, verifier.salt(), verifier.iterations());
    assert_eq!(
        server.first(),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );

    let challenged = client.challenged(server.first()).unwrap();
    let salted = Salted::of(b"pencil", challenged.salt(), challenged.iterations());
    let answer = challenged.answer(&salted);
    assert_eq!(
        answer.message,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );

    let claim = server.answered(&answer.message, None).unwrap();
    assert_eq!(claim.exchange(), answer.exchange);
    let proven = claim.check(&verifier).unwrap();
    assert_eq!(
        proven.message,
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    );
    assert_eq!(answer.confirm(&proven.message).unwrap(), proven.secret);
}

/// As `SELECT rolpassword` of PostgreSQL has it, for `pencil` and the salt of the RFC.
#[test]
fn a_verifier_is_kept_as_postgresql_keeps_it() {
    let verifier = Verifier::of(b"pencil", &salt(), ROUNDS);
    let text = verifier.to_string();
    assert_eq!(
        text,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
         $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
    assert_eq!(text.parse(), Ok(verifier.clone()));
    assert!(verifier.is_of(b"pencil") && !verifier.is_of(b"Pencil"));
    for wrong in [
        "",
        "pencil",
        "SCRAM-SHA-256$",
        &text[..text.len() - 1],
        &text.replace("4096", "1"),
        &text.replace("4096", "4096000"),
        &text.replace("SHA-256", "SHA-1"),
    ] {
        assert_eq!(wrong.parse::<Verifier>(), Err(NoVerifier), "{wrong}");
    }
    assert!(!format!("{verifier:?}").contains("WG5d"));
}

/// Of one login; what a listener has of it.
struct Recorded {
    first: String,
    last: String,
    secret: Secret,
}

fn log_in(binding: Binding, channel: Option<Channel>, nonce: u8) -> Result<Recorded, ScramError> {
    let verifier = Verifier::of(b"pencil", &salt(), ROUNDS);
    let client = Client::new(binding, "a,b=c", [nonce; NONCE_LEN], &[7; LEN]);
    let first = client.first();
    let hello = Hello::read(&first)?;
    assert_eq!(hello.user(), "a,b=c");
    assert!(hello.is_of(&[7; LEN]) && !hello.is_of(&[8; LEN]));
    let server = hello.challenge([nonce ^ 0x55; NONCE_LEN], verifier.salt(), ROUNDS);
    let challenged = client.challenged(server.first())?;
    let salted = Salted::of(b"pencil", challenged.salt(), challenged.iterations());
    let answer = challenged.answer(&salted);
    let last = answer.message.clone();
    let claim = server.answered(&last, channel)?;
    let secret = claim.check(&verifier).unwrap().secret;
    Ok(Recorded {
        first,
        last,
        secret,
    })
}

#[test]
fn a_recorded_answer_is_worth_nothing_at_the_next_challenge() {
    let recorded = log_in(Binding::None, None, 1).unwrap();
    let hello = Hello::read(&recorded.first).unwrap();
    let server = hello.challenge([9; NONCE_LEN], &salt(), ROUNDS);
    let replayed = server.answered(&recorded.last, None);
    assert_eq!(replayed.unwrap_err(), ScramError::Nonce);
    let other = log_in(Binding::None, None, 2).unwrap();
    assert_ne!(recorded.secret, other.secret);
}

#[test]
fn a_bound_answer_is_for_one_connection() {
    let (near, far) = ([1; LEN], [2; LEN]);
    assert!(log_in(Binding::Exporter(near), Some(near), 1).is_ok());
    for channel in [Some(far), None] {
        let relayed = log_in(Binding::Exporter(near), channel, 1);
        assert_eq!(relayed.err(), Some(ScramError::Channel));
    }
    // What the client has said of its end is proven, too.
    let client = Client::new(Binding::Unseen, "", [1; NONCE_LEN], &[0; LEN]);
    let changed = client.first().replacen('y', "n", 1);
    let server = Hello::read(&changed).unwrap();
    let server = server.challenge([2; NONCE_LEN], &salt(), ROUNDS);
    let challenged = client.challenged(server.first()).unwrap();
    let answer = challenged.answer(&Salted::of(b"pencil", &salt(), ROUNDS));
    let refused = server.answered(&answer.message, None);
    assert_eq!(refused.unwrap_err(), ScramError::Channel);
}

#[test]
fn who_does_not_know_the_token_is_seen_by_either_end() {
    let client = Client::new(Binding::None, "", [1; NONCE_LEN], &[0; LEN]);
    let hello = Hello::read(&client.first()).unwrap();
    let server = hello.challenge([2; NONCE_LEN], &salt(), ROUNDS);
    let challenged = client.challenged(server.first()).unwrap();
    let answer = challenged.answer(&Salted::of(b"wrong", &salt(), ROUNDS));
    let claim = server.answered(&answer.message, None).unwrap();
    let verifier = Verifier::of(b"pencil", &salt(), ROUNDS);
    assert!(claim.check(&verifier).is_none());
    let false_server = format!("v={}", BASE64.encode([0; LEN]));
    assert_eq!(
        answer.confirm(&false_server).unwrap_err(),
        ScramError::ServerSignature
    );
}

#[test]
fn a_false_server_cannot_have_the_token_guessed_faster_or_keep_us_busy() {
    for (rounds, wrong) in [("1", 1), ("4095", 4095), ("4000000000", 4_000_000_000)] {
        let client = Client::new(Binding::None, "", [1; NONCE_LEN], &[0; LEN]);
        let nonce = BASE64.encode([1; NONCE_LEN]);
        let first = format!("r={nonce}x,s={SALT},i={rounds}");
        let refused = client.challenged(&first).unwrap_err();
        assert_eq!(refused, ScramError::Iterations(wrong));
    }
    // Nor leave its nonce out.
    let client = Client::new(Binding::None, "", [1; NONCE_LEN], &[0; LEN]);
    let nonce = BASE64.encode([1; NONCE_LEN]);
    assert!(
        client
            .challenged(&format!("r={nonce},s={SALT},i=4096"))
            .is_err()
    );
}

#[test]
fn a_proof_is_for_one_use_and_one_number() {
    let secret = Secret([3; LEN]);
    let proof = secret.proof(Use::Work, 5);
    assert!(secret.proves(Use::Work, 5, &proof));
    assert!(!secret.proves(Use::Work, 6, &proof));
    assert!(!secret.proves(Use::Visit, 5, &proof));
    assert!(!Secret([4; LEN]).proves(Use::Work, 5, &proof));
    assert!(!secret.proves(Use::Work, 5, &proof[..31]));
    assert!(!secret.proves(Use::Work, 5, b""));
    assert_eq!(format!("{secret:?}"), "Secret(***)");
}
