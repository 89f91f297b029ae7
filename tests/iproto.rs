//! The binary protocol, over sockets: its rules in raw bytes, what must not hurt the server, and
//! the clients that people use.

/// Threads of a server that serve sockets; `iproto_threads.rs` tries others.
const THREADS: usize = 0;

mod foreign;
#[path = "iproto/server.rs"]
mod server;

#[path = "iproto/clients.rs"]
mod clients;
#[path = "iproto/cluster.rs"]
mod cluster;
#[path = "iproto/load.rs"]
mod load;
#[path = "iproto/protocol.rs"]
mod protocol;
