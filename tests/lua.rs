//! Runs each file of `tests/lua` with our own binary: it must exit with 0 and print a TAP plan
//! without a failed check. Each gets an empty working directory, so that its database is its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A new working directory for a file.
fn empty_directory(file: &Path) -> PathBuf {
    let name = file.file_stem().unwrap_or_default();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lua").join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    directory
}

/// A file that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn lua_files_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lua"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    let runs: Vec<_> = files
        .iter()
        .map(|path| {
            Command::new("timeout")
                .arg(TIME_LIMIT.as_secs().to_string())
                .arg(env!("CARGO_BIN_EXE_lycosa"))
                .arg(path)
                .current_dir(empty_directory(path))
                .stdin(Stdio::null())
                .output()
                .expect("the program starts")
        })
        .collect();
    let mut problems = String::new();
    for (path, run) in files.iter().zip(&runs) {
        let output = String::from_utf8_lossy(&run.stdout);
        let failed = output.lines().any(|line| line.trim_start().starts_with("not ok"));
        if !run.status.success() || failed || !output.contains("\n1..") {
            let errors = String::from_utf8_lossy(&run.stderr);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            problems += &format!("{name}: {}\n{output}\n{errors}\n", run.status);
        }
    }
    assert!(problems.is_empty(), "{problems}");
}
