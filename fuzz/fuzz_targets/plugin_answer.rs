//! The answer of a server plugin.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::plugin_answer(data));
