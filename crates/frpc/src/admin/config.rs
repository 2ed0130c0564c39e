//! The configuration file: shown, written, taken up again (frp `client/config_manager.go`).

use frp_config::{load_client, parse_client};
use frp_http::web::answer::ApiError;
use frp_log::{Log, info, warn};
use frp_process::file;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;
use std::sync::Arc;

use super::{Admin, internal};
use crate::service::ConfigFile;

impl Admin {
    fn file(&self) -> Result<&ConfigFile, ApiError> {
        self.file
            .as_ref()
            .ok_or_else(|| ApiError::bad("invalid argument: frpc has no config file path"))
    }

    pub(super) async fn read_config(&self) -> Result<Vec<u8>, ApiError> {
        let path = self.file()?.path.clone();
        match tokio::task::spawn_blocking(move || file::read(&path)).await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(e)) => Err(ApiError::bad(format!("invalid argument: {e}"))),
            Err(e) => Err(internal(&e)),
        }
    }

    /// Reads the file again; the session then makes its proxies and visitors so.
    pub(super) async fn reload(&self, strict: bool) -> Result<(), ApiError> {
        let ConfigFile { path, mut options } = self.file()?.clone();
        options.strict = strict;
        let loading = tokio::task::spawn_blocking(move || load_client(&path, &options));
        let loaded = match loading.await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(e)) => return Err(ApiError::bad(format!("invalid argument: {e}"))),
            Err(e) => return Err(internal(&e)),
        };
        for warning in &loaded.warnings {
            warn!(Log::root(), "{warning}");
        }
        self.settings.send_replace(Arc::new(loaded.settings));
        info!(Log::root(), "success reload conf");
        Ok(())
    }

    /// Writes the file, which takes effect at the next reload. What could not be loaded is refused,
    /// and the file stays: frp writes anything and then cannot start again.
    pub(super) async fn write_config(&self, request: Request<Incoming>) -> Result<(), ApiError> {
        let ConfigFile { path, mut options } = self.file()?.clone();
        options.strict = false;
        let longest = usize::try_from(frp_process::limits::MAX_FILE).unwrap_or(usize::MAX);
        let body = Limited::new(request.into_body(), longest);
        let content = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) => return Err(ApiError::bad(format!("read request body error: {e}"))),
        };
        if content.is_empty() {
            return Err(ApiError::bad("body can't be empty"));
        }
        let text = String::from_utf8(content.into());
        let text = text.map_err(|e| ApiError::bad(format!("invalid argument: {e}")))?;
        parse_client(&text, &path.display().to_string(), &options)
            .map_err(|e| ApiError::bad(format!("invalid argument: {e}")))?;
        let writing = tokio::task::spawn_blocking(move || file::write(&path, &text));
        match writing.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(internal(&e)),
            Err(e) => Err(internal(&e)),
        }
    }
}
