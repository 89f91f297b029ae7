//! The program as a child process of a test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a line of output may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; it is killed when this is dropped.
pub struct Program {
    process: Child,
    lines: Receiver<String>,
    log: Option<JoinHandle<String>>,
}

/// How a program ended.
pub struct End {
    pub status: ExitStatus,
    /// Lines of the standard output that nobody had read.
    pub lines: Vec<String>,
    /// The standard error.
    pub log: String,
}

/// A script of `tests/crash/`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash").join(name)
}

/// Our program, run on a script of `tests/crash/`.
pub fn lycosa(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lycosa"));
    command.arg(script(name));
    command
}

impl Program {
    pub fn start(mut command: Command) -> Program {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a started program");
        let (sender, lines) = channel();
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            let mut line = Vec::new();
            // A line that lacks its end was cut off by death: it tells nothing.
            while output.read_until(b'\n', &mut line).is_ok() && line.pop() == Some(b'\n') {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let mut errors = process.stderr.take().expect("a pipe");
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            let _ = errors.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        Program { process, lines, log: Some(log) }
    }

    /// The next line of the standard output, `None` at its end.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program says nothing"),
        }
    }

    /// Lines up to the given one, which is left out; `None` if it never comes.
    pub fn lines_until(&self, last: &str) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line == last {
                return Some(lines);
            }
            lines.push(line);
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> End {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.end()
    }

    /// Waits for the program to end by itself.
    pub fn wait(mut self) -> End {
        self.end()
    }

    fn end(&mut self) -> End {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            lines.push(line);
        }
        let status = self.process.wait().expect("a child that has ended");
        let log = self.log.take().expect("this is called once").join().expect("a read log");
        End { status, lines, log }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program to its end, which has to be a good one; returns its lines.
pub fn run(command: Command) -> Vec<String> {
    let end = Program::start(command).wait();
    assert!(end.status.success(), "{}\n{}\n{}", end.status, end.lines.join("\n"), end.log);
    end.lines
}
