//! Asking a running frps: commands.

pub(crate) use frp_ask::run;
