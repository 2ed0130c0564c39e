//! Arbitrary bytes as the peer of a websocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::websocket::frames(data));
