//! Options of the data: database, sql, memtx, vinyl, quiver, wal, snapshot.
//!
//! # Yields
//! never

use super::check;
use super::node::*;

pub(super) fn database() -> Node {
    record(
        "The database of the instance.",
        [
            (
                "instance_uuid",
                string("UUID of the instance; made at bootstrap when not given.")
                    .default_null()
                    .box_cfg("instance_uuid")
                    .check(check::uuid),
            ),
            (
                "replicaset_uuid",
                string("UUID of the replica set; made at bootstrap when not given.")
                    .default_null()
                    .box_cfg("replicaset_uuid")
                    .check(check::uuid),
            ),
            (
                "hot_standby",
                boolean(
                    "Whether to follow the log of a running instance in the same \
                     folder and take over when it ends.",
                )
                .default(false)
                .box_cfg("hot_standby")
                .restart(),
            ),
            ("mode", choice(&["ro", "rw"], "Whether the instance accepts changes.").default_null()),
            (
                "txn_timeout",
                seconds("A transaction open for longer is rolled back.")
                    .default(3_153_600_000i64)
                    .box_cfg("txn_timeout"),
            ),
            (
                "txn_synchro_timeout",
                seconds(
                    "A synchronous transaction that waits for its quorum longer \
                     than this is left by its fiber.",
                )
                .default(5i64)
                .box_cfg("txn_synchro_timeout"),
            ),
            (
                "txn_isolation",
                choice(
                    &["read-committed", "read-confirmed", "best-effort"],
                    "Isolation level of transactions that name none.",
                )
                .default("best-effort")
                .box_cfg("txn_isolation"),
            ),
            (
                "use_mvcc_engine",
                boolean(
                    "Whether memtx transactions may yield, by keeping versions \
                     of rows.",
                )
                .default(false)
                .box_cfg("memtx_use_mvcc_engine")
                .restart(),
            ),
        ],
    )
}

pub(super) fn sql() -> Node {
    record(
        "The SQL layer.",
        [(
            "cache_size",
            bytes("Memory for prepared statements.")
                .default(5_242_880i64)
                .box_cfg("sql_cache_size"),
        )],
    )
}

pub(super) fn memtx() -> Node {
    record(
        "The in-memory engine.",
        [
            (
                "memory",
                bytes("Most memory for rows.").default(268_435_456i64).box_cfg("memtx_memory"),
            ),
            (
                "allocator",
                choice(&["small", "system"], "Allocator of rows.")
                    .default("small")
                    .box_cfg("memtx_allocator")
                    .restart(),
            ),
            (
                "slab_alloc_granularity",
                bytes("Sizes of allocations are multiples of this.")
                    .default(8i64)
                    .box_cfg("slab_alloc_granularity")
                    .restart(),
            ),
            (
                "slab_alloc_factor",
                number("Ratio of neighbouring allocation sizes.")
                    .default(1.05)
                    .box_cfg("slab_alloc_factor")
                    .restart(),
            ),
            (
                "min_tuple_size",
                bytes("Smallest allocation for a row.")
                    .default(16i64)
                    .box_cfg("memtx_min_tuple_size")
                    .restart(),
            ),
            (
                "max_tuple_size",
                bytes("Largest row.").default(1_048_576i64).box_cfg("memtx_max_tuple_size"),
            ),
            (
                "sort_threads",
                integer("Threads that build secondary indexes at recovery.")
                    .default_null()
                    .box_cfg("memtx_sort_threads")
                    .restart(),
            ),
            (
                "use_sort_data",
                boolean(
                    "Whether the order of secondary indexes is saved beside the \
                     snapshot.",
                )
                .default(false)
                .box_cfg("memtx_use_sort_data"),
            ),
        ],
    )
}

pub(super) fn vinyl() -> Node {
    record(
        "The disk engine.",
        [
            (
                "bloom_fpr",
                number("False positive rate of bloom filters.")
                    .default(0.05)
                    .box_cfg("vinyl_bloom_fpr")
                    .restart(),
            ),
            (
                "cache",
                bytes("Memory for the row cache.").default(134_217_728i64).box_cfg("vinyl_cache"),
            ),
            (
                "defer_deletes",
                boolean("Whether deletes of old versions are left to compaction.")
                    .default(false)
                    .box_cfg("vinyl_defer_deletes"),
            ),
            (
                "dir",
                string("Folder of its files.")
                    .default("var/lib/{{ instance_name }}")
                    .box_cfg("vinyl_dir")
                    .restart()
                    .folder(Folder::Itself),
            ),
            (
                "max_tuple_size",
                bytes("Largest row.").default(1_048_576i64).box_cfg("vinyl_max_tuple_size"),
            ),
            (
                "memory",
                bytes("Memory for changes that are not on disk yet.")
                    .default(134_217_728i64)
                    .box_cfg("vinyl_memory"),
            ),
            (
                "page_size",
                bytes("Size of a page, the unit of reading.")
                    .default(8192i64)
                    .box_cfg("vinyl_page_size")
                    .restart(),
            ),
            (
                "range_size",
                bytes("Size of a range, the unit of compaction.")
                    .default_null()
                    .box_cfg("vinyl_range_size")
                    .restart(),
            ),
            (
                "read_threads",
                integer("Threads that read.").default(1i64).box_cfg("vinyl_read_threads").restart(),
            ),
            (
                "run_count_per_level",
                integer("Runs on one level before compaction.")
                    .default(2i64)
                    .box_cfg("vinyl_run_count_per_level")
                    .restart(),
            ),
            (
                "run_size_ratio",
                number("Ratio of the sizes of neighbouring levels.")
                    .default(3.5)
                    .box_cfg("vinyl_run_size_ratio")
                    .restart(),
            ),
            (
                "timeout",
                seconds("Longest wait for memory.").default(60i64).box_cfg("vinyl_timeout"),
            ),
            (
                "write_threads",
                integer("Threads that dump and compact.")
                    .default(4i64)
                    .box_cfg("vinyl_write_threads")
                    .restart(),
            ),
        ],
    )
}

