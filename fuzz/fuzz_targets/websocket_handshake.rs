//! Arbitrary bytes as a websocket request, and as the answer to ours.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::websocket::handshake(data));
