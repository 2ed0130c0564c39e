//! How does a client learn that the server has forgotten its connection? By a stateless reset (RFC 9000,
//! section 10.3), which a server that was restarted can send only where what it is derived from is the
//! same as before.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;

use crate::limits::QUIC_RESET_PAUSE;

/// What a server derives its resets and the ids of its connections from. Whoever knows it can end the
/// connections of others; nobody can find it out from what is derived.
#[derive(Clone)]
pub struct ResetSecret(Prk);

impl fmt::Debug for ResetSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetSecret(***)")
    }
}

/// Of this use of what it is made of, and no other.
const PURPOSE: &[u8] = b"frp-rs quic stateless reset 1";

impl ResetSecret {
    /// Made of `parts`, in this order. Any stranger may be given what is derived, and try guesses on it: one of the
    /// parts must be beyond guessing.
    #[must_use]
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut all = Vec::new();
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part);
        }
        Self(Salt::new(HKDF_SHA256, PURPOSE).extract(&all))
    }

    /// Known to nobody: clients of a server that has gone find out by silence.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        // aws-lc's generator fails only where the machine has no entropy source at all.
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
        Self::new(&[&bytes])
    }

    /// Of a server at `addr`. Another one on this machine, of the same secret, must not tell the resets of
    /// this one's connections (section 21.11).
    pub(super) fn endpoint(&self, addr: SocketAddr) -> EndpointConfig {
        let addr = addr.to_string();
        let derive = |what: &[u8]| {
            let info = [what, addr.as_bytes()];
            let mut key = [0; 32];
            // As long as the hash, which HKDF always gives.
            let derived = self.0.expand(&info, HKDF_SHA256);
            derived
                .and_then(|derived| derived.fill(&mut key))
                .expect("32 bytes of HKDF-SHA256");
            key
        };
        let mut config = EndpointConfig::new(Arc::new(Key::new(HMAC_SHA256, &derive(b"reset"))));
        let [a, b, c, d, e, f, g, h, ..] = derive(b"connection id");
        let ids = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
            .min_reset_interval(QUIC_RESET_PAUSE);
        config
    }
}
