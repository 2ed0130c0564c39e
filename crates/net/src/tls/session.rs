//! A rustls connection that keeps no bytes: one value for both roles, one way to run it.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};
use tokio::io::ReadBuf;

use super::binding::{self, Channel};
use crate::outgoing::{OUT_LEN, Outgoing};
use crate::scratch::with_scratch;

/// Plaintext of a full record, bytes.
const RECORD: usize = 16 * 1024;
/// What encryption may add to a record, bytes.
const RECORD_OVERHEAD: usize = 64;
/// Room for what rustls sends of its own in front of a record: key updates.
const OWN_MESSAGES: usize = 1024;
/// Records of one [`Order::Write`]: as many as one system call should carry.
const RECORDS: usize = 16;
/// A full [`Order::Write`] has room in one buffer.
const _: () = assert!(RECORDS * (RECORD + RECORD_OVERHEAD) + OWN_MESSAGES <= OUT_LEN);

pub(super) struct TlsSession {
    role: Role,
    /// What the connection is known by, once the handshake has come so far.
    exported: Option<[u8; 32]>,
    /// Ends both directions. rustls must not be run again then.
    failed: Option<Error>,
}

enum Role {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What to do once the input is used up.
pub(super) enum Order<'a> {
    Nothing,
    /// Encrypt from the front of these, as much as [`OUT_LEN`] holds.
    Write(&'a [IoSlice<'a>]),
    /// Queue the closing record.
    Close,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// More input is needed; the order could not be carried out.
    Waiting,
    /// The order was carried out: so many bytes were encrypted.
    Done(usize),
}

/// What a run has done.
pub(super) struct Run {
    /// Bytes of the input that are used up.
    pub(super) used: usize,
    /// The peer has ended its direction.
    pub(super) peer_closed: bool,
    pub(super) result: Result<Ended, Error>,
}

/// Where plaintext goes: to a reader as far as it has room, the rest to a buffer.
pub(super) struct Plain<'a, 'b> {
    pub(super) reader: Option<&'a mut ReadBuf<'b>>,
    pub(super) rest: &'a mut BytesMut,
}

impl Plain<'_, '_> {
    fn push(&mut self, mut data: &[u8]) {
        if let Some(reader) = &mut self.reader
            && self.rest.is_empty()
        {
            let (now, later) = data.split_at(data.len().min(reader.remaining()));
            reader.put_slice(now);
            data = later;
        }
        self.rest.extend_from_slice(data);
    }
}

enum Step {
    More,
    PeerClosed,
    Stop(Ended),
}

impl TlsSession {
    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        let client = UnbufferedClientConnection::new(config, name)?;
        Ok(Self {
            role: Role::Client(client),
            exported: None,
            failed: None,
        })
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let server = UnbufferedServerConnection::new(config)?;
        Ok(Self {
            role: Role::Server(server),
            exported: None,
            failed: None,
        })
    }

    pub(super) fn common(&self) -> &CommonState {
        match &self.role {
            Role::Client(client) => client,
            Role::Server(server) => server,
        }
    }

    /// What the connection is known by to both ends, and whether the server says that it knows it.
    pub(super) fn channel(&self) -> Option<Channel> {
        Some(Channel {
            key: self.exported?,
            is_marked: binding::is_marked(self.common().peer_certificates()),
        })
    }

    /// Why neither direction goes on.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Ends both directions.
    pub(super) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Processes all whole records of `input`, decrypting them where they are, then carries out
    /// `order`. What rustls has to say goes to `out`, an alert that belongs to an error included.
    ///
    /// `input` must start where the last run's `used` ended, with the same bytes: rustls refers to
    /// handshake messages that are not complete by their place.
    pub(super) fn run(
        &mut self,
        input: &mut [u8],
        plain: &mut Plain<'_, '_>,
        out: &mut Outgoing,
        order: &Order<'_>,
    ) -> Run {
        let mut run = Run {
            used: 0,
            peer_closed: false,
            result: self.failed.clone().map_or(Ok(Ended::Waiting), Err),
        };
        if run.result.is_err() {
            return run;
        }
        loop {
            let input = input.get_mut(run.used..).unwrap_or_default();
            let (used, step) = self.step(input, plain, out, order);
            run.used += used;
            match step {
                Ok(Step::More) => {}
                Ok(Step::PeerClosed) => run.peer_closed = true,
                Ok(Step::Stop(ended)) => {
                    run.result = Ok(ended);
                    return run;
                }
                Err(error) => {
                    self.failed = Some(error.clone());
                    run.result = Err(error);
                    break;
                }
            }
        }
        while self.common().wants_write() {
            let input = input.get_mut(run.used..).unwrap_or_default();
            let (used, Ok(Step::More)) = self.step(input, plain, out, &Order::Nothing) else {
                break;
            };
            run.used += used;
        }
        run
    }

    fn step(
        &mut self,
        input: &mut [u8],
        plain: &mut Plain<'_, '_>,
        out: &mut Outgoing,
        order: &Order<'_>,
    ) -> (usize, Result<Step, Error>) {
        let is_handshaking = self.common().is_handshaking();
        if is_handshaking {
            binding::exported();
        }
        let stepped = match &mut self.role {
            Role::Client(client) => handle(client.process_tls_records(input), plain, out, order),
            Role::Server(server) => handle(server.process_tls_records(input), plain, out, order),
        };
        if is_handshaking {
            self.exported = self.exported.or_else(binding::exported);
        }
        stepped
    }
}

fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Plain<'_, '_>,
    out: &mut Outgoing,
    order: &Order<'_>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus {
        mut discard, state, ..
    } = status;
    let step = state.and_then(|state| match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                discard += record.discard;
                plain.push(record.payload);
            }
            Ok(Step::More)
        }
        ConnectionState::EncodeTlsData(data) => encode(data, out),
        ConnectionState::TransmitTlsData(sent) => {
            // It is in `out`, in front of all that will follow.
            sent.done();
            Ok(Step::More)
        }
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        ConnectionState::WriteTraffic(mut traffic) => match order {
            Order::Nothing => Ok(Step::Stop(Ended::Waiting)),
            Order::Write(bufs) => encrypt(&mut traffic, bufs, out).map(Step::Stop),
            Order::Close => {
                let room = out.room(OWN_MESSAGES);
                let n = traffic.queue_close_notify(room).map_err(encrypt_error)?;
                out.add(n);
                Ok(Step::Stop(Ended::Done(0)))
            }
        },
        ConnectionState::BlockedHandshake | ConnectionState::Closed => {
            Ok(Step::Stop(Ended::Waiting))
        }
        // Early data is off, and rustls has no further states.
        _ => Err(Error::General("unexpected state of the session".into())),
    });
    (discard, step)
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Outgoing) -> Result<Step, Error> {
    let mut wanted = OWN_MESSAGES;
    loop {
        match data.encode(out.room(wanted)) {
            Ok(n) => {
                out.add(n);
                return Ok(Step::More);
            }
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > wanted =>
            {
                wanted = required_size;
            }
            Err(e) => return Err(Error::General(e.to_string())),
        }
    }
}

/// Fills records from the front of `bufs`. What lies in one slice is encrypted from where it is;
/// short slices are put together first, so that a small header costs no record of its own.
fn encrypt<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    bufs: &[IoSlice<'_>],
    out: &mut Outgoing,
) -> Result<Ended, Error> {
    let mut from = Cursor { bufs, at: 0 };
    let mut done = 0;
    while done < RECORDS * RECORD {
        let left = RECORDS * RECORD - done;
        let head = from.head();
        let n = if head.len() >= RECORD || from.is_last() {
            let n = match head.len() {
                0 => break,
                // Whole records only, so that the rest goes with what follows.
                len if len >= RECORD && !from.is_last() => len / RECORD * RECORD,
                len => len,
            };
            let part = head.get(..n.min(left)).unwrap_or_default();
            encrypt_one(traffic, part, out)?;
            from.advance(part.len());
            part.len()
        } else {
            with_scratch(|scratch| {
                let record = scratch.get_mut(..RECORD.min(left)).unwrap_or_default();
                let n = from.take(record);
                encrypt_one(traffic, record.get(..n).unwrap_or_default(), out)?;
                Ok::<_, Error>(n)
            })?
        };
        if n == 0 {
            break;
        }
        done += n;
    }
    Ok(Ended::Done(done))
}

fn encrypt_one<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    data: &[u8],
    out: &mut Outgoing,
) -> Result<(), Error> {
    let records = data.len().div_ceil(RECORD);
    let mut wanted = data.len() + records * RECORD_OVERHEAD;
    loop {
        match traffic.encrypt(data, out.room(wanted)) {
            Ok(n) => {
                out.add(n);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > wanted =>
            {
                wanted = required_size;
            }
            Err(e) => return Err(encrypt_error(e)),
        }
    }
}

fn encrypt_error(error: EncryptError) -> Error {
    Error::General(error.to_string())
}

/// A place in a list of slices.
struct Cursor<'a> {
    bufs: &'a [IoSlice<'a>],
    /// Bytes of the first slice that are taken.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The rest of the first slice that has one; empty at the end.
    fn head(&mut self) -> &'a [u8] {
        while let Some((first, others)) = self.bufs.split_first() {
            let rest = first.get(self.at..).unwrap_or_default();
            if !rest.is_empty() {
                return rest;
            }
            self.bufs = others;
            self.at = 0;
        }
        &[]
    }

    fn is_last(&self) -> bool {
        self.bufs.len() <= 1
    }

    fn advance(&mut self, n: usize) {
        self.at += n;
    }

    /// Copies into `to` until it is full or nothing is left.
    fn take(&mut self, to: &mut [u8]) -> usize {
        let mut n = 0;
        while let Some(room) = to.get_mut(n..)
            && !room.is_empty()
        {
            let head = self.head();
            let part = head.len().min(room.len());
            if part == 0 {
                break;
            }
            if let (Some(room), Some(head)) = (room.get_mut(..part), head.get(..part)) {
                room.copy_from_slice(head);
            }
            self.advance(part);
            n += part;
        }
        n
    }
}
