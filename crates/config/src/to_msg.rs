//! Settings to the messages that carry them.

use frp_proto::msg::NewProxy;
use frp_proto::naming;

use crate::{BandwidthLimitMode, ProxyConfig, ProxyKind};

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
            ..NewProxy::default()
        };
        if let Some(limit) = &self.transport.bandwidth_limit {
            message.bandwidth_limit.clone_from(&limit.text);
        }
        // frp sends only the mode that is not the default.
        if self.transport.bandwidth_limit_mode == BandwidthLimitMode::Server {
            message.bandwidth_limit_mode = "server".to_owned();
        }
        match &self.kind {
            ProxyKind::Tcp { remote_port } => {
                message.proxy_type = "tcp".to_owned();
                message.remote_port = i64::from(*remote_port);
            }
        }
        message
    }
}
