//! Requests of users, one behind the other.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::http::requests(data));
