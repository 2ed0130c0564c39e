//! Every wait and size of the virtual network that a peer can cause. Waits are [`Duration`]s, sizes are bytes
//! unless a name says otherwise. A value that frp fixes carries frp's file.

use std::time::Duration;

/// The largest packet that the system sends through the device (frp `pkg/vnet/tun_linux.go`).
pub(crate) const MTU: u32 = 1420;

/// Of a frame; a peer that announces more is cut off (frp `pkg/vnet/message.go`).
pub(crate) const MAX_FRAME: usize = 1024 * 1024;

/// Of a packet: more than its own length can say there is none of.
pub(crate) const MAX_PACKET: usize = 40 + 65_535;

/// Of frames that wait for one peer, whatever the others do; what comes beyond is dropped. At 10 Mbit/s it is
/// some 0.8 s.
pub(crate) const PEER_QUEUE: usize = 1024 * 1024;

/// What a queue keeps of its memory while nothing waits.
pub(crate) const IDLE_QUEUE: usize = 16 * 1024;

/// What is read of a peer at a time, where much comes.
pub(crate) const READ: usize = 128 * 1024;

/// The same, where little has come so far.
pub(crate) const IDLE_READ: usize = 2 * 1024;

/// Reads of the device before others have their turn; each is 64 KiB at most.
pub(crate) const DEVICE_TURN: usize = 4;

/// Addresses that are learnt of one connection: those of a machine, and of some behind it.
pub(crate) const MAX_LEARNT: usize = 256;

/// Addresses of one connection that were looked up in vain and are not looked up again.
pub(crate) const MAX_REFUSED: usize = 64;

/// What a connection has dropped is told no more often than this.
pub(crate) const TELL_DROPPED: Duration = Duration::from_secs(60);

/// How long the end of a connection may take to be written.
pub(crate) const LAST_WRITE: Duration = Duration::from_secs(1);
