//! The load generator: connections that each keep one pipeline of GET or SET requests under way.
//!
//! One thread, so that the server has the other core. Replies are checked to their last byte:
//! every key exists, so every reply is as long as every other.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub const CONNECTION_COUNT: usize = 50;

/// What to ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Get,
    Set,
}

/// One run.
#[derive(Clone, Copy)]
pub struct Load {
    pub operation: Operation,
    /// Requests that a connection sends before it reads the replies.
    pub pipeline: usize,
    pub key_count: u64,
    pub value_size: usize,
}

/// What came of a run.
#[derive(Default)]
pub struct Outcome {
    pub request_count: u64,
    pub elapsed: Duration,
    /// Of each pipeline, in microseconds.
    pub latencies_us: Vec<u32>,
}

impl Outcome {
    pub fn per_s(&self) -> f64 {
        self.request_count as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of pipelines did not exceed, in microseconds.
    pub fn percentile_us(&mut self, share: f64) -> f64 {
        assert!(!self.latencies_us.is_empty(), "nothing was measured");
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len() - 1;
        f64::from(self.latencies_us[(last as f64 * share).round() as usize])
    }
}

/// Appends a command as RESP.
pub fn write_request<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// The name of a key: like those of redis-benchmark, sixteen bytes.
fn key(number: u64) -> [u8; 16] {
    let text = format!("key:{number:012}");
    text.as_bytes().try_into().expect("sixteen bytes")
}

/// Sets every key once; a key lives `ttl_s` seconds if given.
pub fn fill(port: u16, key_count: u64, value_size: usize, ttl_s: Option<u32>) {
    const BATCH: u64 = 256;
    let value = vec![b'v'; value_size];
    let ttl = ttl_s.map(|ttl| ttl.to_string());
    run_here(async {
        let mut stream = connect(port).await;
        let mut request = Vec::new();
        let mut start = 0;
        while start < key_count {
            let end = key_count.min(start + BATCH);
            request.clear();
            for number in start..end {
                let key = key(number);
                match &ttl {
                    None => write_request(&mut request, [b"SET", &key[..], &value].into_iter()),
                    Some(ttl) => {
                        let words = [b"SET", &key[..], &value, b"EX", ttl.as_bytes()];
                        write_request(&mut request, words.into_iter());
                    }
                }
            }
            exchange(&mut stream, &request, b"+OK\r\n", (end - start) as usize).await;
            start = end;
        }
    });
}

/// Runs the load for this long, or until `is_over` says so.
pub fn run(port: u16, load: Load, duration: Duration, is_over: impl Fn() -> bool) -> Outcome {
    run_here(async {
        let start = Instant::now();
        let mut connections = tokio::task::JoinSet::new();
        let over = std::rc::Rc::new(std::cell::Cell::new(false));
        for number in 0..CONNECTION_COUNT {
            let over = over.clone();
            connections.spawn_local(connection(port, load, number as u64, over));
        }
        while start.elapsed() < duration && !is_over() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        over.set(true);
        // Pipelines under way are finished and counted, and so is the time that they take.
        let mut outcome = Outcome::default();
        while let Some(one) = connections.join_next().await {
            let latencies_us = one.expect("a connection that works");
            outcome.request_count += (latencies_us.len() * load.pipeline) as u64;
            outcome.latencies_us.extend(latencies_us);
        }
        outcome.elapsed = start.elapsed();
        outcome
    })
}

/// One connection: latencies of its pipelines.
async fn connection(
    port: u16,
    load: Load,
    number: u64,
    over: std::rc::Rc<std::cell::Cell<bool>>,
) -> Vec<u32> {
    let value = vec![b'v'; load.value_size];
    let expected = match load.operation {
        Operation::Get => {
            [b"$", value.len().to_string().as_bytes(), b"\r\n", &value, b"\r\n"].concat()
        }
        Operation::Set => b"+OK\r\n".to_vec(),
    };
    let mut stream = connect(port).await;
    let mut random = number * 0x9E37_79B9_7F4A_7C15 + 1;
    let (mut request, mut latencies_us) = (Vec::new(), Vec::new());
    while !over.get() {
        request.clear();
        for _ in 0..load.pipeline {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = key(random % load.key_count);
            match load.operation {
                Operation::Get => write_request(&mut request, [b"GET", &key[..]].into_iter()),
                Operation::Set => {
                    write_request(&mut request, [b"SET", &key[..], &value].into_iter());
                }
            }
        }
        let start = Instant::now();
        exchange(&mut stream, &request, &expected, load.pipeline).await;
        latencies_us.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    latencies_us
}

/// Sends requests and reads as many replies, each of which must be `expected`.
async fn exchange(stream: &mut TcpStream, request: &[u8], expected: &[u8], count: usize) {
    stream.write_all(request).await.expect("a server that reads");
    let mut buffer = [0; 16 * 1024];
    let mut missing = count * expected.len();
    // Where in a reply the next byte stands.
    let mut position = 0;
    while missing > 0 {
        stream.readable().await.expect("a server that answers");
        let size = match stream.try_read(&mut buffer) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(size) => size,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => panic!("{error}"),
        };
        let mut rest = &buffer[..size];
        while !rest.is_empty() {
            let piece = rest.len().min(expected.len() - position);
            let is_expected = rest[..piece] == expected[position..position + piece];
            assert!(is_expected, "an unexpected reply: {}", rest.escape_ascii());
            position = (position + piece) % expected.len();
            rest = &rest[piece..];
        }
        missing = missing.checked_sub(size).expect("no more replies than requests");
    }
}

async fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    stream
}

fn run_here<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), work)
}
