//! What does a running frps or frpc say? The commands that ask it over its API, and show the answer as text
//! or as JSON.
//!
//! [`call`] sends a request to where the configuration file says that the program listens; [`command`] has
//! the commands, [`bans`] those about bans, [`table`] their layout; [`top`] asks again and again, and shows the answers in the terminal. What comes back is data of strangers: names of clients and proxies
//! pass through [`frp_log::visible`] before a terminal sees them.

mod bans;
pub mod call;
pub mod command;
pub mod doctor;
#[doc(hidden)]
pub mod fuzzed;
mod table;
#[cfg_attr(not(feature = "top"), path = "absent/top.rs")]
pub mod top;
mod units;

pub use call::CallError;
pub use command::run;
