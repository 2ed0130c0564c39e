//! Datagrams to a KCP session.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::net::kcp(data));
