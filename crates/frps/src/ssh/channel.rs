//! A channel to the ssh client, which leads to its service, as a pipe.
//!
//! The client may send ahead what the window of its channel allows, and no more until that has been read: a user who
//! reads nothing holds up nobody else, and costs no more than the window. Who reads gets a larger one.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use frp_net::cut::Cut;
use frp_relay::layers::Duplex;
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::limits::{SSH_OPEN, SSH_WINDOW, SSH_WINDOW_MAX};

/// What has come on each channel and nobody has read.
#[derive(Debug, Clone, Default)]
pub(super) struct Inboxes(Arc<Mutex<HashMap<ChannelId, Arc<Inbox>>>>);

/// What has come on one.
#[derive(Debug, Default)]
struct Inbox(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    data: BytesMut,
    end: Option<End>,
    reader: Option<Waker>,
    /// Who writes, or waits for the end.
    writer: Option<Waker>,
}

/// How the client has ended a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It sends no more.
    Eof,
    /// It neither sends nor reads any more.
    Closed,
    /// Its connection has ended.
    Lost,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inboxes {
    /// The client has agreed to a channel.
    pub(super) fn open(&self, id: ChannelId) {
        lock(&self.0).insert(id, Arc::default());
    }

    /// Data has come.
    pub(super) fn push(&self, id: ChannelId, data: &[u8]) {
        if let Some(inbox) = self.of(id) {
            let mut held = lock(&inbox.0);
            if held.end.is_none() {
                held.data.extend_from_slice(data);
                wake(held.reader.take());
            }
        }
    }

    /// The client sends no more on a channel.
    pub(super) fn eof(&self, id: ChannelId) {
        if let Some(inbox) = self.of(id) {
            inbox.end(End::Eof);
        }
    }

    /// The client has closed a channel.
    pub(super) fn closed(&self, id: ChannelId) {
        let inbox = lock(&self.0).remove(&id);
        if let Some(inbox) = inbox {
            inbox.end(End::Closed);
        }
    }

    /// The connection has ended.
    pub(super) fn lost(&self) {
        let inboxes = std::mem::take(&mut *lock(&self.0));
        for inbox in inboxes.into_values() {
            inbox.end(End::Lost);
        }
    }

    fn of(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        lock(&self.0).get(&id).cloned()
    }

    fn remove(&self, id: ChannelId) {
        lock(&self.0).remove(&id);
    }
}

impl Inbox {
    fn end(&self, end: End) {
        let mut held = lock(&self.0);
        // One that is lost stays lost, and one that is closed behind its end has been so before.
        held.end = match (held.end, end) {
            (Some(End::Closed | End::Lost), _) => held.end,
            _ => Some(end),
        };
        wake(held.reader.take());
        wake(held.writer.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// An open channel; dropped, it is closed.
pub(super) struct Pipe {
    id: ChannelId,
    client: Handle,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    inbox: Arc<Inbox>,
    inboxes: Inboxes,
    /// How far the client may be ahead, and what was read since it was last told so.
    window: u32,
    read: u32,
    tasks: TaskTracker,
}

impl Pipe {
    /// The pipe of a channel that the client has agreed to.
    pub(super) fn new(
        channel: &ChannelWriteHalf<Msg>,
        client: Handle,
        inboxes: Inboxes,
        tasks: TaskTracker,
    ) -> Self {
        let id = channel.id();
        // There is none any more where the connection has ended meanwhile, or the channel was closed.
        let inbox = inboxes.of(id).unwrap_or_else(|| {
            let gone = Inbox::default();
            gone.end(End::Closed);
            Arc::new(gone)
        });
        Self {
            id,
            client,
            writer: Box::pin(channel.make_writer()),
            inbox,
            inboxes,
            window: SSH_WINDOW,
            read: 0,
            tasks,
        }
    }

    /// Lets the client send as much more as was read, once that is worth a message.
    fn grant(&mut self, read: usize) {
        self.read = self
            .read
            .saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        if self.read < self.window / 2 {
            return;
        }
        let more = self.window.min(SSH_WINDOW_MAX - self.window);
        self.client.grant_window(self.id, self.read + more);
        self.window += more;
        self.read = 0;
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = lock(&self.inbox.0);
        let read = held.data.len().min(buf.remaining());
        if read == 0 {
            return match held.end {
                _ if buf.remaining() == 0 => Poll::Ready(Ok(())),
                Some(End::Eof | End::Closed) => Poll::Ready(Ok(())),
                Some(End::Lost) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => {
                    held.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        buf.put_slice(held.data.get(..read).unwrap_or_default());
        held.data.advance(read);
        if held.data.is_empty() {
            // An idle user holds no buffer.
            held.data = BytesMut::new();
        }
        drop(held);
        self.grant(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.poll_cut(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_cut(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.writer.as_mut().poll_shutdown(cx)
    }
}

impl Duplex for Pipe {
    /// SSH knows no failure of a channel: it is closed without the word that the data has ended.
    fn abort(self: Box<Self>) {}

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let mut held = lock(&self.inbox.0);
        match held.end {
            Some(End::Closed) => Poll::Ready(Cut::ReadsNoMore),
            Some(End::Lost) => Poll::Ready(Cut::Reset),
            Some(End::Eof) | None => {
                held.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.inboxes.remove(self.id);
        if matches!(lock(&self.inbox.0).end, Some(End::Closed | End::Lost)) {
            return;
        }
        // Behind the data that is on its way.
        let (client, id) = (self.client.clone(), self.id);
        self.tasks.spawn(async move {
            let _ = timeout(SSH_OPEN, client.close(id)).await;
        });
    }
}
