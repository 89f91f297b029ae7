//! Options of several instances together: replication, sharding, failover, labels.
//!
//! # Yields
//! never

use super::check;
use super::node::*;

pub(super) fn replication() -> Node {
    record(
        "Replication between the instances of a replica set.",
        [
            (
                "failover",
                choice(&["off", "manual", "election", "supervised"], "Who chooses the leader.")
                    .default("off")
                    .check(check::above_instance),
            ),
            (
                "peers",
                array(
                    string("URI of an instance."),
                    "URIs to fetch changes from; by default all other instances \
                     of the replica set.",
                )
                .default_null()
                .box_cfg("replication"),
            ),
            (
                "anon",
                boolean(
                    "Whether the instance is an anonymous replica: not in \
                     _cluster, never a leader.",
                )
                .default(false)
                .box_cfg("replication_anon"),
            ),
            (
                "anon_ttl",
                seconds("An anonymous replica not seen for this long is forgotten.")
                    .default(3600i64)
                    .box_cfg("replication_anon_ttl"),
            ),
            (
                "threads",
                integer("Threads that receive changes.")
                    .default(1i64)
                    .box_cfg("replication_threads")
                    .restart(),
            ),
            (
                "timeout",
                seconds("Interval of heartbeats; four missed ones break a connection.")
                    .default(1i64)
                    .box_cfg("replication_timeout"),
            ),
            (
                "reconnect_timeout",
                seconds(
                    "Pause before connecting again; by default the value of \
                     timeout.",
                )
                .default_null()
                .box_cfg("replication_reconnect_timeout"),
            ),
            (
                "synchro_timeout",
                seconds("How long a synchronous transaction waits for its quorum.")
                    .default(5i64)
                    .box_cfg("replication_synchro_timeout"),
            ),
            (
                "synchro_queue_max_size",
                bytes("Most bytes of synchronous transactions in wait.")
                    .default(16_777_216i64)
                    .box_cfg("replication_synchro_queue_max_size"),
            ),
            (
                "connect_timeout",
                seconds("How long to wait for other instances at start.")
                    .default(30i64)
                    .box_cfg("replication_connect_timeout"),
            ),
            (
                "sync_timeout",
                seconds("How long to wait for being in step after start.")
                    .default_null()
                    .box_cfg("replication_sync_timeout"),
            ),
            (
                "sync_lag",
                seconds("An instance is in step when it lags less than this.")
                    .default(10i64)
                    .box_cfg("replication_sync_lag"),
            ),
            (
                "synchro_quorum",
                union(
                    [string("A formula of N."), number("A number.")],
                    "Instances that must have a synchronous transaction; a \
                     number or a formula of N.",
                )
                .default("N / 2 + 1")
                .box_cfg("replication_synchro_quorum"),
            ),
            (
                "linearizable_quorum",
                union(
                    [string("A formula of N and Q."), number("A number.")],
                    "Instances that a linearizable transaction asks; a number or \
                     a formula of N and Q.",
                )
                .default("N - Q + 1")
                .box_cfg("replication_linearizable_quorum"),
            ),
            (
                "skip_conflict",
                boolean(
                    "Whether a conflicting change from a peer is skipped instead \
                     of stopping replication.",
                )
                .default(false)
                .box_cfg("replication_skip_conflict"),
            ),
            (
                "election_mode",
                choice(
                    &["off", "voter", "manual", "candidate"],
                    "Part of the instance in elections.",
                )
                .default_null()
                .box_cfg("election_mode"),
            ),
            (
                "election_timeout",
                seconds("How long an election round may take.")
                    .default(5i64)
                    .box_cfg("election_timeout"),
            ),
            (
                "election_fencing_mode",
                choice(&["off", "soft", "strict"], "How fast a leader without quorum steps down.")
                    .default("soft")
                    .box_cfg("election_fencing_mode"),
            ),
            (
                "bootstrap_strategy",
                choice(
                    &["auto", "config", "supervised", "native", "legacy"],
                    "Which instance makes the initial snapshot.",
                )
                .default("auto")
                .box_cfg("bootstrap_strategy")
                .check(check::above_instance),
            ),
            ("autoexpel", replication_autoexpel()),
        ],
    )
}

