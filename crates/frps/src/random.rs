//! Random bytes.

/// Fills an array from the system's generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // aws-lc's generator fails only where the machine has no entropy source at all.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
