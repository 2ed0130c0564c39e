//! frpc: logs in to a server and carries the server's users to local services.
//!
//! The files are the stages of a connection, in this order:
//!
//! 1. [`connect`]: a stream to the server: dial → TLS → mux.
//! 2. [`login`]: `Login` → `LoginResp` → control cipher. When it fails, [`diagnose`] says why.
//!    [`auto`] tries both on several ways, where it may choose.
//! 3. [`session`]: the task that owns the control connection and the proxies' phases
//!    ([`registration`]); [`health`] watches local services for it. [`service`] keeps a session
//!    alive, [`backoff`] says how soon to try again, and [`asking`] how soon to find out over UDP that
//!    one has to.
//! 4. [`work`]: the server wants a work connection, and says for which proxy.
//! 5. [`local`]: the local service is dialled and bytes are moved by `frp_relay::relay`, or a
//!    [`plugin`] serves the [`user`]. [`udp`]: datagrams are moved. [`xtcp`]: users come by a direct path, for
//!    which [`nathole`] finds a hole.
//!
//! [`real_ip`] says from which address a local service is dialled, so that it sees who its user is, and [`sshd`] what a
//! ssh server has made of a user.
//! [`visitors`] goes the other way: local users to proxies of the server.
//! [`cli`] is what the program runs; [`ask`] asks another one that runs, whose [`admin`]
//! answers.
//! [`doctor`] walks all stages once, and says what is wrong.
//! [`settings`] are what shall run: those of the file with the entries of the [`store`] over them;
//! [`confirm`] is what is left of a reload that may have to be undone.
//! [`virtual_net`] is the device of the virtual network, where there is one.
//! [`proxy`] is what a configured proxy is between those stages, [`client`] what its sessions share.
//!
//! Where a build lacks a feature of `Cargo.toml`, `absent` has what stands in its place.

#![cfg_attr(
    not(all(
        feature = "quic",
        feature = "kcp",
        feature = "websocket",
        feature = "http",
        feature = "oidc",
        feature = "pages",
        feature = "top",
        feature = "doctor",
        feature = "vnet",
        feature = "xtcp"
    )),
    allow(
        dead_code,
        unused_variables,
        unreachable_code,
        reason = "used only by a feature that this build lacks"
    )
)]

#[cfg_attr(not(feature = "pages"), path = "absent/admin.rs")]
mod admin;
#[cfg_attr(not(feature = "pages"), path = "absent/ask.rs")]
mod ask;
mod asking;
mod auth;
mod auto;
mod backoff;
pub mod cli;
mod client;
mod confirm;
mod connect;
mod diagnose;
mod dial;
#[cfg_attr(not(feature = "xtcp"), path = "absent/discover.rs")]
mod discover;
#[cfg_attr(not(feature = "doctor"), path = "absent/doctor.rs")]
mod doctor;
#[doc(hidden)]
pub mod fuzzed;
mod health;
mod identity;
mod known_servers;
mod limits;
mod live;
mod local;
mod login;
#[cfg_attr(not(feature = "xtcp"), path = "absent/nathole.rs")]
mod nathole;
mod one_way;
mod plugin;
#[cfg_attr(not(feature = "xtcp"), path = "absent/port_mapping.rs")]
mod port_mapping;
mod proof;
mod proxy;
mod reach;
mod real_ip;
mod registration;
mod service;
mod session;
mod settings;
mod sshd;
mod store;
mod tasks;
mod udp;
mod user;
#[cfg_attr(not(feature = "vnet"), path = "absent/virtual_net.rs")]
mod virtual_net;
mod visitors;
mod work;
#[cfg_attr(not(feature = "xtcp"), path = "absent/xtcp.rs")]
mod xtcp;

pub use service::{Reloader, RunError, Service, SetupError};
pub use settings::ConfigFile;
pub use store::OpenError;

/// This program, and what it was built without.
const BUILD: frp_config::Build = frp_config::build!("frpc", "vnet" => Vnet);
