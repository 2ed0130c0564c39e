//! Asking a running frpc: commands, and the live view.

pub(crate) use frp_ask::run;
pub(crate) use frp_ask::top::watch;
