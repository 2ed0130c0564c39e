//! What others may know of a client that has logged in, and take of it: its [`handle`], the
//! [`pool`] of its work connections, its [`allowance`], its [`outbox`], the [`visits`] of users of whom it tells, and
//! the [`registry`] of all of them.

pub(crate) mod allowance;
pub(crate) mod handle;
pub(crate) mod outbox;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod visits;
