//! Storms: what breaks between frps and its clients, and what has to be as before when it is over.
//!
//! [`exchange`] is what users and a service say to each other, so that both know whether all of it has arrived.
//! [`scene`] are programs between which a storm passes, [`link`] is a way within one program that flaps.

pub mod exchange;
pub mod link;
pub mod scene;
