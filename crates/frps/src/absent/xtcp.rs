//! Proxies of type xtcp, where the build lacks direct paths.

use frp_config::Feature;

use super::setup::{ProxyError, Published, Setup};
use crate::BUILD;
use crate::proxy::spec::Access;

/// Refuses the proxy.
pub(super) fn publish(_: &Setup<'_>, _: &Access) -> Result<Published, ProxyError> {
    Err(ProxyError::Lacking("[xtcp]", BUILD.lacking(Feature::Xtcp)))
}