pub(super) fn quiver() -> Node {
    record(
        "The Quiver engine.",
        [
            (
                "dir",
                string("Folder of its files.")
                    .default("var/lib/{{ instance_name }}")
                    .box_cfg("quiver_dir")
                    .restart()
                    .folder(Folder::Itself)
                    .enterprise(),
            ),
            (
                "memory",
                bytes("Memory for changes that are not on disk yet.")
                    .default(134_217_728i64)
                    .box_cfg("quiver_memory")
                    .enterprise(),
            ),
            (
                "run_size",
                bytes("Largest run file.")
                    .default(16_777_216i64)
                    .box_cfg("quiver_run_size")
                    .enterprise(),
            ),
        ],
    )
    .enterprise()
}

pub(super) fn wal() -> Node {
    record(
        "The write-ahead log.",
        [
            (
                "dir",
                string("Folder of the log files.")
                    .default("var/lib/{{ instance_name }}")
                    .box_cfg("wal_dir")
                    .restart()
                    .folder(Folder::Itself),
            ),
            (
                "mode",
                choice(
                    &["none", "write", "fsync"],
                    "none: no log; write: written before the answer; fsync: on \
                     the disk before the answer.",
                )
                .default("write")
                .box_cfg("wal_mode")
                .restart(),
            ),
            (
                "max_size",
                bytes("A log file is closed when it reaches this size.")
                    .default(268_435_456i64)
                    .box_cfg("wal_max_size")
                    .restart(),
            ),
            (
                "dir_rescan_delay",
                seconds("Pause between looks for new log files by followers.")
                    .default(2i64)
                    .box_cfg("wal_dir_rescan_delay"),
            ),
            (
                "queue_max_size",
                bytes("Replicated changes that may wait for the log.")
                    .default(16_777_216i64)
                    .box_cfg("wal_queue_max_size"),
            ),
            (
                "cleanup_delay",
                seconds(
                    "How long old log files are kept after start for replicas to \
                     connect.",
                )
                .box_cfg("wal_cleanup_delay"),
            ),
            (
                "retention_period",
                seconds("How long log files are kept although they are not needed.")
                    .default(0i64)
                    .box_cfg("wal_retention_period")
                    .enterprise(),
            ),
            ("ext", wal_ext()),
        ],
    )
}

fn wal_ext() -> Node {
    record(
        "Old and new rows in log records.",
        [
            ("old", boolean("Whether records carry the old row.")),
            ("new", boolean("Whether records carry the new row.")),
            ("spaces", map(wal_ext_spaces_item(), "The same by space.")),
        ],
    )
    .default_null()
    .box_cfg("wal_ext")
    .enterprise()
}

fn wal_ext_spaces_item() -> Node {
    record(
        "Options of the space.",
        [
            ("old", boolean("Whether records carry the old row.").default(false)),
            ("new", boolean("Whether records carry the new row.").default(false)),
        ],
    )
}

pub(super) fn snapshot() -> Node {
    record(
        "Snapshots of memtx.",
        [
            (
                "dir",
                string("Folder of the snapshots.")
                    .default("var/lib/{{ instance_name }}")
                    .box_cfg("memtx_dir")
                    .restart()
                    .folder(Folder::Itself),
            ),
            ("by", snapshot_by()),
            (
                "count",
                integer("How many snapshots are kept.").default(2i64).box_cfg("checkpoint_count"),
            ),
            (
                "snap_io_rate_limit",
                number("Most megabytes a second that a snapshot writes.")
                    .default_null()
                    .box_cfg("snap_io_rate_limit"),
            ),
        ],
    )
}

fn snapshot_by() -> Node {
    record(
        "When a snapshot is made.",
        [
            (
                "interval",
                seconds("Seconds between snapshots; 0 means none by time.")
                    .default(3600i64)
                    .box_cfg("checkpoint_interval"),
            ),
            (
                "wal_size",
                bytes(
                    "A snapshot is made when the log grew by this since the last \
                     one.",
                )
                .default(1e18)
                .box_cfg("checkpoint_wal_threshold"),
            ),
        ],
    )
}
