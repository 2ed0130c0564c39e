//! Configuration files of both programs, in every format, with templates.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::config::load(data));
