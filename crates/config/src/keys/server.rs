//! Settings of frps.

use std::path::PathBuf;
use std::time::Duration;

use frp_proto::names::ProxyType;
use frp_proto::network::Network;
use frp_proto::plugin::PluginOp;

use super::common::{
    Auth, DASHBOARD, Expiry, LogConfig, PortRange, QuicOptions, TokenSourceError, WebServer,
    WebsocketOptions,
};
use super::guard::Guards;
use super::key::{Ini, Rule};
use super::setting::{At, Both, Optional, Setting as _};
use crate::{BandwidthLimit, Feature, Secret, ValueSource};

settings! {
    /// Everything that frps needs to know, checked and with defaults filled in.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerConfig {
        key version: String = "version" "Accepted, no effect." .inert();
        table "auth" "Authentication." {
            /// `auth`
            flat auth: Auth;
            oidc: ServerOidc = "oidc" "For auth.method oidc.";
            /// Those that are read from elsewhere at start: see [`ServerConfig::resolve`].
            tokens: Vec<ServerToken> = "tokens"
                "Tokens beside auth.token, each for one person or machine, with what it may do (docs/tokens.md). \
                 With some of them an empty auth.token lets nobody in. frp does not have it.";
            strict_users: bool = "strictUsers"
                "The name of a proxy must begin with the user of its client, only who has a token of that user \
                 (with auth.method oidc: that subject) may log in as one, and no visitor comes without a login \
                 (docs/tokens.md). frp does not have it.";
            max_clock_skew: u64 = "maxClockSkew"
                "Seconds that the clock of a frpc which proves its token as frp does may be away from that of frps; 0 \
                 for any number, as in frp. Clients that prove it by a challenge need no clock. frp does not have it."
                .rule(Rule::NotNegative);
        }
        bind_addr: String = "bindAddr" "Address to accept frpc on."
            .text("0.0.0.0") .ini("bind_addr") .flag("bind-addr")
            .rule(Rule::Host(Some(Self::bind_port.key)));
        bind_port: u16 = "bindPort" "Port to accept frpc on."
            .int(7000) .ini("bind_port") .short_flag("bind-port", 'p');
        kcp_bind_port: Option<u16> = "kcpBindPort"
            "UDP port to accept frpc on by kcp; it may have the number of bindPort. 0 for none."
            .ini("kcp_bind_port") .flag("kcp-bind-port") .needs(Feature::Kcp);
        quic_bind_port: Option<u16> = "quicBindPort" "UDP port for QUIC; 0 for none."
            .ini("quic_bind_port") .flag("quic-bind-port") .needs(Feature::Quic);
        /// `bindAddr` when not given.
        proxy_bind_addr: String = "proxyBindAddr" "Address that proxies listen on."
            .depends("bindAddr") .ini("proxy_bind_addr") .rule(Rule::Host(None))
            .any_flag("proxy-bind-addr", None, Some("0.0.0.0"));
        vhost_http_port: Option<u16> = "vhostHTTPPort" "Port for http proxies; 0 for none."
            .ini("vhost_http_port") .flag("vhost-http-port") .needs(Feature::Http);
        vhost_http_timeout: Duration = "vhostHTTPTimeout" "Seconds until a backend must answer."
            .int(60) .ini("vhost_http_timeout") .flag("vhost-http-timeout")
            .rule(Rule::NegativeIsDefault);
        vhost_https_port: Option<u16> = "vhostHTTPSPort" "Port for https proxies; 0 for none."
            .ini("vhost_https_port") .flag("vhost-https-port") .needs(Feature::Http);
        tcpmux_http_connect_port: Option<u16> = "tcpmuxHTTPConnectPort"
            "Port for tcpmux proxies; 0 for none."
            .ini("tcpmux_httpconnect_port") .rule(Rule::PortCalled("tcpMuxHTTPConnectPort"))
            .needs(Feature::Http);
        tcpmux_passthrough: bool = "tcpmuxPassthrough" "Pass the CONNECT request on."
            .ini("tcpmux_passthrough");
        /// Empty for none.
        sub_domain_host: String = "subDomainHost" "Domain that subdomains are below."
            .ini("subdomain_host") .flag("subdomain-host");
        custom_404_page: Option<PathBuf> = "custom404Page" "File shown when no proxy matches."
            .ini("custom_404_page");
        /// `None` when its port is 0.
        ssh_tunnel_gateway: Option<SshTunnelGateway> = "sshTunnelGateway"
            "Tunnels by a plain ssh client.";
        /// `None` when its port is 0.
        web_server: Option<WebServer> = "webServer" "The dashboard." .keys(DASHBOARD);
        enable_prometheus: bool = "enablePrometheus" "Metrics at /metrics of the dashboard."
            .ini("enable_prometheus") .flag("enable-prometheus");
        log: LogConfig = "log" "Log lines.";
        transport: ServerTransport = "transport" "How frpc is talked to.";
        detailed_errors_to_client: bool = "detailedErrorsToClient"
            "Tell frpc the reason of an error."
            .on() .ini("detailed_errors_to_client");
        max_ports_per_client: u64 = "maxPortsPerClient"
            "Ports that one client may have; 0 for any number."
            .ini("max_ports_per_client") .flag("max-ports-per-client");
        user_conn_timeout: Duration = "userConnTimeout"
            "Seconds that a user waits for a work connection."
            .int(10) .ini("user_conn_timeout") .rule(Rule::NotNegative);
        udp_packet_size: i64 = "udpPacketSize"
            "Bytes of the largest datagram; must be the same on both sides."
            .int(1500) .ini("udp_packet_size");
        nathole_analysis_data_reserve_hours: i64 = "natholeAnalysisDataReserveHours"
            "Hours that xtcp remembers."
            .int(168) .ini("nat_hole_analysis_data_reserve_hours");
        allow_ports: Vec<PortRange> = "allowPorts" "Ports that clients may ask for; empty for all."
            .ini_form(Ini::Ports("allow_ports")) .flag("allow-ports");
        accept_proxy_protocol: Vec<Network> = "acceptProxyProtocol"
            "Addresses and networks of proxies in front of frps that say by the PROXY protocol, v1 or v2, from whom \
             a connection is: each of theirs must begin with its header, at every TCP port (docs/real-ip.md). frp \
             does not have it.";
        accept_proxy_protocol_ports: Vec<PortRange> = "acceptProxyProtocolPorts"
            "Ports of frps that these proxies pass connections to; empty for all. At others what comes from them is \
             taken as it is. frp does not have it.";
        guard: Guards = "guard"
            "Who may come to the ports of proxies, and how often (docs/guards.md). frp does not have it.";
        table "store" "What survives a restart." {
            store_path: Option<PathBuf> = "path"
                "File that keeps the traffic of the last seven days, day by day and proxy by proxy, over a \
                 restart. frp does not have it on frps and forgets."
                .needs(Feature::Pages);
        }
        http_plugins: Vec<HttpPlugin> = "httpPlugins"
            "Plugins asked over HTTP about what clients and users want (docs/server-plugins.md)."
            .needs(Feature::Http);
    }
}

