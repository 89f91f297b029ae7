//! A server of our own for a test, and a raw connection to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a reply may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with the bundled application; it ends when this is dropped.
pub struct Server {
    process: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
    log: std::sync::mpsc::Receiver<String>,
}

impl Server {
    /// Starts the application as it is.
    pub fn start() -> Server {
        Server::start_with("", "")
    }

    /// Starts the application with more lines for `app.cfg.redis` and for the top level.
    pub fn start_with(redis: &str, top: &str) -> Server {
        Server::start_file("lua/init.lua", redis, top)
    }

    /// Starts one file of the application, on a copy of the folder.
    pub fn start_file(file: &str, redis: &str, top: &str) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(&root().join("lua"), &folder.path().join("lua"));
        let memtx = if top.contains("memtx:") { "" } else { "memtx: {max_tuple_size: 64MiB}" };
        let config = format!(
            "app: {{file: {file}, cfg: {{redis: {{port: 0, {redis}}}}}}}\n\
             log: {{to: stderr}}\n{memtx}\n{top}\n\
             groups: {{g: {{replicasets: {{r: {{instances: {{i: {{}}}}}}}}}}}}\n"
        );
        std::fs::write(folder.path().join("config.yaml"), config).expect("a written file");
        let mut process = Command::new(env!("CARGO_BIN_EXE_lycosa"))
            .args(["--name", "i", "--config", "config.yaml"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a started server");
        let log = BufReader::new(process.stderr.take().expect("a pipe"));
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                eprintln!("{line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Server { process, port: 0, folder, log: receiver };
        let line = server.wait_for_log("Redis protocol on ");
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
        server.port = port.expect("the log line ends with the port");
        server
    }

    /// Waits for a line of the log that contains this text.
    pub fn wait_for_log(&self, text: &str) -> String {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("the server did not log {text:?}: {error}"),
            }
        }
    }

    /// The lines that nobody has waited for.
    pub fn log_so_far(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Waits until the process has ended.
    pub fn wait_for_end(&mut self) -> std::process::ExitStatus {
        self.process.wait().expect("an ended process")
    }

    /// Changes the configuration file and has it read again.
    pub fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let path = self.folder.path().join("config.yaml");
        let text = std::fs::read_to_string(&path).expect("the configuration");
        std::fs::write(&path, change(text)).expect("a written file");
        let is_started = "require('config'):wait_status({'ready', 'check_warnings'})";
        self.evaluate(&format!("{is_started} require('config'):reload()"));
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

impl Server {
    /// What the console of the instance answers to a line of Lua.
    pub fn evaluate(&self, code: &str) -> String {
        let path = self.folder.path().join("var/run/i/tarantool.control");
        let console = UnixStream::connect(path).expect("a connection");
        console.set_read_timeout(Some(PATIENCE)).expect("an option");
        let mut console = BufReader::new(console);
        let mut text = String::new();
        let mut read_to = |end: &str, console: &mut BufReader<UnixStream>| {
            text.clear();
            while !text.contains(end) {
                assert_ne!(console.read_line(&mut text).expect("a line"), 0, "{text}");
            }
        };
        read_to("type 'help'", &mut console);
        console.get_mut().write_all(format!("{code}\n").as_bytes()).expect("a written line");
        read_to("...\n", &mut console);
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a new folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copied file");
        }
    }
}

/// A raw connection that shows replies as one line of text.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn to(port: u16) -> Connection {
        Connection::to_address("127.0.0.1", port)
    }

    pub fn to_address(host: &str, port: u16) -> Connection {
        let stream = TcpStream::connect((host, port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Connection { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        // A server that has closed meanwhile shows when the reply is read.
        let _ = self.stream.get_mut().write_all(bytes);
    }

    /// Sends a request.
    pub fn request<A: AsRef<[u8]>>(&mut self, arguments: &[A]) {
        let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            let argument = argument.as_ref();
            bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            bytes.extend_from_slice(argument);
            bytes.extend_from_slice(b"\r\n");
        }
        self.send(&bytes);
    }

    /// Sends a request and reads its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> String {
        self.request(arguments);
        self.reply()
    }

    /// Sends a request whose words are separated by spaces, and reads its reply.
    pub fn command(&mut self, line: &str) -> String {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// The next reply; `closed` if there is none.
    pub fn reply(&mut self) -> String {
        self.read().unwrap_or_else(|_| "closed".to_owned())
    }

    fn line(&mut self) -> std::io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.len() < 2 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    fn read(&mut self) -> std::io::Result<String> {
        let line = self.line()?;
        let text: String = line[1..].iter().map(|byte| char::from(*byte)).collect();
        let count = text.parse::<i64>().unwrap_or(0);
        Ok(match line[0] {
            b'_' => "nil".to_owned(),
            b'$' | b'=' if count < 0 => "nil".to_owned(),
            kind @ (b'$' | b'=') => {
                let mut bytes = vec![0; count as usize + 2];
                self.stream.read_exact(&mut bytes)?;
                let prefix = if kind == b'$' { "" } else { "=" };
                format!("{prefix}{}", quoted(&bytes[..count as usize]))
            }
            b'*' | b'~' | b'>' if count < 0 => "nil-list".to_owned(),
            b'%' => {
                let mut pairs = Vec::new();
                for _ in 0..count {
                    pairs.push(format!("{}: {}", self.read()?, self.read()?));
                }
                format!("{{{}}}", pairs.join(", "))
            }
            kind @ (b'*' | b'~' | b'>') => {
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.read()?);
                }
                let prefix = if kind == b'*' { "" } else { &*char::from(kind).to_string() };
                if kind == b'~' {
                    items.sort();
                }
                format!("{prefix}[{}]", items.join(", "))
            }
            kind => format!("{}{text}", char::from(kind)),
        })
    }
}

/// Bytes as a quoted string.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b' '..=b'~' => text.push(char::from(byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text.push('"');
    text
}
