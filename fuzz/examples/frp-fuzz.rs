//! All targets in one program, which is linked once: `FRP_FUZZ` names the one that libFuzzer is to run.
//! An example, for cargo gives those the dependencies that it gives to tests, so that none is compiled twice.
#![no_main]

use std::sync::OnceLock;

use frp_fuzz::targets::{Target, of_environment};

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: TARGET.get_or_init(of_environment),
    |data: &[u8]| TARGET.get_or_init(of_environment)(data)
);
