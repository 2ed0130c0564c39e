//! Whom the web server lets in, where the build has none.

use frp_config::WebServer;
use frp_net::tls::TlsSetupError;

/// Anybody: there is nothing.
#[derive(Debug)]
pub(crate) struct Access;

#[allow(clippy::unnecessary_wraps, reason = "as what it stands in for")]
pub(crate) fn of(_: &WebServer) -> Result<Access, TlsSetupError> {
    Ok(Access)
}
