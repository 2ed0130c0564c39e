//! The v2 control connection's cipher: a stream of sealed records (golib `crypto/aead_stream.go`).
//!
//! Each direction is: a random nonce in clear, then records of a 4-byte big-endian length and that
//! many bytes of ciphertext with its 16-byte tag. The first record is sealed under the nonce as
//! sent, each later one under the nonce plus one (big-endian). Nonce and length are authenticated
//! with each record, so that records cannot be changed, reordered or moved between streams; that
//! the stream was cut off between records is not noticed.

use std::fmt;

use aws_lc_rs::{aead, hkdf};
use bytes::{Buf as _, BufMut as _, BytesMut};
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use thiserror::Error;

/// Most plaintext in one record, bytes.
pub const MAX_PLAINTEXT: usize = 65_536;

/// Length of a key, bytes.
pub const KEY_LEN: usize = 32;

/// A cipher that client and server can agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).
    XChaCha20Poly1305,
}

impl Algorithm {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
        }
    }

    /// The algorithm with this exact name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Aes256Gcm, Self::XChaCha20Poly1305]
            .into_iter()
            .find(|this| this.as_str() == name)
    }

    /// Length of the nonce that opens a stream, bytes.
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::Aes256Gcm => 12,
            Self::XChaCha20Poly1305 => MAX_NONCE,
        }
    }

    /// How many records one key may seal. GCM's 96-bit nonces are random at the start of a stream
    /// only, but frp keeps to the bound of SP 800-38D all the same.
    const fn max_records(self) -> u64 {
        match self {
            Self::Aes256Gcm => 1 << 32,
            Self::XChaCha20Poly1305 => u64::MAX,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// A key from its raw bytes.
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Which end of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// frpc.
    Client,
    /// frps.
    Server,
}

/// The keys of both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What frpc seals with.
    pub client_to_server: Key,
    /// What frps seals with.
    pub server_to_client: Key,
}

impl Keys {
    /// Derives both keys by HKDF-SHA256 (RFC 5869) from the auth token, which may be empty, and
    /// [`crate::wire::hello::transcript_hash`].
    pub fn derive(algorithm: Algorithm, token: &[u8], transcript: &[u8; 32]) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, transcript).extract(token);
        let key = |direction: &str| {
            let info = format!("frp wire v2 control aead {algorithm} {direction}");
            let mut key = [0; KEY_LEN];
            #[allow(clippy::expect_used, reason = "fails only above 255 times 32 bytes")]
            secret
                .expand(&[info.as_bytes()], KeyLen)
                .and_then(|okm| okm.fill(&mut key))
                .expect("HKDF-SHA256 yields 32 bytes");
            Key(key)
        };
        Self {
            client_to_server: key("client-to-server"),
            server_to_client: key("server-to-client"),
        }
    }

    /// The key that `role` seals with.
    pub const fn sealing(&self, role: Role) -> &Key {
        match role {
            Role::Client => &self.client_to_server,
            Role::Server => &self.server_to_client,
        }
    }

    /// The key that `role` opens with.
    pub const fn opening(&self, role: Role) -> &Key {
        match role {
            Role::Client => &self.server_to_client,
            Role::Server => &self.client_to_server,
        }
    }
}

/// Seals one direction of a stream.
pub struct Sealer {
    records: Records,
    nonce_sent: bool,
}

impl Sealer {
    /// Starts a stream with a fresh random `nonce` of [`Algorithm::nonce_len`] bytes.
    ///
    /// # Errors
    /// [`AeadError::NonceLength`].
    pub fn new(algorithm: Algorithm, key: &Key, nonce: &[u8]) -> Result<Self, AeadError> {
        let mut records = Records::new(algorithm, key)?;
        records.start(nonce)?;
        Ok(Self {
            records,
            nonce_sent: false,
        })
    }

    /// Appends `plain` to `out` as records, with the nonce before the first one ever. Nothing is
    /// appended for no bytes.
    ///
    /// # Errors
    /// [`AeadError::Exhausted`]; nothing can be sealed after that.
    pub fn seal(&mut self, plain: &[u8], out: &mut BytesMut) -> Result<(), AeadError> {
        for chunk in plain.chunks(MAX_PLAINTEXT) {
            if !self.nonce_sent {
                out.put_slice(self.records.first.as_slice());
                self.nonce_sent = true;
            }
            self.records.seal(chunk, out)?;
        }
        Ok(())
    }
}

