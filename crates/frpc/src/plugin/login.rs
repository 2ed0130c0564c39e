//! User name and password that a plugin asks for.

use frp_config::PluginLogin;
use frp_http::basic::Login;

pub(super) fn login(cfg: &PluginLogin) -> Login {
    Login::new(&cfg.user, cfg.password.expose())
}
