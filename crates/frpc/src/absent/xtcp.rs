//! Visitors of xtcp proxies, where the build lacks them. The program refuses settings with such a proxy; this
//! is for who uses the library.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::sync::Arc;

use frp_config::Feature;
use frp_log::warn;
use frp_net::stream::Stream;
use frp_proto::msg::StartWorkConn;
use frp_relay::msg_stream::MsgStream;

use crate::BUILD;
use crate::client::Client;
use crate::connect::ServerLink;
use crate::proxy::Proxy;

/// Serves nobody.
pub(crate) async fn serve(
    proxy: Arc<Proxy>,
    _: &ServerLink,
    _: Arc<Client>,
    _: MsgStream<Stream>,
    _: StartWorkConn,
) {
    warn!(proxy.log, "{}", BUILD.lacking(Feature::Xtcp));
}
