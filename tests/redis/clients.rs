//! The clients that people use, driven by scripts in `clients/`.

use std::process::Command;

use redis::Commands;

use crate::foreign::{exists, node, python, run};
use crate::server::{Server, root};

#[test]
fn rust_client() {
    let server = Server::start();
    let client = redis::Client::open(server.url()).expect("a client");
    let mut connection = client.get_connection().expect("a connection");
    let value: Vec<u8> = (0..=255).collect();
    let _: () = connection.set("bytes", &value).expect("OK");
    let back: Vec<u8> = connection.get("bytes").expect("a value");
    assert_eq!(back, value);
    let (a, b): (i64, Option<String>) =
        redis::pipe().atomic().incr("n", 5).get("missing").query(&mut connection).expect("replies");
    assert_eq!((a, b), (5, None));
    let keys: Vec<String> =
        connection.scan_match("n*").expect("a scan").map(|key| key.expect("a key")).collect();
    assert_eq!(keys, ["n"]);
    let _: () = connection.set_ex("ttl", 1, 100).expect("OK");
    let ttl: i64 = connection.ttl("ttl").expect("a number");
    assert_eq!(ttl, 100);
}

#[test]
fn redis_cli() {
    if !exists("redis-cli") {
        return;
    }
    let server = Server::start();
    let port = server.port.to_string();
    run(Command::new("redis-cli").args(["-p", &port, "SET", "a", "1"]));
    run(Command::new("redis-cli").args(["-3", "-p", &port, "COMMAND", "DOCS", "get"]));
    let output =
        Command::new("redis-cli").args(["-p", &port, "GET", "a"]).output().expect("a reply");
    assert_eq!(output.stdout, b"1\n");
}

#[test]
fn redis_py() {
    if !exists("python3") {
        return;
    }
    let interpreter = python("python", &["redis==6.4.0"]);
    let server = Server::start();
    run(Command::new(interpreter)
        .arg(root().join("tests/redis/clients/redis_py.py"))
        .arg(server.port.to_string()));
}

#[test]
fn node_clients() {
    if !exists("npm") {
        return;
    }
    let folder = node("node", &["ioredis@5", "redis@5"]);
    for script in ["ioredis.js", "node_redis.js"] {
        let server = Server::start();
        let source = root().join("tests/redis/clients").join(script);
        std::fs::copy(source, folder.join(script)).expect("a copied script");
        run(Command::new("node").arg(script).arg(server.port.to_string()).current_dir(&folder));
    }
}
