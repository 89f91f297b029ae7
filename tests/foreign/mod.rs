//! Clients that other people wrote: what they need is installed under target/ at the first run; a
//! machine without a program skips its tests, loudly.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) {
    let output = command.output().expect("a program that starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{text}\n{errors}");
}

/// Whether the machine has a program.
pub fn exists(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program}");
    }
    found
}

/// Installs into a folder unless that was done: whole, by renaming what is complete.
pub fn prepare(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = root().join("target/test-clients").join(name);
    let done = folder.join("complete");
    if !done.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        install(&folder);
        std::fs::write(&done, "").expect("a mark");
    }
    folder
}

/// Packages of Python; returns the interpreter that has them.
pub fn python(name: &str, packages: &[&str]) -> PathBuf {
    let folder = prepare(name, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")));
        run(Command::new(folder.join("venv/bin/pip")).args(["install", "-q"]).args(packages));
    });
    folder.join("venv/bin/python")
}

/// Packages of Node; returns the folder to run scripts in.
pub fn node(name: &str, packages: &[&str]) -> PathBuf {
    prepare(name, |folder| {
        std::fs::write(folder.join("package.json"), "{\"private\": true}").expect("a file");
        run(Command::new("npm")
            .args(["install", "--silent", "--no-fund", "--no-audit"])
            .args(packages)
            .current_dir(folder));
    })
}
