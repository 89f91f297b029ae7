//! Native half of `box.stat`, `box.slab` and `box.runtime`: counters and memory.
//!
//! # Yields
//! never; the fiber that samples the network once a second does

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::space::{database, id};
use crate::base::error::Result;
use crate::db::{Database, Figures, OPERATIONS, Operation};
use crate::fiber;
use crate::lua::{self, Context, Module};
use crate::net::resp::Server;
use crate::tuple::arena;

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("stat_operations", lua_stat_operations)
        .function("stat_reset", lua_stat_reset)
        .function("stat_transactions", lua_stat_transactions)
        .function("stat_vinyl", lua_stat_vinyl)
        .function("stat_index", lua_stat_index)
        .function("index_compact", lua_index_compact)
        .function("stat_network", lua_stat_network)
        .function("slab_info", lua_slab_info)
        .function("slab_classes", lua_slab_classes)
        .function("runtime_info", lua_runtime_info)
}

fn set_size(cx: Context<'_>, name: &str, value: usize) {
    cx.push_uint64(value as u64);
    cx.raw_set_field(-2, name);
}

fn push_count(cx: Context<'_>, total: u64, per_second: u64) {
    cx.new_table(0, 2);
    cx.push_uint64(total);
    cx.raw_set_field(-2, "total");
    cx.push_uint64(per_second);
    cx.raw_set_field(-2, "rps");
}

/// `stat_operations()`: `{total, rps}` by the name of the operation.
fn lua_stat_operations(cx: Context<'_>) -> Result<usize> {
    let statistics = Database::find().map(Database::statistics);
    cx.new_table(0, OPERATIONS.len());
    for (operation, name) in OPERATIONS {
        if operation == Operation::Nop {
            continue;
        }
        let (total, per_second) = statistics.map_or((0, 0), |statistics| {
            (statistics.total(operation), statistics.per_second(operation))
        });
        push_count(cx, total, per_second);
        cx.raw_set_field(-2, name);
    }
    Ok(1)
}

fn lua_stat_reset(_: Context<'_>) -> Result<usize> {
    if let Some(database) = Database::find() {
        database.reset_statistics();
    }
    NETWORK.with(Network::reset);
    Ok(0)
}

fn push_figures(cx: Context<'_>, figures: &Figures) {
    cx.new_table(0, figures.len());
    for (name, figure) in figures {
        cx.push_number(*figure);
        cx.raw_set_field(-2, name);
    }
}

/// `stat_vinyl()`: figures by their dotted names; nothing before a space has needed the engine.
fn lua_stat_vinyl(cx: Context<'_>) -> Result<usize> {
    let Some(figures) = Database::find().and_then(Database::vinyl_figures) else { return Ok(0) };
    push_figures(cx, &figures);
    Ok(1)
}

/// `stat_index(space id, index id)`: figures by their dotted names; nothing of an index in memory.
fn lua_stat_index(cx: Context<'_>) -> Result<usize> {
    let Some(figures) = database()?.index_figures(id(cx, 1)?, id(cx, 2)?)? else { return Ok(0) };
    push_figures(cx, &figures);
    Ok(1)
}

/// `index_compact(space id, index id)`
fn lua_index_compact(cx: Context<'_>) -> Result<usize> {
    database()?.compact_index(id(cx, 1)?, id(cx, 2)?)?;
    Ok(0)
}

/// `stat_transactions()`: of the statements of undecided transactions the bytes in all, the most
/// of one, and the average.
fn lua_stat_transactions(cx: Context<'_>) -> Result<usize> {
    let sizes = Database::find().map(Database::transaction_sizes).unwrap_or_default();
    let total: usize = sizes.iter().sum();
    for value in [
        total,
        sizes.iter().copied().max().unwrap_or(0),
        total.checked_div(sizes.len()).unwrap_or(0),
    ] {
        cx.push_uint64(value as u64);
    }
    Ok(3)
}

/// What network servers count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    /// Connections that exist.
    pub connection_count: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Requests.
    pub requests: u64,
    /// Bytes read.
    pub received: u64,
    /// Bytes written.
    pub sent: u64,
    /// In total and now: streams, requests that wait in them, pieces of work under way.
    pub tracked: [(u64, u64); 3],
}

impl Traffic {
    /// None at all.
    pub(super) const NONE: Traffic = Traffic {
        connection_count: 0,
        connections: 0,
        requests: 0,
        received: 0,
        sent: 0,
        tracked: [(0, 0); 3],
    };

    /// The sum with another.
    fn plus(self, other: Traffic) -> Traffic {
        let sum = |index: usize| {
            let ((total, now), (more, more_now)) = (self.tracked[index], other.tracked[index]);
            (total + more, now + more_now)
        };
        Traffic {
            connection_count: self.connection_count + other.connection_count,
            connections: self.connections + other.connections,
            requests: self.requests + other.requests,
            received: self.received + other.received,
            sent: self.sent + other.sent,
            tracked: std::array::from_fn(sum),
        }
    }

