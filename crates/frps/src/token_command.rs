//! What does `frps token` say: a token that was made, or what frps can know of one in its place?

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::num::NonZeroU32;

use frp_config::cli::TokenTask;
use frp_proto::scram::{ITERATIONS, SALT_LEN, Verifier};

use crate::random::random_bytes;

/// Bytes of a token that is read, at most.
const MAX_TOKEN: u64 = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token cannot be read from standard input: {0}")]
    Read(#[from] io::Error),
    #[error(
        "there is no token on standard input: give it as one line, as in frps token hash < FILE"
    )]
    Empty,
}

pub(crate) fn run(task: &TokenTask) -> Result<String, TokenError> {
    match task {
        TokenTask::New => {
            // Beyond guessing.
            let token = format!("{:032x}", u128::from_be_bytes(random_bytes()));
            let hash = hash(&token, None);
            Ok(format!(
                "# The client's auth.token; token of an entry of auth.tokens here, or, so that frps does not know it, hash.\n\
                 token = \"{token}\"\nhash = \"{hash}\""
            ))
        }
        TokenTask::Hash { like } => Ok(hash(&read()?, like.as_ref()).to_string()),
    }
}

fn hash(token: &str, like: Option<&Verifier>) -> Verifier {
    let salt = random_bytes::<SALT_LEN>();
    let (salt, rounds) = match like {
        Some(other) => (other.salt(), other.iterations()),
        None => (
            &salt[..],
            NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MAX),
        ),
    };
    Verifier::of(token.as_bytes(), salt, rounds)
}

fn read() -> Result<String, TokenError> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        let mut to = io::stderr();
        write!(
            to,
            "Token (shown as you type; give it by < FILE where others watch): "
        )?;
        to.flush()?;
    }
    let mut line = String::new();
    input.take(MAX_TOKEN).read_line(&mut line)?;
    let token = line.trim();
    match token.is_empty() {
        true => Err(TokenError::Empty),
        false => Ok(token.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// RFC 7677, section 3, in the form of PostgreSQL's documentation (the catalog `pg_authid`).
    #[test]
    fn a_hash_is_that_of_the_rfc() {
        let known = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                     wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let verifier = known.parse().unwrap();
        assert_eq!(hash("pencil", Some(&verifier)).to_string(), known);
        assert_ne!(hash("pencil", None), verifier);
    }
}
