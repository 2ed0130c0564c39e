//! User name and password that a plugin asks for.

use frp_config::PluginLogin;
use frp_net::limits::WRONG_PASSWORD;
use frp_net::web::login::WebLogin;
use hyper::header::HeaderValue;

pub(super) fn login(cfg: &PluginLogin) -> WebLogin {
    WebLogin::new(&cfg.user, cfg.password.expose())
}

/// Whether `header`, the value of `Authorization` or `Proxy-Authorization`, lets its sender in. One
/// that does not is answered after [`WRONG_PASSWORD`]; none at all, with which clients begin, at
/// once.
pub(super) async fn admits(login: &WebLogin, header: Option<&HeaderValue>) -> bool {
    let admitted = login.admits(header);
    if !admitted && header.is_some() {
        tokio::time::sleep(WRONG_PASSWORD).await;
    }
    admitted
}
