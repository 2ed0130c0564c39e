//! Stage 3: a stream says which wire protocol it speaks and what it is for.

use std::mem;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use frp_log::{Log, debug, shown, shown_error, trace, warn};
use frp_net::limits::HANDSHAKE_WAIT;
use frp_net::stream::Stream;
use frp_proto::msg::{Message, NewVisitorConn, NewVisitorConnResp, NewWorkConn, StartWorkConn};
use frp_proto::scram::Use;
use frp_proto::wire::hello::{self, ClientHello, HelloError, ServerHello};
use frp_proto::wire::{MAGIC_V2, Magic, WireProtocol, detect, v2};
use frp_relay::layers::Negotiated;
use frp_relay::limits::ANSWER_WRITE;
use frp_relay::msg_stream::{MsgStream, RecvError, SendError};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::admission::check::{Refusal, WorkConnAsk};
use crate::admission::guard::Guard;
use crate::caller::{Caller, Greeted, Permit, last_word};
use crate::client::handle::SessionHandle;
use crate::random::random_bytes;
use crate::shared::Shared;
use crate::{login, visit};

/// Why a stream said nothing useful.
#[derive(Debug, thiserror::Error)]
enum GreetError {
    #[error("no complete first message within {} s", HANDSHAKE_WAIT.as_secs())]
    Silent,
    #[error("read first message: {0}")]
    Recv(#[from] RecvError),
    #[error("{0}")]
    Decode(#[from] frp_proto::wire::DecodeError),
    #[error("first frame of kind {0:?}")]
    FrameKind(v2::FrameKind),
    #[error("ClientHello: {0}")]
    Hello(#[from] HelloError),
    #[error("write ServerHello: {0}")]
    Send(#[from] SendError),
}

/// Serves one stream to its end. `permit` is what the stream holds until its first message is in.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: Stream,
    first: Bytes,
    caller: Caller,
    permit: Permit,
) {
    let log = Log::root().by(caller.peer.ip());
    let greeted = tokio::select! {
        greeted = timeout(HANDSHAKE_WAIT, greet(stream, first)) => greeted,
        () = permit.evicted() => {
            return debug!(log, "[{}] made room for newer connections", caller.peer);
        }
        () = shared.stop.cancelled() => return,
    };
    let (stream, message, negotiated) = match greeted.unwrap_or(Err(GreetError::Silent)) {
        Ok(greeted) => greeted,
        Err(GreetError::Recv(RecvError::Closed)) => return,
        Err(e) => return debug!(log, "[{}] {e}", caller.peer),
    };
    // What these fail by is held against an address, which with kcp is anybody's until an echo has come. Who answers
    // a challenge has shown as much by that.
    let counts = match &message {
        Message::Login(login) => login.scram.is_empty(),
        Message::NewVisitorConn(_) => true,
        _ => false,
    };
    if counts && let Some(kcp) = &caller.kcp {
        let proven = tokio::select! {
            proven = timeout(HANDSHAKE_WAIT, kcp.proven()) => proven.is_ok(),
            () = permit.lost(&caller) => return,
            () = shared.stop.cancelled() => return,
        };
        if !proven {
            return debug!(log, "[{}] has not shown that it is there", caller.peer);
        }
    }
    match message {
        Message::Login(login) => {
            // Its task is small as long as it is a stranger's.
            Box::pin(login::serve(
                shared, stream, *login, negotiated, caller, permit,
            ))
            .await;
        }
        Message::NewWorkConn(conn) => {
            admit_work_conn(&shared, stream, conn, &caller, permit).await;
        }
        Message::NewVisitorConn(conn) => {
            Box::pin(serve_visitor(&shared, stream, conn, &caller, permit)).await;
        }
        other => {
            trace!(log, "first message of [{}]: {}", caller.peer, other.name());
            warn!(
                log,
                "error message type for the new connection [{}]", caller.peer
            );
        }
    }
}

async fn greet(
    mut stream: Stream,
    first: Bytes,
) -> Result<(Greeted, Message, Option<Negotiated>), GreetError> {
    let mut received = BytesMut::from(first);
    let protocol = loop {
        match detect(&received) {
            Magic::V1 => break WireProtocol::V1,
            Magic::V2 => {
                received.advance(MAGIC_V2.len());
                break WireProtocol::V2;
            }
            Magic::NeedMore => {}
        }
        received.reserve(512);
        if stream
            .read_buf(&mut received)
            .await
            .map_err(RecvError::Io)?
            == 0
        {
            return Err(RecvError::Closed.into());
        }
    };
    let mut stream = MsgStream::new(stream, protocol, received).of_stranger();
    let (message, negotiated) = first_message(&mut stream).await?;
    stream.admit();
    Ok((stream, message, negotiated))
}

async fn first_message(stream: &mut Greeted) -> Result<(Message, Option<Negotiated>), GreetError> {
    match stream.protocol() {
        WireProtocol::V1 => {
            let message = stream.recv().await?;
            Ok((message, None))
        }
        WireProtocol::V2 => {
            let frame = stream.recv_frame().await?;
            if frame.kind == v2::FrameKind::ClientHello {
                let negotiated = answer_hello(stream, &frame.payload).await?;
                let message = stream.recv().await?;
                return Ok((message, Some(negotiated)));
            }
            if frame.kind != v2::FrameKind::Message {
                return Err(GreetError::FrameKind(frame.kind));
            }
            let message = v2::decode_message(&frame.payload)?;
            Ok((message, None))
        }
    }
}

async fn answer_hello(stream: &mut Greeted, payload: &[u8]) -> Result<Negotiated, GreetError> {
    let client_hello = ClientHello::from_payload(payload)?;
    let server_hello = hello::select(&client_hello, random_bytes())
        .unwrap_or_else(|refused| ServerHello::refusal(&refused));
    let server_payload = server_hello.to_payload();
    let mut frame = BytesMut::new();
    v2::encode_frame(v2::FrameKind::ServerHello, &server_payload, &mut frame)
        .map_err(SendError::from)?;
    stream.queue_raw(&frame);
    stream.flush_within(ANSWER_WRITE).await?;
    let algorithm = hello::check(&client_hello, &server_hello)?;
    let transcript = hello::transcript_hash(payload, &server_payload);
    Ok(Negotiated {
        algorithm,
        transcript,
    })
}

/// A work connection belongs to the session whose run id it names. With the mux it must also come
/// on that session's own connection, so that knowing a run id is not enough to get a user's bytes.
async fn admit_work_conn(
    shared: &Shared,
    mut stream: Greeted,
    mut conn: NewWorkConn,
    caller: &Caller,
    permit: Permit,
) {
    let (count, proof) = (mem::take(&mut conn.count), mem::take(&mut conn.proof));
    let session = shared.registry.running(&conn.run_id);
    let refusal = match session.filter(|session| session.shares_connection(caller)) {
        Some(session) if !session.admits(Use::Work, count, &proof) => {
            let why = "it does not show that it belongs to that session, or is a repeated one";
            let run_id = shown(&session.run_id);
            warn!(
                session.log,
                "invalid NewWorkConn with run id [{run_id}]: {why}"
            );
            why.to_owned()
        }
        None => {
            let why = |id: &str| format!("no client control found for run id [{id}]");
            let log = Log::root().by(caller.peer.ip());
            warn!(log, "{}", why(&shown(&conn.run_id)));
            why(&conn.run_id)
        }
        Some(session) => match tokio::select! {
            admitted = admit(shared, &session, conn) => admitted,
            () = permit.lost(caller) => return,
            () = session.released.cancelled() => return,
        } {
            Err(why) => {
                warn!(
                    session.log,
                    "invalid NewWorkConn with run id [{}]: {}",
                    shown(&session.run_id),
                    shown_error(&why.log)
                );
                why.peer
            }
            Ok(guard) => {
                permit.admit();
                match session.pool.put((stream, guard)) {
                    Ok(()) => return,
                    Err(refused) => {
                        debug!(session.log, "{}", refused.why);
                        stream = refused.conn;
                        refused.why.to_owned()
                    }
                }
            }
        },
    };
    let error = shared
        .policy()
        .text_for_peer("invalid NewWorkConn", &refusal);
    let answer = StartWorkConn {
        error,
        ..StartWorkConn::default()
    };
    last_word(&mut stream, &answer.into()).await;
}

async fn admit(
    shared: &Shared,
    client: &SessionHandle,
    conn: NewWorkConn,
) -> Result<Guard, Refusal> {
    let policy = &shared.policy();
    let mut ask = WorkConnAsk {
        policy,
        client,
        conn,
    };
    shared.admission.work_conn(&mut ask).await
}

/// Takes a visitor to the proxy that it names. `permit` is given back once that is decided.
async fn serve_visitor(
    shared: &Shared,
    mut stream: Greeted,
    conn: NewVisitorConn,
    caller: &Caller,
    permit: Permit,
) {
    let admitted = tokio::select! {
        admitted = visit::admit(shared, &conn, caller) => admitted,
        () = permit.lost(caller) => return,
        () = shared.stop.cancelled() => return,
    };
    match admitted {
        Ok((visited, user, half_closes)) => {
            permit.admit();
            visit::serve_visitor(&visited, stream, conn, user, half_closes).await;
        }
        Err(why) => {
            let peer = caller.peer;
            warn!(
                Log::root().by(peer.ip()),
                "[{peer}] register visitor conn error: {}",
                shown_error(&why.log)
            );
            let error = shared
                .policy()
                .text_for_peer("register visitor conn error", &why.peer);
            let answer = NewVisitorConnResp {
                proxy_name: conn.proxy_name,
                error,
            };
            last_word(&mut stream, &answer.into()).await;
        }
    }
}
