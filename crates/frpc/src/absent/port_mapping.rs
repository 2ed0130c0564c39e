//! Ports of the router, where the build lacks direct paths: nobody asks for one.

/// It asks nobody.
#[derive(Debug, Default)]
pub(crate) struct PortMapper {}
