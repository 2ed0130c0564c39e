//! The 18 messages of frp's control protocol, one of ours, and the one table of their wire types.
//!
//! Fields bear frp's JSON names (frp `pkg/msg/msg.go`). All are optional on the wire: a zero value
//! is left out when written and assumed when absent, `null`, or the whole body is `null`. Times are
//! Unix seconds. Values that arrive here are what a peer claims: nothing is validated but its type.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use aws_lc_rs::digest;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::{Deserializer, Error as _};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::json::{self, wire_struct};

/// Defines [`Message`] and [`MessageType`] from the table below.
macro_rules! message_table {
    ($( $variant:ident($body:ty) = $struct:ident, $v1:literal, $v2:literal, $name:literal; )*) => {
        /// One message, as it is sent or was received. Big ones are boxed, so that the frequent
        /// small ones do not pay for them.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $(
                #[doc = concat!("See [`", stringify!($struct), "`].")]
                $variant($body),
            )*
        }

        /// Which of the messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum MessageType {
            $(
                #[doc = concat!("See [`", stringify!($struct), "`].")]
                $variant,
            )*
        }

        impl Message {
            /// Which message this is.
            pub const fn kind(&self) -> MessageType {
                match self { $( Self::$variant(_) => MessageType::$variant, )* }
            }

            pub(crate) fn write_body(&self, out: &mut BytesMut) -> serde_json::Result<()> {
                // The one message that carries user data has a faster writer.
                if let Self::UdpPacket(packet) = self {
                    return packet.write_json(out);
                }
                match self { $( Self::$variant(body) => json::write(body, out), )* }
            }

            pub(crate) fn read_body(kind: MessageType, body: &[u8]) -> serde_json::Result<Self> {
                match kind { $( MessageType::$variant => json::read(body).map(Self::$variant), )* }
            }
        }

        impl MessageType {
            /// All of them, in the order of their v2 ids.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// frp's name of the message, for logs and errors.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The byte a v1 frame of this message starts with.
            pub const fn v1_byte(self) -> u8 {
                match self { $( Self::$variant => $v1, )* }
            }

            /// The message that a v1 frame starting with `byte` holds.
            pub const fn from_v1_byte(byte: u8) -> Option<Self> {
                match byte { $( $v1 => Some(Self::$variant), )* _ => None }
            }

            /// The id of this message inside a v2 message frame.
            pub const fn v2_id(self) -> u16 {
                match self { $( Self::$variant => $v2, )* }
            }

            /// The message with the v2 id `id`.
            pub const fn from_v2_id(id: u16) -> Option<Self> {
                match id { $( $v2 => Some(Self::$variant), )* _ => None }
            }
        }

        $(
            impl From<$struct> for Message {
                fn from(body: $struct) -> Self {
                    Self::$variant(body.into())
                }
            }
        )*
    };
}

message_table! {
    // variant(body)                           struct              v1    v2  frp's name
    Login(Box<Login>)                        = Login,              b'o', 1,  "Login";
    LoginResp(LoginResp)                     = LoginResp,          b'1', 2,  "LoginResp";
    NewProxy(Box<NewProxy>)                  = NewProxy,           b'p', 3,  "NewProxy";
    NewProxyResp(NewProxyResp)               = NewProxyResp,       b'2', 4,  "NewProxyResp";
    CloseProxy(CloseProxy)                   = CloseProxy,         b'c', 5,  "CloseProxy";
    NewWorkConn(NewWorkConn)                 = NewWorkConn,        b'w', 6,  "NewWorkConn";
    ReqWorkConn(ReqWorkConn)                 = ReqWorkConn,        b'r', 7,  "ReqWorkConn";
    StartWorkConn(StartWorkConn)             = StartWorkConn,      b's', 8,  "StartWorkConn";
    NewVisitorConn(NewVisitorConn)           = NewVisitorConn,     b'v', 9,  "NewVisitorConn";
    NewVisitorConnResp(NewVisitorConnResp)   = NewVisitorConnResp, b'3', 10, "NewVisitorConnResp";
    Ping(Ping)                               = Ping,               b'h', 11, "Ping";
    Pong(Pong)                               = Pong,               b'4', 12, "Pong";
    UdpPacket(UdpPacket)                     = UdpPacket,          b'u', 13, "UDPPacket";
    NatHoleVisitor(Box<NatHoleVisitor>)      = NatHoleVisitor,     b'i', 14, "NatHoleVisitor";
    NatHoleClient(NatHoleClient)             = NatHoleClient,      b'n', 15, "NatHoleClient";
    NatHoleResp(Box<NatHoleResp>)            = NatHoleResp,        b'm', 16, "NatHoleResp";
    NatHoleSid(NatHoleSid)                   = NatHoleSid,         b'5', 17, "NatHoleSid";
    NatHoleReport(NatHoleReport)             = NatHoleReport,      b'6', 18, "NatHoleReport";
    // Ours alone, sent only to a server that has said `features::BANS`; far from the numbers that frp may use next.
    UserReport(UserReport)                   = UserReport,         b'R', 0x7272, "UserReport";
}

