//! The v2 control connection's cipher.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::aead_open(data));