fn replication_autoexpel() -> Node {
    record(
        "Removal of instances that are no longer configured.",
        [
            ("enabled", boolean("Whether they are removed.").default(false)),
            ("by", choice(&["prefix"], "How the instances of this configuration are recognised.")),
            ("prefix", string("Prefix of their names.")),
        ],
    )
    .check(check::autoexpel)
}

pub(super) fn sharding() -> Node {
    record(
        "Options of vshard.",
        [
            ("zone", integer("Zone of the instance, for routing by distance.")),
            (
                "lock",
                boolean("Whether buckets may leave or enter the replica set.")
                    .check(check::above_instance),
            ),
            (
                "weight",
                number("Share of buckets of the replica set.")
                    .default(1i64)
                    .check(check::above_instance),
            ),
            (
                "roles",
                set(&["router", "storage", "rebalancer"], "What the instance does.")
                    .check(check::sharding_roles),
            ),
            (
                "shard_index",
                string("Name of the index on the bucket id.")
                    .default("bucket_id")
                    .check(check::global_only),
            ),
            (
                "bucket_count",
                integer("Buckets of the cluster; fixed for life.")
                    .default(3000i64)
                    .check(check::global_only),
            ),
            (
                "rebalancer_mode",
                choice(&["manual", "auto", "off"], "Where the rebalancer runs.")
                    .default("auto")
                    .check(check::global_only),
            ),
            (
                "rebalancer_disbalance_threshold",
                number("Percentage of disbalance that is left alone.")
                    .default(1i64)
                    .check(check::global_only),
            ),
            (
                "rebalancer_max_receiving",
                integer("Most buckets that a replica set receives at once.")
                    .default(100i64)
                    .check(check::global_only),
            ),
            (
                "rebalancer_max_sending",
                integer("Most buckets that a replica set sends at once.")
                    .default(1i64)
                    .check(check::global_only),
            ),
            (
                "sync_timeout",
                seconds("How long to wait for replicas when the master changes.")
                    .default(1i64)
                    .check(check::global_only),
            ),
            (
                "connection_outdate_delay",
                seconds("How long a router keeps connections of an old configuration.")
                    .check(check::global_only),
            ),
            (
                "failover_ping_timeout",
                seconds("How long a ping of a replica may take.")
                    .default(5i64)
                    .check(check::global_only),
            ),
            (
                "discovery_mode",
                choice(&["on", "off", "once"], "How a router learns where buckets are.")
                    .default("on")
                    .check(check::global_only),
            ),
            (
                "sched_ref_quota",
                number("Reads in a row before moves get their turn.")
                    .default(300i64)
                    .check(check::global_only),
            ),
            (
                "sched_move_quota",
                number("Moves in a row before reads get their turn.")
                    .default(1i64)
                    .check(check::global_only),
            ),
            (
                "rebalancer_bucket_send_timeout",
                number("How long sending one bucket may take.")
                    .default(15_768_000_000i64)
                    .check(check::global_only),
            ),
        ],
    )
}

pub(super) fn failover() -> Node {
    record(
        "Options of the failover coordinator.",
        [
            ("probe_interval", seconds("Interval of looks at the instances.").default(10i64)),
            ("connect_timeout", seconds("How long connecting may take.").default(1i64)),
            ("call_timeout", seconds("How long a call may take.").default(1i64)),
            (
                "lease_interval",
                seconds("How long a leader may lead without renewal.").default(30i64),
            ),
            ("renew_interval", seconds("Interval of renewals.").default(10i64)),
            (
                "replication_lag_threshold",
                seconds("An instance that lags more is no candidate.").default(1i64),
            ),
            ("stateboard", failover_stateboard()),
            ("replicasets", map(failover_replicasets_item(), "Options by replica set.")),
            ("log", failover_log()),
            ("http", failover_http()),
            ("metrics", failover_metrics()),
            ("iproto", failover_iproto()),
        ],
    )
    .check(check::global_only)
}

