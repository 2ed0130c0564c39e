//! A stream of v1 messages, cut in two.
#![no_main]

use frp_proto::wire::WireProtocol;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::proto::messages(WireProtocol::V1, data));
