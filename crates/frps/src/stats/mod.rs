//! What sessions and proxies report to, where there is a web server that tells of it: who is or was
//! there ([`clients`]), what ran and how much it carried ([`metrics`], over a restart by
//! [`traffic_file`]), which users are connected ([`conns`]), whose logins failed ([`logins`]).

pub(crate) mod clients;
pub(crate) mod conns;
pub(crate) mod logins;
pub(crate) mod metrics;
#[cfg_attr(not(feature = "pages"), path = "../absent/traffic_file.rs")]
pub(crate) mod traffic_file;

use std::sync::Arc;

use jiff::Timestamp;

use self::clients::Clients;
use self::conns::Conns;
use self::logins::Logins;
use self::metrics::Metrics;
use crate::random::random_bytes;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) clients: Clients,
    pub(crate) metrics: Metrics,
    pub(crate) conns: Arc<Conns>,
    pub(crate) logins: Logins,
    pub(crate) started: Timestamp,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            clients: Clients::default(),
            metrics: Metrics::new(),
            conns: Arc::new(Conns::new(
                [random_bytes(), random_bytes()].map(u64::from_ne_bytes),
            )),
            logins: Logins::default(),
            started: Timestamp::now(),
        }
    }
}
