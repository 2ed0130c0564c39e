//! Settings of one visitor of frpc.

use std::net::IpAddr;
use std::time::Duration;

use frp_proto::named;
use frp_proto::names::ProxyType;

use super::key::{Kind, Rule, Tagged};
use super::proxy::NatTraversal;
use super::setting::{At, Listed, Of, Setting, Table};
use crate::Secret;

/// One entry of `visitors`.
pub(crate) const VISITOR: Tagged = Tagged {
    what: "visitor",
    base: VisitorConfig::KEYS,
    types: VisitorKind::TAGS,
};

settings! {
    /// One entry of `visitors`, checked and with defaults filled in.
    ///
    /// Two equal values mean that a reload leaves the running visitor alone.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct VisitorConfig {
        name: String = "name" "Name of the visitor; unique in the file."
            .short_flag("visitor-name", 'n') .always();
        key kind: String = "type" "Type of the proxy that is visited." .ini("type") .always();
        key enabled: bool = "enabled" "false skips the visitor." .on() .as_given();
        table "transport" "How the bytes travel." {
            /// On the visitor's leg, with `secretKey`.
            use_encryption: bool = "useEncryption" "Encrypt to the proxy."
                .ini("use_encryption") .flag("ue");
            /// On the visitor's leg.
            use_compression: bool = "useCompression" "Compress to the proxy."
                .ini("use_compression") .flag("uc");
        }
        secret_key: Secret = "secretKey" "Shared with the proxy." .ini("sk") .flag("sk");
        server_user: String = "serverUser" "User of the proxy; empty for one's own."
            .ini("server_user") .flag("server-user");
        /// Without user.
        server_name: String = "serverName" "Name of the proxy."
            .ini("server_name") .flag("server-name");
        bind_addr: String = "bindAddr" "Address to listen on."
            .text("127.0.0.1") .ini("bind_addr") .rule(Rule::Host(Some(Self::bind_port.key)))
            .flag("bind-addr");
        /// `None` for no listener.
        bind_port: Option<u16> = "bindPort" "Port to listen on; negative for none."
            .ini("bind_port") .rule(Rule::PortOrNone) .flag("bind-port");
        /// Sends users, too.
        plugin: Option<VisitorPlugin> = "plugin" "What sends users, besides the listener.";
        /// `type` and the keys that only this type has.
        tagged kind: VisitorKind;
    }
}

impl Listed for VisitorConfig {
    const TAGGED: &'static Tagged = &VISITOR;
    const NAME: Of<Self, String> = Self::name;
    const TYPE: Of<Self, String> = Self::kind;
    const ENABLED: Of<Self, bool> = Self::enabled;
}

tagged! {
    /// The kind of the proxy that is visited, with the keys of that kind.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum VisitorKind {
        /// `stcp`
        Stcp = ProxyType::Stcp.as_str();
        /// `sudp`
        Sudp = ProxyType::Sudp.as_str();
        /// `xtcp`
        Xtcp(XtcpVisitor) = ProxyType::Xtcp.as_str(), needs(Xtcp);
    }
}

settings! {
    /// Keys of type xtcp.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct XtcpVisitor {
        protocol: XtcpProtocol = "protocol" "Protocol of the direct connection."
            .text("quic") .ini("protocol") .refusal("protocol should be kcp or quic");
        keep_tunnel_open: bool = "keepTunnelOpen" "Make the direct connection before users come."
            .ini("keep_tunnel_open");
        max_retries_an_hour: i64 = "maxRetriesAnHour" "Attempts per hour to keep it."
            .int(8) .ini("max_retries_an_hour");
        min_retry_interval: Duration = "minRetryInterval" "Seconds between attempts."
            .int(90) .ini("min_retry_interval");
        /// Empty for none.
        fallback_to: String = "fallbackTo" "Visitor by which users go while there is no direct connection." .ini("fallback_to");
        fallback_timeout: Duration = "fallbackTimeoutMs" "Milliseconds that a direct connection may take to show that it still works before they do."
            .int(1000) .millis() .ini("fallback_timeout_ms");
        nat_traversal: NatTraversal = "natTraversal" "NAT traversal." .as_given();
    }
}

named! {
    /// What runs over the direct connection.
    pub enum XtcpProtocol {
        /// QUIC
        Quic = "quic",
        /// KCP
        Kcp = "kcp",
    }
}

choices!(XtcpProtocol);

/// `visitors[].plugin`.
pub(crate) const VISITOR_PLUGIN: Tagged = Tagged {
    what: "visitor plugin",
    base: VisitorPluginKeys::KEYS,
    types: VisitorPlugin::TAGS,
};

settings! {
    /// Keys of every plugin of visitors.
    #[derive(PartialEq)]
    pub(crate) struct VisitorPluginKeys {
        key kind: String = "type" "Which plugin.";
    }
}

tagged! {
    /// `visitors[].plugin`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum VisitorPlugin {
        /// The virtual network; `destinationIP` is reached through the visitor.
        VirtualNet(VirtualNetVisitor) = "virtual_net", needs(Vnet);
    }
}

settings! {
    /// Keys of the plugin virtual_net.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct VirtualNetVisitor {
        destination_ip: Option<IpAddr> = "destinationIP" "Address that is reached."
            .always();
    }
}

impl Setting for Option<VisitorPlugin> {
    const KIND: Kind = Kind::Tagged(&VISITOR_PLUGIN);

    fn read(at: &At<'_, Self>) -> Self {
        let table = at.list()?.items.first()?;
        let kind = At::root(table).of(VisitorPluginKeys::kind).text();
        Some(VisitorPlugin::read(table, &kind))
    }
}
