//! The tables, their medians, and the machine that they were measured on.

use std::fmt::Write;
use std::fs;
use std::process::Command;

/// Which way a ratio is good.
#[derive(Clone, Copy)]
pub enum Reach {
    AtLeast(f64),
    AtMost(f64),
    /// Only shown.
    Any,
}

/// One line: ours, theirs, ours divided by theirs.
pub struct Row {
    pub measure: String,
    pub ours: f64,
    pub theirs: f64,
    pub unit: &'static str,
    pub reach: Reach,
}

impl Row {
    pub fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }

    fn is_reached(&self) -> bool {
        match self.reach {
            Reach::AtLeast(bound) => self.ratio() >= bound,
            Reach::AtMost(bound) => self.ratio() <= bound,
            Reach::Any => true,
        }
    }
}

/// A table with a heading, printed as soon as its section is measured.
pub fn print(heading: &str, other: &str, rows: &[Row]) {
    let mut text = format!("\n### {heading}\n\n| measure | lycosa | {other} | ratio | reach |\n");
    text.push_str("|---|---:|---:|---:|---|\n");
    for row in rows {
        let reach = match row.reach {
            Reach::AtLeast(bound) => format!("≥ {bound}"),
            Reach::AtMost(bound) => format!("≤ {bound}"),
            Reach::Any => String::new(),
        };
        let missed = if row.is_reached() { "" } else { " **missed**" };
        let _ = writeln!(
            text,
            "| {} | {} {unit} | {} {unit} | {:.2} | {reach}{missed} |",
            row.measure,
            grouped(row.ours),
            grouped(row.theirs),
            row.ratio(),
            unit = row.unit,
        );
    }
    println!("{text}");
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Digits in groups of three; a fraction only for small numbers.
fn grouped(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Processor, cores, memory, kernel, date.
pub fn machine() -> String {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_default();
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = output("uname", &["-sr"]);
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    format!("{date}, {processor}, {cores} cores, {memory}, {kernel}")
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// First line that a program prints; empty if it does not run.
pub fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}
