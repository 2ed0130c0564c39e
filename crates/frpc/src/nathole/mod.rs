//! A hole through the NATs between two frpc, for a xtcp proxy and its visitors: each learns as which address
//! the world sees it, frps tells them of each other, they send until something comes through, and bytes go
//! that way (frp `pkg/nathole`).
//!
//! In this order: [`mod@prepare`] sockets and what STUN servers see of them → [`exchange`] what frps makes of
//! both → [`orders`] what of that is followed → [`make`] it, by [`mod@punch`] datagrams → [`tunnel`] QUIC, or kcp with
//! the mux, over the socket that was heard. [`budget`] bounds what all of that sends, [`error`] says what failed
//! and what it means.
//!
//! Who is sent to is what frps and the peer say, so they are believed little: see
//! [`may_be_sent_to`](frp_proto::nathole::reach::may_be_sent_to), and the bounds in [`limits`](crate::limits).

mod budget;
mod error;
mod exchange;
mod make;
mod orders;
mod prepare;
mod punch;
mod tunnel;

pub(crate) use self::budget::Budget;
pub(crate) use self::error::HoleError;
pub(crate) use self::exchange::{Exchange, Letters};
pub(crate) use self::make::make_hole;
pub(crate) use self::orders::Orders;
pub(crate) use self::prepare::{prepare, words};
pub(crate) use self::tunnel::{Accepted, Tunnel};

/// A new name for a question or a datagram, which nobody can guess.
pub(crate) fn new_id() -> String {
    let now = crate::live::unix_time().as_secs();
    frp_proto::nathole::new_id(i64::try_from(now).unwrap_or_default(), random())
}

/// Random bytes. Without entropy in the system they are guessable, and the peers do not meet; nothing else.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}
