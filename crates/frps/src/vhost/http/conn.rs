//! A work connection that speaks HTTP/1.1 with a local service.
//!
//! Whoever waits for an answer also moves the bytes: hyper's connection is polled by the task of
//! the user, not by one of its own, so a request costs no wake-up between tasks. Only where the
//! answer begins before the request has ended does the connection get a task, because then both
//! directions must go on by themselves.

use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use frp_http::io::{LongTargets, Marked, ServiceIo, Unwritten, Upload};
use frp_http::limits::{MAX_HTTP_ANSWER_HEAD, MAX_HTTP_FIELDS};
use frp_net::or_never::or_never;
use frp_relay::counted::{Count, Counted};
use frp_relay::layers::{Carried, Duplex as _};
use frp_relay::relay::Tally;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{Sleep, sleep};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::admission::guard::Guard;
use crate::stats::conns::Conn;
use crate::stats::metrics::{Counters, Serving};

/// See the module.
pub(crate) struct WorkConn {
    sender: SendRequest<Upload>,
    targets: LongTargets,
    unwritten: Unwritten,
    driver: Driver,
    /// No request follows: user and service might not agree about where it would begin.
    is_last: bool,
    /// A request was sent, and its answer is not complete.
    unanswered: Arc<AtomicBool>,
    count: Arc<Bytewise>,
}

type Http = Connection<TokioIo<ServiceIo<Counted<Carried, Bytewise>>>, Upload>;

/// Counts what passes, for the proxy and for the user whose request it is.
#[derive(Debug)]
struct Bytewise {
    all: Arc<Counters>,
    own: Mutex<Option<Arc<Conn>>>,
}

impl Bytewise {
    fn count(&self, add: impl Fn(Tally<'_>)) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        add(Tally {
            all: &self.all.traffic,
            own: own.as_ref().map(|own| &own.traffic),
        });
    }
}

/// Of the connections to its service, which are the far side.
impl Count for Bytewise {
    fn read(&self, bytes: usize) -> io::Result<()> {
        self.count(|tally| tally.add_far_to_near(bytes));
        Ok(())
    }

    fn written(&self, bytes: usize) {
        self.count(|tally| tally.add_near_to_far(bytes));
    }
}

/// A connection, and what counts as long as it lives. Dropped before the answer is complete, because the
/// user has gone, it is cut off: the service is not to make the rest of the answer for nobody.
struct Wire {
    /// There until it is given away.
    http: Option<Http>,
    unanswered: Arc<AtomicBool>,
    serving: Option<(Serving, Guard)>,
}

enum Driver {
    Here(Wire),
    /// Done: it ended, or speaks another protocol from now on.
    Over(Wire),
    Task(#[expect(dead_code, reason = "ends the task on drop")] AbortOnDropHandle<()>),
    Gone,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("timeout awaiting response headers")]
    TimedOut,
    #[error("{}{}", .0, cause(.0))]
    Http(hyper::Error),
    #[error("{0}")]
    Io(io::Error),
}

/// What hyper's own text leaves out.
fn cause(e: &hyper::Error) -> String {
    e.source().map(|e| format!(": {e}")).unwrap_or_default()
}

/// A request that got no answer, and the request itself where nothing of it was sent.
pub(super) type Failed = (SendError, Option<Box<Request<Upload>>>);

