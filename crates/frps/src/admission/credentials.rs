//! Does the client show what it should, by the token or by the issuer's tokens ([`crate::auth`])?

use super::check::{Check, LoginAsk, PingAsk, Refusal, Verdict, WorkConnAsk};
use crate::stats::logins::Cause;

#[derive(Debug)]
pub(super) struct Credentials;

impl Check for Credentials {
    /// Or by the issuer's; whoever asks knows which of them there is.
    fn cause(&self) -> Cause {
        Cause::Token
    }

    fn refuses_guesses(&self) -> bool {
        true
    }

    fn login<'a>(&'a self, ask: &'a mut LoginAsk<'_>) -> Verdict<'a> {
        // One that is proven has shown enough before anybody was asked.
        if ask.vouched || ask.identity.is_proven() {
            return Verdict::pass();
        }
        Verdict::later(async {
            let checked = ask.policy.auth.login(&ask.login).await;
            ask.identity = checked.map_err(|why| Refusal::new(&why))?;
            Ok(None)
        })
    }

    /// A session keeps the credentials that it was opened with.
    fn ping<'a>(&'a self, ask: &'a mut PingAsk<'_>) -> Verdict<'a> {
        let client = ask.client;
        // What comes by a key that is known to this client alone has shown enough.
        if !client.auth().heartbeats || client.identity().is_proven() {
            return Verdict::pass();
        }
        Verdict::later(async {
            let checked = client.auth().ping(&ask.ping, client.identity()).await;
            checked.map_err(|why| Refusal::new(&why))?;
            Ok(None)
        })
    }

    fn work_conn<'a>(&'a self, ask: &'a mut WorkConnAsk<'_>) -> Verdict<'a> {
        let client = ask.client;
        if !client.auth().new_work_conns || client.identity().is_proven() {
            return Verdict::pass();
        }
        Verdict::later(async {
            let checked = client.auth().new_work_conn(&ask.conn, client.identity());
            checked.await.map_err(|why| Refusal::new(&why))?;
            Ok(None)
        })
    }
}
