//! What proxies and DNS servers answer, and the URLs of proxies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::outbound_proxy::answers(data));
