//! What the fuzz targets try, as plain functions from bytes: the targets in `fuzz_targets` and the
//! tests below call the same code. A finding is a panic.

pub mod config;
pub mod http;
pub mod net;
pub mod outbound_proxy;
pub mod proto;
pub mod vnet;
pub mod websocket;

#[cfg(test)]
mod corpus;