fn failover_iproto() -> Node {
    record("Connections of the coordinator to the instances.", [("ssl", failover_iproto_ssl())])
        .enterprise()
}

fn failover_iproto_ssl() -> Node {
    record(
        "TLS of those connections.",
        [
            ("ca_file", string("File of certificates of trusted authorities.")),
            ("ssl_cert", string("File of the certificate.")),
            ("ssl_key", string("File of the private key.")),
            ("ssl_ciphers", string("Cipher suites, separated by colons.")),
            ("ssl_password", string("Password of the private key.").sensitive()),
            ("ssl_password_file", string("File with passwords of the private key.").sensitive()),
        ],
    )
}

fn failover_metrics() -> Node {
    record(
        "Metrics of the coordinator.",
        [("exporters", array(failover_metrics_exporters_item(), "Paths that give metrics."))],
    )
    .enterprise()
}

fn failover_metrics_exporters_item() -> Node {
    record(
        "A path and its format.",
        [
            ("path", string("Path in the HTTP server.")),
            (
                "format",
                choice(&["prometheus", "zabbix", "telegraf", "json"], "Format of the metrics.")
                    .default("prometheus"),
            ),
        ],
    )
}

fn failover_http() -> Node {
    record(
        "HTTP server of the coordinator.",
        [("listen", array(failover_http_listen_item(), "Where to listen."))],
    )
    .enterprise()
}

fn failover_http_listen_item() -> Node {
    record("A place to listen at.", [("uri", string("host:port.")), ("params", listener_params())])
}

fn failover_log() -> Node {
    record(
        "Log of the coordinator.",
        [
            ("to", choice(&["stderr", "file"], "Where the log goes.").default("stderr")),
            ("file", string("The file, when failover.log.to is file.")),
        ],
    )
    .check(check::failover_log)
}

fn failover_replicasets_item() -> Node {
    record(
        "Options of the replica set.",
        [
            ("learners", array(string("Name of an instance."), "Instances that never lead.")),
            (
                "priority",
                map(
                    number("Priority of the instance; a higher one leads first."),
                    "Priorities of instances.",
                ),
            ),
            (
                "synchro_mode",
                boolean(
                    "Whether leaders are appointed by promotion, for synchronous \
                     spaces.",
                )
                .default(false),
            ),
        ],
    )
}

fn failover_stateboard() -> Node {
    record(
        "State of the coordinator in the configuration storage.",
        [
            ("enabled", boolean("Whether the state is kept there.").default(true)),
            ("renew_interval", seconds("Interval of updates of the state.").default(2i64)),
            ("keepalive_interval", seconds("How long the state is valid.").default(10i64)),
        ],
    )
}

pub(super) fn stateboard() -> Node {
    record(
        "State of the instance in the configuration storage.",
        [
            ("enabled", boolean("Whether the state is kept there.").default(false)),
            ("renew_interval", seconds("Interval of updates of the state.").default(2i64)),
            ("keepalive_interval", seconds("How long the state is valid.").default(10i64)),
        ],
    )
    .enterprise()
}

pub(super) fn roles() -> Node {
    array(string("Name of a role module."), "Lua modules that the instance runs as roles.")
}

pub(super) fn roles_cfg() -> Node {
    map(any("Options of the role, free in form."), "Options of the roles.")
}

pub(super) fn labels() -> Node {
    map(string("Value of the label."), "Labels of the instance.")
}

pub(super) fn isolated() -> Node {
    boolean("Whether the instance is cut off from clients and peers.")
        .default(false)
        .check(check::instance_only)
}

/// The `params` of a URI of the coordinator's HTTP server.
fn listener_params() -> Node {
    super::network::listen_params(|verify| verify.default("off"))
}
