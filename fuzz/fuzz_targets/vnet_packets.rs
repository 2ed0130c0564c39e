//! Frames and packets of the virtual network.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| frp_fuzz::vnet::packets(data));
