//! The clients that people use, driven by scripts in `clients/`.

use std::process::Command;

use crate::foreign::{exists, node, python, run};
use crate::server::{Server, root};

fn script(name: &str) -> std::path::PathBuf {
    root().join("tests/iproto/clients").join(name)
}

#[test]
fn net_box_of_debian() {
    if !exists("tarantool") {
        return;
    }
    for threads in [0, 2] {
        let server = Server::with_threads(threads);
        run(Command::new("tarantool").arg(script("debian.lua")).arg(server.port.to_string()));
    }
}

#[test]
fn python_clients() {
    if !exists("python3") {
        return;
    }
    let interpreter = python("python-iproto", &["tarantool==1.3.0", "asynctnt==2.4.0"]);
    for name in ["tarantool_python.py", "asynctnt_client.py"] {
        let server = Server::with_threads(1);
        run(Command::new(&interpreter).arg(script(name)).arg(server.port.to_string()));
    }
}

#[test]
fn node_client() {
    if !exists("npm") {
        return;
    }
    let folder = node("node-iproto", &["tarantool-driver@3.1.0"]);
    let name = "tarantool_driver.js";
    std::fs::copy(script(name), folder.join(name)).expect("a copied script");
    let server = Server::start();
    run(Command::new("node").arg(name).arg(server.port.to_string()).current_dir(&folder));
}

#[test]
fn net_box_lets_a_server_stop() {
    for threads in [0, 2] {
        let mut server = Server::with_threads(threads);
        let client = env!("CARGO_BIN_EXE_lycosa");
        run(Command::new(client).arg(script("shutdown.lua")).arg(server.port.to_string()));
        let status = server.process.wait().expect("a process that ends");
        assert!(status.success(), "{status}");
    }
}