impl MessageType {
    /// Whether frp has it, too.
    pub const fn is_of_frp(self) -> bool {
        !matches!(self, Self::UserReport)
    }
}

impl Message {
    /// frp's name of the message, for logs and errors.
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

wire_struct! {
    /// What kind of client logs in. Only frps's own ssh gateway sets it.
    pub struct ClientSpec {
        /// `ssh-tunnel` for the gateway's clients, else empty.
        r#type: String = "type",
        /// The client need not authenticate. To be honoured on the gateway's internal listener
        /// only: from anywhere else it is an attack.
        always_auth_pass: bool = "always_auth_pass",
    }
}

wire_struct! {
    /// frpc → frps, first message of a control connection.
    pub struct Login {
        /// frp version of the client.
        version: String = "version",
        /// Host name of the client's machine.
        hostname: String = "hostname",
        /// Operating system in Go's spelling (`linux`, `windows`, `darwin`).
        os: String = "os",
        /// Architecture in Go's spelling (`amd64`, `arm64`).
        arch: String = "arch",
        /// The client's `user`, put in front of its proxies' names.
        user: String = "user",
        /// [`crate::auth::token_key`] of the token and `timestamp`, or an OIDC access token.
        privilege_key: String = "privilege_key" secret,
        /// Time of the digest, Unix seconds.
        timestamp: i64 = "timestamp",
        /// Empty at the first login, the id that frps gave before on a reconnect.
        run_id: String = "run_id",
        /// The client's `clientID`.
        client_id: String = "client_id",
        /// The client's `metadatas`, for server plugins.
        metas: BTreeMap<String, String> = "metas" keys,
        /// Set by the ssh gateway only.
        client_spec: ClientSpec = "client_spec" always,
        /// How many work connections frps shall keep in stock. Any value can arrive, negative too.
        pool_count: i64 = "pool_count",
        /// What the client does beyond frp, see [`crate::features`].
        features: Vec<String> = "features",
        /// A message of [`crate::scram`]: client-first, and client-final in the second login that answers a
        /// challenge. Ours alone, as what follows.
        scram: String = "scram",
        /// Ed25519 public key of who holds the run id from here on, 32 bytes.
        run_key: Bytes = "run_key",
        /// In the second login: by `run_key`, over [`Login::signed`].
        signature: Bytes = "signature",
    }
}

impl Login {
    /// What is proven along with the token: what others could gain by changing on the way.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut add = |part: &[u8]| {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(b"frp login");
        for text in [&self.user, &self.run_id, &self.client_id, &self.version] {
            add(text.as_bytes());
        }
        add(&self.run_key);
        add(&(self.features.len() as u64).to_be_bytes());
        self.features.iter().for_each(|name| add(name.as_bytes()));
        for (key, value) in &self.metas {
            add(key.as_bytes());
            add(value.as_bytes());
        }
        let mut out = [0; 32];
        out.copy_from_slice(hash.finish().as_ref());
        out
    }

