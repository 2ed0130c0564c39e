//! A real login with the real configuration. Where it fails: what is in its way, found out by trying what could be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use frp_config::ClientConfig;
use frp_log::Log;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::changes::{self, credentials};
use super::{Patient, packets};
use crate::auto::{Auto, NoWay};
use crate::client::Client;
use crate::connect::answers_tls;
use crate::diagnose::{self, Explained};
use crate::limits::DOCTOR_LOGIN;
use crate::login::{LoggedIn, LoginError};
use crate::one_way::OneWay;
use crate::service::login_once;

/// A login that took longer than this got no answer from somewhere.
const SILENCE: Duration = Duration::from_secs(3);

/// What frps says of a clientID that is in use.
const ONLINE: &str = "is already online";

/// What frps says where its token is for one client, or some.
const TOO_MANY: &str = "too many clients";

/// A login that worked.
pub(super) struct Entry {
    /// `None`: frps would take it, but for the frpc that runs.
    pub(super) logged_in: Option<LoggedIn>,
    pub(super) took: Duration,
    /// What is to be said about it.
    pub(super) also: &'static str,
}

/// One that did not.
pub(super) struct Failure {
    pub(super) why: Explained,
    /// What went wrong on the one way; `None`: there are several, or the time was over.
    pub(super) error: Option<LoginError>,
    /// It is answered once packets have no more than this many bytes.
    pub(super) mtu: Option<u32>,
}

/// Logs in as the program would.
pub(super) async fn log_in(
    patient: &Patient,
    auto: Option<Auto>,
    addrs: &[SocketAddr],
) -> Result<Entry, Box<Failure>> {
    let began = Instant::now();
    let is_auto = auto.is_some();
    let trying = async {
        let tried = timeout(DOCTOR_LOGIN, once(&patient.client, &patient.way, auto)).await;
        tried.unwrap_or_else(|_| {
            Err(Box::new(Failure {
                why: diagnose::explain_no_reply(true, &patient.way),
                error: None,
                mtu: None,
            }))
        })
    };
    let mut trying = std::pin::pin!(trying);
    let (tried, found) = match timeout(SILENCE, &mut trying).await {
        Ok(Err(failure)) if !is_auto => {
            let found = changed(patient, &failure).await;
            (Err(failure), found)
        }
        Ok(tried) => (tried, (None, None)),
        Err(_) if is_auto => (trying.await, (None, None)),
        Err(_) => tokio::join!(trying, silent(patient, addrs)),
    };
    let mut failure = match tried {
        Ok(logged_in) => {
            return Ok(Entry {
                logged_in: Some(logged_in),
                took: began.elapsed(),
                also: "",
            });
        }
        Err(failure) => failure,
    };
    if patient.running.is_some()
        && let Some(entry) = beside(patient, &failure, began).await
    {
        return Ok(entry);
    }
    let (mtu, setting) = found;
    failure.mtu = mtu;
    if let Some(why) = setting {
        failure.why = why;
    }
    Err(failure)
}

async fn once(
    client: &Client,
    way: &Arc<OneWay>,
    auto: Option<Auto>,
) -> Result<LoggedIn, Box<Failure>> {
    let tasks = &client.tasks.tracker;
    let failure = |why, error| {
        Box::new(Failure {
            why,
            error,
            mtu: None,
        })
    };
    if let Some(mut auto) = auto {
        let tried = auto.login(credentials(client), tasks, &Log::root()).await;
        return tried.map_err(|NoWay { explained, .. }| failure(explained, None));
    }
    let error = match login_once(way, credentials(client), tasks).await {
        Ok(logged_in) => return Ok(logged_in),
        Err(error) => error,
    };
    let mut why = diagnose::explain(&error, way);
    if diagnose::wants_tls_probe(&error, way) {
        why = why.with_tls_probe(answers_tls(way, tasks).await);
    }
    Err(failure(why, Some(error)))
}

type Found = (Option<u32>, Option<Explained>);

/// What another setting does about a login that was broken off.
async fn changed(patient: &Patient, failure: &Failure) -> Found {
    let Some(error) = &failure.error else {
        return (None, None);
    };
    let seen = failure.why.seen();
    let found = changes::find(&patient.client, &patient.way, Some(error), seen).await;
    (None, found)
}

/// What smaller packets and other settings do about a login that waits.
async fn silent(patient: &Patient, addrs: &[SocketAddr]) -> Found {
    let way = &patient.way;
    let by_packets = async {
        let addrs = addrs.iter().filter(|_| !way.protocol.is_udp());
        let looks = join_all(addrs.map(|addr| packets::largest_answered(way, *addr)));
        looks.await.into_iter().flatten().next()
    };
    let by_settings = changes::find(&patient.client, way, None, "i/o timeout");
    let (mtu, setting) = tokio::join!(by_packets, by_settings);
    // Where another setting is answered without a change of packets, they pass.
    match setting {
        Some(setting) => (None, Some(setting)),
        None => (mtu, None),
    }
}

/// A login that frps refuses only because the frpc that runs is there has been found good.
async fn beside(patient: &Patient, failure: &Failure, began: Instant) -> Option<Entry> {
    let seen = failure.why.seen();
    if seen.contains(TOO_MANY) {
        return Some(Entry {
            logged_in: None,
            took: began.elapsed(),
            also: "; the frpc that runs has the place of its token",
        });
    }
    if !seen.contains(ONLINE) {
        return None;
    }
    let mut cfg = ClientConfig::clone(&patient.way);
    cfg.client_id.clear();
    let way = OneWay::new(Arc::new(cfg), patient.way.protocol).ok()?;
    let logged_in = timeout(DOCTOR_LOGIN, once(&patient.client, &Arc::new(way), None)).await;
    Some(Entry {
        logged_in: Some(logged_in.ok()?.ok()?),
        took: began.elapsed(),
        also: ", beside the frpc that runs with this clientID",
    })
}
