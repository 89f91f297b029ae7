//! Options that watch or adapt behaviour: feedback, flightrec, metrics, audit_log, compat.
//!
//! # Yields
//! never

use super::check;
use super::node::*;

pub(super) fn feedback() -> Node {
    record(
        "Reports to the vendor. This server sends none, whatever is \
         set.",
        [
            ("enabled", boolean("Whether reports are sent.").box_cfg("feedback_enabled")),
            ("crashinfo", boolean("Whether crashes are reported.").box_cfg("feedback_crashinfo")),
            ("host", string("Where reports go.").box_cfg("feedback_host")),
            (
                "metrics_collect_interval",
                seconds("Interval of collecting metrics.")
                    .box_cfg("feedback_metrics_collect_interval"),
            ),
            (
                "send_metrics",
                boolean("Whether metrics are part of the report.").box_cfg("feedback_send_metrics"),
            ),
            ("interval", seconds("Interval of reports.").box_cfg("feedback_interval")),
            (
                "metrics_limit",
                bytes("Most memory for collected metrics.").box_cfg("feedback_metrics_limit"),
            ),
        ],
    )
}

pub(super) fn flightrec() -> Node {
    record(
        "The flight recorder.",
        [
            (
                "enabled",
                boolean("Whether it records.")
                    .default(false)
                    .box_cfg("flightrec_enabled")
                    .enterprise(),
            ),
            (
                "logs_size",
                bytes("Size of the log record.")
                    .default(10_485_760i64)
                    .box_cfg("flightrec_logs_size")
                    .enterprise(),
            ),
            (
                "logs_max_msg_size",
                bytes("Longest message of the log record.")
                    .default(4096i64)
                    .box_cfg("flightrec_logs_max_msg_size")
                    .enterprise(),
            ),
            (
                "logs_log_level",
                integer("Least severity that is recorded.")
                    .allowed(vec![
                        0i64.into(),
                        1i64.into(),
                        2i64.into(),
                        3i64.into(),
                        4i64.into(),
                        5i64.into(),
                        6i64.into(),
                        7i64.into(),
                    ])
                    .default(6i64)
                    .box_cfg("flightrec_logs_log_level")
                    .enterprise(),
            ),
            (
                "metrics_interval",
                seconds("Interval of recording metrics.")
                    .default(1i64)
                    .box_cfg("flightrec_metrics_interval")
                    .enterprise(),
            ),
            (
                "metrics_period",
                seconds("How long metrics are kept.")
                    .default(180i64)
                    .box_cfg("flightrec_metrics_period")
                    .enterprise(),
            ),
            (
                "requests_size",
                bytes("Size of the record of requests.")
                    .default(10_485_760i64)
                    .box_cfg("flightrec_requests_size")
                    .enterprise(),
            ),
            (
                "requests_max_req_size",
                bytes("Longest request that is recorded.")
                    .default(16_384i64)
                    .box_cfg("flightrec_requests_max_req_size")
                    .enterprise(),
            ),
            (
                "requests_max_res_size",
                bytes("Longest response that is recorded.")
                    .default(16_384i64)
                    .box_cfg("flightrec_requests_max_res_size")
                    .enterprise(),
            ),
        ],
    )
}

pub(super) fn metrics() -> Node {
    record(
        "Which metrics are collected.",
        [
            (
                "include",
                array(metric(), "Groups and selectors to collect.").check(check::distinct_metrics),
            ),
            (
                "exclude",
                array(metric(), "Groups and selectors to leave out.")
                    .check(check::distinct_metrics),
            ),
            ("labels", map(string("Value of the label."), "Labels added to every metric.")),
        ],
    )
}

