//! Bulk transfer over a way that takes time and loses packets.

use std::time::Duration;

use frp_tests::network::middlebox::Open;
use frp_tests::network::{Network, Path};

use crate::backend::Backend;
use crate::error::{Error, Values};
use crate::load::{self, Way};
use crate::mode::{Kind, LOSSY, Mode};
use crate::pair::{Programs, Start};
use crate::probe;
use crate::report::Side;

/// Throughput each way between two hosts 50 ms apart, without losses and with 1 % of the packets
/// lost in each direction. frps and its users are at one host, frpc and the service at the other.
pub(crate) fn measure(
    programs: &Programs,
    side: Side,
    mode: &Mode,
    seconds: f64,
) -> Result<Values, Error> {
    let network = Network::new(path(0), Open).ok_or(Error::NoNetwork)?;
    // Threads and processes are at the host of the thread that starts them.
    let backend = network.client.within(Backend::start)?;
    network.server.within(|| {
        let pair = Start {
            server: network.server.ip,
            client: Some(&network.client),
            ..Start::here(programs, side, mode, Kind::Tcp, &backend)
        };
        let pair = pair.pair(probe::once)?;
        let mut values = Values::new();
        let window = Duration::from_secs_f64(seconds * LONGER);
        for (name, lost) in [(FAR, 0), (LOSSY, LOST_OF_1000)] {
            network.set_path(path(lost));
            for way in [Way::Up, Way::Down] {
                let bulk = load::bulk(&pair, &backend, way, 1, RUN_UP, window)?;
                backend.wait_until_quiet(Kind::Tcp);
                values.push((format!("{name}{way}, MB/s"), bulk.mb_per_s));
            }
        }
        Ok(values)
    })
}

fn path(lost_of_1000: u32) -> Path {
    Path {
        delay: DELAY,
        lost_of_1000,
        rate: None,
    }
}

/// What the names of figures without losses begin with.
const FAR: &str = "50 ms, ";

/// Half of the round trip.
const DELAY: Duration = Duration::from_millis(25);

/// 1 %.
const LOST_OF_1000: u32 = 10;

/// Losses are rare events: figures take this many times as long as others.
const LONGER: f64 = 4.0;

/// Until windows have grown to what the way allows.
const RUN_UP: Duration = Duration::from_secs(2);
