//! A server of our own for a test, and a raw connection to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lycosa::value::mp::{self, Reader};
use lycosa::xrow::iproto::{key, kind};
use lycosa::xrow::{Row, error};

/// How long a reply may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A running server (`server.lua`); it ends when this is dropped.
pub struct Server {
    pub process: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Server {
        Server::with_threads(crate::THREADS)
    }

    /// With so many threads that serve sockets.
    pub fn with_threads(count: usize) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new(env!("CARGO_BIN_EXE_lycosa"))
            .arg(root().join("tests/iproto/server.lua"))
            .current_dir(folder.path())
            .env("TT_IPROTO_THREADS", count.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a started server");
        let mut line = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        Server { process, port: port.expect("the line ends with the port"), folder }
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.port)
    }

    /// Bytes of memory that the process has.
    pub fn memory(&self) -> usize {
        let path = format!("/proc/{}/statm", self.process.id());
        let text = std::fs::read_to_string(path).expect("a living process");
        let pages: usize = text.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a number");
        pages * 4096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A reply.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub kind: u32,
    pub sync: u64,
    /// The error's message, or the value of `DATA` as text, or the whole body.
    pub text: String,
}

/// A raw connection.
pub struct Connection {
    pub stream: TcpStream,
}

/// A packet of this type and number, in a stream unless that is 0.
pub fn packet(kind: u16, sync: u64, stream: u64, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    mp::write_map_len(&mut packet, 2 + u32::from(stream != 0));
    packet.push(key::REQUEST_TYPE);
    mp::write_uint(&mut packet, u64::from(kind));
    packet.push(key::SYNC);
    mp::write_uint(&mut packet, sync);
    if stream != 0 {
        packet.push(key::STREAM_ID);
        mp::write_uint(&mut packet, stream);
    }
    packet.extend_from_slice(body);
    let mut framed = vec![0xce];
    framed.extend_from_slice(&(packet.len() as u32).to_be_bytes());
    framed.extend_from_slice(&packet);
    framed
}

/// A body `{key: value, ...}` of MessagePack values.
pub fn body(pairs: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    mp::write_map_len(&mut body, pairs.len() as u32);
    for (key, value) in pairs {
        body.push(*key);
        body.extend_from_slice(value);
    }
    body
}

pub fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    mp::write_str(&mut out, text.as_bytes());
    out
}

pub fn number(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    mp::write_uint(&mut out, number);
    out
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    mp::write_array_len(&mut out, items.len() as u32);
    out.extend(items.concat());
    out
}

/// The body of a call with arguments.
pub fn call(function: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    body(&[(key::FUNCTION_NAME, text(function)), (key::TUPLE, array(arguments))])
}

/// The body of a change of the space `test` (by name).
pub fn change(tuple: &[Vec<u8>]) -> Vec<u8> {
    body(&[(key::SPACE_NAME, text("test")), (key::TUPLE, array(tuple))])
}

/// The body of a selection by a number.
pub fn select(id: u64) -> Vec<u8> {
    let (limit, id) = (number(10), array(&[number(id)]));
    body(&[(key::SPACE_NAME, text("test")), (key::LIMIT, limit), (key::KEY, id)])
}

impl Connection {
    /// Connects and reads the greeting.
    pub fn to(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut connection = Connection { stream };
        let mut greeting = [0; 128];
        connection.stream.read_exact(&mut greeting).expect("a greeting");
        assert!(greeting.starts_with(b"Tarantool "));
        connection
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // A server that has closed meanwhile shows when the reply is read.
        let _ = self.stream.write_all(bytes);
    }

    /// The next reply, `None` when the connection is closed.
    pub fn read(&mut self) -> Option<Reply> {
        let mut length = [0; 5];
        self.stream.read_exact(&mut length).ok()?;
        assert_eq!(length[0], 0xce);
        let size = u32::from_be_bytes([length[1], length[2], length[3], length[4]]);
        let mut packet = vec![0; size as usize];
        self.stream.read_exact(&mut packet).ok()?;
        let row = Row::decode_exact(&packet).expect("a well-formed reply");
        let kind = row.header.kind;
        let text = if kind & kind::ERROR != 0 {
            error::decode_body(kind, row.body).message().to_owned()
        } else {
            let mut reader = Reader::new(row.body);
            match (reader.read_map_len(), reader.read_uint()) {
                (Some(1), Some(name)) if name == u64::from(key::DATA) => mp::text(reader.rest()),
                _ => mp::text(row.body),
            }
        };
        Some(Reply { kind, sync: row.header.sync, text })
    }

    /// Sends a request and reads its reply.
    pub fn request(&mut self, kind: u16, body: &[u8]) -> Reply {
        self.send(&packet(kind, 1, 0, body));
        self.read().expect("a reply")
    }
}
