//! How local services are dialled, and what users of a plugin name.

use crate::limits::FORWARD_DIAL;
use frp_net::dial::DialOptions;
use frp_net::limits::END_KEEPALIVE;
use frp_relay::limits::LOCAL_DIAL;

/// A local service.
pub(crate) const LOCAL: DialOptions = DialOptions {
    timeout: LOCAL_DIAL,
    keepalive: Some(END_KEEPALIVE),
    local_ip: None,
};

/// What a user names, where a plugin is a proxy to anywhere.
pub(crate) const ANYWHERE: DialOptions = DialOptions {
    timeout: FORWARD_DIAL,
    keepalive: Some(END_KEEPALIVE),
    local_ip: None,
};
