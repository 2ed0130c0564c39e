//! The file of the bans beside `store.path`, where the build lacks what it is written by.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use frp_config::Feature;
use tokio_util::sync::CancellationToken;

use super::Bans;
use crate::BUILD;

/// There is none.
#[derive(Debug)]
pub(crate) enum BansFile {}

impl BansFile {
    /// The programs refuse settings that ask for it; this is for who uses the library.
    pub(crate) fn open(_: &Path, _: &Arc<Bans>) -> io::Result<Self> {
        let lacking = BUILD.lacking(Feature::Pages).to_string();
        Err(io::Error::new(io::ErrorKind::Unsupported, lacking))
    }

    pub(crate) async fn run(self, _: CancellationToken) {
        match self {}
    }
}
