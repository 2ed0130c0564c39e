//! The frames and payloads of the v2 handshake.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::hello(data));
