//! Packets between machines: a TUN device, its addresses and routes, and who is reached by which.
