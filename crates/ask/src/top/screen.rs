//! The terminal while the live view has it, and its keys. It is given back however that ends.

use std::fmt;
use std::io::{self, IsTerminal as _, Stdout};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use tokio::sync::mpsc;

use super::draw::draw;
use super::model::{Model, Pressed};

/// How long the thread that reads keys waits for one before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Keys that wait to be looked at; more are left out.
const KEYS: usize = 64;

/// Why nothing can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTerminal {
    /// It is a pipe or a file.
    Output,
    /// It is a pipe or a file.
    Input,
    /// The variable says so.
    Dumb,
    /// The variable is not there.
    Unnamed,
}

impl fmt::Display for NoTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Output => "it needs a terminal, and standard output is none",
            Self::Input => "it needs a terminal, and standard input is none",
            Self::Dumb => "it needs a terminal that can place the cursor, and TERM is dumb",
            Self::Unnamed => "it needs to know the terminal, and TERM is not set",
        })
    }
}

/// Whether there is a terminal for it.
pub(super) fn fit() -> Result<(), NoTerminal> {
    if !io::stdout().is_terminal() {
        return Err(NoTerminal::Output);
    }
    if !io::stdin().is_terminal() {
        return Err(NoTerminal::Input);
    }
    match std::env::var("TERM").as_deref() {
        Err(_) | Ok("") => Err(NoTerminal::Unnamed),
        Ok("dumb") => Err(NoTerminal::Dumb),
        Ok(_) => Ok(()),
    }
}

/// Whether the terminal is another one than the user has left.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// See the module.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Unless `NO_COLOR` is set (<https://no-color.org>).
    colours: bool,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        give_back_at_panic();
        TAKEN.store(true, Ordering::Release);
        let opened = Self::take();
        if opened.is_err() {
            give_back();
        }
        opened
    }

    fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let all = Clear(ClearType::All);
        execute!(io::stdout(), EnterAlternateScreen, all, cursor::Hide)?;
        Ok(Self {
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
            colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        })
    }

    pub(super) fn draw(&mut self, model: &mut Model) -> io::Result<()> {
        let colours = self.colours;
        let drawn = self.terminal.draw(|frame| draw(frame, model, colours));
        drawn.map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// What the user had before; once.
fn give_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// Else the message would be drawn on a screen that goes away with it.
fn give_back_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
}

/// The keyboard, which can only be read by waiting for it.
pub(super) struct Keyboard {
    pressed: mpsc::Receiver<io::Result<Pressed>>,
    unwanted: Arc<AtomicBool>,
}

impl Keyboard {
    pub(super) fn read() -> io::Result<Self> {
        let (sender, pressed) = mpsc::channel(KEYS);
        let unwanted = Arc::new(AtomicBool::new(false));
        let end = unwanted.clone();
        let reads = move || {
            while !end.load(Ordering::Relaxed) {
                let read = match event::poll(KEY_WAIT) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                let is_over = read.is_err();
                if let Some(read) = read.map(meaning).transpose() {
                    let _ = sender.try_send(read);
                }
                if is_over {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("keyboard".to_owned());
        thread.spawn(reads)?;
        Ok(Self { pressed, unwanted })
    }

    /// The next one; an error where the terminal is gone.
    pub(super) async fn next(&mut self) -> io::Result<Pressed> {
        let gone = || Err(io::ErrorKind::UnexpectedEof.into());
        self.pressed.recv().await.unwrap_or_else(gone)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

/// `None`: it means nothing here.
fn meaning(event: Event) -> Option<Pressed> {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press | KeyEventKind::Repeat,
        ..
    }) = event
    else {
        // Another size, for one: then it is drawn anew.
        return matches!(event, Event::Resize(..)).then_some(Pressed::Nothing);
    };
    Some(match code {
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Pressed::Interrupt,
        KeyCode::Char(_) if modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            return None;
        }
        KeyCode::Char(letter) => Pressed::Letter(letter),
        KeyCode::Enter => Pressed::Enter,
        KeyCode::Esc => Pressed::Escape,
        KeyCode::Backspace => Pressed::Backspace,
        KeyCode::Tab | KeyCode::Right => Pressed::Right,
        KeyCode::BackTab | KeyCode::Left => Pressed::Left,
        KeyCode::Down => Pressed::Down,
        KeyCode::Up => Pressed::Up,
        KeyCode::PageDown => Pressed::PageDown,
        KeyCode::PageUp => Pressed::PageUp,
        KeyCode::Home => Pressed::Home,
        KeyCode::End => Pressed::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        give_back_at_panic();
        TAKEN.store(true, Ordering::Release);
        let panicked = thread::spawn(|| panic!("on purpose")).join();
        assert!(panicked.is_err());
        assert!(!TAKEN.load(Ordering::Acquire));
    }

    #[test]
    fn keys_mean_what_they_say() {
        let key = |code, modifiers| meaning(Event::Key(KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('q'), none), Some(Pressed::Letter('q')));
        let control = KeyModifiers::CONTROL;
        assert_eq!(key(KeyCode::Char('c'), control), Some(Pressed::Interrupt));
        assert_eq!(key(KeyCode::Char('q'), control), None);
        assert_eq!(
            key(KeyCode::BackTab, KeyModifiers::SHIFT),
            Some(Pressed::Left)
        );
        assert_eq!(meaning(Event::Resize(80, 24)), Some(Pressed::Nothing));
        assert_eq!(meaning(Event::FocusLost), None);
    }
}
