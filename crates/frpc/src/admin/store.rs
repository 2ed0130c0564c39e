//! Entries of the store: shown, made, changed, removed (frp `client/http/controller.go`).

use std::sync::Arc;

use frp_config::{EntryError, EntryKind, StoreEntry, StoreError};
use frp_http::web::answer::{ApiError, json_text};
use frp_log::{Log, warn};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};

use super::route::Ask;
use super::{Admin, internal};
use crate::limits::MAX_ENTRY;
use crate::settings::{Settings, StoreRefusal};
use crate::store::ChangeError;

impl Admin {
    /// What runs under a name.
    pub(super) fn running(&self, kind: EntryKind, name: &str) -> Result<Bytes, ApiError> {
        let found = self.settings.running(kind, name);
        let missing = || ApiError::not_found(format!("{kind} {name:?} not found"));
        found.map(json_text).ok_or_else(missing)
    }

    /// The answer to what is asked of the store; empty for a deletion.
    pub(super) async fn store(
        &self,
        (kind, ask): (EntryKind, Ask),
        request: Request<Incoming>,
    ) -> Result<Bytes, ApiError> {
        match ask {
            Ask::List => {
                let store = self.settings.store().unwrap_or_default();
                let all = store.list(kind).join(",");
                Ok(json_text(format!("{{\"{}\":[{all}]}}", list(kind))))
            }
            Ask::Show(name) => {
                let store = self.settings.store().unwrap_or_default();
                let missing = StoreError::NotFound(kind, name.clone());
                let found = store.json(kind, &name).map(json_text);
                found.ok_or_else(|| ApiError::not_found(missing.to_string()))
            }
            Ask::Create => {
                let entry = self.entry(kind, None, request).await?;
                let add = move |settings: &Settings| settings.add(kind, entry);
                self.change(add).await.map(json_text)
            }
            Ask::Update(name) => {
                let entry = self.entry(kind, Some(name), request).await?;
                let replace = move |settings: &Settings| settings.replace(kind, entry);
                self.change(replace).await.map(json_text)
            }
            Ask::Delete(name) => {
                let remove = move |settings: &Settings| settings.remove(kind, &name);
                self.change(remove).await.map(|()| Bytes::new())
            }
        }
    }

    /// The entry that a request asks for.
    async fn entry(
        &self,
        kind: EntryKind,
        named: Option<String>,
        request: Request<Incoming>,
    ) -> Result<StoreEntry, ApiError> {
        let options = &self.settings.file().ok_or_else(disabled)?.options;
        let body = Limited::new(request.into_body(), MAX_ENTRY).collect().await;
        let body = body.map_err(|e| ApiError::bad(format!("read body error: {e}")))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let parsed = StoreEntry::parse(kind, &body, named.as_deref(), options);
        let (entry, warnings) = parsed.map_err(|e: EntryError| ApiError::bad(e.to_string()))?;
        for warning in warnings {
            warn!(Log::root(), "store: {warning}");
        }
        Ok(entry)
    }

    /// Writes files, which blocks.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Settings) -> Result<T, StoreRefusal> + Send + 'static,
    ) -> Result<T, ApiError> {
        let settings = Arc::clone(&self.settings);
        match tokio::task::spawn_blocking(move || change(&settings)).await {
            Ok(changed) => changed.map_err(refused),
            Err(e) => Err(internal(&e)),
        }
    }
}

fn disabled() -> ApiError {
    refused(StoreRefusal::Disabled)
}

/// With frp's words for the kinds of refusals before those for what was refused.
fn refused(refusal: StoreRefusal) -> ApiError {
    let (code, kind) = match &refusal {
        StoreRefusal::Disabled => (StatusCode::NOT_FOUND, ""),
        StoreRefusal::Change(change) => match change {
            ChangeError::Refused(StoreError::NotFound(..)) => {
                (StatusCode::NOT_FOUND, "not found: ")
            }
            ChangeError::Refused(StoreError::AlreadyExists(..) | StoreError::Unknown(..))
            | ChangeError::ByHand(_) => (StatusCode::CONFLICT, "conflict: "),
            ChangeError::TooLong(_) => (StatusCode::BAD_REQUEST, "invalid argument: "),
            ChangeError::Write { .. } => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        },
    };
    ApiError {
        code,
        text: format!("{kind}{refusal}"),
    }
}

fn list(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Proxy => "proxies",
        EntryKind::Visitor => "visitors",
    }
}
