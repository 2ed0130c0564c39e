//! AES-128-CFB: the v1 control connection and every proxy with `useEncryption`
//! (golib `crypto`, NIST SP 800-38A section 6.3).
//!
//! Each direction is one stream: its 16-byte IV in clear, then ciphertext, byte for byte as long as
//! the plaintext. There is no integrity: who can change bytes on the way can change plaintext.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::pbkdf2;

/// Length of the IV that opens each direction, bytes.
pub const IV_LEN: usize = 16;

/// A derived key with its expanded schedule. Deriving takes 64 hash rounds: do it once, then clone,
/// which shares the schedule.
#[derive(Clone)]
pub struct Key(Arc<Schedule>);

impl Key {
    /// The key for `token`, which may be empty: PBKDF2-HMAC-SHA1, salt `frp`, 64 rounds.
    pub fn derive(token: &[u8]) -> Self {
        let mut key = [0; 16];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, b"frp", token, &mut key);
        #[allow(
            clippy::expect_used,
            reason = "fails only for another length than 16 bytes"
        )]
        let schedule = Schedule::new(&key).expect("16 bytes are an AES-128 key");
        Self(Arc::new(schedule))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Enciphers one direction of a stream.
pub struct Encryptor(State);

impl Encryptor {
    /// Starts a stream with a fresh random `iv`, which the caller sends before the first data.
    pub fn new(key: &Key, iv: [u8; IV_LEN]) -> Self {
        Self(State::new(key, iv))
    }

    /// Enciphers the next bytes of the stream in place.
    pub fn encrypt(&mut self, data: &mut [u8]) {
        let apply = |register: &mut u8, byte: &mut u8| {
            *register ^= *byte;
            *byte = *register;
        };
        let state = &mut self.0;
        let data = state.finish_block(data, apply);
        let (blocks, tail) = data.split_at_mut(data.len() / BLOCK * BLOCK);
        state.key.0.cfb(state.register, blocks);
        if let Some(last) = blocks.last_chunk() {
            state.register = *last;
        }
        state.start_block(tail, apply);
    }
}

/// Deciphers one direction of a stream.
pub struct Decryptor(State);

impl Decryptor {
    /// Starts a stream with the `iv` that was received before the first data.
    pub fn new(key: &Key, iv: [u8; IV_LEN]) -> Self {
        Self(State::new(key, iv))
    }

    /// Deciphers the next bytes of the stream in place.
    pub fn decrypt(&mut self, data: &mut [u8]) {
        let apply = |register: &mut u8, byte: &mut u8| {
            let cipher = *byte;
            *byte ^= *register;
            *register = cipher;
        };
        let state = &mut self.0;
        let data = state.finish_block(data, apply);
        let (blocks, tail) = data.split_at_mut(data.len() / BLOCK * BLOCK);
        // Each block of key stream comes from a ciphertext block that is already here, so many can
        // be made at once, which lets the processor overlap them. Enciphering cannot do that.
        for batch in blocks.chunks_mut(BATCH) {
            let mut buffer = [0; BLOCK + BATCH];
            let inputs = state.register.iter().chain(&*batch);
            buffer
                .iter_mut()
                .zip(inputs)
                .for_each(|(slot, byte)| *slot = *byte);
            if let Some(last) = batch.last_chunk() {
                state.register = *last;
            }
            let stream = buffer.get_mut(..batch.len()).unwrap_or_default();
            state.key.0.ecb(stream);
            batch
                .iter_mut()
                .zip(stream)
                .for_each(|(byte, stream)| *byte ^= *stream);
        }
        state.start_block(tail, apply);
    }
}

/// The feedback register: at a block's boundary its last ciphertext (or the IV); inside a block
/// its first `used` bytes are ciphertext, the others key stream not used yet.
struct State {
    key: Key,
    register: [u8; BLOCK],
    used: usize,
}

impl State {
    fn new(key: &Key, iv: [u8; IV_LEN]) -> Self {
        Self {
            key: key.clone(),
            register: iv,
            used: 0,
        }
    }

    /// Uses up the key stream that an earlier call left; returns the data after it.
    fn finish_block<'a>(
        &mut self,
        data: &'a mut [u8],
        apply: impl Fn(&mut u8, &mut u8),
    ) -> &'a mut [u8] {
        if self.used == 0 {
            return data;
        }
        let left = self.register.get_mut(self.used..).unwrap_or_default();
        let count = left.len().min(data.len());
        let (head, rest) = data.split_at_mut(count);
        for (register, byte) in left.iter_mut().zip(head) {
            apply(register, byte);
        }
        self.used = (self.used + count) % BLOCK;
        rest
    }

    /// Handles the last bytes, less than a block; what remains of the key stream is kept.
    fn start_block(&mut self, tail: &mut [u8], apply: impl Fn(&mut u8, &mut u8)) {
        if tail.is_empty() {
            return;
        }
        self.key.0.ecb(&mut self.register);
        self.used = tail.len();
        for (register, byte) in self.register.iter_mut().zip(tail) {
            apply(register, byte);
        }
    }
}

/// The expanded key, once for each way it is used.
struct Schedule {
    cfb: EncryptingKey,
    ecb: EncryptingKey,
}

impl Schedule {
    fn new(key: &[u8; 16]) -> Result<Self, Unspecified> {
        Ok(Self {
            cfb: EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, key)?)?,
            ecb: EncryptingKey::ecb(UnboundCipherKey::new(&AES_128, key)?)?,
        })
    }

    fn cfb(&self, register: [u8; BLOCK], blocks: &mut [u8]) {
        let iv = EncryptionContext::Iv128(register.into());
        #[allow(
            clippy::expect_used,
            reason = "better to end the task than to send plaintext"
        )]
        self.cfb
            .less_safe_encrypt(blocks, iv)
            .expect("CFB takes 16 bytes of IV and any length");
    }

    fn ecb(&self, blocks: &mut [u8]) {
        #[allow(
            clippy::expect_used,
            reason = "better to end the task than to send plaintext"
        )]
        self.ecb
            .less_safe_encrypt(blocks, EncryptionContext::None)
            .expect("ECB takes no IV and whole blocks");
    }
}

const BLOCK: usize = 16;
/// Bytes of key stream made at once: long enough to amortise the call, small on the stack.
const BATCH: usize = 64 * BLOCK;
const ROUNDS: NonZeroU32 = NonZeroU32::new(64).unwrap();
