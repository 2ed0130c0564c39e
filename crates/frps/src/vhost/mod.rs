//! Ports that many proxies share: a user says which host it wants, a route leads to the proxy.
//!
//! - [`listeners`]: the ports, which may be bindPort itself.
//! - [`http`], [`https`], [`connect`]: how a user says it, and what it is told when there is none.
//! - [`tables`]: who has which names; [`router`]: host, path and HTTP user → whoever serves them, a
//!   [`target`].
//! - [`groups`]: the routes of a proxy, alone or together with others; [`domains`]: which they are.

pub(crate) mod connect;
pub(crate) mod domains;
pub(crate) mod groups;
mod head;
pub(crate) mod http;
pub(crate) mod https;
pub(crate) mod listeners;
pub(crate) mod router;
pub(crate) mod tables;
pub(crate) mod target;