/// Opens one direction of a stream.
pub struct Opener {
    records: Records,
    started: bool,
    failed: Option<AeadError>,
}

impl Opener {
    /// Starts a stream; its nonce is taken from the input.
    ///
    /// # Errors
    /// [`AeadError::Key`]; never with the keys of this module.
    pub fn new(algorithm: Algorithm, key: &Key) -> Result<Self, AeadError> {
        Ok(Self {
            records: Records::new(algorithm, key)?,
            started: false,
            failed: None,
        })
    }

    /// Takes every whole record off the front of `input` and appends its plaintext to `out`. What
    /// remains in `input` at a clean end of the stream must be nothing.
    ///
    /// # Errors
    /// [`AeadError`] when a record is not authentic or its length not allowed. The plaintext of
    /// the records before it is in `out`; every later call fails alike.
    pub fn open(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), AeadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.open_available(input, out)
            .inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn open_available(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<(), AeadError> {
        if !self.started {
            let length = self.records.algorithm.nonce_len();
            let Some(nonce) = input.get(..length) else {
                return Ok(());
            };
            self.records.start(nonce)?;
            self.started = true;
            input.advance(length);
        }
        while let Some(&header) = input.first_chunk::<HEADER>() {
            let length = u32::from_be_bytes(header);
            if !ALLOWED.contains(&(length as usize)) {
                return Err(AeadError::RecordLength(length));
            }
            let Some(record) = input.get_mut(HEADER..HEADER + length as usize) else {
                break;
            };
            out.put_slice(self.records.open(header, record)?);
            input.advance(HEADER + length as usize);
        }
        Ok(())
    }
}

/// Why a stream cannot go on.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AeadError {
    /// A nonce of the wrong length for the algorithm.
    #[error("nonce of {got} bytes given, {algorithm} needs {want}")]
    NonceLength {
        /// The algorithm.
        algorithm: Algorithm,
        /// The length given.
        got: usize,
        /// The length needed.
        want: usize,
    },
    /// The cipher refused the key.
    #[error("{0} refused its key")]
    Key(Algorithm),
    /// A record whose length is impossible.
    #[error(
        "control connection: encrypted record of {0} bytes, allowed are {TAG} to {limit}",
        limit = MAX_PLAINTEXT + TAG
    )]
    RecordLength(u32),
    /// A record that does not bear the right tag.
    #[error(
        "control connection: message authentication failed; the tokens differ, or the data was changed on the way"
    )]
    NotAuthentic,
    /// As many records as the key allows.
    #[error("control connection: no more records possible under this key; a new login is needed")]
    Exhausted,
}

/// What sealing and opening have in common: cipher, counter, and the bytes bound to each record.
struct Records {
    algorithm: Algorithm,
    cipher: Cipher,
    first: Nonce,
    next: Nonce,
    left: u64,
}

enum Cipher {
    Aes256Gcm(Box<aead::LessSafeKey>),
    XChaCha20Poly1305(Box<XChaCha20Poly1305>),
}

impl Records {
    fn new(algorithm: Algorithm, key: &Key) -> Result<Self, AeadError> {
        let cipher = match algorithm {
            Algorithm::Aes256Gcm => {
                let key = aead::UnboundKey::new(&aead::AES_256_GCM, &key.0)
                    .map_err(|_| AeadError::Key(algorithm))?;
                Cipher::Aes256Gcm(Box::new(aead::LessSafeKey::new(key)))
            }
            Algorithm::XChaCha20Poly1305 => {
                Cipher::XChaCha20Poly1305(Box::new(XChaCha20Poly1305::new(&key.0.into())))
            }
        };
        let nonce = Nonce {
            bytes: [0; MAX_NONCE],
            length: algorithm.nonce_len(),
        };
        Ok(Self {
            algorithm,
            cipher,
            first: nonce,
            next: nonce,
            left: algorithm.max_records(),
        })
    }

