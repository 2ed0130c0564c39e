//! Server-sent events (WHATWG HTML, section 9.2): who listens, and what is sent to all of them once a second.
//!
//! Nothing is made while nobody listens. A listener that falls behind misses events, never gets them late: the
//! latest is all that is kept. One that does not read at all is cut off ([`super::slow`]).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::answer::{ApiError, Body, Response, envelope_v1, with_type};
use super::slow::Patience;
use crate::limits::{EVENTS_KEEPALIVE, MAX_LISTENERS};

/// Between two events.
const EVERY: Duration = Duration::from_secs(1);

/// The one stream of events of a web server.
#[derive(Debug)]
pub struct Events {
    latest: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
    listened: Notify,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            latest: watch::Sender::default(),
            places: Arc::new(Semaphore::new(MAX_LISTENERS)),
            listened: Notify::new(),
        }
    }
}

impl Events {
    /// The answer to somebody who listens from now on, and who hears `first` at once; 503 where
    /// [`MAX_LISTENERS`] do.
    pub fn listen(&self, request: &Request<Incoming>, first: Bytes) -> Response {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let refusal = ApiError {
                code: StatusCode::SERVICE_UNAVAILABLE,
                text: format!("{MAX_LISTENERS} listen already"),
            };
            return envelope_v1(Err(refusal), request.uri().path());
        };
        if let Some(patience) = request.extensions().get::<Patience>() {
            patience.limit();
        }
        let listener = Listener {
            first: Some(first),
            next: Box::pin(next(self.latest.subscribe())),
            _place: place,
        };
        self.listened.notify_one();
        let mut response = with_type("text/event-stream", Body::Events(Box::new(listener)));
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // What nginx goes by.
        let buffering = HeaderName::from_static("x-accel-buffering");
        headers.insert(buffering, HeaderValue::from_static("no"));
        response
    }

    /// Sends what `make` makes, away from the threads of connections, as long as somebody listens.
    pub async fn run(&self, make: impl Fn() -> Bytes + Clone + Send + 'static) {
        loop {
            self.listened.notified().await;
            let mut seconds = interval(EVERY);
            seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Who has come has heard the first.
            seconds.reset();
            while self.latest.receiver_count() > 0 {
                seconds.tick().await;
                if let Ok(event) = spawn_blocking(make.clone()).await {
                    self.latest.send_replace(event);
                }
            }
        }
    }
}

/// The event `name` with `data`, which is JSON as [`json`](super::answer::json) writes it: one line.
pub fn event(name: &str, data: &[u8]) -> Bytes {
    [
        b"event: ",
        name.as_bytes(),
        b"\ndata: ",
        data.trim_ascii_end(),
        b"\n\n",
    ]
    .concat()
    .into()
}

/// The next event, and where the one behind it will come from.
type Next = Pin<Box<dyn Future<Output = (Option<Bytes>, watch::Receiver<Bytes>)> + Send>>;

/// Somebody who listens.
pub struct Listener {
    first: Option<Bytes>,
    next: Next,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Frame::data(first)));
        }
        let (event, latest) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(next(latest));
        Poll::Ready(event.map(Frame::data))
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// The next event; a comment where there is none for long; `None` at the end.
async fn next(mut latest: watch::Receiver<Bytes>) -> (Option<Bytes>, watch::Receiver<Bytes>) {
    let event = match timeout(EVENTS_KEEPALIVE, latest.changed()).await {
        Ok(Ok(())) => Some(latest.borrow_and_update().clone()),
        Ok(Err(_)) => None,
        Err(_) => Some(Bytes::from_static(b":\n\n")),
    };
    (event, latest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn an_event_is_two_lines_and_an_empty_one() {
        assert_eq!(
            event("overview", b"{\"a\":1}\n"),
            &b"event: overview\ndata: {\"a\":1}\n\n"[..]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_gets_the_latest_and_a_comment_where_there_is_none() {
        let events = Events::default();
        let mut listener = Listener {
            first: Some(Bytes::from_static(b"first")),
            next: Box::pin(next(events.latest.subscribe())),
            _place: events.places.clone().try_acquire_owned().unwrap(),
        };
        let mut heard = async || {
            let frame = poll_fn(|cx| listener.poll_frame(cx)).await;
            frame.map(|frame| frame.into_data().unwrap())
        };
        assert_eq!(heard().await.unwrap(), "first");
        events.latest.send_replace(Bytes::from_static(b"old"));
        events.latest.send_replace(Bytes::from_static(b"new"));
        assert_eq!(heard().await.unwrap(), "new");
        assert_eq!(heard().await.unwrap(), ":\n\n");
        drop(events);
        assert_eq!(heard().await, None);
    }
}