impl ServerConfig {
    /// The same with the tokens in it that are read from elsewhere. To be called once, at start.
    ///
    /// # Errors
    /// When one cannot be read, is empty, or is that of another entry.
    pub fn resolve(mut self) -> Result<Self, TokenSourceError> {
        self.auth = self.auth.resolve()?;
        for token in &mut self.tokens {
            let name = || token.name.clone();
            if let Some(source) = &token.token_source {
                let read = source.resolve();
                token.token = read.map_err(|why| TokenSourceError::Named { name: name(), why })?;
                if token.token.expose().is_empty() {
                    return Err(TokenSourceError::Empty(name()));
                }
            }
        }
        for (n, token) in self.tokens.iter().enumerate() {
            let is_text = !token.token.expose().is_empty();
            if is_text && token.token == self.auth.token {
                return Err(TokenSourceError::Main(token.name.clone()));
            }
            let mut before = self.tokens.iter().take(n);
            if let Some(same) = before.find(|other| is_text && other.token == token.token) {
                let (one, other) = (same.name.clone(), token.name.clone());
                return Err(TokenSourceError::Same(one, other));
            }
        }
        Ok(self)
    }

    /// The keys in which the two differ, in the order of their definitions. A table that only one of them
    /// has is named as a whole, and so is a list.
    #[must_use]
    pub fn differing_from(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        Self::differing(&mut Both {
            one: self,
            other,
            path: String::new(),
            found: &mut found,
        });
        found
    }
}

