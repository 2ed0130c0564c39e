//! Bulk transfer over a way that takes time, loses packets, or is only so wide.

use std::time::Duration;

use frp_tests::network::middlebox::Open;
use frp_tests::network::{Network, Path, Rate};

use crate::backend::Backend;
use crate::error::{Error, Values};
use crate::load::{self, Way};
use crate::mode::{Kind, LONG, LOSSY, Mode};
use crate::pair::{Pair, Programs, Start};
use crate::probe;
use crate::report::Side;

/// Throughput each way between two hosts 50 ms apart, without losses and with 1 % of the packets
/// lost in each direction.
pub(crate) fn loss(
    programs: &Programs,
    side: Side,
    mode: &Mode,
    seconds: f64,
) -> Result<Values, Error> {
    let path = |lost_of_1000| Path {
        delay: HALF_OF_50_MS,
        lost_of_1000,
        ..Path::default()
    };
    between_hosts(programs, side, mode, path(0), |network, pair, backend| {
        let mut values = Values::new();
        // Losses are rare events.
        let window = Duration::from_secs_f64(seconds * 4.0);
        for (name, lost) in [(FAR, 0), (LOSSY, LOST_OF_1000)] {
            network.set_path(path(lost));
            values.extend(both_ways(name, pair, backend, GROWN, window)?);
        }
        Ok(values)
    })
}

/// Throughput each way between two hosts 100 ms apart, over 500 Mbit/s.
pub(crate) fn long(
    programs: &Programs,
    side: Side,
    mode: &Mode,
    seconds: f64,
) -> Result<Values, Error> {
    let path = Path {
        delay: HALF_OF_100_MS,
        rate: Some(Rate {
            bytes: LONG_RATE,
            queue: HALF_OF_100_MS * 2,
        }),
        ..Path::default()
    };
    between_hosts(programs, side, mode, path, |_, pair, backend| {
        let window = Duration::from_secs_f64(seconds * 2.0);
        both_ways(LONG, pair, backend, GROWN * 2, window)
    })
}

fn both_ways(
    name: &str,
    pair: &Pair,
    backend: &Backend,
    run_up: Duration,
    window: Duration,
) -> Result<Values, Error> {
    let mut values = Values::new();
    for way in [Way::Up, Way::Down] {
        let bulk = load::bulk(pair, backend, way, 1, run_up, window)?;
        backend.wait_until_quiet(Kind::Tcp);
        values.push((format!("{name}{way}, MB/s"), bulk.mb_per_s));
    }
    Ok(values)
}

/// Runs `measure` with a pair of two hosts: frps and its users are at one, frpc and the service at the
/// other.
pub(crate) fn between_hosts(
    programs: &Programs,
    side: Side,
    mode: &Mode,
    path: Path,
    measure: impl FnOnce(&Network, &Pair, &Backend) -> Result<Values, Error> + Send,
) -> Result<Values, Error> {
    let network = Network::new(path, Open).ok_or(Error::NoNetwork)?;
    // Threads and processes are at the host of the thread that starts them.
    let backend = network.client.within(Backend::small)?;
    network.server.within(|| {
        let start = Start {
            server: network.server.ip,
            client: Some(&network.client),
            ..Start::here(programs, side, mode, Kind::Tcp, &backend)
        };
        let pair = start.pair(probe::once)?;
        measure(&network, &pair, &backend)
    })
}

/// What the names of figures without losses begin with.
const FAR: &str = "50 ms, ";

/// 1 %.
const LOST_OF_1000: u32 = 10;

const HALF_OF_50_MS: Duration = Duration::from_millis(25);
const HALF_OF_100_MS: Duration = Duration::from_millis(50);

/// 500 Mbit/s.
const LONG_RATE: u32 = 500_000_000 / 8;

/// Until windows have grown to what a way of 50 ms allows.
const GROWN: Duration = Duration::from_secs(2);
