//! The ciphers of frp's two wire protocols, as machines from bytes to bytes.

pub mod aead;
pub mod cfb;
