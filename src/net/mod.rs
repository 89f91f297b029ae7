//! What speaks to the network: framing, connections, back-pressure.
//!
//! Each protocol has its folder. A protocol knows how bytes become requests and how results
//! become bytes; what a request means is decided by its caller, through a seam trait.

pub mod iproto;
mod listen;
pub mod resp;
