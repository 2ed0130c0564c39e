//! Asking a running frpc: commands.

pub(crate) use frp_ask::run;
