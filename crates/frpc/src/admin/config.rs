//! The configuration file: shown, written, taken up again (frp `client/config_manager.go`).

use frp_config::parse_client;
use frp_http::web::answer::ApiError;
use frp_process::file;
use frp_process::limits::MAX_FILE;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;

use super::{Admin, internal};
use crate::settings::ConfigFile;

impl Admin {
    fn file(&self) -> Result<&ConfigFile, ApiError> {
        self.settings
            .file()
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

    /// Writes the file, which takes effect at the next reload. What could not be loaded is refused,
    /// and the file stays: frp writes anything and then cannot start again.
    pub(super) async fn write_config(&self, request: Request<Incoming>) -> Result<(), ApiError> {
        let ConfigFile { path, options, .. } = self.file()?;
        let (path, mut options) = (path.clone(), options.clone());
        options.strict = false;
        let longest = usize::try_from(MAX_FILE).unwrap_or(usize::MAX);
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
