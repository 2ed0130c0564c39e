//! The proof of the token: messages of either end, and verifiers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::scram(data));
