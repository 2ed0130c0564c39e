//! A live view of a running frps or frpc in a terminal: what it does altogether, and a list of its clients,
//! proxies or connections. [`model`] is what is known, [`draw`] how it looks; here are the keys and the clock.

mod draw;
mod model;

use std::io::{self, IsTerminal as _, Stdout};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use frp_config::cli::AdminCall;
use hyper::Method;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use self::model::{Key, Model, Wanted};
use crate::call::{CallError, send};
use crate::command::read;

/// Between two looks at the program.
const EVERY: Duration = Duration::from_secs(1);

/// How long the thread that reads keys waits for one before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Keys that wait to be looked at; more are left out.
const KEYS: usize = 64;

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
enum ViewError {
    #[error("{0} top needs a terminal, and {1}; `{0} status` says the same once")]
    NoTerminal(&'static str, &'static str),
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("terminal: {0}")]
    Io(#[from] io::Error),
}

/// Shows it until the user or `ended` says otherwise. The terminal is then as it was.
///
/// # Errors
/// There is no terminal, or the program was not reached at the beginning.
pub async fn show(call: &AdminCall, ended: impl Future<Output = ()>) -> Result<(), String> {
    let shown = view(call, ended).await;
    shown.map_err(|error| error.to_string())
}

async fn view(call: &AdminCall, ended: impl Future<Output = ()>) -> Result<(), ViewError> {
    let dumb = match std::env::var("TERM").as_deref() {
        Err(_) | Ok("") => Some("TERM is not set"),
        Ok("dumb") => Some("TERM is dumb"),
        Ok(_) if !io::stdout().is_terminal() => Some("standard output is none"),
        Ok(_) if !io::stdin().is_terminal() => Some("standard input is none"),
        Ok(_) => None,
    };
    if let Some(why) = dumb {
        return Err(ViewError::NoTerminal(call.program, why));
    }
    let mut model = Model::new(call.program);
    // What cannot be had is said where it stays.
    model.take(look(call, &model.wanted()).await?);
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut screen = Screen::open()?;
    let keys = Keys::read()?;
    let mut keys = keys;
    tokio::pin!(ended);
    let mut next = Instant::now() + EVERY;
    let mut looking: Option<Looking<'_>> = None;
    loop {
        screen.0.draw(|frame| draw::draw(frame, &mut model, colours))?;
        tokio::select! {
            () = &mut ended => return Ok(()),
            key = keys.next() => match key.and_then(meaning) {
                Some(Key::Quit) => return Ok(()),
                Some(key) => {
                    if model.press(key) {
                        // Another list, or another part of it: what is on its way is not wanted any more.
                        looking = Some(Box::pin(owned_look(call, model.wanted())));
                    }
                }
                None => {}
            },
            looked = async {
                match &mut looking {
                    Some(looking) => looking.await,
                    None => std::future::pending().await,
                }
            } => {
                looking = None;
                match looked {
                    Ok(seen) => model.take(seen),
                    Err(error) => model.fail(&error.to_string()),
                }
            }
            () = sleep_until(next) => {
                next = Instant::now() + EVERY;
                if looking.is_none() {
                    looking = Some(Box::pin(owned_look(call, model.wanted())));
                }
            }
        }
    }
}

type Looking<'a> = Pin<Box<dyn Future<Output = Result<Seen, CallError>> + 'a>>;

/// What the program says at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    overview: Value,
    list: Value,
    wanted: Wanted,
}

async fn owned_look(call: &AdminCall, wanted: Wanted) -> Result<Seen, CallError> {
    look(call, &wanted).await
}

async fn look(call: &AdminCall, wanted: &Wanted) -> Result<Seen, CallError> {
    let overview = send(call, Method::GET, "/api/live/overview").await?;
    let list = send(call, Method::GET, &wanted.path()).await?;
    Ok(Seen {
        overview: read(&overview)?,
        list: read(&list)?,
        wanted: wanted.clone(),
    })
}

fn meaning(event: Event) -> Option<Key> {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event
    else {
        // Another size, for one: it is drawn anew.
        return None;
    };
    Some(match code {
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char(digit @ '1'..='3') => Key::Tab(usize::from(digit as u8 - b'1')),
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => Key::NextTab,
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => Key::FormerTab,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::Home | KeyCode::Char('g') => Key::Home,
        KeyCode::End | KeyCode::Char('G') => Key::End,
        _ => return None,
    })
}

/// The terminal while it is ours. It is given back however that ends.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        // Made before anything else can fail: its end undoes all of it.
        let mut screen = match Terminal::new(CrosstermBackend::new(io::stdout())) {
            Ok(terminal) => Self(terminal),
            Err(error) => {
                let _ = disable_raw_mode();
                return Err(error);
            }
        };
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        screen.0.clear()?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// The keyboard, which can only be read by waiting for it.
struct Keys {
    events: mpsc::Receiver<Event>,
    unwanted: Arc<AtomicBool>,
}

impl Keys {
    fn read() -> io::Result<Self> {
        let (sender, events) = mpsc::channel(KEYS);
        let unwanted = Arc::new(AtomicBool::new(false));
        let end = unwanted.clone();
        thread::Builder::new().name("keys".to_owned()).spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match event::poll(KEY_WAIT) {
                    Ok(false) => {}
                    Ok(true) => match event::read() {
                        Ok(event) => {
                            let _ = sender.try_send(event);
                        }
                        Err(_) => return,
                    },
                    Err(_) => return,
                }
            }
        })?;
        Ok(Self { events, unwanted })
    }

    /// The next one; a keyboard that is gone is as good as Ctrl-C.
    async fn next(&mut self) -> Option<Event> {
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        Some(self.events.recv().await.unwrap_or(Event::Key(interrupt)))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}
