//! What goes over a byte pipe of `frp-net`, whatever that is made of: messages, layers, bytes and
//! datagrams, with no notion of a login or a proxy.
//!
//! In the order in which a connection meets them: [`msg_stream`] (messages) → [`layers`] (limit, cipher,
//! compression) → [`relay`] (bytes) or [`udp`] (datagrams); [`counted`] counts where none of these does,
//! [`conns`] is who is connected.

pub mod conns;
pub mod counted;
pub mod layers;
pub mod limits;
pub mod msg_stream;
pub mod relay;
pub mod udp;
