//! What speaks to the network: framing, connections, back-pressure.
//!
//! Each protocol has its folder. A protocol knows how bytes become requests and how results
//! become bytes; what a request means is decided by its caller, through a seam trait. Below the
//! protocols stand sockets, which all have in common: `listen` accepts them, a [`Stream`] is one,
//! plain or over [`tls`].

pub mod address;
pub mod iproto;
mod listen;
pub mod resp;
mod stream;
pub mod tls;

pub use address::Address;
pub use stream::Stream;
