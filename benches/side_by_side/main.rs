//! Lycosa beside redis-server and tarantool: the same load, in turn, on the same machine.
//!
//! ```text
//! cargo bench --bench side_by_side                       everything, about an hour
//! cargo bench --bench side_by_side -- requests engine    some sections
//! cargo bench --bench side_by_side -- --quick            seconds: does the runner itself work?
//! ```
//!
//! Sections: `requests`, `engine`, `memory`, `recovery`, `snapshot`, `growth`, `vinyl`. Options:
//! `--runs N` of each measure (5), `--seconds N` of each run (5), `--engine-script FILE` instead of
//! engine.lua (rows `NAME NUMBER op/s`), `--lycosa`, `--redis`, `--tarantool FILE` (executables).
//!
//! Each number is the median of runs that alternate between the two, so that a machine that gets
//! slower meanwhile slows both. What is not installed is left out. Run it on a quiet machine.

mod load;
mod report;
mod script;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use load::{Load, Operation};
use report::{Reach, Row, median};
use server::{Folder, Kind, Log, Server};

const SECTIONS: &[&str] =
    &["requests", "engine", "memory", "recovery", "snapshot", "growth", "vinyl"];

/// What the command line says.
struct Plan {
    sections: Vec<String>,
    run_count: usize,
    run_time: Duration,
    is_quick: bool,
    engine_script: PathBuf,
    lycosa: PathBuf,
    redis: PathBuf,
    tarantool: PathBuf,
}

impl Plan {
    fn read() -> Plan {
        let mut plan = Plan {
            sections: Vec::new(),
            run_count: 5,
            run_time: Duration::from_secs(5),
            is_quick: false,
            engine_script: script::path("engine.lua"),
            lycosa: env!("CARGO_BIN_EXE_lycosa").into(),
            redis: "redis-server".into(),
            tarantool: "tarantool".into(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| usage(&argument));
            let number = |text: String| text.parse().unwrap_or_else(|_| usage(&text));
            match argument.as_str() {
                // What cargo itself adds.
                "--bench" => {}
                "--quick" => {
                    plan.is_quick = true;
                    plan.run_count = 1;
                    plan.run_time = Duration::from_millis(500);
                }
                "--runs" => plan.run_count = number(value()) as usize,
                "--seconds" => plan.run_time = Duration::from_secs(number(value())),
                "--engine-script" => plan.engine_script = value().into(),
                "--lycosa" => plan.lycosa = value().into(),
                "--redis" => plan.redis = value().into(),
                "--tarantool" => plan.tarantool = value().into(),
                section if SECTIONS.contains(&section) => plan.sections.push(argument),
                _ => usage(&argument),
            }
        }
        plan
    }

    fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|wanted| wanted == section)
    }

    /// A number of keys or rows; a thousandth of it when the runner only tries itself.
    fn count(&self, count: u64) -> u64 {
        if self.is_quick { (count / 1000).max(1000) } else { count }
    }

    fn start(&self, kind: Kind, log: Log) -> Server {
        let executable = if kind == Kind::Lycosa { &self.lycosa } else { &self.redis };
        Server::start(kind, executable, log)
    }

    fn start_both(&self, log: Log) -> [Server; 2] {
        [self.start(Kind::Lycosa, log), self.start(Kind::Redis, log)]
    }
}

fn usage(wrong: &str) -> ! {
    eprintln!("{wrong}: the head of benches/side_by_side/main.rs says what can be asked for");
    std::process::exit(2)
}

fn main() {
    let plan = Plan::read();
    let version = |executable: &Path| {
        let text = report::output(&executable.to_string_lossy(), &["--version"]);
        (!text.is_empty()).then_some(text)
    };
    let (redis, tarantool) = (version(&plan.redis), version(&plan.tarantool));
    println!("{}", report::machine());
    println!("lycosa: {}", version(&plan.lycosa).unwrap_or_default());
    println!("redis-server: {}", redis.as_deref().unwrap_or("not installed"));
    println!("tarantool: {}", tarantool.as_deref().unwrap_or("not installed"));
    println!("{} runs of each, {:?} each", plan.run_count, plan.run_time);
    if redis.is_some() {
        for (section, measure) in [
            ("requests", requests as fn(&Plan)),
            ("memory", memory_of_keys),
            ("snapshot", snapshot),
            ("growth", growth),
        ] {
            if plan.wants(section) {
                measure(&plan);
            }
        }
    }
    if tarantool.is_some() {
        for (section, measure) in [
            ("engine", engine as fn(&Plan)),
            ("memory", memory_of_rows),
            ("recovery", recovery),
            ("vinyl", vinyl),
        ] {
            if plan.wants(section) {
                measure(&plan);
            }
        }
    }
}

