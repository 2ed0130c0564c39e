//! How HTTP is spoken: with users, with services, and as a program's own server or client. hyper reads and
//! writes the messages; here is what it leaves to others.
//!
//! - [`io`]: what lies between a connection and hyper.
//! - [`head`]: whether a message means the same to everybody; [`host`]: for whom a request is;
//!   [`fields`]: what passes on to the next hop; [`basic`]: user and password.
//! - [`web`]: a web server with its checks, of which either program has one; [`client`]: requests of the
//!   programs themselves; [`tasks`]: what hyper starts.

pub mod basic;
pub mod client;
pub mod fields;
pub mod head;
pub mod host;
pub mod io;
pub mod limits;
pub mod tasks;
pub mod web;
