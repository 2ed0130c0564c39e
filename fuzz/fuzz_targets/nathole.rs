//! The datagrams of a hole, and what peers say of their addresses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::nathole(data));
