//! May a visitor bring users to the proxy: does it know the secret, is its user among those allowed
//! (frp `server/visitor/visitor.go`)?

use frp_proto::auth::verify_token_key;

use super::check::{Check, Claim, Refusal, UserAsk, Verdict};
use crate::proxy::spec::{Access, Kind};

#[derive(Debug)]
pub(super) struct Visitors;

/// Why a visitor is turned away; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
enum VisitorError {
    #[error("visitor connection of [{0}] auth failed")]
    WrongKey(String),
    #[error("visitor connection of [{name}] user [{user}] not allowed")]
    NotAllowed { name: String, user: String },
}

impl Check for Visitors {
    fn user<'a>(&'a self, ask: &'a mut UserAsk<'_>) -> Verdict<'a> {
        let access = match &ask.proxy.kind {
            Kind::Stcp(access) | Kind::Sudp(access) | Kind::Xtcp(access) => access,
            Kind::Tcp { .. } | Kind::Udp { .. } => return Verdict::pass(),
            Kind::Http(_) | Kind::Https(_) | Kind::Tcpmux(_) => return Verdict::pass(),
        };
        let checked = check(ask, access).map_err(|why| Refusal::new(&why));
        Verdict::Now(checked.map(|()| None))
    }
}

fn check(ask: &UserAsk<'_>, access: &Access) -> Result<(), VisitorError> {
    let name = || ask.proxy.name.to_string();
    let wrong_key = || VisitorError::WrongKey(name());
    let Claim {
        user,
        timestamp,
        sign_key,
    } = ask.visitor.ok_or_else(wrong_key)?;
    if !verify_token_key(access.secret.expose(), *timestamp, sign_key) {
        return Err(wrong_key());
    }
    match access.admits(user, ask.client.user()) {
        true => Ok(()),
        false => Err(VisitorError::NotAllowed {
            name: name(),
            user: user.clone(),
        }),
    }
}
