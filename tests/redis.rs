//! The Redis emulation, over sockets: recorded replies of Redis, limits, holes that must be shut,
//! transactions, reloading, and the clients that people use.

mod foreign;
#[path = "redis/server.rs"]
mod server;

#[path = "redis/application.rs"]
mod application;
#[path = "redis/clients.rs"]
mod clients;
#[path = "redis/connection.rs"]
mod connection;
#[path = "redis/golden.rs"]
mod golden;
