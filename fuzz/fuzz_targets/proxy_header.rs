//! The header of the PROXY protocol that a proxy in front of frps sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::proxy_header(data));
