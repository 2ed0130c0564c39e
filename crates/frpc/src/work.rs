//! Stage 4: work connections. The server asks for one, we open it, and it waits on the server's
//! side until a user comes.

use std::sync::Arc;

use frp_config::ProxyKind;
use frp_log::{Log, error, info, shown_error, shown_name, trace, warn};
use frp_net::carrier::Lost;
use frp_net::stream::Stream;
use frp_proto::msg::{Message, StartWorkConn};
use frp_proto::naming;
use frp_relay::limits::MESSAGE_WRITE;
use frp_relay::msg_stream::{MsgStream, RecvError, SendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::auth::CredentialError;
use crate::client::Client;
use crate::connect::{ConnectError, ServerLink};
use crate::user::addresses;
use crate::{local, udp, xtcp};

/// Work connections that may wait for a user at a time; a server that asks for more is not honest.
const MAX_WAITING: usize = 4096;

/// The work connections of a session. Those that still wait end with it; those that carry a user
/// end when their stream does.
#[derive(Debug)]
pub(crate) struct WorkConns {
    context: Arc<Context>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Context {
    server: ServerLink,
    /// A work connection that carries a user outlives its session, but not the client.
    client: Arc<Client>,
    waiting: Arc<Semaphore>,
    /// The session's end.
    stop: CancellationToken,
    log: Log,
}

#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("start new connection to server error: {0}")]
    Connect(#[from] ConnectError),
    #[error("error during NewWorkConn authentication: {0}")]
    Credentials(#[from] CredentialError),
    #[error("work connection write to server error: {0}")]
    Send(#[from] SendError),
    #[error("work connection closed before response StartWorkConn message: {0}")]
    Recv(#[from] RecvError),
    #[error("StartWorkConn contains error: {0}")]
    Refused(String),
    #[error("work connection began with {0} instead of StartWorkConn")]
    Unexpected(&'static str),
}

impl WorkConns {
    pub(crate) fn new(client: &Arc<Client>, server: ServerLink, log: Log) -> Self {
        let stop = client.tasks.stop.child_token();
        let context = Context {
            server,
            client: client.clone(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            stop: stop.clone(),
            log,
        };
        Self {
            context: Arc::new(context),
            _stop: stop.drop_guard(),
        }
    }

    /// Why the connection of the session ended, if its streams share one and it has.
    pub(crate) fn close_reason(&self) -> Option<Lost> {
        self.context.server.connector.close_reason()
    }

    /// See [`Connector::ask`](crate::connect::Connector::ask).
    pub(crate) fn ask_server(&self) {
        self.context.server.connector.ask();
    }

    /// Opens a work connection in a task of its own.
    pub(crate) fn open_one(&self) {
        let context = self.context.clone();
        let Ok(place) = context.waiting.clone().try_acquire_owned() else {
            return warn!(
                context.log,
                "the server asks for too many work connections, ignored"
            );
        };
        let tracker = context.client.tasks.tracker.clone();
        tracker.spawn(run(context, place));
    }
}

/// One work connection. Users may be many, and idle for days: what comes before the bytes move is boxed, so that it
/// takes no room beside them.
async fn run(context: Arc<Context>, place: OwnedSemaphorePermit) {
    let opened = tokio::select! {
        opened = Box::pin(context.open()) => opened,
        () = context.stop.cancelled() => return,
    };
    drop(place);
    match opened {
        Ok((stream, start)) => tokio::select! {
            () = context.serve(stream, start) => {}
            () = context.client.tasks.stop.cancelled() => {}
        },
        Err(e @ WorkError::Recv(_)) => trace!(context.log, "{e}"),
        Err(e @ WorkError::Refused(_)) => error!(context.log, "{e}"),
        Err(e) => warn!(context.log, "{e}"),
    }
}

/// The session is over, so its connection is, even while a task still holds it; as in frp. Users
/// on connections of their own go on.
impl Drop for WorkConns {
    fn drop(&mut self) {
        self.context.server.connector.close();
    }
}

impl Context {
    /// A work connection that a user waits on.
    async fn open(&self) -> Result<(MsgStream<Stream>, Box<StartWorkConn>), WorkError> {
        let mut stream = Box::pin(self.server.stream()).await?;
        let run_id = &self.server.run_id;
        let hello = match &self.server.streams {
            Some(streams) => streams.work(run_id),
            None => self.client.auth.new_work_conn(run_id).await?,
        };
        stream.queue(&hello.into()).map_err(SendError::from)?;
        stream.flush_within(MESSAGE_WRITE).await?;
        match stream.recv().await? {
            Message::StartWorkConn(start) if start.error.is_empty() => {
                Ok((stream, Box::new(start)))
            }
            Message::StartWorkConn(start) => {
                self.client.auth.refused();
                Err(WorkError::Refused(shown_error(&start.error).into_owned()))
            }
            other => Err(WorkError::Unexpected(other.name())),
        }
    }

    async fn serve(&self, stream: MsgStream<Stream>, start: Box<StartWorkConn>) {
        let name = naming::raw_name(&self.client.cfg.user, &start.proxy_name);
        let running = self.client.registrations().running(name);
        match running {
            Some(proxy) if matches!(proxy.cfg.kind, ProxyKind::Udp { .. } | ProxyKind::Sudp(_)) => {
                // As in frp, users of datagrams end with the session.
                tokio::select! {
                    () = Box::pin(udp::serve(&self.client, &proxy, stream)) => {}
                    () = self.stop.cancelled() => {}
                }
            }
            Some(proxy) if matches!(proxy.cfg.kind, ProxyKind::Xtcp(_)) => {
                let client = self.client.clone();
                Box::pin(xtcp::serve(proxy, &self.server, client, stream, *start)).await;
            }
            Some(proxy) => {
                let ending = Arc::default();
                let id = u64::from_str_radix(&start.conn_id, 16).ok();
                let from = addresses(&start).map(|(src, _)| src);
                let place = self.client.live.enter(from, &proxy.served, &ending, id);
                let conn = Some(place.conn().clone());
                let user = proxy.user(&start, &self.client.tasks, conn);
                drop(start);
                tokio::select! {
                    () = local::serve(&proxy, &user, stream, self.server.half_closes) => {}
                    () = ending.ended() => {
                        info!(proxy.log, "user connection closed: ended by an administrator");
                    }
                }
            }
            None => warn!(
                self.log,
                "work connection for proxy [{}], which is not running",
                shown_name(name)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Bytes of an idle user's task: a plugin alone has six times as many.
    #[test]
    fn a_user_takes_little_memory() {
        let size = size(run);
        assert!(size <= 1536, "{size} bytes");
    }
}
