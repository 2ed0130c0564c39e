//! Which targets are there, and which is to run? Each is named as its corpus is.

use crate::{config, files, http, net, outbound_proxy, pipes, proto, values, vnet, websocket};

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// All of them, for whoever makes something of each.
macro_rules! all {
    ($make:ident) => {
        $make! {
            aead_open: proto::aead_open;
            ask_answers: values::ask;
            config: config::load;
            datagrams: pipes::datagrams;
            first_bytes: pipes::first_bytes;
            frpc_files: files::frpc;
            frpc_values: values::frpc;
            frps_files: files::frps;
            frps_values: values::frps;
            hello: proto::hello;
            http_head: http::requests;
            http_values: values::http;
            jwt: proto::jwt;
            kcp: net::kcp;
            kcp_fec: net::kcp_fec;
            layers: pipes::layers;
            mux_frames: net::mux_frames;
            nathole: proto::nathole;
            outbound_proxy: outbound_proxy::answers;
            plugin_answer: proto::plugin_answer;
            proxy_header: proto::proxy_header;
            scram: proto::scram;
            sni: proto::sni;
            sshd_log: files::sshd_log;
            stun: proto::stun;
            v1_decode: proto::v1;
            v2_decode: proto::v2;
            vnet_packets: vnet::packets;
            websocket_frames: websocket::frames;
            websocket_handshake: websocket::handshake;
        }
    };
}
#[cfg(test)]
pub(crate) use all;

macro_rules! table {
    ($($name:ident: $run:expr;)*) => {
        /// By name, sorted.
        pub const ALL: &[(&str, Target)] = &[$((stringify!($name), $run)),*];
    };
}
all!(table);

/// The one that the environment's `FRP_FUZZ` names.
///
/// # Panics
/// Where it names none.
#[must_use]
pub fn of_environment() -> Target {
    let name = std::env::var("FRP_FUZZ").unwrap_or_default();
    let found = ALL.iter().find(|(known, _)| *known == name);
    let Some((_, run)) = found else {
        let names: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
        panic!("FRP_FUZZ is to be one of {}", names.join(", "));
    };
    *run
}
