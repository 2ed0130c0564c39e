//! What lies between a connection and hyper, or in the place of hyper, where hyper alone does not do:
//! informational answers, long targets, and how little one connection may hold.

pub mod filter;
pub mod hints;
pub mod http2;
mod service;
mod unwritten;
mod upload;
mod user;

pub use service::{LongTargets, Marked, ServiceIo};
pub use unwritten::{Paced, Unwritten};
pub use upload::{Sent, Upload, UserBody};
pub use user::{Talk, UserIo};
