//! `auth.tokens`: whether each can let somebody in, and whom.

use std::collections::BTreeMap;

use frp_proto::names::ProxyType;
use frp_proto::scram::Verifier;
use jiff::Timestamp;

use super::{auth, check_ports};
use crate::glob::Pattern;
use crate::keys::{At, Of};
use crate::report::Report;
use crate::{Auth, AuthMethod, PortRange, ServerConfig, ServerToken};

const NEW: &str = "frps token new makes one";

pub(super) fn check(root: &At<'_, ServerConfig>, settings: &ServerConfig, report: &mut Report<'_>) {
    let at = root.of(ServerConfig::tokens);
    let tokens: Vec<_> = at.items().collect();
    if let Some(list) = at.list().filter(|list| !list.items.is_empty())
        && settings.auth.method == AuthMethod::Oidc
    {
        report.error(
            list.at,
            "auth.tokens has no effect with auth.method oidc, where the issuer says who is who",
            "remove the tokens, or use auth.method token",
        );
    }
    if settings.strict_users && tokens.is_empty() && settings.auth.method == AuthMethod::Token {
        report.warn(
            root.of(ServerConfig::strict_users).value_at(),
            "by auth.strictUsers a user needs a token of its own, and auth.tokens has none: only clients without \
             a user can log in",
            "add a token for each user to auth.tokens",
        );
    }
    let main = root.flat(ServerConfig::auth).of(Auth::token).some_text();
    let mut all = Seen {
        names: BTreeMap::new(),
        secrets: main
            .map(|main| (main, "auth.token".to_owned()))
            .into_iter()
            .collect(),
        hashed: BTreeMap::new(),
        users: BTreeMap::new(),
    };
    for item in &tokens {
        check_one(item, settings, &mut all, report);
    }
    for (user, at) in &all.users {
        let outer = all.users.keys().find(|other| {
            let rest = user.strip_prefix(other.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        });
        if let Some(outer) = outer {
            report.error(
                *at,
                format!(
                    "user {user:?} begins with user {outer:?} and a dot: the names of both's proxies could be the same"
                ),
                "give one of the two another name",
            );
        }
    }
}

/// What entries have had so far.
struct Seen {
    /// With the places where they stand.
    names: BTreeMap<String, usize>,
    /// With whose they are.
    secrets: BTreeMap<String, String>,
    /// By users, with the names of the entries.
    hashed: BTreeMap<String, (String, Verifier)>,
    users: BTreeMap<String, usize>,
}

fn check_one(
    item: &At<'_, ServerToken>,
    settings: &ServerConfig,
    seen: &mut Seen,
    report: &mut Report<'_>,
) {
    let token = item.read();
    let name = &token.name;
    check_name(item, name, seen, report);
    check_secret(item, &token, seen, report);
    let user = item.of(ServerToken::user);
    if !token.user.is_empty() {
        seen.users
            .entry(token.user.clone())
            .or_insert_with(|| user.value_at());
    }
    for of in [ServerToken::allow_proxies, ServerToken::allow_domains] {
        check_patterns(item, of, name, report);
    }
    let below = format!("{}.", token.user);
    let repeated = |pattern: &&String| !token.user.is_empty() && pattern.starts_with(&below);
    if let Some(pattern) = token.allow_proxies.iter().find(repeated) {
        let rest = pattern.strip_prefix(&below).unwrap_or_default();
        report.warn(
            item.of(ServerToken::allow_proxies).value_at(),
            format!(
                "token [{name}]: the pattern {pattern:?} is for what follows the user: a proxy that fits is called \
                 {below}{pattern}"
            ),
            &format!("write {rest:?}"),
        );
    }
    check_reach(item, &token, settings, report);
    if let Some(expires) = token.expires.filter(|at| at.0 <= Timestamp::now()) {
        report.warn(
            item.of(ServerToken::expires).value_at(),
            format!("token [{name}] has expired at {expires} and lets nobody in"),
            "remove it, or give it more time",
        );
    }
}

fn check_name(item: &At<'_, ServerToken>, name: &str, seen: &mut Seen, report: &mut Report<'_>) {
    let at = item.of(ServerToken::name).value_at();
    if name.is_empty() {
        let text = "a token of auth.tokens has no name";
        return report.error(at, text, "name it after who has it; the log calls it so");
    }
    match seen.names.get(name) {
        Some(first) => {
            let place = report.sources.place(*first, at);
            let text = format!("token name [{name}] is duplicated: {place} has it, too");
            report.error(at, text, "give each its own name");
        }
        None => {
            seen.names.insert(name.to_owned(), at);
        }
    }
}

fn check_secret(
    item: &At<'_, ServerToken>,
    token: &ServerToken,
    seen: &mut Seen,
    report: &mut Report<'_>,
) {
    let name = &token.name;
    let source = item.of(ServerToken::token_source);
    auth::check_source(&source, report);
    let (text, hash) = (item.of(ServerToken::token), item.of(ServerToken::hash));
    let given = [
        text.filled().is_some(),
        source.table().is_some(),
        hash.filled().is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        1 => {}
        0 => report.error(
            item.section().at,
            format!("token [{name}] has neither token nor tokenSource nor hash"),
            NEW,
        ),
        _ => report.error(
            item.section().at,
            format!("token [{name}] has more than one of token, tokenSource and hash"),
            "leave one of them",
        ),
    }
    if let Some(secret) = text.some_text() {
        match seen.secrets.get(&secret) {
            Some(other) => report.error(
                text.value_at(),
                format!("token [{name}] is the same as {other}: nobody could tell who comes"),
                &format!("give each a secret of its own; {NEW}"),
            ),
            None => {
                seen.secrets.insert(secret, format!("token [{name}]"));
            }
        }
    }
    if let Some(text) = hash.some_text() {
        check_hash(item, token, &text, seen, report);
    }
}

fn check_hash(
    item: &At<'_, ServerToken>,
    token: &ServerToken,
    text: &str,
    seen: &mut Seen,
    report: &mut Report<'_>,
) {
    let ServerToken { name, user, .. } = token;
    let at = item.of(ServerToken::hash).value_at();
    let verifier = match text.parse::<Verifier>() {
        Ok(verifier) => verifier,
        Err(e) => {
            let text = format!("hash of token [{name}]: {e}");
            return report.error(at, text, "frps token hash makes it of a token");
        }
    };
    if user.is_empty() {
        let text =
            format!("token [{name}] is given as a hash and has no user, by whom it would be found");
        return report.error(at, text, "set user, and the same user in frpc");
    }
    match seen.hashed.get(user) {
        Some((other, before)) if !before.shares_challenge(&verifier) => report.error(
            at,
            format!(
                "tokens [{other}] and [{name}] of user {user:?} are given as hashes with different salts, of which \
                 frps could ask for one only"
            ),
            "make the second by frps token hash --like and the first hash",
        ),
        Some(_) => {}
        None => {
            seen.hashed.insert(user.clone(), (name.clone(), verifier));
        }
    }
}

fn check_patterns(
    item: &At<'_, ServerToken>,
    of: Of<ServerToken, Vec<String>>,
    name: &str,
    report: &mut Report<'_>,
) {
    let at = item.of(of);
    for pattern in at.texts().filter(|text| Pattern::parse(text).is_none()) {
        report.error(
            at.value_at(),
            format!(
                "token [{name}]: nothing fits the pattern {pattern:?} of {}",
                at.path()
            ),
            "* stands for any characters, ? for one, [a-c] for one of these",
        );
    }
}

/// Whether what is allowed can be had.
fn check_reach(
    item: &At<'_, ServerToken>,
    token: &ServerToken,
    settings: &ServerConfig,
    report: &mut Report<'_>,
) {
    let name = &token.name;
    let ports = item.of(ServerToken::allow_ports);
    check_ports(&ports, report);
    let Some(place) = ports.list().map(|list| list.at) else {
        return check_domains(item, token, report);
    };
    let meets =
        |one: &PortRange, other: &PortRange| one.start <= other.end && other.start <= one.end;
    let all = &settings.allow_ports;
    let is_within = |own: &PortRange| all.is_empty() || all.iter().any(|range| meets(own, range));
    if !token.allow_ports.is_empty() && !token.allow_ports.iter().any(is_within) {
        report.error(
            place,
            format!("token [{name}]: none of its ports is one of allowPorts of the server"),
            "correct either list",
        );
    }
    let has_port = |kind: &ProxyType| matches!(kind, ProxyType::Tcp | ProxyType::Udp);
    if !token.allow_types.is_empty() && !token.allow_types.iter().any(has_port) {
        report.warn(
            place,
            format!("token [{name}]: allowPorts has no effect, for none of allowTypes has a port of its own"),
            "add tcp or udp to allowTypes, or remove allowPorts",
        );
    }
    check_domains(item, token, report);
}

fn check_domains(item: &At<'_, ServerToken>, token: &ServerToken, report: &mut Report<'_>) {
    let has_domain =
        |kind: &ProxyType| matches!(kind, ProxyType::Http | ProxyType::Https | ProxyType::Tcpmux);
    let types = &token.allow_types;
    if !token.allow_domains.is_empty() && !types.is_empty() && !types.iter().any(has_domain) {
        report.warn(
            item.of(ServerToken::allow_domains).value_at(),
            format!(
                "token [{}]: allowDomains has no effect, for none of allowTypes has domains",
                token.name
            ),
            "add http, https or tcpmux to allowTypes, or remove allowDomains",
        );
    }
}
