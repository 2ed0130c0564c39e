//! What the fuzz targets try, as plain functions from bytes: the program in `examples` and the
//! tests below call the same code. A finding is a panic.

pub mod config;
pub mod files;
pub mod http;
pub mod net;
pub mod outbound_proxy;
pub mod pipes;
pub mod proto;
pub mod targets;
pub mod values;
pub mod vnet;
pub mod websocket;

#[cfg(test)]
mod corpus;