    /// What a login is known by whose credentials are an issuer's: `nonce` is the server's challenge, `digest` that of
    /// the login.
    pub fn exchange_of_issuer(nonce: &str, digest: &[u8; 32]) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"frp login by an issuer");
        hash.update(digest);
        hash.update(nonce.as_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(hash.finish().as_ref());
        out
    }

    /// What the holder of a run id signs, so that it counts for this login only: `exchange` is what that is known by
    /// to both ends.
    pub fn signed(exchange: &[u8; 32]) -> Vec<u8> {
        [b"frp holder of the run id".as_slice(), exchange].concat()
    }
}

wire_struct! {
    /// frps → frpc, answer to [`Login`] on the same stream, still in clear.
    pub struct LoginResp {
        /// frp version of the server.
        version: String = "version",
        /// The session's id, to be shown when opening work connections and on reconnect.
        run_id: String = "run_id",
        /// Why the login was refused; empty when it was not.
        error: String = "error",
        /// What the server does beyond frp, see [`crate::features`]. Said only to a client that has
        /// said what it does.
        features: Vec<String> = "features",
        /// A message of [`crate::scram`]: with no run id a challenge, which a second login answers; with one
        /// server-final.
        scram: String = "scram",
        /// Ours alone: the login failed because the client does not hold the run id that it asked for.
        run_id_lost: bool = "run_id_lost",
    }
}

wire_struct! {
    /// frpc → frps: start a proxy.
    pub struct NewProxy {
        /// Wire name, see [`crate::naming::wire_name`].
        proxy_name: String = "proxy_name",
        /// `tcp`, `udp`, `http`, `https`, `tcpmux`, `stcp`, `sudp`, `xtcp`; empty means `tcp`.
        proxy_type: String = "proxy_type",
        /// Work connections are enciphered ([`crate::crypto::cfb`]).
        use_encryption: bool = "use_encryption",
        /// Work connections are compressed (snappy framing).
        use_compression: bool = "use_compression",
        /// As configured, e.g. `1MB`; bytes per second.
        bandwidth_limit: String = "bandwidth_limit",
        /// `server` when frps is to limit; empty means the client does.
        bandwidth_limit_mode: String = "bandwidth_limit_mode",
        /// Load-balancing group.
        group: String = "group",
        /// Shared secret of the group.
        group_key: String = "group_key" secret,
        /// The proxy's `metadatas`, for server plugins.
        metas: BTreeMap<String, String> = "metas" keys,
        /// Shown on the dashboard.
        annotations: BTreeMap<String, String> = "annotations",
        /// tcp and udp: port to listen on; 0 means any.
        remote_port: i64 = "remote_port",
        /// http, https, tcpmux: host names.
        custom_domains: Vec<String> = "custom_domains",
        /// http, https, tcpmux: label under the server's `subDomainHost`.
        subdomain: String = "subdomain",
        /// http: URL path prefixes.
        locations: Vec<String> = "locations",
        /// http, tcpmux: user name demanded of users.
        http_user: String = "http_user",
        /// http, tcpmux: password demanded of users.
        http_pwd: String = "http_pwd" secret,
        /// http: Host header that the backend sees.
        host_header_rewrite: String = "host_header_rewrite",
        /// http: request headers to set.
        headers: BTreeMap<String, String> = "headers" keys,
        /// http: response headers to set.
        response_headers: BTreeMap<String, String> = "response_headers" keys,
        /// http, tcpmux: only requests of this HTTP user.
        route_by_http_user: String = "route_by_http_user",
        /// stcp, sudp, xtcp: secret shared with visitors.
        sk: String = "sk" secret,
        /// stcp, sudp, xtcp: users whose visitors may connect; `*` means all.
        allow_users: Vec<String> = "allow_users",
        /// tcpmux: `httpconnect`.
        multiplexer: String = "multiplexer",
        /// Networks that users may come from, beside what the server allows; empty for all. Ours: frp ignores
        /// this and what follows.
        guard_allow_ips: Vec<String> = "guard_allow_ips",
        /// Networks that users may not come from.
        guard_deny_ips: Vec<String> = "guard_deny_ips",
        /// New connections of a source within a minute; 0 for any number.
        guard_max_conns_per_minute: i64 = "guard_max_conns_per_minute",
        /// Connections of a source at a time.
        guard_max_conns_per_source: i64 = "guard_max_conns_per_source",
        /// Connections at a time.
        guard_max_conns: i64 = "guard_max_conns",
        /// The client says by [`UserReport`]s whom the service refuses and whom it lets in.
        guard_reports: bool = "guard_reports",
    }
}

