//! What sessions and proxies report to, where there is a web server that tells of it: who is or was
//! there ([`clients`]), what ran and how much it carried ([`metrics`], over a restart by
//! [`traffic_file`]), whose logins failed ([`logins`]). And, where somebody asks, which users are connected
//! ([`conns`]).

pub(crate) mod clients;
pub(crate) mod conns;
pub(crate) mod logins;
pub(crate) mod metrics;
#[cfg_attr(not(feature = "pages"), path = "../absent/traffic_file.rs")]
pub(crate) mod traffic_file;

use jiff::Timestamp;

use self::clients::Clients;
use self::logins::Logins;
use self::metrics::Metrics;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) clients: Clients,
    pub(crate) metrics: Metrics,
    pub(crate) logins: Logins,
    pub(crate) started: Timestamp,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            clients: Clients::default(),
            metrics: Metrics::new(),
            logins: Logins::default(),
            started: Timestamp::now(),
        }
    }
}
