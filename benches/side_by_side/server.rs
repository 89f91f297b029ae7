//! Servers under test: started with their own folder, watched through /proc, ended on drop.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may take to answer its first request.
const START_MAX: Duration = Duration::from_secs(60);
/// Unit of the CPU times in /proc: Linux shows them to programs in hundredths of a second.
const TICKS_PER_S: u64 = 100;

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lycosa,
    Redis,
}

/// Whether changes are logged: ours in `wal.mode: write`, redis-server in its append-only file
/// that is synced every second.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Log {
    Off,
    On,
}

/// A running server.
pub struct Server {
    process: Child,
    pub port: u16,
    _folder: Folder,
}

/// A temporary folder that goes with its owner.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let unique = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
        let path = std::env::temp_dir().join(format!("lycosa-bench-{unique}"));
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Server {
    /// Starts a server on a free port and waits until it answers.
    pub fn start(kind: Kind, executable: &Path, log: Log) -> Server {
        let folder = Folder::new();
        let port = free_port();
        let mut command = match kind {
            Kind::Lycosa => lycosa(executable, folder.path(), port, log),
            Kind::Redis => redis(executable, port, log),
        };
        let output = File::create(folder.path().join("output")).expect("a file for the log");
        let errors = output.try_clone().expect("a second handle");
        let process = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", executable.display()));
        let mut server = Server { process, port, _folder: folder };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while !TcpStream::connect(("127.0.0.1", self.port)).is_ok_and(|s| ask(s, &["PING"]).is_ok())
        {
            let ended = self.process.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "the server ended: see {}", self.output());
            assert!(Instant::now() < deadline, "the server does not answer: {}", self.output());
            sleep(Duration::from_millis(20));
        }
    }

    fn output(&self) -> String {
        fs::read_to_string(self._folder.path().join("output")).unwrap_or_default()
    }

    /// CPU time of all its threads so far.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = fs::read_to_string(path).expect("a running process");
        // The second field is the name in brackets, which may contain anything.
        let rest = text.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(number).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_S)
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let text = fs::read_to_string(path).expect("a running process");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| number(line.split_whitespace().next()?)).expect("VmRSS") * 1024
    }

    /// Sends one command and returns its raw reply.
    pub fn command(&self, words: &[&str]) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        ask(stream, words).expect("a reply")
    }

    pub fn is_saving(&self) -> bool {
        self.command(&["INFO", "persistence"]).contains("rdb_bgsave_in_progress:1")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

fn lycosa(executable: &Path, folder: &Path, port: u16, log: Log) -> Command {
    let application = Path::new(env!("CARGO_MANIFEST_DIR")).join("lua/init.lua");
    let mode = if log == Log::On { "write" } else { "none" };
    let config = format!(
        "app: {{file: '{}', cfg: {{redis: {{port: {port}}}}}}}\n\
         memtx: {{memory: 8GiB}}\n\
         wal: {{mode: {mode}}}\n\
         groups: {{g: {{replicasets: {{r: {{instances: {{i: {{}}}}}}}}}}}}\n",
        application.display()
    );
    fs::write(folder.join("config.yaml"), config).expect("a written configuration");
    let mut command = Command::new(executable);
    command.args(["--name", "i", "--config", "config.yaml"]);
    command
}

fn redis(executable: &Path, port: u16, log: Log) -> Command {
    let append_only = if log == Log::On { "yes" } else { "no" };
    let mut command = Command::new(executable);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.args(["--appendonly", append_only, "--appendfsync", "everysec"]);
    command
}

/// One command over a connection of its own, which is closed by `QUIT`.
fn ask(mut stream: TcpStream, words: &[&str]) -> std::io::Result<String> {
    stream.set_read_timeout(Some(START_MAX))?;
    let mut request = Vec::new();
    crate::load::write_request(&mut request, words.iter().map(|word| word.as_bytes()));
    crate::load::write_request(&mut request, [b"QUIT".as_slice()].into_iter());
    stream.write_all(&request)?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    if reply.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(reply) }
}