    /// Adds what a server counts.
    pub(super) fn add(&mut self, server: &Server) {
        self.connection_count += server.connection_count() as u64;
        for (name, value) in server.counters().list() {
            match name {
                "connections_received" => self.connections += value,
                "commands_processed" => self.requests += value,
                "input_bytes" => self.received += value,
                "output_bytes" => self.sent += value,
                _ => {}
            }
        }
    }

    fn totals(self) -> [(&'static str, u64); 7] {
        [
            ("CONNECTIONS", self.connections),
            ("REQUESTS", self.requests),
            ("RECEIVED", self.received),
            ("SENT", self.sent),
            ("STREAMS", self.tracked[0].0),
            ("REQUESTS_IN_STREAM_QUEUE", self.tracked[1].0),
            ("REQUESTS_IN_PROGRESS", self.tracked[2].0),
        ]
    }
}

/// What all servers count.
fn traffic() -> Traffic {
    super::resp::traffic().plus(super::iproto::traffic())
}

/// Seconds that rates are averaged over.
const WINDOW_S: usize = 5;

/// The traffic of the last seconds, sampled once somebody has asked.
struct Network {
    /// What `box.stat.reset` takes off.
    base: Cell<Traffic>,
    past: RefCell<std::collections::VecDeque<Traffic>>,
    is_sampled: Cell<bool>,
}

thread_local! {
    static NETWORK: Network = const {
        Network {
            base: Cell::new(Traffic::NONE),
            past: RefCell::new(std::collections::VecDeque::new()),
            is_sampled: Cell::new(false),
        }
    };
}

impl Network {
    fn reset(&self) {
        self.base.set(traffic());
        self.past.borrow_mut().clear();
    }

    /// Total and rate of each count.
    fn rates(&self) -> [(&'static str, u64, u64); 7] {
        let now = traffic();
        let past = self.past.borrow();
        let oldest = past.front().copied().unwrap_or(now).totals();
        let (totals, base) = (now.totals(), self.base.get().totals());
        std::array::from_fn(|index| {
            let (name, total) = totals[index];
            let grown = total.saturating_sub(oldest[index].1);
            let rate = grown / past.len().max(1) as u64;
            (name, total.saturating_sub(base[index].1), rate)
        })
    }

    fn start(&self) {
        if self.is_sampled.replace(true) {
            return;
        }
        let sampler = fiber::spawn("network_ticks", || {
            while fiber::sleep(Duration::from_secs(1)).is_ok() {
                NETWORK.with(|network| {
                    let mut past = network.past.borrow_mut();
                    if past.len() >= WINDOW_S {
                        past.pop_front();
                    }
                    past.push_back(traffic());
                });
            }
        });
        sampler.set_system();
    }
}

/// `stat_network()`: `{total, rps}` by name, and how many there are now: connections, streams,
/// requests that wait in streams, pieces of work.
fn lua_stat_network(cx: Context<'_>) -> Result<usize> {
    let rates = NETWORK.with(|network| {
        network.start();
        network.rates()
    });
    cx.new_table(0, rates.len());
    for (name, total, rate) in rates {
        push_count(cx, total, rate);
        cx.raw_set_field(-2, name);
    }
    let now = traffic();
    cx.push_uint64(now.connection_count);
    now.tracked.iter().for_each(|(_, now)| cx.push_uint64(*now));
    Ok(5)
}

/// `slab_info()`: bytes by what holds them.
fn lua_slab_info(cx: Context<'_>) -> Result<usize> {
    let stat = arena::stat();
    cx.new_table(0, 5);
    // What tuples of spaces use, and what is set aside for tuples.
    let items_used = stat.memtx_used - stat.index_used.min(stat.memtx_used);
    set_size(cx, "items_used", items_used);
    set_size(cx, "items_size", (stat.slab_size + stat.large_size).max(items_used));
    set_size(cx, "index_used", stat.index_used);
    set_size(cx, "quota_used", stat.memtx_used);
    set_size(cx, "quota_size", stat.quota_size);
    Ok(1)
}

/// `slab_classes()`: an array of slabs by the size of their pieces.
fn lua_slab_classes(cx: Context<'_>) -> Result<usize> {
    let classes = arena::slab_classes();
    cx.new_table(classes.len(), 0);
    for (number, class) in (1..).zip(&classes) {
        let used = class.piece_size * class.piece_count;
        cx.new_table(0, 6);
        set_size(cx, "item_size", class.piece_size);
        set_size(cx, "item_count", class.piece_count);
        set_size(cx, "slab_size", class.slab_size);
        set_size(cx, "slab_count", class.slab_count);
        set_size(cx, "mem_used", used);
        set_size(cx, "mem_free", class.slab_size * class.slab_count - used);
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

/// `runtime_info()`: bytes of the Lua heap, its limit, and bytes of tuples that belong to no space.
fn lua_runtime_info(cx: Context<'_>) -> Result<usize> {
    cx.push_uint64(lua::used_bytes() as u64);
    cx.push_uint64(lua::limit_bytes() as u64);
    cx.push_uint64(arena::stat().runtime_used as u64);
    Ok(3)
}
