//! A live view of a running frps or frpc: what it does altogether, and a list of its clients, proxies, visitors,
//! connections or failed logins, once a second.
//!
//! [`model`] is what is known and where the user looks, [`lists`] what the lists are made of, [`draw`] how it
//! looks, [`screen`] the terminal. Here is the clock.

mod draw;
pub(crate) mod fuzzed;
mod lists;
mod model;
mod screen;

use std::pin::Pin;
use std::time::Duration;

use frp_config::cli::AdminCall;
use frp_process::limits::GRACEFUL_END;
use frp_process::signals::{self, EndSignals, HangUps, Overdue};
use hyper::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use self::model::{After, Model, Seen, Wanted};
use self::screen::{Keyboard, NoTerminal, Screen};
use crate::call::{CallError, send};
use crate::command::{number, read};

/// Between two looks at the program.
const EVERY: Duration = Duration::from_secs(1);

/// Items of a page, which is the most that the program gives.
const PAGE: usize = 200;

/// Pages of a list that are asked for. With more the terminal would show last minute's news.
const PAGES: usize = 10;

/// Why there is no view any more.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There never was one.
    #[error("{0} top: {1}; `{0} status` says once what there is")]
    NoTerminal(&'static str, NoTerminal),
    /// The program was not reached at the beginning.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The terminal is gone.
    #[error("terminal: {0}")]
    Io(#[from] std::io::Error),
}

/// Shows it until the user leaves. The terminal is then as it was, also where a signal ends the process.
///
/// # Errors
/// See [`WatchError`].
pub async fn watch(call: &AdminCall) -> Result<(), WatchError> {
    screen::fit().map_err(|why| WatchError::NoTerminal(call.program, why))?;
    let mut model = Model::new(call.program == "frps");
    // What cannot be had is said where it stays to be read.
    let first = look(call, model.wanted()).await?;
    model.take(first);
    let mut ends = EndSignals::take(GRACEFUL_END, Overdue::BySignal)?;
    // The terminal may be closed.
    let mut hang_ups = HangUps::take()?;
    let mut screen = Screen::open()?;
    let left = {
        let mut keyboard = Keyboard::read()?;
        tokio::select! {
            left = follow(call, &mut model, &mut screen, &mut keyboard) => Some(left),
            () = ends.next() => None,
            () = hang_ups.next() => None,
        }
    };
    drop(screen);
    match left {
        Some(left) => Ok(left?),
        None => signals::end_by_signal(),
    }
}

/// Until the user leaves.
async fn follow(
    call: &AdminCall,
    model: &mut Model,
    screen: &mut Screen,
    keyboard: &mut Keyboard,
) -> std::io::Result<()> {
    let mut looking: Option<Looking<'_>> = None;
    let mut begun = Instant::now();
    let mut next = begun + EVERY;
    loop {
        screen.draw(model)?;
        let looked = async {
            match &mut looking {
                Some(looking) => looking.await,
                None => std::future::pending().await,
            }
        };
        let mut again = false;
        tokio::select! {
            pressed = keyboard.next() => match model.press(pressed?) {
                After::Leave => return Ok(()),
                // What is on its way is not wanted any more.
                After::Look => again = true,
                After::Nothing => {}
            },
            looked = looked => {
                looking = None;
                // A program that is slow is asked less often.
                next = Instant::now() + EVERY.saturating_sub(begun.elapsed()).max(begun.elapsed());
                match looked {
                    Ok(seen) => model.take(seen),
                    Err(error) => model.fail(&error.cause()),
                }
            }
            () = sleep_until(next) => {
                next = Instant::now() + EVERY;
                again = looking.is_none();
            }
        }
        if again {
            begun = Instant::now();
            looking = Some(Box::pin(look(call, model.wanted())));
        }
    }
}

type Looking<'a> = Pin<Box<dyn Future<Output = Result<Seen, CallError>> + 'a>>;

async fn look(call: &AdminCall, wanted: Wanted) -> Result<Seen, CallError> {
    let overview = send(call, Method::GET, "/api/live/overview").await?;
    let overview = read(&overview)?;
    let (mut total, mut items) = (0, Vec::new());
    for page in 1..=PAGES {
        let path = format!("{}&page={page}&pageSize={PAGE}", wanted.path());
        let mut list: Value = read(&send(call, Method::GET, &path).await?)?;
        total = usize::try_from(number(&list, "total")).unwrap_or(0);
        let Some(Value::Array(some)) = list.get_mut("items").map(Value::take) else {
            break;
        };
        let is_last = some.len() < PAGE;
        items.extend(some);
        if is_last {
            break;
        }
    }
    Ok(Seen {
        wanted,
        overview,
        total,
        items,
    })
}
