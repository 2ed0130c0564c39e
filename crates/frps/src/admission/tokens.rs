//! Is the client within what its token allows (`auth.tokens`), and is it who it says it is (`auth.strictUsers`)?
//!
//! A decision goes by the token as the settings in force have it; what has been decided stays.

use std::sync::Arc;

use frp_config::Expiry;
use frp_proto::names::ProxyType;
use jiff::Timestamp;

use super::check::{Check, LoginAsk, NewProxyAsk, Refusal, UserAsk, Verdict};
use super::guard::OnEnd;
use crate::auth::tokens::{Entry, Identity};
use crate::policy::Policy;
use crate::stats::logins::Cause;

#[derive(Debug)]
pub(super) struct Tokens;

/// Why a login is refused whose credentials are good.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error(
        "token [{token}] is for user [{user}], and the login is of user [{said}]: set user = {user:?} in the client"
    )]
    OtherUser {
        token: Arc<str>,
        user: String,
        said: String,
    },
    #[error("token [{token}] has expired at {at}: ask for another one")]
    Expired { token: Arc<str>, at: Expiry },
    #[error(
        "user [{0}] is not the credentials' own (auth.strictUsers): ask for a token of that user, or leave the user out"
    )]
    NotOwnUser(String),
}

/// Why a proxy is refused.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    #[error("the name of proxy [{name}] must begin with [{user}.], the user of its client")]
    NotOwnName { name: String, user: String },
    #[error(
        "proxy [{0}] of a client without a user has a dot in its name, which only those of users have \
         (auth.strictUsers)"
    )]
    Dot(String),
    #[error("token [{token}] does not allow {what} [{value}]")]
    NotAllowed {
        token: Arc<str>,
        what: &'static str,
        value: String,
    },
    #[error("{0}")]
    Spec(#[from] crate::proxy::spec::SpecError),
}

/// Why a user is not let in.
#[derive(Debug, thiserror::Error)]
#[error("too many users: the proxies of token [{token}] may have {limit} connections together")]
struct TooManyUsers {
    token: Arc<str>,
    limit: u64,
}

impl Check for Tokens {
    fn cause(&self) -> Cause {
        Cause::Token
    }

    fn login<'a>(&'a self, ask: &'a mut LoginAsk<'_>) -> Verdict<'a> {
        let checked = login(ask).map_err(|why| Refusal::new(&why));
        Verdict::Now(checked.map(|()| None))
    }

    fn new_proxy<'a>(&'a self, ask: &'a mut NewProxyAsk<'_>) -> Verdict<'a> {
        let checked = new_proxy(ask).map_err(|why| Refusal::new(&why));
        Verdict::Now(checked.map(|()| None))
    }

    fn user<'a>(&'a self, ask: &'a mut UserAsk<'_>) -> Verdict<'a> {
        let entry = current(ask.policy, ask.client.identity());
        if !entry.is_named() {
            return Verdict::pass();
        }
        let limit = entry.limits.user_conns;
        Verdict::Now(match entry.held.user(limit) {
            Some(counted) => Ok(Some(Box::new(counted) as OnEnd)),
            None => Err(Refusal::new(&TooManyUsers {
                token: entry.name().clone(),
                limit,
            })),
        })
    }
}

/// One that has ended meanwhile goes on until its session does, which is at once.
fn current(policy: &Policy, identity: &Identity) -> Arc<Entry> {
    let entry = identity.entry();
    policy
        .auth
        .tokens
        .current(entry)
        .unwrap_or_else(|| entry.clone())
}

fn login(ask: &mut LoginAsk<'_>) -> Result<(), LoginError> {
    let auth = &ask.policy.auth;
    let user = &ask.login.user;
    if ask.vouched
        && let Some(entry) = auth.tokens.of_user(user)
    {
        ask.identity = Identity::vouched(entry);
    }
    let entry = ask.identity.entry();
    let token = || entry.name().clone();
    if !entry.user().is_empty() && entry.user() != user {
        return Err(LoginError::OtherUser {
            token: token(),
            user: entry.user().to_owned(),
            said: user.clone(),
        });
    }
    if let Some(at) = entry.expires().filter(|at| at.0 <= Timestamp::now()) {
        return Err(LoginError::Expired { token: token(), at });
    }
    let is_own = ask.vouched || entry.user() == user || ask.identity.subject().is(user);
    if auth.strict_users && !user.is_empty() && !is_own {
        return Err(LoginError::NotOwnUser(user.clone()));
    }
    Ok(())
}

fn new_proxy(ask: &mut NewProxyAsk<'_>) -> Result<(), ProxyError> {
    let (policy, client) = (ask.policy, ask.client);
    let entry = current(policy, client.identity());
    let user = client.user();
    let name = &ask.message().proxy_name;
    let rest = name
        .strip_prefix(&**user)
        .and_then(|rest| rest.strip_prefix('.'));
    let is_bound = policy.auth.strict_users || !entry.user().is_empty();
    if is_bound && !user.is_empty() && rest.is_none() {
        return Err(ProxyError::NotOwnName {
            name: name.clone(),
            user: user.to_string(),
        });
    }
    if policy.auth.strict_users && user.is_empty() && name.contains('.') {
        return Err(ProxyError::Dot(name.clone()));
    }
    if !entry.is_named() {
        return Ok(());
    }
    let not_allowed = |what, value: String| {
        let token = entry.name().clone();
        Err(ProxyError::NotAllowed { token, what, value })
    };
    let own = rest.filter(|_| !entry.user().is_empty()).unwrap_or(name);
    if !entry.allowed.name(own) {
        return not_allowed("proxy name", own.to_owned());
    }
    let spec = ask.spec()?;
    let kind: ProxyType = spec.proxy_type();
    if !entry.allowed.kind(kind) {
        return not_allowed("proxy type", kind.to_string());
    }
    if let Some(port) = spec
        .kind
        .remote_port()
        .filter(|port| !entry.allowed.port(*port))
    {
        return not_allowed("port", port.to_string());
    }
    let Some((hosts, _)) = spec.kind.hosts() else {
        return Ok(());
    };
    let custom = hosts.custom_domains.iter().filter(|name| !name.is_empty());
    let below = (!hosts.subdomain.is_empty())
        .then(|| format!("{}.{}", hosts.subdomain, policy.sub_domain_host));
    let mut domains = custom.cloned().chain(below);
    match domains.find(|domain| !entry.allowed.domain(domain)) {
        Some(domain) => not_allowed("domain", domain),
        None => Ok(()),
    }
}
