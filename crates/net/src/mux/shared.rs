//! The state of a session as its handles and its driver share it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    config::{Config, Role},
    error::{CloseReason, MuxError},
    state::{OpenError, State},
};

#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    start: Instant,
    /// An open that waited for an acknowledgement may go on.
    open_slot: Notify,
    finished: Notify,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: State,
    /// Why the session is over for its applications.
    pub(super) end: Option<CloseReason>,
    /// What is queued is not to be sent any more.
    dropped: bool,
    /// The connection is done with as well.
    finished: bool,
    /// Handles that can start something new.
    handles: usize,
    driver: Option<Waker>,
    /// The driver sleeps and wants to know of new work.
    driver_waits: bool,
}

impl Shared {
    pub(super) fn new(role: Role, config: &Config) -> Self {
        let mut state = State::new(role, config.keepalive_interval);
        if config.stranger {
            state.hold_windows();
        }
        Self {
            inner: Mutex::new(Inner {
                state,
                end: None,
                dropped: false,
                finished: false,
                handles: 2,
                driver: None,
                driver_waits: false,
            }),
            start: Instant::now(),
            open_slot: Notify::new(),
            finished: Notify::new(),
        }
    }

    /// Time since the start of the session, as the state counts it.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The instant of a state's deadline.
    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.start + at
    }

    /// The lock. Its holders do no I/O and wake no one; a panic in one of them (a bug) must not
    /// spread to every stream.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an application's operation and wakes the driver if that gave it work.
    pub(super) fn with<R>(&self, operation: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = operation(&mut inner);
        let driver = inner.driver_to_wake();
        let freed = inner.state.take_freed_opens();
        drop(inner);
        if let Some(driver) = driver {
            driver.wake();
        }
        self.wake_opens(freed);
        result
    }

    /// Lets waiting opens try again.
    pub(super) fn wake_opens(&self, freed: usize) {
        match freed {
            0 => {}
            usize::MAX => self.open_slot.notify_waiters(),
            n => (0..n).for_each(|_| self.open_slot.notify_one()),
        }
    }

    pub(super) async fn open(&self) -> Result<u32, MuxError> {
        loop {
            let slot = self.open_slot.notified();
            let mut slot = std::pin::pin!(slot);
            let opened = self.with(|inner| {
                if let Some(reason) = &inner.end {
                    return Err(MuxError::Closed(reason.clone()));
                }
                match inner.state.open(self.now()) {
                    Ok(id) => Ok(Some(id)),
                    Err(OpenError::GoAway) => Err(MuxError::GoAway),
                    Err(OpenError::Exhausted) => Err(MuxError::Exhausted),
                    Err(OpenError::Full) => {
                        // Under the lock, so that no slot can come free unheard.
                        slot.as_mut().enable();
                        Ok(None)
                    }
                }
            })?;
            match opened {
                Some(id) => return Ok(id),
                None => slot.await,
            }
        }
    }

    pub(super) fn poll_accept(&self, cx: &Context<'_>) -> Poll<Option<u32>> {
        self.with(|inner| {
            if inner.end.is_some() {
                return Poll::Ready(None);
            }
            inner.state.poll_accept(cx).map(Some)
        })
    }

    pub(super) fn admit(&self) {
        self.with(|inner| inner.state.admit());
    }

    pub(super) fn refuse(&self) {
        self.with(|inner| inner.state.refuse());
    }

    pub(super) fn add_handle(&self) {
        self.lock().handles += 1;
    }

    pub(super) fn drop_handle(&self) {
        self.with(|inner| {
            inner.handles -= 1;
            if inner.handles == 0 {
                inner.state.abandon();
            }
        });
    }

    /// Ends the session without its last bytes.
    pub(super) fn abort(&self) {
        self.lock().dropped = true;
        self.end(CloseReason::LocalClose);
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.lock().dropped
    }

    /// Ends the session for its applications; the first reason stays.
    pub(super) fn end(&self, reason: CloseReason) {
        let mut inner = self.lock();
        if inner.end.is_some() {
            return;
        }
        inner.end = Some(reason);
        inner.state.wake_all();
        let wakes = std::mem::take(&mut inner.state.wakes);
        let driver = inner.driver.take();
        drop(inner);
        wakes.into_iter().for_each(Waker::wake);
        if let Some(driver) = driver {
            driver.wake();
        }
        self.open_slot.notify_waiters();
    }

    pub(super) fn end_reason(&self) -> Option<CloseReason> {
        self.lock().end.clone()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Marks the connection as done with.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.finished.notify_waiters();
    }

    pub(super) async fn finished(&self) -> CloseReason {
        loop {
            let finished = self.finished.notified();
            let mut finished = std::pin::pin!(finished);
            {
                let inner = self.lock();
                if inner.finished
                    && let Some(reason) = &inner.end
                {
                    return reason.clone();
                }
                finished.as_mut().enable();
            }
            finished.await;
        }
    }
}

impl Inner {
    /// Puts the driver to sleep; `for_work`: until there is work, else only until the session's
    /// end (the socket is full anyway).
    pub(super) fn sleep(&mut self, cx: &Context<'_>, for_work: bool) {
        self.driver_waits = for_work;
        if !self
            .driver
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            self.driver = Some(cx.waker().clone());
        }
    }

    /// The driver is awake and looks at the state by itself.
    pub(super) fn awake(&mut self) {
        self.driver_waits = false;
    }

    fn driver_to_wake(&mut self) -> Option<Waker> {
        if !self.driver_waits || !self.state.has_work() {
            return None;
        }
        self.driver_waits = false;
        self.driver.clone()
    }
}
