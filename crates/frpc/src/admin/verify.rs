//! For an editor of the configuration: what is wrong with a text, and what there is to complete.

use std::path::Path;

use frp_config::{Finding, Format, LoadOptions, findings};
use frp_http::web::answer::{ApiError, JSON, Response, json, with_type};
use frp_http::web::path::Query;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use serde::Serialize;

use super::{Admin, internal};
use crate::limits::MAX_VERIFIED;

/// The schema of the configuration file.
const SCHEMA: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/frpc.schema.json"
));

#[derive(Debug, Serialize)]
struct Problems {
    problems: Vec<Shown>,
}

/// A [`Finding`] as it is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    line: usize,
    column: usize,
    end_column: usize,
    key: String,
    message: String,
    level: &'static str,
}

impl Admin {
    /// What keys there are, and what they may be.
    pub(super) fn schema() -> Response {
        with_type(JSON, SCHEMA)
    }

    /// The problems of the text that is sent.
    pub(super) async fn verify(
        &self,
        query: &Query,
        request: Request<Incoming>,
    ) -> Result<Bytes, ApiError> {
        let file = self.settings.file();
        let format = match query.value("format") {
            "" => file.map_or(Some(Format::Toml), |file| format_of(&file.path)),
            "toml" => Some(Format::Toml),
            "yaml" => Some(Format::Yaml),
            "json" => Some(Format::Json),
            "ini" => None,
            _ => {
                return Err(ApiError::bad(
                    "invalid argument: format is one of toml, yaml, json and ini",
                ));
            }
        };
        let Some(file) = file else {
            return Err(ApiError::bad(
                "invalid argument: frpc has no config file path",
            ));
        };
        let options = LoadOptions {
            strict: query.value("strictConfig") != "false",
            ..file.options.clone()
        };
        let body = Limited::new(request.into_body(), MAX_VERIFIED)
            .collect()
            .await;
        let body = body.map_err(|e| ApiError::bad(format!("read request body error: {e}")))?;
        let text = String::from_utf8(body.to_bytes().into());
        let text = text.map_err(|e| ApiError::bad(format!("invalid argument: {e}")))?;
        let finding = tokio::task::spawn_blocking(move || findings(&text, format, &options));
        let found = finding.await.map_err(|e| internal(&e))?;
        let problems = found.into_iter().map(Shown::from).collect();
        Ok(json(&Problems { problems }))
    }
}

impl From<Finding> for Shown {
    fn from(finding: Finding) -> Self {
        let Finding {
            line,
            column,
            end_column,
            key,
            message,
            is_error,
        } = finding;
        Self {
            line,
            column,
            end_column,
            key,
            message,
            level: match is_error {
                true => "error",
                false => "warning",
            },
        }
    }
}

/// By the name of the file; `None` for the legacy form.
fn format_of(path: &Path) -> Option<Format> {
    let ending = path
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("ini") => None,
        Some("yaml" | "yml") => Some(Format::Yaml),
        Some("json") => Some(Format::Json),
        _ => Some(Format::Toml),
    }
}