settings! {
    /// `auth.oidc.*` of frps.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerOidc {
        issuer: String = "issuer"
            "The http or https URL of the issuer whose tokens are accepted, as the issuer itself \
             writes it."
            .ini("oidc_issuer");
        audience: String = "audience" "The audience that tokens must be for; empty accepts any."
            .ini("oidc_audience");
        skip_expiry_check: bool = "skipExpiryCheck" "Accept expired tokens."
            .ini("oidc_skip_expiry_check");
        skip_issuer_check: bool = "skipIssuerCheck"
            "Accept tokens that name another issuer. They must be signed with a key of this one all \
             the same."
            .ini("oidc_skip_issuer_check");
    }
}

settings! {
    /// One entry of `auth.tokens`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerToken {
        name: String = "name"
            "Name of the token, by which log, API and pages call it; another one for each.";
        token: Secret = "token"
            "The secret, which its clients have as auth.token; `frps token new` makes one.";
        token_source: Option<ValueSource> = "tokenSource"
            "Where the secret is read from, in place of token.";
        hash: Secret = "hash"
            "What `frps token hash` prints, in place of token: frps does not know the secret then, and only frpc of \
             frp-rs can log in with it. Needs user.";
        user: String = "user"
            "The user that its clients log in as, and nobody else; the names of their proxies begin with it. Empty \
             for any.";
        allow_proxies: Vec<String> = "allowProxies"
            "Patterns for the names of its proxies, without user where that is set, such as web-*; empty for all.";
        allow_types: Vec<ProxyType> = "allowTypes" "Types of its proxies; empty for all.";
        allow_ports: Vec<PortRange> = "allowPorts"
            "Ports that its proxies may ask for, of those of allowPorts outside of it; empty for all of them.";
        allow_domains: Vec<String> = "allowDomains"
            "Patterns for the domains of its proxies, such as *.ann.example.com; a subdomain is meant with \
             subDomainHost behind it. Empty for all.";
        expires: Option<Expiry> = "expires"
            "Until when it is good, as in 2027-01-31T18:00:00Z (RFC 3339), or a day, which it is not good on any \
             more, in UTC. Sessions end then, too.";
        max_clients: u64 = "maxClients" "Clients logged in with it at a time; 0 for any number."
            .rule(Rule::NotNegative);
        max_proxies: u64 = "maxProxies" "Proxies of all of its clients together; 0 for any number."
            .rule(Rule::NotNegative);
        max_ports: u64 = "maxPorts" "Ports of all of its clients together; 0 for any number."
            .rule(Rule::NotNegative);
        max_routes: u64 = "maxRoutes"
            "Routes, which are domains times locations, of all of its clients together; 0 for any number."
            .rule(Rule::NotNegative);
        max_user_conns: u64 = "maxUserConns"
            "Connections of users to its proxies at a time, together; 0 for any number."
            .rule(Rule::NotNegative);
        bandwidth_limit: Option<BandwidthLimit> = "bandwidthLimit"
            "What all of its proxies carry together, both ways, as in 1MB or 500KB a second; empty for no limit. \
             Direct paths of xtcp do not come by frps.";
    }
}

choices!(ProxyType);

