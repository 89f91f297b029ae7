//! The binary protocol, over sockets: its rules in raw bytes, what must not hurt the server, and
//! the clients that people use.

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