impl NewProxy {
    /// The proxy's kind; an absent one means `tcp`.
    pub fn kind(&self) -> &str {
        if self.proxy_type.is_empty() {
            "tcp"
        } else {
            &self.proxy_type
        }
    }
}

wire_struct! {
    /// frps → frpc, answer to [`NewProxy`].
    pub struct NewProxyResp {
        /// Wire name, as server plugins left it.
        proxy_name: String = "proxy_name",
        /// `:PORT`, or host names separated by commas.
        remote_addr: String = "remote_addr",
        /// Why the proxy was not started; empty when it was.
        error: String = "error",
    }
}

wire_struct! {
    /// frpc → frps: stop a proxy. Has no answer.
    pub struct CloseProxy {
        /// Wire name.
        proxy_name: String = "proxy_name",
    }
}

wire_struct! {
    /// frpc → frps, first message of a work connection.
    pub struct NewWorkConn {
        /// The session it belongs to.
        run_id: String = "run_id",
        /// As in [`Login`]; only with the auth scope `NewWorkConns`.
        privilege_key: String = "privilege_key" secret,
        /// Time of the digest, Unix seconds.
        timestamp: i64 = "timestamp",
        /// Ours alone, after a login by [`crate::scram`]: which of the session's streams this is, from 1 on.
        count: i64 = "count",
        /// [`crate::scram::Secret::proof`] for that.
        proof: Bytes = "proof",
    }
}

wire_struct! {
    /// frps → frpc: open one more work connection.
    pub struct ReqWorkConn {}
}

wire_struct! {
    /// frps → frpc on a work connection: a user has come; what follows is the proxied stream.
    pub struct StartWorkConn {
        /// Wire name of the proxy.
        proxy_name: String = "proxy_name",
        /// The user's address; empty for udp and xtcp.
        src_addr: String = "src_addr",
        /// The address the user connected to.
        dst_addr: String = "dst_addr",
        /// The user's port.
        src_port: u16 = "src_port",
        /// The port the user connected to.
        dst_port: u16 = "dst_port",
        /// Why the work connection was refused; it is closed then.
        error: String = "error",
        /// What frps calls the user's connection in its access log, where it has one. Ours alone; frp passes
        /// over fields that it does not know.
        conn_id: String = "conn_id",
    }
}

wire_struct! {
    /// frpc → frps, first message of a visitor connection.
    pub struct NewVisitorConn {
        /// The visitor's session; empty counts as user "".
        run_id: String = "run_id",
        /// Wire name of the proxy to visit.
        proxy_name: String = "proxy_name",
        /// [`crate::auth::token_key`] of the proxy's secret and `timestamp`.
        sign_key: String = "sign_key" secret,
        /// Time of the digest, Unix seconds.
        timestamp: i64 = "timestamp",
        /// The visitor's leg is enciphered.
        use_encryption: bool = "use_encryption",
        /// The visitor's leg is compressed.
        use_compression: bool = "use_compression",
        /// As in [`NewWorkConn`].
        count: i64 = "count",
        /// As in [`NewWorkConn`].
        proof: Bytes = "proof",
    }
}

wire_struct! {
    /// frps → frpc, answer to [`NewVisitorConn`].
    pub struct NewVisitorConnResp {
        /// Wire name of the proxy.
        proxy_name: String = "proxy_name",
        /// Why the visitor was refused; empty when it was not.
        error: String = "error",
    }
}

wire_struct! {
    /// frpc → frps heartbeat; also sent by the proxy side inside udp and sudp streams.
    pub struct Ping {
        /// As in [`Login`]; only with the auth scope `HeartBeats`.
        privilege_key: String = "privilege_key" secret,
        /// Time of the digest, Unix seconds.
        timestamp: i64 = "timestamp",
    }
}