impl WorkConn {
    /// Speaks HTTP on `carried`, counted by `counters` and `held` for as long as the connection lives.
    pub(super) async fn new(
        (carried, held): (Carried, Guard),
        counters: &Arc<Counters>,
    ) -> hyper::Result<Self> {
        let unanswered = Arc::new(AtomicBool::new(false));
        let targets = LongTargets::default();
        let count = Arc::new(Bytewise {
            all: counters.clone(),
            own: Mutex::default(),
        });
        let io = ServiceIo::new(Counted::new(carried, count.clone()), &targets);
        let unwritten = io.unwritten().clone();
        let (sender, http) = Builder::new()
            .title_case_headers(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .max_headers(MAX_HTTP_FIELDS)
            .max_buf_size(MAX_HTTP_ANSWER_HEAD)
            .handshake(TokioIo::new(io))
            .await?;
        Ok(Self {
            sender,
            targets,
            unwritten,
            driver: Driver::Here(Wire {
                http: Some(http),
                unanswered: unanswered.clone(),
                serving: Some((counters.serving(), held)),
            }),
            is_last: false,
            unanswered,
            count,
        })
    }

    /// The bytes from now on are those of `conn`.
    pub(super) fn serve(&self, conn: Option<Arc<Conn>>) {
        *self
            .count
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = conn;
    }

    /// Whether the connection can take another request. Finds out what happened to it meanwhile.
    pub(super) fn is_usable(&mut self) -> bool {
        if self.is_last {
            return false;
        }
        self.drive(&mut Context::from_waker(Waker::noop()));
        matches!(self.driver, Driver::Here(_)) && self.sender.is_ready()
    }

    /// Has the connection end with the answer that is under way.
    pub(super) fn keep_no_longer(&mut self) {
        self.is_last = true;
    }

    /// Sends `request` and waits for the head of its answer, at most `limit` once all of the
    /// request is on its way.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Upload>,
        limit: Duration,
    ) -> Result<Response<Incoming>, Failed> {
        let marked = self.targets.mark(&mut request);
        let marked = marked.map_err(|e| (SendError::Io(e), None))?;
        let unwritten = self.unwritten.clone();
        request.body_mut().over(move || Some(unwritten));
        self.unanswered.store(true, Ordering::Relaxed);
        let sent = request.body().sent();
        let mut answer = pin!(self.sender.try_send_request(request));
        let mut deadline = pin!(None::<Sleep>);
        std::future::poll_fn(|cx| {
            self.driver.poll(cx);
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|e| failed(e, marked.as_ref())));
            }
            if sent.is_over() {
                if deadline.is_none() {
                    deadline.set(Some(sleep(limit)));
                }
                if let Some(sleep) = deadline.as_mut().as_pin_mut()
                    && sleep.poll(cx).is_ready()
                {
                    return Poll::Ready(Err((SendError::TimedOut, None)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The answer is complete: without another request, the connection ends as a good one does.
    pub(super) fn answered(&self) {
        self.unanswered.store(false, Ordering::Relaxed);
        self.serve(None);
    }

    /// Moves bytes as far as they go.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        self.driver.poll(cx);
    }

    /// Has the connection go on without being driven. It takes no further request.
    pub(super) fn detach(&mut self, tasks: &TaskTracker) {
        match std::mem::replace(&mut self.driver, Driver::Gone) {
            Driver::Here(mut wire) => {
                let task = tasks.spawn(async move {
                    // Whoever reads the answer hears of an error, too.
                    let _ = or_never(wire.http.as_mut()).await;
                });
                self.driver = Driver::Task(AbortOnDropHandle::new(task));
            }
            other => self.driver = other,
        }
    }

    /// The pipe itself with what was read of it beyond the answer, once that has changed the
    /// protocol, and what goes on counting the connection. `None` where the connection ended instead.
    pub(super) async fn into_pipe(mut self) -> Option<((Carried, Bytes), (Serving, Guard))> {
        std::future::poll_fn(|cx| {
            self.driver.poll(cx);
            match self.driver {
                Driver::Here(_) => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
        match self.driver {
            Driver::Over(mut wire) => wire.take_pipe().zip(wire.serving.take()),
            _ => None,
        }
    }
}

impl Wire {
    fn take_pipe(&mut self) -> Option<(Carried, Bytes)> {
        let parts = self.http.take()?.into_parts();
        let counted = parts.io.into_inner().into_inner();
        Some((counted.into_inner(), parts.read_buf))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.unanswered.load(Ordering::Relaxed)
            && let Some((carried, _)) = self.take_pipe()
        {
            Box::new(carried).abort();
        }
    }
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        let Self::Here(wire) = self else { return };
        // An error reaches whoever waits for the answer or reads it.
        let over = |http: &mut Http| http.poll_without_shutdown(cx).is_ready();
        if wire.http.as_mut().is_some_and(over)
            && let Self::Here(wire) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::Over(wire);
        }
    }
}

fn failed(mut e: TrySendError<Request<Upload>>, marked: Option<&Marked>) -> Failed {
    let mut request = e.take_message().map(Box::new);
    if let (Some(request), Some(marked)) = (&mut request, marked) {
        marked.undo(request);
    }
    (SendError::Http(e.into_error()), request)
}
