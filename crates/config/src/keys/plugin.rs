//! Settings of the plugins of frpc.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::key::{Ini, Kind, Tagged};
use super::setting::{At, Setting, Table};
use crate::Secret;

/// `proxies[].plugin`
pub(crate) const PLUGIN: Tagged = Tagged {
    what: "plugin",
    base: PluginKeys::KEYS,
    types: ClientPlugin::TAGS,
};

settings! {
    /// Keys of every plugin.
    #[derive(PartialEq)]
    pub(crate) struct PluginKeys {
        key kind: String = "type" "Which plugin." .ini("plugin");
    }
}

tagged! {
    /// What serves the users of a proxy instead of a local service (`proxies[].plugin`).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ClientPlugin {
        /// HTTP in, HTTPS to the local service.
        Http2Https(Http2HttpsPlugin) = "http2https", needs(Http);
        /// A forward proxy.
        HttpProxy(PluginLogin) = "http_proxy", needs(Http);
        /// HTTPS in, HTTP to the local service.
        Https2Http(HttpsForwardPlugin) = "https2http", needs(Http);
        /// HTTPS in, HTTPS to the local service.
        Https2Https(Https2HttpsPlugin) = "https2https", needs(Http);
        /// HTTP in, HTTP to the local service.
        Http2Http(ForwardPlugin) = "http2http", needs(Http);
        /// A SOCKS5 server.
        Socks5(Socks5Plugin) = "socks5";
        /// A web server for files.
        StaticFile(StaticFilePlugin) = "static_file", needs(Http);
        /// A Unix socket.
        UnixDomainSocket(UnixSocketPlugin) = "unix_domain_socket";
        /// TLS in, plain bytes to the local service.
        Tls2Raw(Tls2RawPlugin) = "tls2raw";
        /// The virtual network.
        VirtualNet = "virtual_net", needs(Vnet);
    }
}

impl Setting for Option<ClientPlugin> {
    const KIND: Kind = Kind::Tagged(&PLUGIN);

    fn read(at: &At<'_, Self>) -> Self {
        let table = at.list()?.items.first()?;
        let kind = At::root(table).of(PluginKeys::kind).text();
        Some(ClientPlugin::read(table, &kind))
    }
}

settings! {
    /// Where requests go, and how they are changed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ForwardPlugin {
        local_addr: String = "localAddr" "host:port of the local service." .ini("plugin_local_addr");
        host_header_rewrite: String = "hostHeaderRewrite" "Host header for it."
            .ini("plugin_host_header_rewrite");
        table "requestHeaders" "Headers of requests." {
            request_headers: BTreeMap<String, String> = "set" "Headers set on requests."
                .ini_form(Ini::Prefix("plugin_header_"));
        }
    }
}

settings! {
    /// Whom a plugin trusts that sends requests on by TLS. frp has neither key: it trusts anybody.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct BackendTls {
        trusted_ca_file: Option<PathBuf> = "backendTrustedCaFile"
            "Certificates that the local service's must be, or come from, PEM; without it anybody is \
             trusted, as in frp.";
        server_name: Option<String> = "backendServerName"
            "Name sent to the local service and looked for in its certificate; without it the host of \
             localAddr.";
    }
}

settings! {
    /// Keys of http2https.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Http2HttpsPlugin {
        /// Where requests go.
        flat forward: ForwardPlugin;
        /// Who must be there.
        flat backend_tls: BackendTls;
    }
}

settings! {
    /// Where requests of users go that come by HTTPS.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HttpsForwardPlugin {
        /// Where requests go.
        flat forward: ForwardPlugin;
        enable_http2: bool = "enableHTTP2" "Offer HTTP/2 to users." .on();
        /// `crtPath`, `keyPath`
        flat tls: PluginTls;
    }
}

settings! {
    /// Keys of https2https.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Https2HttpsPlugin {
        /// What users see, and where their requests go.
        flat https: HttpsForwardPlugin;
        /// Who must be there.
        flat backend_tls: BackendTls;
    }
}

settings! {
    /// Certificate and key that users see; self-signed when one of them is not given.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PluginTls {
        crt_path: Option<PathBuf> = "crtPath" "Certificate, PEM." .ini("plugin_crt_path");
        key_path: Option<PathBuf> = "keyPath" "Its key, PEM." .ini("plugin_key_path");
    }
}

settings! {
    /// User name and password that are asked for; none when both are empty.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PluginLogin {
        user: String = "httpUser" "User name asked for." .ini("plugin_http_user");
        password: Secret = "httpPassword" "Password asked for." .ini("plugin_http_passwd");
    }
}

settings! {
    /// The same for socks5.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Socks5Plugin {
        user: String = "username" "User name asked for." .ini("plugin_user");
        password: Secret = "password" "Password asked for." .ini("plugin_passwd");
    }
}

impl Socks5Plugin {
    /// Who is let in.
    #[must_use]
    pub fn login(&self) -> PluginLogin {
        let Self { user, password } = self.clone();
        PluginLogin { user, password }
    }
}

settings! {
    /// Keys of static_file.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct StaticFilePlugin {
        local_path: PathBuf = "localPath" "The directory." .ini("plugin_local_path");
        strip_prefix: String = "stripPrefix"
            "Begin of the path of requests, for those below /stripPrefix/ only."
            .ini("plugin_strip_prefix");
        /// `httpUser`, `httpPassword`
        flat login: PluginLogin;
    }
}

settings! {
    /// Keys of unix_domain_socket.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct UnixSocketPlugin {
        unix_path: PathBuf = "unixPath" "The socket." .ini("plugin_unix_path");
    }
}

settings! {
    /// Keys of tls2raw.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Tls2RawPlugin {
        local_addr: String = like ForwardPlugin::local_addr;
        /// `crtPath`, `keyPath`
        flat tls: PluginTls;
    }
}
