//! Replies recorded from redis-server, in `cases/*.txt`.
//!
//! `> COMMAND` is sent on the first connection, `b> COMMAND` on connection b; the line below is
//! the reply, or `...` where it may be anything. Each file starts with empty databases.

use std::collections::HashMap;

use crate::server::{Connection, Server, root};

#[test]
fn replies_are_those_of_redis() {
    let server = Server::start();
    let mut failures = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(root().join("tests/redis/cases"))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file of cases");
        assert_eq!(server.connect().command("FLUSHALL"), "+OK");
        let mut connections = HashMap::new();
        let lines: Vec<&str> = text.lines().collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let Some((name, command)) = pair[0].split_once("> ") else { continue };
            if !name.chars().all(char::is_alphanumeric) {
                continue;
            }
            let connection: &mut Connection =
                connections.entry(name).or_insert_with(|| server.connect());
            let reply = connection.call(&words(command));
            if pair[1] != "..." && pair[1] != reply {
                failures.push(format!(
                    "{}:{}: {command}\n  expected {}\n  got      {reply}",
                    file.display(),
                    number + 1,
                    pair[1]
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Splits a command into words, with quotes as in redis-cli.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    while let Some(&first) = bytes.peek() {
        if first == b' ' {
            bytes.next();
            continue;
        }
        let mut word = Vec::new();
        if first == b'"' {
            bytes.next();
            loop {
                match bytes.next().expect("a closing quote") {
                    b'"' => break,
                    b'\\' => word.push(match bytes.next().expect("an escaped character") {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'x' => {
                            let digits = [bytes.next(), bytes.next()].map(|digit| {
                                char::from(digit.expect("two digits")).to_digit(16).expect("hex")
                            });
                            (digits[0] * 16 + digits[1]) as u8
                        }
                        other => other,
                    }),
                    byte => word.push(byte),
                }
            }
        } else {
            while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                word.push(byte);
            }
        }
        words.push(word);
    }
    words
}
