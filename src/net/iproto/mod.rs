//! iproto, Tarantool's binary protocol: the framing, and the server around it.
//!
//! A packet is its length (a MessagePack integer), a header and a body (MessagePack maps). Header
//! and requests are decoded by `xrow`, because the log and replication speak them too; what they
//! mean is decided by a [`Client`] above.
//!
//! ```text
//! socket -> input -> Work: complete packets -> Client::work on worker fibers -> output -> socket
//!           reader fiber                                                        whoever has replies
//! ```
//!
//! Replies may come in any order, each names its request by the number `SYNC`. So packets that
//! arrived together are one [`Work`], which one fiber ([`worker`]) runs from the first to the last;
//! when a request waits for something of its own (a `CALL` that sleeps), another fiber goes on with
//! the rest. Requests thus begin in the order in which they came.
//!
//! # Back-pressure
//! Nothing more is read from a client while its replies pile up ([`connection`]), nor from anybody
//! while as many pieces of work are under way as `net_msg_max` allows.
//!
//! # Threads
//! With `iproto.threads` of 0 tx does all of that. With more, so many threads read, frame and write
//! ([`thread`]), and a connection on tx has packets handed over instead of reading them ([`remote`]).
//!
//! # Yields
//! The codec never; a connection while it reads, writes, and when a client does

pub mod connection;
pub mod frame;
pub mod greeting;
mod remote;
pub mod reply;
pub mod server;
mod thread;
mod work;
mod worker;

pub use connection::Connection;
pub use server::{Client, Counters, Endpoint, Limits, Server, Service};
pub use work::{Parked, Work};
