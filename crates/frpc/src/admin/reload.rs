//! Another configuration, on trial or for good.

use std::sync::Arc;
use std::time::Duration;

use frp_http::web::answer::{ApiError, json};
use frp_http::web::path::Query;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Admin, internal};
use crate::limits::MAX_CONFIRM;
use crate::settings::{ConfirmError, ReloadError, Settings, Trial};

/// What a reload has come to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reloaded {
    /// Keys that differ from what runs, and count only after a restart.
    restart: Vec<String>,
    /// When the former settings come back, in Unix milliseconds.
    confirm_until: Option<u64>,
}

impl Admin {
    /// Reads the file again; the session then makes its proxies and visitors so.
    pub(super) async fn reload(&self, query: &Query) -> Result<Reloaded, ApiError> {
        let strict = is_true(query.value("strictConfig"));
        let confirm = match query.value("confirm") {
            "" => None,
            text => Some(seconds(text)?),
        };
        let (settings, tasks) = (Arc::clone(&self.settings), self.tasks.clone());
        let runtime = Handle::current();
        // To its end, whatever becomes of who asked: the request may have come by a proxy that is gone now.
        let reloading = tokio::task::spawn_blocking(move || {
            let reloaded = settings.reload(strict, confirm)?;
            if let (Some(trial), Some(_)) = (&reloaded.trial, confirm) {
                let undoing = undo_at(trial.clone(), settings, tasks.stop);
                tasks.tracker.spawn_on(undoing, &runtime);
            }
            Ok::<_, ReloadError>(reloaded)
        });
        let reloaded = match reloading.await {
            Ok(Ok(reloaded)) => reloaded,
            Ok(Err(e)) => return Err(ApiError::bad(format!("invalid argument: {e}"))),
            Err(e) => return Err(internal(&e)),
        };
        let confirm_until = self.settings.confirm_until();
        Ok(Reloaded {
            restart: reloaded.restart,
            confirm_until,
        })
    }

    /// What waits to be confirmed stays.
    pub(super) async fn confirm(&self) -> Result<Bytes, ApiError> {
        let settings = Arc::clone(&self.settings);
        match tokio::task::spawn_blocking(move || settings.confirm()).await {
            Ok(Ok(())) => Ok(json(&serde_json::json!({}))),
            Ok(Err(e @ ConfirmError::Nothing)) => Err(ApiError {
                code: StatusCode::CONFLICT,
                text: e.to_string(),
            }),
            Ok(Err(e)) => Err(internal(&e)),
            Err(e) => Err(internal(&e)),
        }
    }
}

/// Has the former settings come back, unless what is on trial is confirmed until then.
async fn undo_at(trial: Trial, settings: Arc<Settings>, stop: CancellationToken) {
    tokio::select! {
        () = sleep_until(Instant::from_std(trial.until)) => {}
        // The next start finds what is kept.
        () = stop.cancelled() => return,
    }
    let undoing = tokio::task::spawn_blocking(move || settings.undo(trial.number));
    let _ = undoing.await;
}

fn seconds(text: &str) -> Result<Duration, ApiError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    let time = seconds.map(Duration::from_secs);
    time.filter(|time| *time <= MAX_CONFIRM).ok_or_else(|| {
        ApiError::bad(format!(
            "invalid argument: confirm is a number of seconds from 1 to {}",
            MAX_CONFIRM.as_secs()
        ))
    })
}

/// Go's `strconv.ParseBool`.
pub(super) fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}
