//! The rules of the binary protocol, with sockets served by threads (`iproto.threads`).

/// Threads of a server that serve sockets.
const THREADS: usize = 2;

#[allow(dead_code, reason = "the clients of other people use more of it")]
#[path = "iproto/server.rs"]
mod server;

#[path = "iproto/load.rs"]
mod load;
#[path = "iproto/protocol.rs"]
mod protocol;
