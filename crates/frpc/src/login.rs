//! Stage 2: logging in (frp `client/control_session.go`).

use std::sync::Arc;

use crate::limits::LOGIN_ANSWER;
use bytes::BytesMut;
use frp_config::ClientConfig;
use frp_log::shown_error;
use frp_net::carrier::Lost;
use frp_net::rewind::Rewind;
use frp_net::stream::Stream;
use frp_process::host;
use frp_proto::VERSION;
use frp_proto::crypto::cfb;
use frp_proto::features;
use frp_proto::msg::{Login, LoginResp, Message};
use frp_proto::wire::hello::{self, Bootstrap, ClientHello, HelloError, ServerHello};
use frp_proto::wire::{MAGIC_V2, WireProtocol, v2};
use frp_relay::layers::{ControlPipe, Negotiated, Side, control};
use frp_relay::limits::ANSWER_WRITE;
use frp_relay::msg_stream::{MsgStream, RecvError, SendError};

use tokio_util::task::TaskTracker;

use crate::auth::{Auth, CredentialError, Signature};
use crate::connect::{ConnectError, Connector};
use crate::known_servers::KnownToProve;
use crate::one_way::OneWay;
use crate::proof::{Answered, Begun, ProofError, Prover, Streams};

/// A session that the server has accepted.
pub(crate) struct LoggedIn {
    pub(crate) run_id: String,
    /// As the server says it.
    pub(crate) version: String,
    /// An end on one of the server's streams is that of one direction only.
    pub(crate) half_closes: bool,
    /// The server heeds the guards that proxies ask for.
    pub(crate) guards: bool,
    /// It is told what becomes of users, and bans them.
    pub(crate) bans: bool,
    pub(crate) control: MsgStream<ControlPipe>,
    pub(crate) connector: Connector,
    /// Why this way was taken, where there was a choice.
    pub(crate) why: Option<String>,
    /// What ciphers of this session go by.
    pub(crate) key: cfb::Key,
    /// What its other streams show, where the token was proven.
    pub(crate) streams: Option<Arc<Streams>>,
}

