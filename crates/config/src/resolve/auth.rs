//! `auth`: method, token and where it comes from, OpenID Connect.

use std::path::PathBuf;

use super::path;
use crate::options::TOKEN_SOURCE_EXEC;
use crate::report::Report;
use crate::section::Section;
use crate::{Auth, AuthMethod, ClientOidc, Secret, ServerOidc, ValueSource};

pub(super) fn auth(root: &Section, report: &mut Report<'_>) -> Auth {
    let scopes = root.texts("auth.additionalScopes");
    let has = |scope: &str| scopes.iter().any(|given| given == scope);
    let token = root.text("auth.token");
    if let (false, Some(at)) = (token.is_empty(), root.tables.get("auth.tokenSource")) {
        report.error(
            *at,
            "cannot specify both auth.token and auth.tokenSource",
            "remove one of the two",
        );
    }
    Auth {
        method: match root.text("auth.method").as_str() {
            "oidc" => AuthMethod::Oidc,
            _ => AuthMethod::Token,
        },
        token: Secret::from(token),
        token_source: value_source(root, "auth.tokenSource", report),
        scope_heartbeats: has("HeartBeats"),
        scope_new_work_conns: has("NewWorkConns"),
    }
}

/// A table with `type`, `file` and `exec`, if the file has it and nothing is wrong with it.
fn value_source(root: &Section, table: &str, report: &mut Report<'_>) -> Option<ValueSource> {
    let at = *root.tables.get(table)?;
    let key = |name: &str| format!("{table}.{name}");
    let kind = root.text(&key("type"));
    if kind == "exec" && !report.options.allows(TOKEN_SOURCE_EXEC) {
        report.error(
            root.value_at(&key("type")),
            format!(
                "unsafe feature {TOKEN_SOURCE_EXEC:?} is not enabled. To enable it, ensure it is \
                 allowed in the configuration or command line flags"
            ),
            &format!(
                "start with --allow-unsafe {TOKEN_SOURCE_EXEC}, if this file may run programs"
            ),
        );
    }
    let mut wrong = |at: usize, text: &str, advice: &str| {
        report.error(at, format!("invalid {table}: {text}"), advice);
        None
    };
    match kind.as_str() {
        "file" => {
            let Some(at) = root.tables.get(&key("file")) else {
                let text = "file configuration is required when type is 'file'";
                return wrong(at, text, &format!("add {table}.file.path"));
            };
            let path = root.text(&key("file.path"));
            if path.is_empty() {
                let advice = format!("give {table}.file.path the path of a file");
                return wrong(*at, "file path cannot be empty", &advice);
            }
            Some(ValueSource::File(PathBuf::from(path)))
        }
        "exec" => {
            let Some(at) = root.tables.get(&key("exec")) else {
                let text = "exec configuration is required when type is 'exec'";
                return wrong(at, text, &format!("add {table}.exec.command"));
            };
            let command = root.text(&key("exec.command"));
            if command.is_empty() {
                let advice = format!("give {table}.exec.command the name of a program");
                return wrong(*at, "exec command cannot be empty", &advice);
            }
            let mut env = Vec::new();
            for item in root.items(&key("exec.env")) {
                let name = item.text("name");
                if name.is_empty() {
                    return wrong(item.at, "exec env name cannot be empty", "give it a name");
                }
                if name.contains('=') {
                    let text = "exec env name cannot contain '='";
                    return wrong(item.value_at("name"), text, "use name and value");
                }
                env.push((name, Secret::from(item.text("value"))));
            }
            Some(ValueSource::Exec {
                command,
                args: root.texts(&key("exec.args")),
                env,
            })
        }
        other => {
            let text = format!(
                "unsupported value source type: {other} (only 'file' and 'exec' are supported)"
            );
            wrong(root.value_at(&key("type")).max(at), &text, "use file")
        }
    }
}

