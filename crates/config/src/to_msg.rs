//! Settings to the messages that carry them.

use frp_proto::msg::NewProxy;
use frp_proto::naming;
use frp_proto::network::Network;

use crate::{BandwidthLimitMode, Domains, ProxyConfig, ProxyKind, XtcpProxy};

impl ProxyConfig {
    /// The request that registers this proxy at frps for the client's `user` (may be empty).
    #[must_use]
    pub fn to_new_proxy(&self, user: &str) -> NewProxy {
        let mut message = NewProxy {
            proxy_name: naming::wire_name(user, &self.name),
            use_encryption: self.transport.use_encryption,
            use_compression: self.transport.use_compression,
            metas: self.metadatas.clone(),
            annotations: self.annotations.clone(),
            guard_allow_ips: texts(&self.guard.allow_ips),
            guard_deny_ips: texts(&self.guard.deny_ips),
            guard_max_conns_per_minute: number(self.guard.max_conns_per_minute),
            guard_max_conns_per_source: number(self.guard.max_conns_per_source),
            guard_max_conns: number(self.guard.max_conns),
            guard_reports: !self.sshd.log.is_empty(),
            ..NewProxy::default()
        };
        if let Some(limit) = &self.transport.bandwidth_limit {
            message.bandwidth_limit.clone_from(&limit.text);
        }
        // frp sends only the mode that is not the default.
        if self.transport.bandwidth_limit_mode == BandwidthLimitMode::Server {
            message.bandwidth_limit_mode = BandwidthLimitMode::Server.as_str().to_owned();
        }
        if let Some(balancer) = &self.load_balancer {
            message.group.clone_from(&balancer.group);
            message.group_key = balancer.group_key.expose().to_owned();
        }
        message.proxy_type = self.kind.as_str().to_owned();
        match &self.kind {
            ProxyKind::Tcp(port) | ProxyKind::Udp(port) => {
                message.remote_port = i64::from(port.remote_port);
            }
            ProxyKind::Http(http) => {
                put_domains(&mut message, &http.domains);
                message.locations.clone_from(&http.locations);
                message.http_user.clone_from(&http.http_user);
                message.http_pwd = http.http_password.expose().to_owned();
                message
                    .host_header_rewrite
                    .clone_from(&http.host_header_rewrite);
                message.headers.clone_from(&http.request_headers);
                message.response_headers.clone_from(&http.response_headers);
                message
                    .route_by_http_user
                    .clone_from(&http.route_by_http_user);
            }
            ProxyKind::Https(domains) => put_domains(&mut message, domains),
            ProxyKind::Tcpmux(mux) => {
                put_domains(&mut message, &mux.domains);
                message.http_user.clone_from(&mux.http_user);
                message.http_pwd = mux.http_password.expose().to_owned();
                message
                    .route_by_http_user
                    .clone_from(&mux.route_by_http_user);
                message.multiplexer = mux.multiplexer.to_string();
            }
            ProxyKind::Stcp(access)
            | ProxyKind::Sudp(access)
            | ProxyKind::Xtcp(XtcpProxy { access, .. }) => {
                message.sk = access.secret_key.expose().to_owned();
                message.allow_users.clone_from(&access.allow_users);
            }
        }
        message
    }
}

fn texts(networks: &[Network]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn put_domains(message: &mut NewProxy, domains: &Domains) {
    message.custom_domains.clone_from(&domains.custom_domains);
    message.subdomain.clone_from(&domains.subdomain);
}
