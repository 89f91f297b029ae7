//! The rules of the protocol, and what must not hurt the server.

use lycosa::xrow::iproto::{key, kind};

use crate::server::{
    Connection, Reply, Server, array, body, call, change, number, packet, select, text,
};

fn reply(sync: u64, text: &str) -> Option<Reply> {
    Some(Reply { kind: 0, sync, text: text.to_owned() })
}

fn message(reply: Option<Reply>) -> String {
    let reply = reply.expect("a reply");
    assert!(reply.kind & kind::ERROR != 0, "not an error: {reply:?}");
    reply.text
}

#[test]
fn a_pipeline_is_answered_and_keeps_its_order() {
    let server = Server::start();
    let mut client = server.connect();
    let mut sent = Vec::new();
    for sync in 0..200 {
        sent.extend(packet(kind::REPLACE, sync * 2, 0, &change(&[number(1), text("x")])));
        sent.extend(packet(kind::SELECT, sync * 2 + 1, 0, &select(1)));
    }
    client.send(&sent);
    for sync in 0..400 {
        assert_eq!(client.read(), reply(sync, r#"[[1, "x"]]"#));
    }
}

#[test]
fn a_request_in_pieces_is_a_request() {
    let server = Server::start();
    let mut client = server.connect();
    let sent = packet(kind::INSERT, 5, 0, &change(&[number(7), text(&"long".repeat(20_000))]));
    for piece in sent.chunks(3000) {
        client.send(piece);
    }
    assert_eq!(client.read().map(|reply| (reply.kind, reply.sync)), Some((0, 5)));
    for byte in packet(kind::PING, 6, 0, &[]) {
        client.send(&[byte]);
    }
    assert_eq!(client.read(), reply(6, "{}"));
}

#[test]
fn a_call_that_waits_holds_nobody_up() {
    let server = Server::start();
    let mut client = server.connect();
    let gate = text("gate");
    let mut sent = packet(kind::REPLACE, 1, 0, &change(&[number(1), text("x")]));
    sent.extend(packet(kind::CALL, 2, 0, &call("wait_for", std::slice::from_ref(&gate))));
    sent.extend(packet(kind::PING, 3, 0, &[]));
    sent.extend(packet(kind::CALL, 4, 0, &call("add", &[number(1), number(2)])));
    client.send(&sent);
    let mut answered: Vec<_> = (0..3).map(|_| client.read().expect("a reply").sync).collect();
    answered.sort_unstable();
    assert_eq!(answered, [1, 3, 4]);
    client.send(&packet(kind::CALL, 5, 0, &call("open", &[gate])));
    let mut answered: Vec<_> = (0..2).map(|_| client.read().expect("a reply").sync).collect();
    answered.sort_unstable();
    assert_eq!(answered, [2, 5]);
}

#[test]
fn requests_of_a_stream_run_one_after_the_other() {
    let server = Server::start();
    let mut client = server.connect();
    let gate = text("stream");
    let mut sent = packet(kind::CALL, 1, 9, &call("wait_for", std::slice::from_ref(&gate)));
    sent.extend(packet(kind::CALL, 2, 9, &call("add", &[number(1), number(2)])));
    sent.extend(packet(kind::CALL, 3, 0, &call("open", &[gate])));
    client.send(&sent);
    let order: Vec<_> = (0..3).map(|_| client.read().expect("a reply").sync).collect();
    assert_eq!(order.iter().filter(|sync| **sync != 3).collect::<Vec<_>>(), [&1, &2]);
    // A transaction that comes at once is one; what a stream leaves undone is not seen.
    let mut sent = packet(kind::BEGIN, 1, 5, &[]);
    sent.extend(packet(kind::INSERT, 2, 5, &change(&[number(1)])));
    sent.extend(packet(kind::INSERT, 3, 5, &change(&[number(2)])));
    sent.extend(packet(kind::COMMIT, 4, 5, &[]));
    sent.extend(packet(kind::BEGIN, 5, 6, &[]));
    sent.extend(packet(kind::INSERT, 6, 6, &change(&[number(3)])));
    client.send(&sent);
    for sync in 1..=6 {
        let read = client.read().expect("a reply");
        assert_eq!((read.kind, read.sync), (0, sync), "{read:?}");
    }
    assert_eq!(client.request(kind::SELECT, &select(2)).text, "[[2]]");
    assert_eq!(client.request(kind::SELECT, &select(3)).text, "[]");
    let outside = "Unable to process COMMIT request out of stream";
    assert_eq!(client.request(kind::COMMIT, &[]).text, outside);
    client.send(&packet(kind::AUTH, 1, 5, &[]));
    assert_eq!(message(client.read()), "Unable to process AUTH request in stream");
}

#[test]
fn a_transaction_ends_with_its_connection() {
    let server = Server::start();
    let mut client = server.connect();
    let session = client.request(kind::EVAL, &eval("return box.session.id()")).text;
    let mut sent = packet(kind::BEGIN, 1, 1, &[]);
    sent.extend(packet(kind::EVAL, 2, 1, &eval("box.space.test:replace{5}")));
    client.send(&sent);
    let _ = (client.read(), client.read());
    drop(client);
    let mut other = server.connect();
    let is_gone = format!("return disconnected{session}");
    while other.request(kind::EVAL, &eval(&is_gone)).text != "[true]" {}
    assert_eq!(other.request(kind::SELECT, &select(5)).text, "[]");
    let streams = eval("return box.stat.net().STREAMS.current");
    assert_eq!(other.request(kind::EVAL, &streams).text, "[0]");
}

fn eval(code: &str) -> Vec<u8> {
    body(&[(key::EXPR, text(code)), (key::TUPLE, array(&[]))])
}

/// The `sync` of each reply, and whether it is an error.
fn outcomes(client: &mut Connection, count: usize) -> Vec<(u64, bool)> {
    let mut outcomes: Vec<_> = (0..count)
        .map(|_| client.read().expect("a reply"))
        .map(|reply| (reply.sync, reply.kind & kind::ERROR != 0))
        .collect();
    outcomes.sort_unstable();
    outcomes
}

#[test]
fn what_the_log_loses_is_not_acknowledged() {
    let server = Server::start();
    let mut client = server.connect();
    let fault =
        |is_on: bool| eval(&format!("box.error.injection.set('ERRINJ_WAL_WRITE', {is_on})"));
    let gate = text("lost");
    let mut sent = packet(kind::REPLACE, 1, 0, &change(&[number(1)]));
    sent.extend(packet(kind::PING, 2, 0, &[]));
    sent.extend(packet(kind::EVAL, 3, 0, &eval("return box.space.test:replace{2}")));
    sent.extend(packet(kind::BEGIN, 4, 7, &[]));
    sent.extend(packet(kind::INSERT, 5, 7, &change(&[number(3)])));
    sent.extend(packet(kind::COMMIT, 6, 7, &[]));
    // What follows a write in the same batch must not let it go unnoticed.
    sent.extend(packet(kind::CALL, 7, 0, &call("wait_for", std::slice::from_ref(&gate))));
    sent.extend(packet(kind::EVAL, 8, 0, &eval("box.space.test:replace{4} error('other')")));
    client.request(kind::EVAL, &fault(true));
    client.send(&sent);
    let expected = [(1, true), (2, false), (3, true), (4, false), (5, false), (6, true), (8, true)];
    assert_eq!(outcomes(&mut client, 7), expected);
    client.request(kind::EVAL, &fault(false));
    for id in 1..=4 {
        assert_eq!(client.request(kind::SELECT, &select(id)).text, "[]", "{id}");
    }
    client.send(&packet(kind::CALL, 9, 0, &call("open", &[gate])));
    assert_eq!(outcomes(&mut client, 2), [(7, false), (9, false)]);
    client.send(&sent[..packet(kind::REPLACE, 1, 0, &change(&[number(1)])).len()]);
    assert_eq!(client.read(), reply(1, "[[1]]"));
}

#[test]
fn a_watcher_is_told_after_it_has_acknowledged() {
    let server = Server::start();
    let (mut client, mut other) = (server.connect(), server.connect());
    let watch = body(&[(key::EVENT_KEY, text("news"))]);
    let broadcast = |value: u64| call_broadcast(value);
    client.send(&packet(kind::WATCH, 8, 0, &watch));
    let event = client.read().expect("an event");
    assert_eq!((event.kind, event.sync), (u32::from(kind::EVENT), 8));
    other.request(kind::EVAL, &broadcast(1));
    other.request(kind::EVAL, &broadcast(2));
    // Not acknowledged yet, so nothing came; the value can be asked for.
    assert_eq!(client.request(kind::WATCH_ONCE, &watch).text, "[2]");
    client.send(&packet(kind::WATCH, 9, 0, &watch));
    let event = client.read().expect("an event");
    assert_eq!((event.sync, event.text.as_str()), (9, r#"{87: "news", 88: 2}"#));
    client.send(&packet(kind::UNWATCH, 10, 0, &watch));
    other.request(kind::EVAL, &broadcast(3));
    assert_eq!(client.request(kind::PING, &[]).text, "{}");
}

fn call_broadcast(value: u64) -> Vec<u8> {
    eval(&format!("box.broadcast('news', {value})"))
}

#[test]
fn identification_tells_what_there_is() {
    let server = Server::start();
    let mut client = server.connect();
    let id = body(&[(key::VERSION, number(10)), (key::FEATURES, array(&[number(2), number(900)]))]);
    let told = client.request(kind::ID, &id).text;
    assert_eq!(told, r#"{84: 10, 85: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11], 91: "chap-sha1"}"#);
}

#[test]
fn requests_that_are_wrong_are_answered() {
    let server = Server::start();
    let mut client = server.connect();
    for (kind, body, expected) in [
        (kind::SELECT, vec![], "Missing mandatory field 'SPACE_ID' in request"),
        (kind::CALL, vec![], "Invalid MsgPack - missing request body"),
        (kind::CALL, vec![0x80], "Missing mandatory field 'FUNCTION_NAME' in request"),
        (kind::INSERT, vec![0x81, key::TUPLE, 5], "Invalid MsgPack - packet body"),
        (kind::INSERT, vec![0xc1], "Invalid MsgPack - packet body"),
        (kind::ID, vec![], "Invalid MsgPack - request body"),
        (kind::AUTH, vec![0x80], "Missing mandatory field 'USER_NAME' in request"),
        (kind::WATCH, vec![0x80], "Missing mandatory field 'EVENT_KEY' in request"),
        (kind::NOP, vec![], "Unknown request type 12"),
        (999, vec![], "Unknown request type 999"),
        (kind::SUBSCRIBE, vec![], "Lycosa does not support replication"),
    ] {
        assert_eq!(message(Some(client.request(kind, &body))), expected, "{kind} {body:?}");
    }
    let wrong_space = body(&[(key::SPACE_ID, number(9999)), (key::TUPLE, array(&[]))]);
    assert_eq!(client.request(kind::INSERT, &wrong_space).text, "Space '9999' does not exist");
    // A header that is none, in a packet that ends where it says.
    client.send(&[3, 0xc0, 1, 2]);
    assert_eq!(message(client.read()), "Invalid MsgPack - packet header");
    assert_eq!(client.request(kind::PING, &[]).text, "{}");
}

#[test]
fn any_bytes_are_answered_or_closed() {
    let server = Server::start();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..300 {
        let mut client = server.connect();
        let mut bytes: Vec<u8> = (0..200)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        if round % 2 == 0 {
            // A good packet and a broken end of it.
            let good = packet(kind::REPLACE, 1, 0, &change(&[number(round), text("x")]));
            let size = (5 + round as usize % 20).min(good.len());
            bytes = [&good[..size], &bytes].concat();
        }
        client.send(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        while client.read().is_some() {}
    }
    let mut client = server.connect();
    client.send(b"\xa1GET / HTTP/1.1\r\n");
    assert_eq!(message(client.read()), "Invalid MsgPack - packet length");
    assert_eq!(client.read(), None);
    let mut client = server.connect();
    client.send(&[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]);
    let large = "Invalid MsgPack - too big packet size in the header: 4294967296";
    assert_eq!(message(client.read()), large);
    assert_eq!(client.read(), None);
    assert_eq!(server.connect().request(kind::PING, &[]).text, "{}");
}

#[test]
fn a_client_that_does_not_read_is_slowed_down() {
    let server = Server::start();
    let mut client = server.connect();
    let long = text(&"x".repeat(100_000));
    client.request(kind::REPLACE, &change(&[number(1), long]));
    let before = server.memory();
    client.stream.set_nonblocking(true).expect("a socket");
    // Far more replies than may wait: 20,000 of 100 kB each.
    let request = packet(kind::SELECT, 2, 0, &select(1));
    let mut bytes = request.repeat(20_000);
    let sent = std::io::Write::write(&mut client.stream, &bytes).expect("some room");
    bytes.drain(..sent);
    // Others are served meanwhile.
    let mut other = server.connect();
    for _ in 0..100 {
        assert_eq!(other.request(kind::PING, &[]).text, "{}");
    }
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 200 * 1024 * 1024, "the server holds {grown} bytes for a client");
    // And all is there when it reads.
    client.stream.set_nonblocking(false).expect("a socket");
    for _ in 0..sent / request.len() {
        let read = client.read().expect("a reply");
        assert_eq!((read.kind, read.sync), (0, 2));
    }
}

#[test]
fn many_idle_connections_are_cheap() {
    let server = Server::start();
    let idle: Vec<Connection> = (0..500).map(|_| server.connect()).collect();
    let mut client = server.connect();
    let count = eval("return box.stat.net().CONNECTIONS.current");
    assert_eq!(client.request(kind::EVAL, &count).text, "[501]");
    drop(idle);
    while client.request(kind::EVAL, &count).text != "[1]" {}
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_as_good() {
    use std::io::{Read, Write};
    let server = Server::start();
    let path = server.folder.path().join("s.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(path).expect("a connection");
    let mut greeting = [0; 128];
    stream.read_exact(&mut greeting).expect("a greeting");
    stream.write_all(&packet(kind::PING, 3, 0, &[])).expect("room");
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(reply[0], 0xce);
}

#[test]
fn the_end_of_the_server_is_announced() {
    let server = Server::start();
    let mut client = server.connect();
    client.send(&packet(kind::WATCH, 1, 0, &body(&[(key::EVENT_KEY, text("box.shutdown"))])));
    let _ = client.read().expect("an event");
    client.send(&packet(kind::WATCH, 2, 0, &body(&[(key::EVENT_KEY, text("box.shutdown"))])));
    client.send(&packet(kind::EVAL, 3, 0, &eval("require('fiber').new(os.exit, 0)")));
    let mut told = Vec::new();
    while let Some(reply) = client.read() {
        told.push((reply.kind, reply.sync));
    }
    told.sort_unstable();
    assert_eq!(told, [(0, 3), (u32::from(kind::EVENT), 2)]);
}
