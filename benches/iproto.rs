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
//! by key, `replace` (wal_mode = write), `call` of a function that adds two numbers. The thread goes
//! from connection to connection, reads the replies and sends the next requests, with nothing but
//! these two calls of the system. Each number is the median of runs that alternate between the two;
//! CPU is what all threads of the server used, in microseconds for each request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lycosa::net::iproto::frame::{self, Frame};
use lycosa::value::mp;
use lycosa::xrow::iproto::{key, kind};

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

impl Server {
    /// Seconds of processor time that all its threads have used.
    fn cpu_time(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = std::fs::read_to_string(path).expect("a living process");
        let rest = text.rsplit(')').next().unwrap_or_default();
        let ticks = rest.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
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

/// Requests per second, and microseconds of the server's processor time for each.
fn run(server: &Server, operation: &str, pipeline: usize, time: Duration) -> (f64, f64) {
    let mut clients: Vec<Client> =
        (0..CONNECTION_COUNT as u64).map(|number| Client::connect(server.port, number)).collect();
    let cpu = server.cpu_time();
    let start = Instant::now();
    for client in &mut clients {
        client.send(operation, pipeline);
    }
    while start.elapsed() < time {
        for client in &mut clients {
            client.receive(pipeline);
            client.send(operation, pipeline);
        }
    }
    for client in &mut clients {
        client.receive(pipeline);
    }
    let elapsed = start.elapsed().as_secs_f64();
    let count: u64 = clients.iter().map(|client| client.count).sum();
    (count as f64 / elapsed, (server.cpu_time() - cpu) * 1e6 / count as f64)
}

struct Client {
    stream: TcpStream,
    number: u64,
    /// Requests answered.
    count: u64,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Client {
    fn connect(port: u16, number: u64) -> Client {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.read_exact(&mut [0; 128]).expect("a greeting");
        Client { stream, number, count: 0, request: Vec::new(), reply: vec![0; 64 * 1024] }
    }

    fn send(&mut self, operation: &str, pipeline: usize) {
        self.request.clear();
        for step in 0..pipeline as u64 {
            let number = self.number * 1_000_003 + self.count + step;
            write_request(&mut self.request, operation, number);
        }
        self.stream.write_all(&self.request).expect("a written request");
    }

    /// Waits for the replies, and checks that each is one of success.
    fn receive(&mut self, pipeline: usize) {
        let (mut end, mut position, mut missing) = (0, 0, pipeline);
        while missing > 0 {
            end += self.stream.read(&mut self.reply[end..]).expect("a reply");
            while let Frame::Packet(packet) =
                frame::find(&self.reply[position..end]).expect("a packet")
            {
                // {0: 0, ...}: type OK.
                let type_at = position + packet.start + 3;
                assert_eq!(self.reply[type_at..type_at + 4], [0; 4], "an error");
                position += packet.end;
                missing -= 1;
            }
        }
        self.count += pipeline as u64;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
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
    println!(
        "| operation | pipeline | lycosa | tarantool | ratio | CPU, lycosa | CPU, tarantool |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
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
                ours.push(run(&own, operation, pipeline, time));
                theirs.extend(other.as_ref().map(|other| run(other, operation, pipeline, time)));
            }
            let [(ours, own_cpu), (theirs, their_cpu)] = [ours, theirs].map(|values| {
                let (rates, cpu): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
                (median(rates), median(cpu))
            });
            println!(
                "| {operation} | {pipeline} | {ours:.0} | {theirs:.0} | {:.2} | {own_cpu:.2} | \
                 {their_cpu:.2} |",
                ours / theirs
            );
            let _ = std::io::stdout().flush();
        }
    }
}
