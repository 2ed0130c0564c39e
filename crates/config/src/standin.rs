//! Stand-in for the types of frp-proto until that crate has them.

/// frp's wire protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireProtocol {
    /// v1
    V1,
    /// v2
    V2,
}

/// PROXY protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// v1
    V1,
    /// v2
    V2,
}