pub(super) fn audit_log() -> Node {
    record(
        "The audit log.",
        [
            (
                "to",
                choice(&["devnull", "file", "pipe", "syslog"], "Where the log goes.")
                    .default("devnull")
                    .enterprise(),
            ),
            (
                "file",
                string("The file, when audit_log.to is file.")
                    .default("var/log/{{ instance_name }}/audit.log")
                    .enterprise(),
            ),
            (
                "pipe",
                string("The command to pipe into, when audit_log.to is pipe.")
                    .default_null()
                    .enterprise(),
            ),
            ("syslog", audit_log_syslog()),
            (
                "nonblock",
                boolean("Whether a full pipe drops messages instead of waiting.")
                    .default(false)
                    .box_cfg("audit_nonblock")
                    .restart()
                    .enterprise(),
            ),
            (
                "format",
                choice(&["plain", "json", "csv"], "Format of the records.")
                    .default("json")
                    .box_cfg("audit_format")
                    .restart()
                    .enterprise(),
            ),
            (
                "filter",
                set(
                    &[
                        "audit_enable",
                        "custom",
                        "auth_ok",
                        "auth_fail",
                        "disconnect",
                        "user_create",
                        "user_drop",
                        "role_create",
                        "role_drop",
                        "user_enable",
                        "user_disable",
                        "user_grant_rights",
                        "user_revoke_rights",
                        "role_grant_rights",
                        "role_revoke_rights",
                        "password_change",
                        "access_denied",
                        "eval",
                        "call",
                        "space_select",
                        "space_create",
                        "space_alter",
                        "space_drop",
                        "space_insert",
                        "space_replace",
                        "space_delete",
                        "integrity_check_ok",
                        "integrity_check_fail",
                        "none",
                        "all",
                        "audit",
                        "auth",
                        "priv",
                        "ddl",
                        "dml",
                        "data_operations",
                        "compatibility",
                        "integrity_check",
                    ],
                    "Events and groups of events to record.",
                ),
            ),
            (
                "spaces",
                union(
                    [
                        array(string("Name of a space."), "Names of spaces."),
                        map(audit_log_spaces_item(), "Options by space."),
                    ],
                    "Spaces whose changes are recorded.",
                )
                .default_null()
                .restart()
                .enterprise(),
            ),
            (
                "extract_key",
                boolean("Whether records have the primary key instead of the row.")
                    .default(false)
                    .box_cfg("audit_extract_key")
                    .restart()
                    .enterprise(),
            ),
        ],
    )
    .enterprise()
}

fn audit_log_spaces_item() -> Node {
    record(
        "Options of the space.",
        [("extract_key", boolean("Whether records have the primary key instead of the row."))],
    )
}

fn audit_log_syslog() -> Node {
    record(
        "The system log, when audit_log.to is syslog.",
        [
            (
                "identity",
                string("Name of the program in the system log.").default("tarantool").enterprise(),
            ),
            ("facility", string("Facility of the system log.").default("local7").enterprise()),
            ("server", string("Socket or address of the system log.").default_null().enterprise()),
        ],
    )
}

pub(super) fn compat_section() -> Node {
    record(
        "Behaviours that changed between versions: new or old.",
        [
            ("binary_data_decoding", compat("new")),
            ("box_backup_default_ttl", compat("old")),
            ("box_cfg_replication_sync_timeout", compat("new")),
            ("box_consider_system_spaces_synchronous", compat("old")),
            ("box_error_serialize_verbose", compat("old")),
            ("box_error_unpack_type_and_code", compat("old")),
            ("box_info_cluster_meaning", compat("new")),
            ("box_recovery_triggers_deprecation", compat("old")),
            ("box_session_push_deprecation", compat("old")),
            ("box_space_execute_priv", compat("new")),
            ("box_space_max", compat("new")),
            ("box_tuple_extension", compat("new")),
            ("box_tuple_new_vararg", compat("new")),
            ("c_func_iproto_multireturn", compat("new")),
            ("console_session_scope_vars", compat("old")),
            ("datetime_setfn_timestamp_type_check", compat("old")),
            ("fiber_channel_close_mode", compat("new")),
            ("fiber_slice_default", compat("new")),
            ("json_escape_forward_slash", compat("new")),
            ("replication_synchro_timeout", compat("old")),
            ("skip_replication_names", compat("new")),
            ("sql_priv", compat("new")),
            ("sql_seq_scan_default", compat("new")),
            ("wal_cleanup_delay_deprecation", compat("old")),
            ("yaml_pretty_multiline", compat("new")),
        ],
    )
}

/// A behaviour that differs between versions.
fn compat(default: &str) -> Node {
    choice(&["old", "new"], "Behaviour of old versions or of new ones.").default(default)
}

/// A known group of metrics, or any selector; the group is listed for the JSON schema.
fn metric() -> Node {
    const GROUPS: [&str; 19] = [
        "all",
        "network",
        "operations",
        "system",
        "replicas",
        "info",
        "slab",
        "runtime",
        "memory",
        "spaces",
        "fibers",
        "cpu",
        "vinyl",
        "memtx",
        "luajit",
        "clock",
        "event_loop",
        "cpu_extended",
        "schema",
    ];
    union(
        [choice(&GROUPS, "A group of metrics."), string("Name of a metric.")],
        "A group of metrics, or the name of one.",
    )
}
