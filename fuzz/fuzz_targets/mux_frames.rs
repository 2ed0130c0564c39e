//! Frames of the mux, to a session that accepts, opens, reads and writes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::net::mux_frames(data));
