//! Whether local services are well (frp `client/health/health.go`).

#[cfg_attr(not(feature = "http"), path = "absent/health.rs")]
mod http;

use std::sync::Arc;

use frp_config::{HealthCheck, HealthCheckKind, ProxyConfig};
use frp_log::{info, trace, warn};
use frp_net::dial::{DialError, DialOptions, dial};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::DropGuard;

use self::http::HttpError;
use crate::proxy::Proxy;
use crate::tasks::Tasks;

/// Checks a local service until it is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    _stop: DropGuard,
}

/// A service became well or ill.
#[derive(Debug)]
pub(crate) struct Change {
    /// This very one: another of its name may be there by the time that this is read.
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) healthy: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{0}")]
    Http(#[from] HttpError),
}

/// Starts to check the service of `proxy`, where that is configured. It counts as ill until the
/// first success.
pub(crate) fn watch(
    proxy: &Arc<Proxy>,
    tasks: &Tasks,
    changes: &mpsc::Sender<Change>,
) -> Option<Monitor> {
    // A plugin has no port that could be asked.
    let check = proxy.cfg.health_check.clone();
    let check = check.filter(|_| proxy.cfg.local_port > 0)?;
    trace!(proxy.log, "enable health check monitor");
    let stop = tasks.stop.child_token();
    let (stopped, proxy, changes) = (stop.clone(), proxy.clone(), changes.clone());
    tasks.tracker.spawn(async move {
        tokio::select! {
            () = run(&proxy, &check, &changes) => {}
            () = stopped.cancelled() => {}
        }
    });
    Some(Monitor {
        _stop: stop.drop_guard(),
    })
}

async fn run(proxy: &Arc<Proxy>, check: &HealthCheck, changes: &mpsc::Sender<Change>) {
    let log = &proxy.log;
    let mut verdict = Verdict::default();
    loop {
        let checked = check_once(&proxy.cfg, check).await;
        match &checked {
            Ok(()) => trace!(log, "do one health check success"),
            Err(e) => warn!(log, "do one health check failed: {e}"),
        }
        if verdict.after(checked.is_ok(), check.max_failed) {
            let healthy = verdict.healthy;
            if healthy {
                info!(log, "health check status change to success");
                info!(log, "health check success");
            } else {
                warn!(log, "health check status change to failed");
                info!(log, "health check failed");
            }
            let proxy = proxy.clone();
            if changes.send(Change { proxy, healthy }).await.is_err() {
                return;
            }
        }
        sleep(check.interval).await;
    }
}

pub(crate) async fn check_once(cfg: &ProxyConfig, check: &HealthCheck) -> Result<(), CheckError> {
    match &check.kind {
        HealthCheckKind::Tcp => {
            let options = DialOptions {
                timeout: check.timeout,
                keepalive: None,
                local_ip: None,
            };
            dial(&cfg.local_ip, cfg.local_port, &options).await?;
        }
        HealthCheckKind::Http { path, headers } => {
            let place = (cfg.local_ip.as_str(), cfg.local_port);
            http::check(place, path, headers, check.timeout).await?;
        }
    }
    Ok(())
}

/// What the checks so far say.
#[derive(Debug, Default)]
struct Verdict {
    healthy: bool,
    /// Failures since the last success. frp counts those before it, too.
    failed: u64,
}

impl Verdict {
    /// Takes one more result; whether it changes the verdict.
    fn after(&mut self, success: bool, max_failed: u64) -> bool {
        self.failed = if success { 0 } else { self.failed + 1 };
        let healthy = success || (self.healthy && self.failed < max_failed);
        std::mem::replace(&mut self.healthy, healthy) != healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// frp: two failures in all, however far apart, would withdraw the proxy.
    #[test]
    fn only_failures_in_a_row_count() {
        let mut verdict = Verdict::default();
        let changes = [
            false, true, false, true, false, true, false, false, false, true,
        ]
        .map(|success| verdict.after(success, 2));
        assert_eq!(
            changes,
            [
                false, true, false, false, false, false, false, true, false, true
            ]
        );
        assert!(verdict.healthy);
    }
}