wire_struct! {
    /// frps → frpc, answer to [`Ping`].
    pub struct Pong {
        /// Why the heartbeat was refused; the client ends its session then.
        error: String = "error",
    }
}

wire_struct! {
    /// One datagram of a udp or sudp proxy, either way.
    pub struct UdpPacket {
        /// The datagram.
        c: Bytes = "c",
        /// Local address; frp leaves it out.
        l: Option<UdpAddr> = "l",
        /// The user's address. frpc has to send back exactly what it got.
        r: Option<UdpAddr> = "r",
    }
}

impl UdpPacket {
    /// The same bytes as the general writer makes, but with no copy of the datagram between.
    fn write_json(&self, out: &mut BytesMut) -> serde_json::Result<()> {
        out.put_u8(b'{');
        let mut comma: &[u8] = b"";
        if !self.c.is_empty() {
            out.put_slice(b"\"c\":\"");
            json::write_base64(&self.c, out);
            out.put_u8(b'"');
            comma = b",";
        }
        for (key, addr) in [(b"\"l\":", &self.l), (b"\"r\":", &self.r)] {
            let Some(addr) = addr else { continue };
            out.put_slice(comma);
            out.put_slice(key);
            json::write(addr, out)?;
            comma = b",";
        }
        out.put_u8(b'}');
        Ok(())
    }
}

wire_struct! {
    /// Visitor → frps: ask for a hole to an xtcp proxy.
    pub struct NatHoleVisitor {
        /// Links the answer to this message.
        transaction_id: String = "transaction_id",
        /// Wire name of the proxy.
        proxy_name: String = "proxy_name",
        /// Only ask whether the proxy exists and lets this user in.
        pre_check: bool = "pre_check",
        /// `quic` or `kcp`.
        protocol: String = "protocol",
        /// [`crate::auth::token_key`] of the proxy's secret and `timestamp`.
        sign_key: String = "sign_key" secret,
        /// Time of the digest, Unix seconds.
        timestamp: i64 = "timestamp",
        /// Addresses that STUN servers saw.
        mapped_addrs: Vec<String> = "mapped_addrs",
        /// Addresses of the machine itself.
        assisted_addrs: Vec<String> = "assisted_addrs",
    }
}

wire_struct! {
    /// xtcp proxy → frps: the proxy's addresses for a visitor's request.
    pub struct NatHoleClient {
        /// Links the answer to this message.
        transaction_id: String = "transaction_id",
        /// Wire name of the proxy.
        proxy_name: String = "proxy_name",
        /// Which hole, from [`NatHoleSid`].
        sid: String = "sid",
        /// Addresses that STUN servers saw.
        mapped_addrs: Vec<String> = "mapped_addrs",
        /// Addresses of the machine itself.
        assisted_addrs: Vec<String> = "assisted_addrs",
    }
}

wire_struct! {
    /// A range of UDP ports to try, both ends included.
    pub struct PortsRange {
        /// First port.
        from: i64 = "from",
        /// Last port.
        to: i64 = "to",
    }
}

wire_struct! {
    /// How one side shall dig, as frps worked it out.
    pub struct NatHoleDetectBehavior {
        /// `sender` or `receiver`.
        role: String = "role",
        /// frp's mode number, 0 to 4.
        mode: i64 = "mode",
        /// IP time to live of the first datagrams; 0 leaves the system's.
        ttl: i64 = "ttl",
        /// Wait before sending, milliseconds.
        send_delay_ms: i64 = "send_delay_ms",
        /// How long to wait for the other side, milliseconds.
        read_timeout: i64 = "read_timeout",
        /// Ports of the other side to try.
        candidate_ports: Vec<PortsRange> = "candidate_ports",
        /// How many random ports to send to.
        send_random_ports: i64 = "send_random_ports",
        /// How many random ports to listen on.
        listen_random_ports: i64 = "listen_random_ports",
    }
}

