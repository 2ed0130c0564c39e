//! The programs against real peers, one module per feature. Run it by `./test`, which builds
//! `frps` and `frpc` first and installs the peers (OpenSSH, Chromium, ...) where they lack.
// The rules of clippy.toml are for the programs.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod access_log;
mod admin;
mod ask;
mod auth;
#[cfg(target_os = "linux")]
mod auto;
mod carries;
mod circles;
mod cli;
mod commands;
mod diagnosis;
#[cfg(target_os = "linux")]
mod doctor;
mod doctor_frps;
mod embedded;
mod failures;
mod groups;
mod guards;
mod guesses;
mod health;
mod heartbeat;
mod hostile;
mod http;
mod https;
mod identity;
mod interop;
mod kcp;
mod keystroke;
mod labels;
mod leaving;
mod limits;
mod live;
mod live_client;
mod log_format;
mod logs;
mod metrics;
mod minimal;
#[cfg(target_os = "linux")]
mod nats;
#[cfg(target_os = "linux")]
mod network;
mod oidc;
mod outbound_proxies;
mod pages;
mod plugins;
#[cfg(target_os = "linux")]
mod port_mapping;
mod proof;
mod proxy_protocol_in;
mod quic;
mod real_clients;
#[cfg(target_os = "linux")]
mod real_ip;
mod reconnect;
mod registration;
mod releases;
mod reload;
mod reload_frps;
mod security;
mod server_plugins;
mod shutdown;
mod signals;
#[cfg(target_os = "linux")]
mod simulated_day;
mod ssh;
mod ssh_gateway;
mod store;
#[cfg(target_os = "linux")]
mod storms;
mod story;
mod strangers;
mod strangers_hold;
mod sudp;
mod tcp;
mod tcpmux;
mod tidy;
mod tls;
mod tokens;
mod top;
mod traffic_kept;
mod udp;
mod verdicts;
mod visitors;
mod visitors_interop;
mod visitors_wire;
#[cfg(target_os = "linux")]
mod vnet;
mod web;
mod websocket;
#[cfg(target_os = "linux")]
mod xtcp;
mod xtcp_client;
#[cfg(target_os = "linux")]
mod xtcp_nats;