pub(super) fn server_oidc(
    root: &Section,
    method: AuthMethod,
    report: &mut Report<'_>,
) -> ServerOidc {
    let issuer = root.text("auth.oidc.issuer");
    if method == AuthMethod::Oidc {
        let advice = "write the URL of the issuer, as in https://id.example.com";
        match (issuer.is_empty(), root.fields.get("auth.oidc.issuer")) {
            // frp crashes over either.
            (false, Some(field)) if !is_http_url(&issuer) => {
                let text = "auth.oidc.issuer must be an absolute http or https URL";
                report.error(field.value_at, text, advice);
            }
            (false, _) => {}
            (true, _) => {
                let at = root.value_at("auth.method");
                report.error(at, "auth.oidc.issuer is required", advice);
            }
        }
    }
    ServerOidc {
        issuer,
        audience: root.text("auth.oidc.audience"),
        skip_expiry_check: root.bool("auth.oidc.skipExpiryCheck"),
        skip_issuer_check: root.bool("auth.oidc.skipIssuerCheck"),
    }
}

pub(super) fn client_oidc(
    root: &Section,
    method: AuthMethod,
    report: &mut Report<'_>,
) -> ClientOidc {
    let text = |name: &str| root.text(&format!("auth.oidc.{name}"));
    let parameters = root.map("auth.oidc.additionalEndpointParams");
    let oidc = ClientOidc {
        client_id: text("clientID"),
        client_secret: Secret::from(text("clientSecret")),
        audience: text("audience"),
        scope: text("scope"),
        token_endpoint_url: text("tokenEndpointURL"),
        additional_endpoint_params: parameters
            .into_iter()
            .map(|(name, value)| (name, Secret::from(value)))
            .collect(),
        trusted_ca_file: path(root, "auth.oidc.trustedCaFile"),
        insecure_skip_verify: root.bool("auth.oidc.insecureSkipVerify"),
        proxy_url: root.some_text("auth.oidc.proxyURL").map(Secret::from),
        token_source: value_source(root, "auth.oidc.tokenSource", report),
    };
    match root.tables.get("auth.oidc.tokenSource") {
        Some(at) => {
            let others = root.fields.iter().any(|(path, field)| {
                path.starts_with("auth.oidc.")
                    && !path.starts_with("auth.oidc.tokenSource.")
                    && !field.value.is_zero()
            });
            if others {
                report.error(
                    *at,
                    "cannot specify both auth.oidc.tokenSource and any other field of auth.oidc",
                    "remove the source, or the other keys",
                );
            }
        }
        None if method == AuthMethod::Oidc => check_credentials(root, &oidc, report),
        None => {}
    }
    oidc
}

fn is_http_url(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str())
        && !host.is_empty()
        && !host.contains(' ')
}

/// What the client credentials flow needs (frp `pkg/config/v1/validation/oidc.go`).
fn check_credentials(root: &Section, oidc: &ClientOidc, report: &mut Report<'_>) {
    let mut error = |key: &str, text: &str, advice: &str| {
        let at = match root.fields.get(&format!("auth.oidc.{key}")) {
            Some(field) => field.value_at,
            None => root.value_at("auth.method"),
        };
        report.error(at, text, advice);
    };
    if oidc.client_id.is_empty() {
        let text = "auth.oidc.clientID is required";
        error("clientID", text, "auth.method is oidc: add it");
    }
    let (scheme, rest) = oidc
        .token_endpoint_url
        .split_once("://")
        .unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let example = "write it as in https://example.com/token";
    if oidc.token_endpoint_url.is_empty() {
        let text = "auth.oidc.tokenEndpointURL is required";
        error("tokenEndpointURL", text, example);
    } else if scheme.is_empty() || host.is_empty() || host.contains(' ') {
        let text = "auth.oidc.tokenEndpointURL must be an absolute http or https URL";
        error("tokenEndpointURL", text, example);
    } else if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        let text = "auth.oidc.tokenEndpointURL must use http or https";
        error("tokenEndpointURL", text, example);
    }
    if oidc.additional_endpoint_params.contains_key("scope") {
        let text = "auth.oidc.additionalEndpointParams.scope is not allowed; \
                    use auth.oidc.scope instead";
        error("additionalEndpointParams", text, "");
    }
    if !oidc.audience.is_empty() && oidc.additional_endpoint_params.contains_key("audience") {
        let text = "cannot specify both auth.oidc.audience and \
                    auth.oidc.additionalEndpointParams.audience";
        error("additionalEndpointParams", text, "remove one of the two");
    }
}
