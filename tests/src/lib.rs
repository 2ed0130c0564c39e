//! The harness: real programs on free ports, scripted peers, services and a hostile middlebox.
//!
//! `frps` and `frpc` are black boxes here: they are started as processes, spoken to over sockets
//! and judged by what they answer and log. The scripted peers speak frp's wire by code of their
//! own ([`wire`], [`yamux`]), so that a mistake in the programs' protocol crate cannot hide
//! behind the same mistake in their tests.
//!
//! Environment:
//! - `FRP_REFERENCE_DIR`: Go releases to test against, as `DIR/VERSION/{frps,frpc}` or one pair
//!   `DIR/{frps,frpc}`. Tests that need an absent one pass, and are
//!   counted.
//! - `FRP_MINIMAL_DIR`: our programs, built with the feature `minimal` only ([`Side::minimal`]).
//! - `FRP_TEST_SKIPS`: a file for what tests did without ([`skipped`]).
//! - `FRP_RS_FRPS`, `FRP_RS_FRPC`: other binaries to take for ours (to debug a test against Go).
// A harness stops at the first surprise and talks to the terminal; both are its job.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods)] // the rules of clippy.toml are for the programs

pub mod backend;
pub mod browser;
pub mod clients;
pub mod clock;
pub mod dns;
pub mod findings;
pub mod forward_proxy;
pub mod git;
#[cfg(target_os = "linux")]
pub mod hole;
pub mod http;
pub mod impostor;
pub mod issuer;
pub mod kcp;
pub mod log;
pub mod lossy;
pub mod middlebox;
#[cfg(target_os = "linux")]
pub mod network;
pub mod nginx;
mod ntlm;
pub mod openssh;
pub mod plugin_server;
pub mod ports;
pub mod program;
pub mod releases;
pub mod rig;
pub mod service;
pub mod site;
pub mod slow_link;
pub mod ssh_clients;
#[cfg(target_os = "linux")]
pub mod storm;
pub mod temp;
pub mod terminal;
pub mod tls;
pub mod udp;
pub mod wait;
pub mod websocket;
pub mod wire;
pub mod yamux;

pub use clients::{connect, echo, pattern};
pub use ports::free_port;
pub use program::{Program, Side, skipped};
pub use rig::{Frps, Rig};
pub use service::Service;
pub use udp::{UdpService, UdpUser};
pub use wait::{eventually, within};
