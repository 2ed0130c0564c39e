//! A token of an OpenID Connect issuer, and the issuer's keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::jwt(data));
