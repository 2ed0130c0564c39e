//! The body of an answer on its way to the user.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::conn::WorkConn;
use super::waiting::Busy;
use crate::proxy::Proxy;

/// A text of ours, or what the service answers.
pub(crate) struct Body {
    kind: Kind,
    /// The request is under way until its answer has gone out.
    _busy: Option<Busy>,
}

enum Kind {
    Whole(Bytes),
    Service(Box<Service>),
}

/// The service's answer, and the work connection that it comes over until it is complete.
struct Service {
    /// Read before the head went out.
    first: Option<Frame<Bytes>>,
    rest: Incoming,
    /// Told one turn later: what came before it shall have gone out.
    failed: Option<hyper::Error>,
    lease: Option<(WorkConn, Arc<Proxy>)>,
}

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Whole(bytes),
            _busy: None,
        }
    }

    /// The same, holding `busy` until it has gone out.
    pub(super) fn holding(self, busy: Busy) -> Self {
        Self {
            kind: self.kind,
            _busy: Some(busy),
        }
    }

    /// What comes over `conn`, which `proxy` gets back when it is complete.
    pub(super) fn service(body: Incoming, conn: WorkConn, proxy: Arc<Proxy>) -> Self {
        let mut service = Box::new(Service {
            first: None,
            rest: body,
            failed: None,
            lease: Some((conn, proxy)),
        });
        service.release_if_complete();
        Self {
            kind: Kind::Service(service),
            _busy: None,
        }
    }

    /// Takes what is there of the body already, so that a short answer goes out whole and its work
    /// connection is free for the next request before the user can send one.
    pub(super) async fn look_ahead(&mut self) {
        let Kind::Service(service) = &mut self.kind else {
            return;
        };
        std::future::poll_fn(|cx| {
            if let Poll::Ready(Some(Ok(frame))) = service.poll_rest(cx) {
                service.first = Some(frame);
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Service {
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if let Some(e) = self.failed.take() {
            return Poll::Ready(Some(Err(e)));
        }
        // Asking for a frame is what has the connection read one.
        let mut polled = Pin::new(&mut self.rest).poll_frame(cx);
        if polled.is_pending()
            && let Some((conn, _)) = &mut self.lease
        {
            conn.drive(cx);
            polled = Pin::new(&mut self.rest).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Err(e))) => {
                self.lease = None;
                self.failed = Some(e);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(_))) => self.release_if_complete(),
            Poll::Ready(None) => self.release(),
            Poll::Pending => {}
        }
        polled
    }

    fn release_if_complete(&mut self) {
        if self.rest.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some((conn, proxy)) = self.lease.take() {
            conn.answered();
            proxy.idle.put(conn);
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.kind {
            Kind::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Service(service) => match service.first.take() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => service.poll_rest(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Service(service) => service.first.is_none() && service.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Service(service) => {
                let first = service.first.as_ref().and_then(Frame::data_ref);
                let first = first.map_or(0, Bytes::len) as u64;
                match service.rest.size_hint().exact() {
                    Some(rest) => SizeHint::with_exact(first.saturating_add(rest)),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