settings! {
    /// `sshTunnelGateway.*`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SshTunnelGateway {
        /// Never 0.
        bind_port: u16 = "bindPort"
            "Port to accept ssh clients on, at bindAddr; 0 for none (docs/ssh-tunnel-gateway.md)."
            .rule(Rule::UnheededPort) .needs(Feature::Ssh);
        private_key_file: Option<PathBuf> = "privateKeyFile"
            "Host key, without a passphrase, in the format of OpenSSH, PKCS#1 or PKCS#8.";
        auto_gen_private_key_path: PathBuf = "autoGenPrivateKeyPath"
            "Without privateKeyFile the host key is here, and made where there is none."
            .text("./.autogen_ssh_key");
        authorized_keys_file: Option<PathBuf> = "authorizedKeysFile"
            "Keys that may log in, as in OpenSSH's authorized_keys, read at each login; the comment of a key is the \
             user, and the token is not asked for. Without it any ssh client may log in that has the token.";
    }
}

impl Optional for SshTunnelGateway {
    fn is_there(&self, _: &At<'_, Option<Self>>) -> bool {
        self.bind_port != 0
    }
}

settings! {
    /// One entry of `httpPlugins`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HttpPlugin {
        name: String = "name" "Name, for the log.";
        addr: String = "addr" "host:port of the plugin, or the URL that path follows; without a scheme it is http." .ini("addr");
        path: String = "path" "Path of the requests." .ini("path");
        ops: Vec<PluginOp> = "ops" "Operations that it is asked about."
            .ini("ops")
            .refusal("invalid http plugin ops, optional values are [Login NewProxy CloseProxy Ping \
                      NewWorkConn NewUserConn]");
        tls_verify: bool = "tlsVerify" "Verify its certificate, where addr begins with https." .ini("tlsVerify");
    }
}

choices!(PluginOp);

settings! {
    /// How frps talks to frpc (`transport.*`).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerTransport {
        tcp_mux: bool = "tcpMux"
            "All streams over one connection; must be the same on both sides."
            .on() .ini("tcp_mux");
        tcp_mux_keepalive_interval: Duration = "tcpMuxKeepaliveInterval"
            "Seconds between keep-alives of the shared connection."
            .int(30) .ini("tcp_mux_keepalive_interval") .rule(Rule::NotNegative);
        tcp_keepalive: Option<Duration> = "tcpKeepalive"
            "Seconds between TCP keep-alive probes; negative for none."
            .int(7200) .ini("tcp_keepalive");
        max_pool_count: i64 = "maxPoolCount" "Ceiling of a client's poolCount."
            .int(5) .ini("max_pool_count");
        /// `None` for never. Off with `tcpMux`, as the mux has its own keep-alive.
        heartbeat_timeout: Option<Duration> = "heartbeatTimeout"
            "Seconds without a heartbeat until the session ends; negative for never."
            .depends("off with tcpMux, else 90") .ini("heartbeat_timeout");
        quic: QuicOptions = "quic" "Only for QUIC.";
        websocket: WebsocketOptions = "websocket" "Websockets at bindPort. frp does not have it.";
        tls: ServerTls = "tls" "TLS to frpc.";
    }
}

settings! {
    /// TLS towards frpc (`transport.tls.*`). Files are read at start.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ServerTls {
        force: bool = "force" "Refuse connections without TLS; always so with trustedCaFile."
            .ini("tls_only") .flag("tls-only");
        cert_file: Option<PathBuf> = "certFile"
            "Certificate, PEM; without it or its key a self-signed one is made."
            .ini("tls_cert_file");
        key_file: Option<PathBuf> = "keyFile" "Its key, PEM." .ini("tls_key_file");
        key_store: Option<PathBuf> = "keyStore"
            "File in which frps keeps a key with a self-signed certificate, which it makes where there is none, in \
             place of certFile and keyFile; without any of them the key is in memory only and changes with each \
             start, so that no client can remember it. frp-rs's own.";
        trusted_ca_file: Option<PathBuf> = "trustedCaFile"
            "CA of the certificates that clients must then show, PEM."
            .ini("tls_trusted_ca_file");
        key server_name: String = "serverName" "No effect on frps." .inert();
    }
}
