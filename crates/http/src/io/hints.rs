//! Where the informational answers (1xx, as 103 Early Hints) to a request go. hyper's servers have no place
//! for them, so whoever serves the user puts a [`Hints`] beside the request; what sends the request on
//! has them [passed on](pass_on).

use std::fmt;
use std::sync::Arc;

use hyper::header::{CONTENT_LENGTH, HeaderMap, TRAILER};
use hyper::http::Extensions;
use hyper::{Request, StatusCode};

use super::filter::Tail;
use crate::fields::remove_hop_by_hop;

/// The way to the user that a request came from.
#[derive(Clone)]
pub struct Hints(pub(super) Arc<dyn Fn(StatusCode, HeaderMap) + Send + Sync>);

impl Hints {
    pub(super) fn new(tell: impl Fn(StatusCode, HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }
}

impl fmt::Debug for Hints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hints")
    }
}

/// Has the informational answers to `request`, which hyper's HTTP/1 client sends, told to its user,
/// without what concerns one hop only. 100 is between us and either side: `Expect` is answered when the body is
/// asked for.
pub fn pass_on<B>(request: &mut Request<B>) {
    let Some(Hints(tell)) = request.extensions().get().cloned() else {
        return;
    };
    hyper::ext::on_informational(request, move |answer| {
        if answer.status() != StatusCode::CONTINUE {
            let mut headers = answer.headers().clone();
            remove_hop_by_hop(&mut headers);
            headers.remove(CONTENT_LENGTH);
            headers.remove(TRAILER);
            tell(answer.status(), headers);
        }
    });
}

/// What goes with a request to a service, of all that lies beside it.
pub fn beside(all: &Extensions) -> Extensions {
    let mut kept = Extensions::new();
    if let Some(tail) = all.get::<Tail>() {
        kept.insert(tail.clone());
    }
    if let Some(hints) = all.get::<Hints>() {
        kept.insert(hints.clone());
    }
    kept
}
