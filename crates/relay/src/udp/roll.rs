//! Who sends datagrams now? A user of [`Locals`](super::Locals) has a place among all users' connections
//! ([`crate::conns`]) as long as it has a socket.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::futures::OwnedNotified;

use crate::conns::{Conns, End, Ending, Owner, Place};
use crate::relay::Traffic;

/// Whoever lists users.
pub trait Roll: fmt::Debug + Send {
    /// A user has come.
    fn enter(&self, from: Option<SocketAddr>) -> Box<dyn Listed>;

    /// Ready when one may have been ended by somebody else.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A user that is listed, until it is dropped.
pub trait Listed: fmt::Debug + Send {
    /// Its bytes; the local service is near.
    fn traffic(&self) -> &Traffic;

    /// Whether somebody has ended it.
    fn is_ended(&self) -> bool;

    /// Why it ends.
    fn ends(&self, end: End);
}

/// The [`Roll`] of what `owner` has among `conns`.
pub fn roll<T>(conns: &Arc<Conns<T>>, owner: &Arc<T>) -> Box<dyn Roll>
where
    T: Owner + fmt::Debug + Send + Sync + 'static,
{
    Box::new(OfConns {
        ended: Box::pin(conns.somebody_ended()),
        conns: conns.clone(),
        owner: owner.clone(),
    })
}

#[derive(Debug)]
struct OfConns<T> {
    conns: Arc<Conns<T>>,
    owner: Arc<T>,
    ended: Pin<Box<OwnedNotified>>,
}

#[derive(Debug)]
struct Guest<T: Owner> {
    place: Place<T>,
    ending: Arc<Ending>,
}

impl<T> Roll for OfConns<T>
where
    T: Owner + fmt::Debug + Send + Sync + 'static,
{
    fn enter(&self, from: Option<SocketAddr>) -> Box<dyn Listed> {
        let ending = Arc::default();
        let place = self.conns.enter(from, &self.owner, &ending, None);
        Box::new(Guest { place, ending })
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut somebody = Poll::Pending;
        while self.ended.as_mut().poll(cx).is_ready() {
            self.ended = Box::pin(self.conns.somebody_ended());
            somebody = Poll::Ready(());
        }
        somebody
    }
}

impl<T> Listed for Guest<T>
where
    T: Owner + fmt::Debug + Send + Sync,
{
    fn traffic(&self) -> &Traffic {
        &self.place.conn().traffic
    }

    fn is_ended(&self) -> bool {
        self.ending.is_ended()
    }

    fn ends(&self, end: End) {
        self.place.conn().ends(end);
    }
}
