//! Types of proxies that share ports by host, where the build lacks these.

use frp_config::Feature;

use super::setup::{ProxyError, Published, Setup};
use crate::BUILD;

/// Refuses the proxy.
pub(super) fn publish<T>(_: &Setup<'_>, _: &T) -> Result<Published, ProxyError> {
    let types = "[http], [https] or [tcpmux]";
    Err(ProxyError::Lacking(types, BUILD.lacking(Feature::Http)))
}
