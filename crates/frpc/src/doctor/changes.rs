//! Which setting keeps the login out? A login that breaks is tried again with one setting changed at a time: where it
//! is answered then, that setting it is. Nothing is said with less protection than the configuration has.

use std::sync::Arc;

use frp_config::{ClientConfig, TransportProtocol};
use frp_proto::wire::WireProtocol;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::client::Client;
use crate::connect::ConnectError;
use crate::diagnose::{Explained, path};
use crate::limits::DOCTOR_STEP;
use crate::login::{Credentials, LoginError};
use crate::one_way::OneWay;
use crate::service::login_once;

/// A change, and what it says where it helps.
struct Change {
    cfg: ClientConfig,
    explained: Told,
}

/// From what was seen, and the way as it is configured.
type Told = fn(&str, &OneWay) -> Explained;

/// Why a login on `way` got no answer, where one with another setting does. `error`: what became of it; `None`: it
/// waits still. `seen`: the same in words.
pub(super) async fn find(
    client: &Client,
    way: &OneWay,
    error: Option<&LoginError>,
    seen: &str,
) -> Option<Explained> {
    let tried = of(way, error).into_iter().map(|change| async move {
        let answered = timeout(DOCTOR_STEP, is_answered(client, way, change.cfg));
        answered.await.unwrap_or(false).then_some(change.explained)
    });
    let found = join_all(tried).await.into_iter().flatten().next()?;
    Some(found(seen, way))
}

fn of(way: &OneWay, error: Option<&LoginError>) -> Vec<Change> {
    let stage = match error {
        Some(LoginError::Connect(ConnectError::Tls(e))) if e.tls().is_none() => Stage::Tls,
        Some(
            LoginError::Connect(ConnectError::Open(_))
            | LoginError::Send { .. }
            | LoginError::Answer { .. }
            | LoginError::Hello(_),
        ) => Stage::Login,
        Some(_) => return Vec::new(),
        None => Stage::Any,
    };
    let mut changes = Vec::new();
    let mut add = |change: &dyn Fn(&mut ClientConfig), explained: Told| {
        let mut cfg = ClientConfig::clone(way);
        // A session of its own, for a moment.
        cfg.client_id.clear();
        change(&mut cfg);
        changes.push(Change { cfg, explained });
    };
    let has_tls = way.tls.is_some();
    let is_marked = !way.transport.tls.disable_custom_first_byte;
    let has_mark = matches!(
        way.protocol,
        TransportProtocol::Tcp | TransportProtocol::Kcp | TransportProtocol::Websocket
    );
    if stage != Stage::Login && has_tls && has_mark {
        add(
            &|cfg| cfg.transport.tls.disable_custom_first_byte = is_marked,
            match is_marked {
                true => path::first_byte_rejected,
                false => path::first_byte_wanted,
            },
        );
    }
    if stage != Stage::Tls {
        if !has_tls {
            add(&|cfg| cfg.transport.tls.enable = true, path::plain_rejected);
        }
        if way.protocol != TransportProtocol::Quic {
            add(
                &|cfg| cfg.transport.tcp_mux = !cfg.transport.tcp_mux,
                path::other_mux,
            );
        }
        if way.transport.wire_protocol == WireProtocol::V2 {
            add(
                &|cfg| cfg.transport.wire_protocol = WireProtocol::V1,
                path::old_wire,
            );
        }
    }
    changes
}

/// What broke.
#[derive(PartialEq)]
enum Stage {
    Tls,
    Login,
    Any,
}

/// Whether frps says yes or no to a login, or says nothing.
async fn is_answered(client: &Client, way: &OneWay, cfg: ClientConfig) -> bool {
    let Ok(way) = OneWay::new(Arc::new(cfg), way.protocol) else {
        return false;
    };
    let credentials = credentials(client);
    let answer = login_once(&Arc::new(way), credentials, &client.tasks.tracker).await;
    matches!(answer, Ok(_) | Err(LoginError::Rejected(_)))
}

/// Those of a login that leaves nothing behind.
pub(super) fn credentials(client: &Client) -> Credentials<'_> {
    Credentials {
        auth: &client.auth,
        key: &client.key,
        prover: &client.prover,
        run_id: "",
        remembers: false,
    }
}
