//! How a program runs, whatever it does: its [`threads`], the [`signals`] that it gets, and its
//! descriptors and memory ([`process`]), the files of its user ([`mod@file`]), the machine ([`host`]).

pub mod clock;
pub mod file;
pub mod host;
pub mod limits;
pub mod process;
pub mod signals;
pub mod threads;