/// Why a login failed. [`crate::diagnose`] explains it to the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// No stream to the server.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// No credentials to log in with.
    #[error("{0}")]
    Credentials(#[from] CredentialError),
    /// The login could not be sent.
    #[error("{error}")]
    Send {
        /// What the stream said.
        error: SendError,
        /// Why the connection below it ended, if it did.
        lost: Option<Lost>,
    },
    /// The login was sent; no usable answer came.
    #[error("{error}")]
    Answer {
        /// What the stream said.
        error: RecvError,
        /// Why the connection below it ended, if it did.
        lost: Option<Lost>,
        /// The first bytes (at most 16) that came on the stream.
        first_bytes: Vec<u8>,
    },
    /// The hellos of wire v2 do not fit.
    #[error("{0}")]
    Hello(#[from] HelloError),
    /// The server answered with something else than the answer to a login.
    #[error("unexpected answer to the login: {0}")]
    Unexpected(&'static str),
    /// Either end has not proven what it should.
    #[error("{0}")]
    Proof(#[from] ProofError),
    /// The server said no.
    #[error("{0}")]
    Rejected(String),
}

/// A stream to the server on which nothing has been said yet.
pub(crate) struct Connected {
    connector: Connector,
    stream: Stream,
}

/// What a login is made with, apart from the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) auth: &'a Auth,
    pub(crate) key: &'a cfb::Key,
    pub(crate) prover: &'a Prover,
    /// That of the session before, or empty.
    pub(crate) run_id: &'a str,
    /// A server's key that is new is remembered, where it is to be.
    pub(crate) remembers: bool,
}

/// Connects, by whatever layers `way` has below a login. [`Auth::for_login`] comes behind that, as in
/// frp: a server that is away must not have us ask an issuer for tokens again and again.
pub(crate) async fn connect(
    way: &Arc<OneWay>,
    tasks: &TaskTracker,
) -> Result<Connected, LoginError> {
    let connector = Connector::open(way.clone(), tasks).await?;
    let stream = connector.stream().await?;
    Ok(Connected { connector, stream })
}

/// Logs in. If this fails, or is dropped, nothing of the login arrives any more, as far as that is in
/// our hands: it could end the session of the next one.
pub(crate) async fn login(
    way: &OneWay,
    connected: Connected,
    signature: Signature,
    credentials: Credentials<'_>,
) -> Result<LoggedIn, LoginError> {
    let Credentials {
        auth,
        key,
        prover,
        run_id,
        remembers,
    } = credentials;
    let run_id = prover.run_id(run_id);
    let Connected {
        mut connector,
        stream,
    } = connected;
    connector.expect_answer();
    let protocol = way.transport.wire_protocol;
    let pipe = Rewind::new(bytes::Bytes::new(), stream);
    let mut stream = MsgStream::new(pipe, protocol, BytesMut::new());

    let client_hello = (protocol == WireProtocol::V2).then(|| client_hello(way));
    let mut login = login_of(way, run_id);
    signature.sign(&mut login);
    let must_prove = way.identity.must_prove(connector.server_key());
    let begun = prover.begin(&mut login, way, connector.channel(), must_prove.is_some());
    let sent = send_login(&mut stream, login, client_hello.as_ref()).await;
    sent.map_err(|error| match error {
        SendError::TimedOut if connector.is_unheard() => ConnectError::Unheard.into(),
        error => LoginError::Send {
            error,
            lost: connector.close_reason(),
        },
    })?;

    let answered = tokio::time::timeout(
        LOGIN_ANSWER,
        exchange(
            &mut stream,
            client_hello.as_ref(),
            (prover, begun, must_prove),
            run_id,
        ),
    )
    .await;
    let (answer, agreed, streams) =
        match answered.unwrap_or_else(|_| Err(RecvError::TimedOut.into())) {
            Ok(answer) => answer,
            Err(ReadError::Login(e)) => {
                if matches!(e, LoginError::Rejected(_)) {
                    connector.answered();
                    auth.refused();
                }
                return Err(e);
            }
            Err(ReadError::Recv(RecvError::TimedOut)) if connector.is_unheard() => {
                return Err(ConnectError::Unheard.into());
            }
            Err(ReadError::Recv(error)) => {
                let (pipe, _) = stream.into_parts();
                let first_bytes = pipe.first_bytes().to_vec();
                return Err(LoginError::Answer {
                    error,
                    lost: connector.close_reason(),
                    first_bytes,
                });
            }
        };
    connector.answered();
    if remembers {
        let has_token = streams.is_some();
        let proven = way.identity.proven(connector.server_key(), has_token);
        proven.await.map_err(ConnectError::from)?;
    }
    let half_closes = features::half_closes(&answer.features);
    if half_closes {
        connector.server_half_closes();
    }

    let (pipe, rest) = stream.into_parts();
    let streams = streams.map(Arc::new);
    let (token, key) = match &streams {
        Some(streams) => (streams.secret(), cfb::Key::derive(streams.secret())),
        None => (way.auth.token.expose().as_bytes(), key.clone()),
    };
    let pipe = control(
        pipe.into_io(),
        rest,
        agreed.as_ref(),
        &key,
        token,
        Side::Client,
    );
    let control = MsgStream::new(pipe, protocol, BytesMut::new());
    Ok(LoggedIn {
        run_id: answer.run_id,
        version: answer.version,
        half_closes,
        guards: features::guards(&answer.features),
        bans: features::bans(&answer.features),
        control,
        connector,
        why: None,
        key,
        streams,
    })
}

type LoginStream = MsgStream<Rewind<Stream>>;

async fn send_login(
    stream: &mut LoginStream,
    login: Login,
    client_hello: Option<&ClientHello>,
) -> Result<(), SendError> {
    if let Some(hello) = client_hello {
        let mut frame = BytesMut::from(&MAGIC_V2[..]);
        let payload = hello.to_payload();
        v2::encode_frame(v2::FrameKind::ClientHello, &payload, &mut frame)?;
        stream.queue_raw(&frame);
    }
    stream.queue(&login.into())?;
    stream.flush_within(ANSWER_WRITE).await
}

fn login_of(cfg: &ClientConfig, run_id: &str) -> Login {
    Login {
        version: VERSION.to_owned(),
        hostname: host::name(),
        os: host::go_os().to_owned(),
        arch: host::go_arch().to_owned(),
        user: cfg.user.clone(),
        run_id: run_id.to_owned(),
        client_id: cfg.client_id.clone(),
        metas: cfg.metadatas.clone(),
        pool_count: cfg.transport.pool_count,
        features: features::ours(),
        ..Login::default()
    }
}

fn client_hello(way: &OneWay) -> ClientHello {
    let bootstrap = Bootstrap {
        transport: way.protocol.to_string(),
        tls: way.tls.is_some(),
        tcp_mux: way.transport.tcp_mux,
    };
    let mut random = [0; 32];
    // aws-lc's generator fails only where the machine has no entropy source at all.
    aws_lc_rs::rand::fill(&mut random).expect("the system gives random bytes");
    hello::client_hello(bootstrap, random, has_aes())
}

enum ReadError {
    Recv(RecvError),
    Login(LoginError),
}

impl From<LoginError> for ReadError {
    fn from(e: LoginError) -> Self {
        Self::Login(e)
    }
}

impl From<RecvError> for ReadError {
    fn from(e: RecvError) -> Self {
        Self::Recv(e)
    }
}

impl From<ProofError> for ReadError {
    fn from(e: ProofError) -> Self {
        Self::Login(e.into())
    }
}

/// The server's answer, after it has been shown what it asks for: with what keys the control cipher under wire v2, and
/// what only the two ends know, where the token was proven.
async fn exchange(
    stream: &mut LoginStream,
    client_hello: Option<&ClientHello>,
    (prover, begun, must_prove): (&Prover, Begun, Option<KnownToProve>),
    run_id: &str,
) -> Result<(LoginResp, Option<Negotiated>, Option<Streams>), ReadError> {
    let (answer, agreed) = read_answer(stream, client_hello).await?;
    let is_no = !answer.error.is_empty();
    // Also where no proof is asked for any more: the key of before would keep us out.
    if answer.run_id_lost {
        prover.lost(run_id);
    }
    if is_no || answer.scram.is_empty() || !answer.run_id.is_empty() {
        // A server of ours that says no says that it is one.
        if !is_no || answer.features.is_empty() {
            prover.not_asked(must_prove.as_ref())?;
        }
        return Ok((accepted(answer)?, agreed, None));
    }
    let Answered { login, answer } = prover.answer(begun, &answer.scram).await?;
    let queued = stream.queue(&login.into()).map_err(SendError::from);
    let sent = match queued {
        Ok(()) => stream.flush_within(ANSWER_WRITE).await,
        Err(e) => Err(e),
    };
    sent.map_err(|error| LoginError::Send { error, lost: None })?;
    let last = match stream.recv().await? {
        Message::LoginResp(last) => last,
        other => return Err(LoginError::Unexpected(other.name()).into()),
    };
    if last.run_id_lost {
        prover.lost(run_id);
    }
    let last = accepted(last)?;
    let streams = prover.confirm(answer, &last.scram, must_prove.as_ref())?;
    Ok((last, agreed, streams))
}

/// The server's answer, and what keys the control cipher under wire v2.
async fn read_answer(
    stream: &mut LoginStream,
    client_hello: Option<&ClientHello>,
) -> Result<(LoginResp, Option<Negotiated>), ReadError> {
    let mut agreed = None;
    if let Some(client_hello) = client_hello {
        let frame = stream.recv_frame().await?;
        if frame.kind != v2::FrameKind::ServerHello {
            return Err(LoginError::Unexpected("a frame that is no ServerHello").into());
        }
        let server_hello = ServerHello::from_payload(&frame.payload).map_err(RecvError::from)?;
        if !server_hello.error.is_empty() {
            return Err(LoginError::Rejected(shown_error(&server_hello.error).into_owned()).into());
        }
        let algorithm = hello::check(client_hello, &server_hello).map_err(LoginError::Hello)?;
        let transcript = hello::transcript_hash(&client_hello.to_payload(), &frame.payload);
        agreed = Some(Negotiated {
            algorithm,
            transcript,
        });
    }
    match stream.recv().await? {
        Message::LoginResp(answer) => Ok((answer, agreed)),
        other => Err(LoginError::Unexpected(other.name()).into()),
    }
}

fn accepted(answer: LoginResp) -> Result<LoginResp, LoginError> {
    match answer.error.is_empty() {
        true => Ok(answer),
        false => Err(LoginError::Rejected(
            shown_error(&answer.error).into_owned(),
        )),
    }
}

fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}
