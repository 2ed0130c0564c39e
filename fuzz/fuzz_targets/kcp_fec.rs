//! Datagrams to KCP's error correction.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::net::kcp_fec(data));