wire_struct! {
    /// frps → both sides of a hole: where to dig and how.
    pub struct NatHoleResp {
        /// Of the message it answers.
        transaction_id: String = "transaction_id",
        /// Which hole.
        sid: String = "sid",
        /// `quic` or `kcp`.
        protocol: String = "protocol",
        /// The other side's addresses as the world sees them.
        candidate_addrs: Vec<String> = "candidate_addrs",
        /// The other side's own addresses.
        assisted_addrs: Vec<String> = "assisted_addrs",
        /// This side's orders.
        detect_behavior: NatHoleDetectBehavior = "detect_behavior" always,
        /// Why there is no hole; empty when there is.
        error: String = "error",
    }
}

wire_struct! {
    /// frps → xtcp proxy on a work connection; and between the two peers, as enciphered datagrams.
    pub struct NatHoleSid {
        /// Links the answer to this message.
        transaction_id: String = "transaction_id",
        /// Which hole.
        sid: String = "sid",
        /// Between peers: this answers one that was received.
        response: bool = "response",
        /// Between peers: padding of random length.
        nonce: String = "nonce",
        /// Between peers: what the sender does beyond frp, see [`crate::features`].
        features: Vec<String> = "features",
    }
}

wire_struct! {
    /// xtcp proxy → frps: whether the hole was dug.
    pub struct NatHoleReport {
        /// Which hole.
        sid: String = "sid",
        /// Whether a datagram came through.
        success: bool = "success",
    }
}

wire_struct! {
    /// frpc → frps, ours alone: what the service behind a proxy has made of a user; with no failures and not accepted,
    /// that it has done with the user, who was not let in. Has no answer.
    pub struct UserReport {
        /// Wire name of the proxy.
        proxy_name: String = "proxy_name",
        /// The user's address, as [`StartWorkConn`] had it.
        src_addr: String = "src_addr",
        /// The user's port.
        src_port: u16 = "src_port",
        /// Passwords that the service has refused since the last report of this connection.
        failures: u16 = "failures",
        /// It has let the user in.
        accepted: bool = "accepted",
    }
}

/// An address inside [`UdpPacket`]: Go's `net.UDPAddr`.
///
/// Not a [`SocketAddr`], because the zone may be an interface name of the other machine, which has
/// to go back to it unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct UdpAddr {
    /// The address; an IPv4-mapped one is kept as IPv4. `None` is Go's nil.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// IPv6 scope: interface name or number, mostly empty.
    pub zone: String,
}

impl From<SocketAddr> for UdpAddr {
    fn from(addr: SocketAddr) -> Self {
        let zone = match addr {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => v6.scope_id().to_string(),
            _ => String::new(),
        };
        Self {
            ip: Some(addr.ip().to_canonical()),
            port: addr.port(),
            zone,
        }
    }
}

impl UdpAddr {
    /// The address to send to. `None` without an IP address. A zone that is no number is dropped:
    /// it names an interface of the machine that wrote it.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(match self.ip? {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, self.port),
            IpAddr::V6(ip) => {
                SocketAddrV6::new(ip, self.port, 0, self.zone.parse().unwrap_or(0)).into()
            }
        })
    }
}

impl Serialize for UdpAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut object = serializer.serialize_struct("UDPAddr", 3)?;
        object.serialize_field("IP", &IpText(self.ip))?;
        object.serialize_field("Port", &self.port)?;
        object.serialize_field("Zone", &self.zone)?;
        object.end()
    }
}

struct IpText(Option<IpAddr>);

impl Serialize for IpText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(ip) => serializer.collect_str(&ip),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de> Deserialize<'de> for UdpAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = UdpAddrText::deserialize(deserializer)?;
        let ip = if raw.ip.is_empty() {
            None
        } else {
            let ip: IpAddr = raw
                .ip
                .parse()
                .map_err(|_| D::Error::custom("invalid IP address"))?;
            Some(ip.to_canonical())
        };
        Ok(Self {
            ip,
            port: raw.port,
            zone: raw.zone,
        })
    }
}

wire_struct! {
    /// [`UdpAddr`] with its IP address still as text.
    struct UdpAddrText {
        /// IP address.
        ip: String = "IP",
        /// Port.
        port: u16 = "Port",
        /// Zone.
        zone: String = "Zone",
    }
}

json::plain_field! {
    Option<UdpAddr>, |addr| addr.is_none();
}
