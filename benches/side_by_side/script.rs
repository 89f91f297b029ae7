//! Lua scripts that any Tarantool-compatible executable runs, and the numbers that they print.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::report::median;
use crate::server::Folder;

/// The scripts beside this program.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name)
}

/// Runs a script in a folder and returns what it printed.
pub fn run(executable: &Path, folder: &Path, script: &Path, arguments: &[&str]) -> String {
    let output = Command::new(executable)
        .arg(script)
        .args(arguments)
        .current_dir(folder)
        // What scripts of other people take for their work folder.
        .env("WD", folder.join("work"))
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", executable.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", script.display());
    text
}

/// Rates of a script's rows, `NAME   NUMBER op/s …`, in their order.
fn rates(text: &str) -> Rates {
    let rate = |line: &str| {
        let (before, _) = line.split_once(" op/s")?;
        let (name, rate) = before.trim_end().rsplit_once(' ')?;
        Some((name.trim().to_owned(), rate.parse().ok()?))
    };
    text.lines().filter_map(rate).collect()
}

/// Rows of a script's output: what was measured, and its rate.
type Rates = Vec<(String, f64)>;

/// Runs a script on both executables in turn: medians of each row, ours and theirs.
pub fn compare(
    ours: &Path,
    theirs: &Path,
    script: &Path,
    run_count: usize,
) -> Vec<(String, f64, f64)> {
    let measure = |executable: &Path| {
        let folder = Folder::new();
        rates(&run(executable, folder.path(), script, &[]))
    };
    let runs: Vec<_> = (0..run_count).map(|_| (measure(ours), measure(theirs))).collect();
    let of = |side: &dyn Fn(&(Rates, Rates)) -> f64| median(runs.iter().map(side).collect());
    let names: Vec<String> = runs[0].0.iter().map(|(name, _)| name.clone()).collect();
    assert!(!names.is_empty(), "{} prints no rates", script.display());
    let row = |(index, name): (usize, String)| {
        (name, of(&|run| run.0[index].1), of(&|run| run.1[index].1))
    };
    names.into_iter().enumerate().map(row).collect()
}

/// The first number after a word in a script's output.
pub fn number_after(text: &str, word: &str) -> f64 {
    let rest = text.split_once(word).map(|(_, rest)| rest).unwrap_or_default();
    let number = rest.split_whitespace().next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no number after {word:?} in {text:?}"))
}