/// Requests per second and CPU time of a request, for both servers in turn.
fn requests(plan: &Plan) {
    let mut rows = Vec::new();
    for (operation, name, log) in
        [(Operation::Get, "GET", Log::Off), (Operation::Set, "SET", Log::On)]
    {
        let servers = plan.start_both(log);
        let key_count = plan.count(100_000);
        servers.iter().for_each(|server| load::fill(server.port, key_count, 32, None));
        for (pipeline, reach) in [(16, 1.2), (1, 1.0)] {
            let load = Load { operation, pipeline, key_count, value_size: 32 };
            let (rates, costs_us) = alternate(plan, &servers, load);
            let measure = format!("{name}, pipeline {pipeline}");
            let [ours, theirs] = rates;
            let reach = Reach::AtLeast(reach);
            rows.push(Row { measure: measure.clone(), ours, theirs, unit: "/s", reach });
            let [ours, theirs] = costs_us;
            let reach = Reach::AtMost(0.75);
            let measure = format!("{measure}: CPU of a request");
            rows.push(Row { measure, ours, theirs, unit: "µs", reach });
        }
    }
    report::print("Requests: 50 connections, 100 000 keys, 32-byte values", "redis-server", &rows);
}

/// Medians of requests per second and of CPU microseconds per request.
fn alternate(plan: &Plan, servers: &[Server; 2], load: Load) -> ([f64; 2], [f64; 2]) {
    let mut rates = [Vec::new(), Vec::new()];
    let mut costs_us = [Vec::new(), Vec::new()];
    for _ in 0..plan.run_count {
        for (side, server) in servers.iter().enumerate() {
            let cpu_time = server.cpu_time();
            let outcome = load::run(server.port, load, plan.run_time, || false);
            let cpu_time = server.cpu_time() - cpu_time;
            rates[side].push(outcome.per_s());
            costs_us[side].push(cpu_time.as_secs_f64() * 1e6 / outcome.request_count as f64);
        }
    }
    (rates.map(median), costs_us.map(median))
}

/// Resident bytes of a key with a 64-byte value that expires.
fn memory_of_keys(plan: &Plan) {
    let key_count = plan.count(1_000_000);
    let [ours, theirs] = [Kind::Lycosa, Kind::Redis].map(|kind| {
        let server = plan.start(kind, Log::Off);
        let before = server.resident_bytes();
        load::fill(server.port, key_count, 64, Some(1_000_000));
        (server.resident_bytes() - before) as f64 / key_count as f64
    });
    let measure = format!("a key with ttl and a 64-byte value, of {key_count}");
    let row = Row { measure, ours, theirs, unit: "B", reach: Reach::AtMost(0.8) };
    report::print("Memory of keys, resident", "redis-server", &[row]);
}

/// The slowest SETs while all data is written out.
fn snapshot(plan: &Plan) {
    let key_count = plan.count(2_000_000);
    let servers = plan.start_both(Log::On);
    servers.iter().for_each(|server| load::fill(server.port, key_count, 32, None));
    let load = Load { operation: Operation::Set, pipeline: 1, key_count, value_size: 32 };
    let mut latencies_us = [Vec::new(), Vec::new()];
    for _ in 0..plan.run_count {
        for (side, server) in servers.iter().enumerate() {
            // Redis refuses while it rewrites its append-only file.
            let give_up = std::time::Instant::now() + Duration::from_secs(60);
            let mut reply = server.command(&["BGSAVE"]);
            while !reply.starts_with('+') && std::time::Instant::now() < give_up {
                std::thread::sleep(Duration::from_millis(100));
                reply = server.command(&["BGSAVE"]);
            }
            assert!(reply.starts_with('+'), "BGSAVE is refused: {reply}");
            let checked = std::cell::Cell::new(std::time::Instant::now());
            let is_over = || {
                let is_due = checked.get().elapsed() > Duration::from_millis(200);
                if is_due {
                    checked.set(std::time::Instant::now());
                }
                is_due && !server.is_saving()
            };
            let mut outcome = load::run(server.port, load, Duration::from_secs(60), is_over);
            latencies_us[side].push(outcome.percentile_us(0.999));
        }
    }
    let [ours, theirs] = latencies_us.map(median);
    let measure = format!("p99.9 of SET, 50 connections, {key_count} keys");
    let row = Row { measure, ours, theirs, unit: "µs", reach: Reach::AtMost(1.0) };
    report::print("While a snapshot is written", "redis-server, BGSAVE", &[row]);
}

