//! The log texts that users, scripts and frp's own end-to-end suite search for, in one place.
//! Changing one breaks them (frp `pkg/util/log` has no such list; it is taken from its call sites).
//!
//! Each function gives a [`Display`] to log or, in a test, to search:
//! `info!(log, "{}", contract::client_exit_success())`.

use std::fmt::{Display, from_fn};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) = $text:literal;)*) => {$(
        $(#[$doc])*
        #[doc = concat!("\n\n`", $text, "`")]
        pub fn $name($($arg: impl Display),*) -> impl Display {
            from_fn(move |f| write!(f, $text $(, $arg = $arg)*))
        }
    )*};
}

texts! {
    /// frpc, at start, once per configuration file. Level info.
    start_frpc_service(path) = "start frpc service for config file [{path}] with aggregated configuration";
    /// frpc, when a service has ended. Level info.
    frpc_service_stopped(path) = "frpc service for config file [{path}] stopped";
    /// frpc, on standard output, when a file of `--config-dir` cannot be run.
    frpc_service_error(path) = "frpc service error for config file [{path}]";
    /// frpc, before each login. Level info.
    try_to_connect() = "try to connect to server...";
    /// frpc, after a login. Level info.
    login_success(run_id) = "login to server success, get run id [{run_id}]";
    /// frpc, after a failed login. Level warn.
    connect_error(error) = "connect to server error: {error}";
    /// frpc, as its exit error when the first login failed and `loginFailExit` is set.
    login_failed(error) = "login to the server failed: {error}. With loginFailExit enabled, no additional retries will be attempted";
    /// frpc, when the server has accepted a proxy; `name` as configured. Level info. The suite
    /// searches `[NAME] start proxy success`, so nothing may come between the two.
    start_proxy_success(name) = "[{name}] start proxy success";
    /// frpc, when the server has refused a proxy; `name` as configured. Level warn.
    start_proxy_error(name, error) = "[{name}] start error: {error}";
    /// frpc, after the prefix of the visitor's name. Level info.
    start_visitor_success() = "start visitor success";
    /// frpc, with each ping. Level debug.
    send_heartbeat() = "send heartbeat to server";
    /// Both programs, when the peer's heartbeat is overdue. Level warn.
    heartbeat_timeout() = "heartbeat timeout";
    /// frpc, when the admin API listens. Level info.
    admin_server_listen(addr) = "admin server listen on {addr}";
    /// frpc, after the prefix of the proxy's name. Level info.
    health_check_success() = "health check success";
    /// frpc, after the prefix of the proxy's name. Level info.
    health_check_failed() = "health check failed";
    /// frpc, when the local service cannot be reached. Level error.
    connect_local_error(addr, error) = "connect to local service [{addr}] error: {error}";

    /// frps, at start. Level info.
    frps_uses_config_file(path) = "frps uses config file: {path}";
    /// frps, at start without a configuration file. Level info.
    frps_uses_arguments() = "frps uses command line arguments for config";
    /// frps, when bindPort listens. Level info.
    tcp_listen(addr) = "frps tcp listen on {addr}";
    /// frps, when kcpBindPort listens. Level info.
    kcp_listen(addr) = "frps kcp listen on udp {addr}";
    /// frps, when quicBindPort listens. Level info.
    quic_listen(addr) = "frps quic listen on {addr}";
    /// frps, when vhostHTTPPort listens. Level info.
    http_listen(addr) = "http service listen on {addr}";
    /// frps, when vhostHTTPSPort listens. Level info.
    https_listen(addr) = "https service listen on {addr}";
    /// frps, when tcpmuxHTTPConnectPort listens. Level info.
    tcpmux_listen(addr, passthrough) = "tcpmux httpconnect multiplexer listen on {addr}, passthrough: {passthrough}";
    /// frps, when the SSH gateway listens. Level info.
    ssh_gateway_listen(port) = "frps sshTunnelGateway listen on port {port}";
    /// frps, when the dashboard listens. Level info.
    dashboard_listen(addr) = "dashboard listen on {addr}";
    /// frps, when everything listens. Level info.
    frps_started() = "frps started successfully";
    /// frps, at start, for each server plugin. Level info.
    plugin_registered(name) = "plugin [{name}] has been registered";

    /// frps, with each login. Level info.
    client_login(ip, version, hostname, os, arch) = "client login info: ip [{ip}] version [{version}] hostname [{hostname}] os [{os}] arch [{arch}]";
    /// frps, when a login is refused. Level warn.
    register_control_error(error) = "register control error: {error}";
    /// frps, when the same run id has logged in again. Level info.
    replaced_by_client(run_id, control_id) = "replaced by client [{run_id}] (control ID {control_id})";
    /// frps, when a session has ended. Level info.
    client_exit_success() = "client exit success";
    /// frps, when a proxy runs; `name` as on the wire. Level info.
    new_proxy_success(name, kind) = "new proxy [{name}] type [{kind}] success";
    /// frps, when a proxy is refused; `name` as on the wire. Level warn.
    new_proxy_error(name, kind, error) = "new proxy [{name}] type [{kind}] error: {error}";
    /// frps, when the client has closed a proxy; `name` as on the wire. Level info.
    close_proxy_success(name) = "close proxy [{name}] success";
    /// frps, with each user connection. Level info.
    user_connection(addr) = "get a user connection [{addr}]";
    /// frps, when no work connection came in time. Level warn.
    work_connection_timeout() = "timeout trying to get work connection";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_name_is_the_last_bracket_before_its_text() {
        let text = start_proxy_success("ssh").to_string();
        assert_eq!(text, "[ssh] start proxy success");
    }

    #[test]
    fn texts_render_their_arguments_in_place() {
        assert_eq!(
            client_login("1.2.3.4:5", "0.70.1", "host", "linux", "amd64").to_string(),
            "client login info: ip [1.2.3.4:5] version [0.70.1] hostname [host] os [linux] arch [amd64]"
        );
        assert_eq!(
            tcpmux_listen("0.0.0.0:1337", false).to_string(),
            "tcpmux httpconnect multiplexer listen on 0.0.0.0:1337, passthrough: false"
        );
    }
}
