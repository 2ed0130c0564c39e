//! What lies between a connection and hyper, where hyper alone does not do: informational answers, long
//! targets, and how little one connection may hold.

pub mod filter;
mod service;
mod unwritten;
mod user;

pub use service::{LongTargets, Marked, ServiceIo};
pub use unwritten::{Paced, Unwritten};
pub use user::{Talk, UserIo};
