//! The ClientHello that an https vhost is routed by.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::sni(data));