    fn start(&mut self, nonce: &[u8]) -> Result<(), AeadError> {
        let want = self.algorithm.nonce_len();
        if nonce.len() != want {
            let algorithm = self.algorithm;
            return Err(AeadError::NonceLength {
                algorithm,
                got: nonce.len(),
                want,
            });
        }
        for (byte, value) in self.first.bytes.iter_mut().zip(nonce) {
            *byte = *value;
        }
        self.next = self.first;
        Ok(())
    }

    fn seal(&mut self, plain: &[u8], out: &mut BytesMut) -> Result<(), AeadError> {
        let nonce = self.take_nonce()?;
        let header = ((plain.len() + TAG) as u32).to_be_bytes();
        out.reserve(HEADER + plain.len() + TAG);
        out.put_slice(&header);
        let start = out.len();
        out.put_slice(plain);
        let bound = Bound::new(&self.first, header);
        let data = out.get_mut(start..).unwrap_or_default();
        match &self.cipher {
            Cipher::Aes256Gcm(key) => {
                let tag = key
                    .seal_in_place_separate_tag(
                        nonce.gcm()?,
                        aead::Aad::from(bound.as_slice()),
                        data,
                    )
                    .map_err(|_| AeadError::Exhausted)?;
                out.put_slice(tag.as_ref());
            }
            Cipher::XChaCha20Poly1305(key) => {
                let tag = key
                    .encrypt_inout_detached(&nonce.bytes.into(), bound.as_slice(), data.into())
                    .map_err(|_| AeadError::Exhausted)?;
                out.put_slice(&tag);
            }
        }
        Ok(())
    }

    fn open<'a>(
        &mut self,
        header: [u8; HEADER],
        record: &'a mut [u8],
    ) -> Result<&'a [u8], AeadError> {
        let nonce = self.take_nonce()?;
        let bound = Bound::new(&self.first, header);
        match &self.cipher {
            Cipher::Aes256Gcm(key) => key
                .open_in_place(nonce.gcm()?, aead::Aad::from(bound.as_slice()), record)
                .map(|plain| &*plain)
                .map_err(|_| AeadError::NotAuthentic),
            Cipher::XChaCha20Poly1305(key) => {
                let (data, tag) = record
                    .split_last_chunk_mut::<TAG>()
                    .ok_or(AeadError::NotAuthentic)?;
                let tag = (*tag).into();
                key.decrypt_inout_detached(
                    &nonce.bytes.into(),
                    bound.as_slice(),
                    (&mut *data).into(),
                    &tag,
                )
                .map_err(|_| AeadError::NotAuthentic)?;
                Ok(data)
            }
        }
    }

    /// The nonce of the next record. As in frp, the one after which the counter would wrap is not
    /// used any more.
    fn take_nonce(&mut self) -> Result<Nonce, AeadError> {
        let nonce = self.next;
        self.left = self.left.checked_sub(1).ok_or(AeadError::Exhausted)?;
        if !self.next.increment() {
            self.left = 0;
            return Err(AeadError::Exhausted);
        }
        Ok(nonce)
    }
}

#[derive(Clone, Copy)]
struct Nonce {
    bytes: [u8; MAX_NONCE],
    length: usize,
}

impl Nonce {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn gcm(&self) -> Result<aead::Nonce, AeadError> {
        aead::Nonce::try_assume_unique_for_key(self.as_slice()).map_err(|_| AeadError::Exhausted)
    }

    /// Adds one, big-endian; false when it wrapped.
    fn increment(&mut self) -> bool {
        let digits = self.bytes.get_mut(..self.length).unwrap_or_default();
        for byte in digits.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return true;
            }
        }
        false
    }
}

/// The associated data of a record: the stream's first nonce and the record's length.
struct Bound {
    bytes: [u8; MAX_NONCE + HEADER],
    length: usize,
}

impl Bound {
    fn new(first: &Nonce, header: [u8; HEADER]) -> Self {
        let mut bytes = [0; MAX_NONCE + HEADER];
        for (byte, value) in bytes.iter_mut().zip(first.as_slice().iter().chain(&header)) {
            *byte = *value;
        }
        Self {
            bytes,
            length: first.length + HEADER,
        }
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

struct KeyLen;

impl hkdf::KeyType for KeyLen {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

const HEADER: usize = 4;
const TAG: usize = 16;
const MAX_NONCE: usize = 24;
const ALLOWED: std::ops::RangeInclusive<usize> = TAG..=MAX_PLAINTEXT + TAG;
