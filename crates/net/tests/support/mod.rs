//! What several test programs share.

use frp_net::below::Below;
use frp_net::mux::{Config, Incoming, Mux, Role, session};

/// A mux session whose driver runs in a task of its own.
pub(crate) fn spawn<T>(io: T, role: Role, config: Config) -> (Mux, Incoming)
where
    T: Below + Send + 'static,
{
    let (mux, incoming, run) = session(io, role, config);
    tokio::spawn(run);
    (mux, incoming)
}
