//! `auth`: method, token and where it comes from, OpenID Connect.

use crate::keys::{At, SourceEnv, SourceKeys};
use crate::options::TOKEN_SOURCE_EXEC;
use crate::report::Report;
use crate::{Auth, AuthMethod, ClientConfig, ClientOidc, ServerConfig, ServerOidc, ValueSource};

/// What both programs have.
pub(super) fn check(auth: &At<'_, Auth>, report: &mut Report<'_>) {
    let source = auth.of(Auth::token_source);
    if let (Some(_), Some(at)) = (auth.of(Auth::token).some_text(), source.table()) {
        report.error(
            at,
            "cannot specify both auth.token and auth.tokenSource",
            "remove one of the two",
        );
    }
    check_source(&source, report);
}

/// A table with `type`, `file` and `exec`.
pub(super) fn check_source(source: &At<'_, Option<ValueSource>>, report: &mut Report<'_>) {
    let Some(at) = source.table() else { return };
    let table = source.path();
    let source = source.cast();
    let kind = source.of(SourceKeys::kind);
    if kind.text() == "exec" && !report.options.allows(TOKEN_SOURCE_EXEC) {
        report.error(
            kind.value_at(),
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
    };
    match kind.text().as_str() {
        "file" => {
            let file = source.of(SourceKeys::path);
            let path = file.path();
            let Some(at) = file.around() else {
                let text = "file configuration is required when type is 'file'";
                return wrong(at, text, &format!("add {path}"));
            };
            if file.text().is_empty() {
                let advice = format!("give {path} the path of a file");
                wrong(at, "file path cannot be empty", &advice);
            }
        }
        "exec" => {
            let command = source.of(SourceKeys::command);
            let path = command.path();
            let Some(at) = command.around() else {
                let text = "exec configuration is required when type is 'exec'";
                return wrong(at, text, &format!("add {path}"));
            };
            if command.text().is_empty() {
                let advice = format!("give {path} the name of a program");
                return wrong(at, "exec command cannot be empty", &advice);
            }
            for item in source.of(SourceKeys::env).items() {
                let name = item.of(SourceEnv::name);
                if name.text().is_empty() {
                    let at = item.section().at;
                    return wrong(at, "exec env name cannot be empty", "give it a name");
                }
                if name.text().contains('=') {
                    let text = "exec env name cannot contain '='";
                    return wrong(name.value_at(), text, "use name and value");
                }
            }
        }
        other => {
            let text = format!(
                "unsupported value source type: {other} (only 'file' and 'exec' are supported)"
            );
            wrong(kind.value_at().max(at), &text, "use file");
        }
    }
}

pub(super) fn check_server(
    root: &At<'_, ServerConfig>,
    settings: &ServerConfig,
    report: &mut Report<'_>,
) {
    if settings.auth.method != AuthMethod::Oidc {
        return;
    }
    let advice = "write the URL of the issuer, as in https://id.example.com";
    let issuer = root.of(ServerConfig::oidc).of(ServerOidc::issuer);
    let url = &settings.oidc.issuer;
    if url.is_empty() {
        let method = root.flat(ServerConfig::auth).of(Auth::method);
        report.error(method.value_at(), "auth.oidc.issuer is required", advice);
    } else if !is_http_url(url) {
        // frp crashes over either.
        let text = "auth.oidc.issuer must be an absolute http or https URL";
        report.error(issuer.value_at(), text, advice);
    }
}

pub(super) fn check_client(
    root: &At<'_, ClientConfig>,
    settings: &ClientConfig,
    report: &mut Report<'_>,
) {
    let oidc = root.of(ClientConfig::oidc);
    let source = oidc.of(ClientOidc::token_source);
    check_source(&source, report);
    if let Some(at) = source.table() {
        let (own, below) = (format!("{}.", oidc.path()), format!("{}.", source.path()));
        let others = root.section().fields.iter().any(|(path, field)| {
            path.starts_with(&own) && !path.starts_with(&below) && !field.value.is_zero()
        });
        if others {
            report.error(
                at,
                "cannot specify both auth.oidc.tokenSource and any other field of auth.oidc",
                "remove the source, or the other keys",
            );
        }
    } else if settings.auth.method == AuthMethod::Oidc {
        check_credentials(root, &settings.oidc, report);
    }
}

/// What the client credentials flow needs (frp `pkg/config/v1/validation/oidc.go`).
fn check_credentials(root: &At<'_, ClientConfig>, oidc: &ClientOidc, report: &mut Report<'_>) {
    let at = root.of(ClientConfig::oidc);
    let method = root.flat(ClientConfig::auth).of(Auth::method).value_at();
    let given = |field: Option<&crate::section::Field>| field.map_or(method, |f| f.value_at);
    let client_id = given(at.of(ClientOidc::client_id).field());
    let url_at = given(at.of(ClientOidc::token_endpoint_url).field());
    let parameters = given(at.of(ClientOidc::additional_endpoint_params).field());
    if oidc.client_id.is_empty() {
        let text = "auth.oidc.clientID is required";
        report.error(client_id, text, "auth.method is oidc: add it");
    }
    let url = &oidc.token_endpoint_url;
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let example = "write it as in https://example.com/token";
    if url.is_empty() {
        let text = "auth.oidc.tokenEndpointURL is required";
        report.error(url_at, text, example);
    } else if scheme.is_empty() || host.is_empty() || host.contains(' ') {
        let text = "auth.oidc.tokenEndpointURL must be an absolute http or https URL";
        report.error(url_at, text, example);
    } else if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        let text = "auth.oidc.tokenEndpointURL must use http or https";
        report.error(url_at, text, example);
    }
    let has = |name: &str| oidc.additional_endpoint_params.contains_key(name);
    if has("scope") {
        let text = "auth.oidc.additionalEndpointParams.scope is not allowed; \
                    use auth.oidc.scope instead";
        report.error(parameters, text, "");
    }
    if !oidc.audience.is_empty() && has("audience") {
        let text = "cannot specify both auth.oidc.audience and \
                    auth.oidc.additionalEndpointParams.audience";
        report.error(parameters, text, "remove one of the two");
    }
}

fn is_http_url(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str())
        && !host.is_empty()
        && !host.contains(' ')
}
