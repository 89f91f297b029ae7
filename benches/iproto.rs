//! The binary protocol beside Debian's tarantool: the same load on both, in turn.
//!
//! ```text
//! cargo bench --bench iproto                 five runs of five seconds each
//! cargo bench --bench iproto -- --quick      seconds: does the runner itself work?
//! cargo bench --bench iproto -- call         some operations only
//! cargo bench --bench iproto -- --runs=3 --seconds=2 --threads=1 --server=/path/of/lycosa
//! ```
//!
//! `--threads` is the option `iproto.threads` of our server; `--alone` leaves tarantool out, for
//! profiles; `--pipeline=16` measures that depth only.
//!
//! 50 connections of one thread keep a pipeline of 1 or 16 requests under way each: `ping`, `select`
//! by key, `replace` (wal_mode = write), `call` of a function that adds two numbers. Each number is
//! the median of runs that alternate between the two.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lycosa::net::iproto::frame::{self, Frame};
use lycosa::value::mp;
use lycosa::xrow::iproto::{key, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTION_COUNT: usize = 50;
const KEY_COUNT: u64 = 100_000;
const OPERATIONS: [&str; 4] = ["ping", "select", "replace", "call"];

/// What both servers run.
const SCRIPT: &str = r"
box.cfg{listen = '127.0.0.1:0', wal_mode = 'write', log_level = 1, memtx_memory = 256 * 1024 * 1024,
        checkpoint_interval = 0}
local space = box.schema.space.create('test', {id = 512})
space:create_index('pk')
box.schema.user.grant('guest', 'super')
box.begin()
for i = 0, 99999 do space:replace{i, 'value', i} end
box.commit()
function add(a, b) return a + b end
io.stdout:write('listening at ', box.info.listen, '\n')
io.stdout:flush()
";

struct Server {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(executable: &str, threads: Option<&str>) -> Option<Server> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = folder.path().join("server.lua");
        std::fs::write(&script, SCRIPT).expect("a written file");
        let mut command = Command::new(executable);
        if let Some(threads) = threads {
            command.env("TT_IPROTO_THREADS", threads);
        }
        let mut process = command
            .arg(&script)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        Some(Server { process, port: port.expect("a port"), _folder: folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Appends a request.
fn write_request(out: &mut Vec<u8>, operation: &str, number: u64) {
    let start = out.len();
    out.extend_from_slice(&[0xce, 0, 0, 0, 0]);
    let request_type = match operation {
        "ping" => kind::PING,
        "select" => kind::SELECT,
        "replace" => kind::REPLACE,
        _ => kind::CALL,
    };
    out.extend_from_slice(&[0x82, key::REQUEST_TYPE]);
    mp::write_uint(out, u64::from(request_type));
    out.push(key::SYNC);
    mp::write_uint(out, number);
    let row = number.wrapping_mul(2_654_435_761) % KEY_COUNT;
    match operation {
        "ping" => out.push(0x80),
        "select" => {
            out.extend_from_slice(&[0x86, key::SPACE_ID]);
            mp::write_uint(out, 512);
            out.extend_from_slice(&[key::INDEX_ID, 0, key::LIMIT, 1, key::OFFSET, 0]);
            out.extend_from_slice(&[key::ITERATOR, 0, key::KEY, 0x91]);
            mp::write_uint(out, row);
        }
        "replace" => {
            out.extend_from_slice(&[0x82, key::SPACE_ID]);
            mp::write_uint(out, 512);
            out.extend_from_slice(&[key::TUPLE, 0x93]);
            mp::write_uint(out, row);
            mp::write_str(out, b"value");
            mp::write_uint(out, number);
        }
        _ => {
            out.extend_from_slice(&[0x82, key::FUNCTION_NAME]);
            mp::write_str(out, b"add");
            out.extend_from_slice(&[key::TUPLE, 0x92, 1, 2]);
        }
    }
    let size = (out.len() - start - 5) as u32;
    out[start + 1..start + 5].copy_from_slice(&size.to_be_bytes());
}

/// Requests per second.
fn run(port: u16, operation: &'static str, pipeline: usize, time: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let tasks = tokio::task::LocalSet::new();
    let start = Instant::now();
    let clients: Vec<_> = (0..CONNECTION_COUNT as u64)
        .map(|client| {
            tasks.spawn_local(client_task(port, operation, pipeline, client, start + time))
        })
        .collect();
    let count: u64 = tasks.block_on(&runtime, async {
        let mut count = 0;
        for client in clients {
            count += client.await.expect("a client that ends");
        }
        count
    });
    count as f64 / start.elapsed().as_secs_f64()
}

async fn client_task(
    port: u16,
    operation: &'static str,
    pipeline: usize,
    client: u64,
    end: Instant,
) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let mut greeting = [0; 128];
    stream.read_exact(&mut greeting).await.expect("a greeting");
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    let mut count = 0;
    while Instant::now() < end {
        request.clear();
        for number in 0..pipeline as u64 {
            write_request(&mut request, operation, client * 1_000_003 + count + number);
        }
        stream.write_all(&request).await.expect("a written request");
        let mut missing = pipeline;
        let mut position = 0;
        reply.clear();
        while missing > 0 {
            match frame::find(&reply[position..]).expect("a packet") {
                Frame::Packet(packet) => {
                    // {0: 0, ...}: type OK.
                    let type_at = position + packet.start + 3;
                    assert_eq!(reply[type_at..type_at + 4], [0; 4], "an error");
                    position += packet.end;
                    missing -= 1;
                }
                Frame::Missing(_) => {
                    stream.read_buf(&mut reply).await.expect("a reply");
                }
            }
        }
        count += pipeline as u64;
    }
    count
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name));
    let number = |name: &str, default: f64| {
        option(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let runs = number("--runs=", if is_quick { 1.0 } else { 5.0 }) as usize;
    let time = Duration::from_secs_f64(number("--seconds=", if is_quick { 0.5 } else { 5.0 }));
    let wanted: Vec<&'static str> =
        OPERATIONS.into_iter().filter(|name| arguments.iter().any(|it| it == name)).collect();
    let wanted = if wanted.is_empty() { OPERATIONS.to_vec() } else { wanted };
    println!("| operation | pipeline | lycosa | tarantool | ratio |\n|---|---|---|---|---|");
    let executable = option("--server=").unwrap_or(env!("CARGO_BIN_EXE_lycosa"));
    let own = Server::start(executable, option("--threads=")).expect("our server");
    let is_alone = arguments.iter().any(|argument| argument == "--alone");
    let other = if is_alone { None } else { Server::start("tarantool", None) };
    let pipelines = option("--pipeline=").map(|text| vec![text.parse().expect("a number")]);
    let pipelines = pipelines.unwrap_or(vec![1, 16]);
    for operation in wanted {
        for &pipeline in &pipelines {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..runs {
                ours.push(run(own.port, operation, pipeline, time));
                if let Some(other) = &other {
                    theirs.push(run(other.port, operation, pipeline, time));
                }
            }
            let ours = median(ours);
            let theirs = if theirs.is_empty() { f64::NAN } else { median(theirs) };
            println!(
                "| {operation} | {pipeline} | {ours:.0} | {theirs:.0} | {:.2} |",
                ours / theirs
            );
            let _ = std::io::stdout().flush();
        }
    }
}
