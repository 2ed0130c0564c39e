//! The file of `store.path`, where the build has no web server to tell of what is in it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::io;
use std::path::Path;
use std::sync::Arc;

use frp_config::Feature;
use tokio_util::sync::CancellationToken;

use super::Stats;
use crate::BUILD;

/// There is none.
#[derive(Debug)]
pub(crate) enum TrafficFile {}

impl TrafficFile {
    /// The programs refuse settings that ask for it; this is for who uses the library.
    pub(crate) fn open(_: &Path, _: &Arc<Stats>) -> io::Result<Self> {
        let lacking = BUILD.lacking(Feature::Pages).to_string();
        Err(io::Error::new(io::ErrorKind::Unsupported, lacking))
    }

    pub(crate) async fn run(self: Arc<Self>, _: CancellationToken) {
        match *self {}
    }

    pub(crate) async fn save_and_tell(self: Arc<Self>) {
        match *self {}
    }
}
