//! Whom does the web server let in? What may change of `webServer` while it runs.

use frp_config::WebServer;
use frp_http::basic::Login;
pub(crate) use frp_http::web::Access;
use frp_http::web::AccessSettings;
use frp_net::tls::TlsSetupError;

use crate::pages;

/// Reads the certificate files that `config` names.
pub(crate) fn of(config: &WebServer) -> Result<Access, TlsSetupError> {
    let tls = config.tls.as_ref();
    Access::new(AccessSettings {
        addr: &config.addr,
        tls: tls.map(|files| (files.cert_file.clone(), files.key_file.clone())),
        login: Login::new(&config.user, config.password.expose()),
        allowed_hosts: &config.allowed_hosts,
        pages: pages::FILES,
        assets_dir: config.assets_dir.clone(),
        pprof: config.pprof_enable,
    })
}
