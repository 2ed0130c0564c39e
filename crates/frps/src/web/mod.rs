//! The HTTP API of frps (frp `server/api_router.go`, `pkg/util/http/server.go`): what is
//! connected, what runs, how much was carried. Its pages are in [`crate::pages`].
//!
//! It reads [`crate::stats`]. [`route`] finds out what a request is for, [`http`] answers, [`api`] and
//! [`api_v2`] know frp's answers, `live` ours, [`prometheus`] has a format of its own.

mod api;
mod api_v2;
mod bans;
mod http;
mod live;
mod prometheus;
mod route;

use std::sync::Arc;
use std::time::Duration;

use crate::limits::MAX_API_ANSWERS;
pub(crate) use frp_http::web::Web;
pub use frp_http::web::WebError;
use frp_http::web::events::Events;
use frp_log::{Log, info};
use frp_net::go_text::join_host_port;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use crate::reload::Reloader;
use crate::shared::Shared;
use crate::stats::Stats;

/// Between two looks at the counters that belong to no request.
const TICK: Duration = Duration::from_secs(60);

/// What a request may need.
#[derive(Debug, Clone)]
struct Site {
    reloader: Reloader,
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    /// Places for answers that are being made.
    making: Arc<Semaphore>,
    events: Arc<Events>,
}

/// Opens the socket at that address and port. Needs a tokio runtime.
pub(crate) fn bind((addr, port): &(String, u16)) -> Result<Web, WebError> {
    Web::bind(addr, *port)
}

/// Serves `at` that address and port until the server stops.
pub(crate) async fn run(
    web: Web,
    (addr, port): (String, u16),
    shared: Arc<Shared>,
    stats: Arc<Stats>,
) {
    let addr = join_host_port(&addr, port);
    info!(Log::root(), "dashboard listen on {addr}");
    let site = Arc::new(Site {
        reloader: Reloader::of(&shared.base),
        shared: shared.clone(),
        stats: stats.clone(),
        making: Arc::new(Semaphore::new(MAX_API_ANSWERS)),
        events: Arc::default(),
    });
    let (of_events, events) = (site.clone(), site.events.clone());
    let every_second = move || of_events.event();
    tokio::select! {
        () = events.run(every_second) => {}
        () = web.run(site, &shared.tasks, shared.drain.clone()) => {}
        () = tick(&stats) => {}
    }
}

async fn tick(stats: &Stats) {
    let mut minutes = interval(TICK);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        stats.metrics.tick();
        stats.clients.forget_old();
    }
}
