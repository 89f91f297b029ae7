//! Many clients at once: idle ones, busy ones, some that do not read and some that do not finish
//! what they say. Nothing is lost, and memory stays bounded.

use std::io::{Read, Write};
use std::sync::Barrier;

use lycosa::xrow::iproto::{key, kind};

use crate::server::{Connection, Server, body, call, change, number, packet, select, text};

/// What the limits of the process leave of what is wanted, in connections of one side each.
fn affordable(wanted: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )
    .expect("a higher limit");
    // Other tests run in this process at the same time.
    limit.maximum.map_or(wanted, |maximum| wanted.min((maximum as usize).saturating_sub(2000)))
}

const IDLE_COUNT: usize = 10_000;
const BUSY_COUNT: usize = 500;
const THREAD_COUNT: usize = 4;
const ROUND_COUNT: u64 = 5;
/// Requests of a round, for each connection.
const PIPELINE: u64 = 16;
const SLOW_COUNT: usize = 8;
const HALF_COUNT: usize = 200;
/// Replies that a slow reader leaves waiting: so many of that size.
const SLOW_REPLY_COUNT: u64 = 200;
const SLOW_REPLY_SIZE: usize = 100_000;

/// Memory that an idle connection may take, and all that is under way beside them.
const IDLE_SIZE_MAX: usize = 32 * 1024;
const WORK_SIZE_MAX: usize = 400 * 1024 * 1024;

fn connect_many(server: &Server, count: usize) -> Vec<Connection> {
    (0..count).map(|_| server.connect()).collect()
}

/// Sends rounds of requests to each connection, and checks the replies.
fn be_busy(connections: &mut [Connection], first_key: u64) {
    for round in 0..ROUND_COUNT {
        for (at, connection) in (0_u64..).zip(connections.iter_mut()) {
            let id = first_key + at;
            let mut bytes = Vec::new();
            for step in 0..PIPELINE {
                let sync = round * PIPELINE + step;
                let (kind, body) = match step % 4 {
                    0 => (kind::REPLACE, change(&[number(id), text("busy"), number(sync)])),
                    1 => (kind::SELECT, select(id)),
                    2 => (kind::CALL, call("add", &[number(id), number(sync)])),
                    _ => (kind::PING, Vec::new()),
                };
                bytes.extend(packet(kind, sync, 0, &body));
            }
            connection.send(&bytes);
        }
        for (at, connection) in (0_u64..).zip(connections.iter_mut()) {
            let id = first_key + at;
            // A call that has to wait lets later requests overtake it; these do not wait.
            for step in 0..PIPELINE {
                let reply = connection.read().expect("a reply");
                let sync = round * PIPELINE + step;
                let expected = match step % 4 {
                    0 => format!("[[{id}, \"busy\", {sync}]]"),
                    1 => format!("[[{id}, \"busy\", {}]]", sync - 1),
                    2 => format!("[{}]", id + sync),
                    _ => "{}".to_owned(),
                };
                assert_eq!((reply.sync, reply.text), (sync, expected), "of connection {id}");
            }
        }
    }
}

/// Asks for much and reads nothing until the barrier; then reads all of it.
fn be_slow(server: &Server, barrier: &Barrier) {
    let mut connection = server.connect();
    let mut writer = connection.stream.try_clone().expect("a second handle");
    let long = text(&"x".repeat(SLOW_REPLY_SIZE));
    std::thread::scope(|scope| {
        // The server stops reading, so this may wait.
        scope.spawn(move || {
            for sync in 0..SLOW_REPLY_COUNT {
                let request =
                    packet(kind::CALL, sync, 0, &call("echo", std::slice::from_ref(&long)));
                writer.write_all(&request).expect("a server that reads");
            }
        });
        barrier.wait();
        for sync in 0..SLOW_REPLY_COUNT {
            let reply = connection.read().expect("a reply");
            assert_eq!((reply.sync, reply.text.len()), (sync, SLOW_REPLY_SIZE + 4));
        }
    });
}

/// Says that a large packet comes, and sends the beginning of it.
fn begin_large(connection: &mut Connection) {
    connection.send(&[0xce, 0x06, 0, 0, 0, 0x82, key::REQUEST_TYPE, 10]);
}

#[test]
fn ten_thousand_idle_and_five_hundred_busy_clients() {
    let server = &Server::start();
    let idle_count = affordable(IDLE_COUNT + BUSY_COUNT).saturating_sub(BUSY_COUNT);
    let before = server.memory();
    let mut idle = connect_many(server, idle_count);
    let with_idle = server.memory();
    assert!(
        with_idle.saturating_sub(before) < idle_count * IDLE_SIZE_MAX,
        "{} bytes for an idle connection",
        (with_idle - before) / idle_count
    );
    let mut half: Vec<Connection> = connect_many(server, HALF_COUNT);
    half.iter_mut().for_each(begin_large);
    // All that is busy ends before the slow ones begin to read.
    let barrier = Barrier::new(SLOW_COUNT + 1);
    std::thread::scope(|scope| {
        for _ in 0..SLOW_COUNT {
            scope.spawn(|| be_slow(server, &barrier));
        }
        std::thread::scope(|busy| {
            for thread in 0..THREAD_COUNT {
                busy.spawn(move || {
                    let count = BUSY_COUNT / THREAD_COUNT;
                    be_busy(&mut connect_many(server, count), (thread * count) as u64);
                });
            }
        });
        let during = server.memory();
        assert!(
            during.saturating_sub(with_idle) < WORK_SIZE_MAX,
            "{} bytes for what is under way",
            during - with_idle
        );
        barrier.wait();
    });
    // Nobody was forgotten.
    for connection in &mut idle {
        connection.send(&packet(kind::PING, 7, 0, &[]));
    }
    for connection in &mut idle {
        assert_eq!(connection.read().expect("a reply").sync, 7);
    }
    // A packet that was begun can be ended; who leaves in the middle does no harm.
    let rest = HALF_COUNT / 2;
    half.truncate(rest);
    let mut client = server.connect();
    assert_eq!(client.request(kind::PING, &body(&[])).kind, 0);
    let mut last = half.pop().expect("one of them");
    drop(half);
    last.stream.shutdown(std::net::Shutdown::Write).expect("an open socket");
    assert_eq!(last.stream.read(&mut [0; 8]).expect("the end"), 0);
}
