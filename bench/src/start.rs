//! How soon a pair serves after it was started, and what that costs.

use std::time::Duration;

use crate::backend::Backend;
use crate::error::{Error, Values};
use crate::mode::{Kind, Mode};
use crate::pair::{Programs, Start};
use crate::probe;
use crate::report::{Side, median};

/// frpc is started when frps listens. The medians of [`STARTS`].
pub(crate) fn measure(programs: &Programs, side: Side, mode: &Mode) -> Result<Values, Error> {
    let backend = Backend::start()?;
    let mut figures: [(&str, Vec<f64>); 4] = [
        ("start: frps listens, ms", Vec::new()),
        ("start: frpc serves, ms", Vec::new()),
        ("start: both, ms", Vec::new()),
        ("start: CPU of both, ms", Vec::new()),
    ];
    for _ in 0..STARTS {
        let pair = Start::here(programs, side, mode, Kind::Tcp, &backend).pair(probe::once)?;
        let Some((listens, serves)) = pair.start_times() else {
            return Ok(Values::new());
        };
        let taken = [listens, serves, listens + serves, pair.cpu()?];
        for ((_, times), time) in figures.iter_mut().zip(taken) {
            times.push(ms(time));
        }
    }
    let figures = figures.into_iter();
    Ok(figures
        .filter_map(|(name, times)| Some((name.to_owned(), median(&times)?)))
        .collect())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One takes some ten milliseconds, of which the scheduler decides a few.
const STARTS: usize = 15;
