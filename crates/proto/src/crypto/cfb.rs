//! AES-128-CFB: the v1 control connection and every proxy with `useEncryption`
//! (golib `crypto`, NIST SP 800-38A section 6.3).
//!
//! Each direction is one stream: its 16-byte IV in clear, then ciphertext, byte for byte as long as
//! the plaintext. There is no integrity: who can change bytes on the way can change plaintext.

use std::fmt;
use std::num::NonZeroU32;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use aws_lc_rs::pbkdf2;

/// Length of the IV that opens each direction, bytes.
pub const IV_LEN: usize = 16;

/// A derived key with its expanded schedule. Deriving takes 64 hash rounds: do it once, then clone.
#[derive(Clone)]
pub struct Key(Aes128);

impl Key {
    /// The key for `token`, which may be empty: PBKDF2-HMAC-SHA1, salt `frp`, 64 rounds.
    pub fn derive(token: &[u8]) -> Self {
        let mut key = [0; 16];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, b"frp", token, &mut key);
        Self(Aes128::new(&Array(key)))
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
        let state = &mut self.0;
        let data = state.finish_block(data, |register, byte| {
            *register ^= *byte;
            *byte = *register;
        });
        let (blocks, tail) = data.as_chunks_mut::<BLOCK>();
        let mut register = Array(state.register);
        for block in blocks {
            state.key.encrypt_block(&mut register);
            for (register, byte) in register.iter_mut().zip(block) {
                *register ^= *byte;
                *byte = *register;
            }
        }
        state.register = register.0;
        state.start_block(tail, |register, byte| {
            *register ^= *byte;
            *byte = *register;
        });
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
        let take = |register: &mut u8, byte: &mut u8| {
            let cipher = *byte;
            *byte ^= *register;
            *register = cipher;
        };
        let state = &mut self.0;
        let data = state.finish_block(data, take);
        // Every key stream block comes from a ciphertext block that is already here, so that many
        // can be made at once, unlike when enciphering.
        let (batches, rest) = data.as_chunks_mut::<{ BLOCK * BATCH }>();
        for batch in batches {
            let mut stream = [Array([0; BLOCK]); BATCH];
            let (blocks, _) = batch.as_chunks::<BLOCK>();
            let mut previous = state.register;
            for (stream, block) in stream.iter_mut().zip(blocks) {
                stream.0 = previous;
                previous = *block;
            }
            state.register = previous;
            state.key.encrypt_blocks(&mut stream);
            for (byte, stream) in batch
                .iter_mut()
                .zip(stream.iter().flat_map(|block| &block.0))
            {
                *byte ^= stream;
            }
        }
        let (blocks, tail) = rest.as_chunks_mut::<BLOCK>();
        for block in blocks {
            let mut stream = Array(state.register);
            state.key.encrypt_block(&mut stream);
            state.register = *block;
            for (byte, stream) in block.iter_mut().zip(stream) {
                *byte ^= stream;
            }
        }
        state.start_block(tail, take);
    }
}

/// The feedback register: at a block's boundary its last ciphertext (or the IV); inside a block
/// its first `used` bytes are ciphertext, the others key stream not used yet.
struct State {
    key: Aes128,
    register: [u8; BLOCK],
    used: usize,
}

impl State {
    fn new(key: &Key, iv: [u8; IV_LEN]) -> Self {
        Self {
            key: key.0.clone(),
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
        let mut stream = Array(self.register);
        self.key.encrypt_block(&mut stream);
        self.register = stream.0;
        self.used = tail.len();
        for (register, byte) in self.register.iter_mut().zip(tail) {
            apply(register, byte);
        }
    }
}

const BLOCK: usize = 16;
const BATCH: usize = 8;
const ROUNDS: NonZeroU32 = NonZeroU32::new(64).unwrap();