/// How much slower a request is on many keys than on few.
fn growth(plan: &Plan) {
    let counts = [10_000, 100_000, 1_000_000, 10_000_000].map(|count| plan.count(count));
    let mut rows = Vec::new();
    for (operation, name, log) in
        [(Operation::Get, "GET", Log::Off), (Operation::Set, "SET", Log::On)]
    {
        let mut first = [0.0, 0.0];
        for key_count in counts {
            let servers = plan.start_both(log);
            servers.iter().for_each(|server| load::fill(server.port, key_count, 32, None));
            let load = Load { operation, pipeline: 16, key_count, value_size: 32 };
            let (rates, _) = alternate(plan, &servers, load);
            let times = rates.map(|rate| 1e6 / rate);
            if key_count == counts[0] {
                first = times;
            }
            let [ours, theirs] = [times[0] / first[0], times[1] / first[1]];
            let is_last = key_count == counts[counts.len() - 1];
            let reach = if is_last { Reach::AtMost(1.0) } else { Reach::Any };
            let measure = format!("{name}, {key_count} keys");
            rows.push(Row { measure, ours, theirs, unit: "×", reach });
        }
    }
    report::print(
        "Growth: time of a request, as a multiple of that on the fewest keys",
        "redis-server",
        &rows,
    );
}

/// Operations of the Lua API in one fiber.
fn engine(plan: &Plan) {
    let rows = script::compare(&plan.lycosa, &plan.tarantool, &plan.engine_script, plan.run_count);
    let row = |(measure, ours, theirs)| Row {
        measure,
        ours,
        theirs,
        unit: "/s",
        reach: Reach::AtLeast(1.0),
    };
    let rows: Vec<Row> = rows.into_iter().map(row).collect();
    report::print("Engine: operations of the Lua API in one fiber", "tarantool", &rows);
    let ratios: Vec<f64> = rows.iter().map(Row::ratio).collect();
    println!("Geometric mean: {:.2} (reach: ≥ 2)", report::geometric_mean(&ratios));
}

/// Resident bytes of a row.
fn memory_of_rows(plan: &Plan) {
    let count = plan.count(1_000_000).to_string();
    let script = script::path("memory.lua");
    let measure = |kind: &str| {
        let [ours, theirs] = [&plan.lycosa, &plan.tarantool].map(|executable| {
            let folder = Folder::new();
            let text = script::run(executable, folder.path(), &script, &[kind, &count]);
            script::number_after(&text, "bytes:")
        });
        let reach = if kind == "tree" { Reach::AtMost(1.0) } else { Reach::Any };
        Row { measure: format!("{kind}, of {count} rows"), ours, theirs, unit: "B", reach }
    };
    report::print("Memory of rows, resident", "tarantool", &["tree", "hash"].map(measure));
}

/// Rows per second of starting on a directory.
fn recovery(plan: &Plan) {
    let count = plan.count(10_000_000).to_string();
    let script = script::path("recovery.lua");
    let executables = [&plan.lycosa, &plan.tarantool];
    let measure = |source: &str| {
        let folders = executables.map(|executable| {
            let folder = Folder::new();
            script::run(executable, folder.path(), &script, &["fill", source, &count]);
            folder
        });
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..plan.run_count {
            for side in 0..2 {
                let text = script::run(executables[side], folders[side].path(), &script, &["load"]);
                rates[side].push(script::number_after(&text, "rows/s:"));
            }
        }
        let [ours, theirs] = rates.map(median);
        let measure = format!("from the {source}, {count} rows");
        Row { measure, ours, theirs, unit: "/s", reach: Reach::AtLeast(1.5) }
    };
    report::print("Recovery: rows per second", "tarantool", &["snapshot", "log"].map(measure));
}

/// Tables on disk: rates, and what they take.
fn vinyl(plan: &Plan) {
    const RATES: [&str; 5] = [
        "load in random order",
        "get, cached",
        "get, not cached",
        "select of 100",
        "mixed, 80 get to 20 replace",
    ];
    let count = plan.count(10_000_000).max(100_000).to_string();
    let script = script::path("vinyl.lua");
    let run = |executable: &Path| {
        let folder = Folder::new();
        script::run(executable, folder.path(), &script, &[&count])
    };
    let texts: Vec<_> =
        (0..plan.run_count).map(|_| [run(&plan.lycosa), run(&plan.tarantool)]).collect();
    let row = |measure: &str, unit, reach| {
        let of = |side: usize| {
            let word = format!("\n{measure}: ");
            let number = |text: &String| script::number_after(&format!("\n{text}"), &word);
            median(texts.iter().map(|both| number(&both[side])).collect())
        };
        Row { measure: measure.to_owned(), ours: of(0), theirs: of(1), unit, reach }
    };
    let mut rows: Vec<Row> =
        RATES.iter().map(|name| row(name, "/s", Reach::AtLeast(1.0))).collect();
    let ratios: Vec<f64> = rows.iter().map(Row::ratio).collect();
    rows.push(row("disk bytes of a byte of data", "", Reach::AtMost(1.0)));
    rows.push(row("resident at the end", "MiB", Reach::Any));
    rows.extend(
        RATES.iter().map(|name| row(&format!("longest stall of tx, {name}"), "ms", Reach::Any)),
    );
    report::print(&format!("Vinyl: {count} rows of 100 bytes"), "tarantool", &rows);
    println!("Geometric mean of the rates: {:.2} (reach: ≥ 1.5)", report::geometric_mean(&ratios));
}
