//! Options of the process and the runtime: config, process, lua, console, fiber, log, app, threads.
//!
//! # Yields
//! never

use super::check;
use super::node::*;

pub(super) fn config() -> Node {
    record(
        "How the configuration itself is obtained.",
        [
            (
                "reload",
                choice(
                    &["auto", "manual"],
                    "Whether a change in a remote configuration storage is \
                     applied by itself.",
                )
                .default("auto"),
            ),
            ("etcd", config_etcd()),
            ("storage", config_storage()),
            (
                "context",
                map(
                    union(
                        [
                            string("The value."),
                            number("The value."),
                            boolean("The value."),
                            config_context_item(),
                        ],
                        "A value, or where to take it from.",
                    )
                    .check(check::context_variable),
                    "Variables for {{ context.name }} in other options.",
                ),
            ),
        ],
    )
}

fn config_context_item() -> Node {
    record(
        "Where to take the value from.",
        [
            (
                "from",
                choice(
                    &["env", "file"],
                    "Whether an environment variable or a file has the value.",
                ),
            ),
            ("env", string("Name of the environment variable.")),
            ("file", string("Path of the file.")),
            ("rstrip", boolean("Whether white space at the end is dropped.").default(false)),
        ],
    )
}

fn config_storage() -> Node {
    record(
        "Where to read the configuration in a Tarantool-based storage.",
        [
            ("prefix", string("Path in the storage under which the configuration lies.")),
            ("endpoints", array(config_storage_endpoints_item(), "Instances of the storage.")),
            ("timeout", seconds("How long a request may take.").default(3i64)),
            ("reconnect_after", seconds("Pause before connecting again.").default(3i64)),
        ],
    )
    .enterprise()
}

fn config_storage_endpoints_item() -> Node {
    record(
        "An instance of the storage.",
        [
            ("uri", string("URI of the instance.")),
            ("login", string("User name.")),
            ("password", string("Password.").sensitive()),
            ("params", super::network::uri_params()),
        ],
    )
}

fn config_etcd() -> Node {
    record(
        "Where to read the configuration in etcd.",
        [
            ("prefix", string("Path in etcd under which the configuration lies.")),
            ("endpoints", array(string("URL of an etcd member."), "URLs of the etcd members.")),
            ("username", string("User name for etcd.")),
            ("password", string("Password for etcd.").sensitive()),
            ("http", config_etcd_http()),
            ("watchers", config_etcd_watchers()),
            ("ssl", config_etcd_ssl()),
        ],
    )
    .enterprise()
}

fn config_etcd_ssl() -> Node {
    record(
        "TLS to etcd.",
        [
            ("ssl_key", string("File of the client's private key.")),
            ("ssl_cert", string("File of the client's certificate.")),
            ("ca_path", string("Folder of certificates of trusted authorities.")),
            ("ca_file", string("File of certificates of trusted authorities.")),
            ("verify_peer", boolean("Whether the certificate of etcd is verified.")),
            ("verify_host", boolean("Whether the host name in the certificate is verified.")),
        ],
    )
}

fn config_etcd_watchers() -> Node {
    record(
        "How changes are noticed.",
        [
            ("reconnect_timeout", seconds("Pause before a lost watcher connects again.")),
            ("reconnect_max_attempts", integer("How often a lost watcher tries to connect again.")),
        ],
    )
}

fn config_etcd_http() -> Node {
    record("How requests to etcd are made.", [("request", config_etcd_http_request())])
}

fn config_etcd_http_request() -> Node {
    record(
        "Options of one request.",
        [
            ("timeout", seconds("How long a request may take.")),
            ("unix_socket", string("Unix socket to reach etcd through.")),
            ("verbose", boolean("Whether requests are traced.")),
            ("interface", string("Network interface to send from.")),
        ],
    )
}

pub(super) fn process() -> Node {
    record(
        "Options of the operating-system process.",
        [
            (
                "strip_core",
                boolean("Whether a core dump leaves out the data in memory.")
                    .default(true)
                    .box_cfg("strip_core")
                    .restart(),
            ),
            (
                "coredump",
                boolean("Whether a crash leaves a core dump.")
                    .default(false)
                    .box_cfg("coredump")
                    .restart(),
            ),
            (
                "background",
                boolean(
                    "Whether the instance runs as a daemon; needs log.to other \
                     than stderr, and a pid_file.",
                )
                .default(false)
                .box_cfg("background")
                .restart(),
            ),
            (
                "title",
                string("What ps and top show beside the name of the program.")
                    .default("tarantool - {{ instance_name }}")
                    .box_cfg("custom_proc_title"),
            ),
            (
                "username",
                string("User to become after start.").default_null().box_cfg("username").restart(),
            ),
            (
                "work_dir",
                string("Folder that relative paths start from.")
                    .default_null()
                    .box_cfg("work_dir")
                    .restart(),
            ),
            (
                "pid_file",
                string("File for the process id.")
                    .default("var/run/{{ instance_name }}/tarantool.pid")
                    .box_cfg("pid_file")
                    .restart()
                    .folder(Folder::Parent),
            ),
        ],
    )
}

pub(super) fn lua() -> Node {
    record(
        "Options of the Lua machine.",
        [(
            "memory",
            bytes("Most memory that Lua objects may take.")
                .default(2_147_483_648i64)
                .check(check::lua_memory),
        )],
    )
}

pub(super) fn console() -> Node {
    record(
        "The administrative console on a Unix socket.",
        [
            ("enabled", boolean("Whether the console listens.").default(true)),
            (
                "socket",
                string("Path of its Unix socket.")
                    .default("var/run/{{ instance_name }}/tarantool.control"),
            ),
        ],
    )
}

pub(super) fn fiber() -> Node {
    record(
        "Options of fibers.",
        [
            (
                "io_collect_interval",
                seconds("Pause between rounds of the event loop.")
                    .default_null()
                    .box_cfg("io_collect_interval"),
            ),
            (
                "too_long_threshold",
                seconds("Requests that take longer than this are logged.")
                    .default(0.5)
                    .box_cfg("too_long_threshold"),
            ),
            (
                "worker_pool_threads",
                number(
                    "Most threads for blocking work such as files and name \
                     resolution.",
                )
                .default(4i64)
                .box_cfg("worker_pool_threads"),
            ),
            ("tx_user_pool_size", integer("Fibers kept for user requests.").default(768i64)),
            ("slice", fiber_slice()),
            ("top", fiber_top()),
        ],
    )
}

fn fiber_top() -> Node {
    record(
        "Accounting of CPU time by fiber.",
        [("enabled", boolean("Whether fiber.top() accounts.").default(false))],
    )
}

fn fiber_slice() -> Node {
    record(
        "How long a fiber may run without yielding.",
        [
            ("warn", seconds("After this a warning is logged.").default(0.5)),
            ("err", seconds("After this an error is raised in the fiber.").default(1i64)),
        ],
    )
}

pub(super) fn log() -> Node {
    record(
        "Where and what to log.",
        [
            (
                "to",
                choice(&["stderr", "file", "pipe", "syslog"], "Where the log goes.")
                    .default("stderr"),
            ),
            (
                "file",
                string("The file, when log.to is file.")
                    .default("var/log/{{ instance_name }}/tarantool.log"),
            ),
            ("pipe", string("The command to pipe into, when log.to is pipe.").default_null()),
            ("syslog", log_syslog()),
            (
                "nonblock",
                boolean("Whether a full pipe drops messages instead of waiting.")
                    .default(false)
                    .box_cfg("log_nonblock")
                    .restart(),
            ),
            (
                "level",
                union(
                    [number("The number of the level."), string("The name of the level.")],
                    "Least severity to log: 0 to 7, or a name from fatal to debug.",
                )
                .allowed(vec![
                    0i64.into(),
                    "fatal".into(),
                    1i64.into(),
                    "syserror".into(),
                    2i64.into(),
                    "error".into(),
                    3i64.into(),
                    "crit".into(),
                    4i64.into(),
                    "warn".into(),
                    5i64.into(),
                    "info".into(),
                    6i64.into(),
                    "verbose".into(),
                    7i64.into(),
                    "debug".into(),
                ])
                .default(5i64)
                .box_cfg("log_level"),
            ),
            (
                "format",
                choice(&["plain", "json"], "Lines for people, or JSON for programs.")
                    .default("plain")
                    .box_cfg("log_format"),
            ),
            (
                "modules",
                map(
                    union(
                        [number("The number of the level."), string("The name of the level.")],
                        "Level of the module.",
                    ),
                    "Levels of single modules.",
                )
                .default_null()
                .box_cfg("log_modules"),
            ),
        ],
    )
    .check(check::log)
}

fn log_syslog() -> Node {
    record(
        "The system log, when log.to is syslog.",
        [
            ("identity", string("Name of the program in the system log.").default("tarantool")),
            ("facility", string("Facility of the system log.").default("local7")),
            ("server", string("Socket or address of the system log.").default_null()),
        ],
    )
}

pub(super) fn app() -> Node {
    record(
        "The application.",
        [
            ("file", string("Path of the Lua file to run.")),
            ("module", string("Lua module to require, instead of a file.")),
            (
                "cfg",
                map(
                    any("An option of the application."),
                    "Options of the application, free in form; \
                     config:get('app.cfg') gives them.",
                ),
            ),
        ],
    )
    .check(check::app)
}

pub(super) fn threads() -> Node {
    record(
        "Threads that run Lua beside the transaction thread.",
        [(
            "groups",
            array(threads_groups_item(), "Groups of threads.").check(check::thread_groups),
        )],
    )
    .restart()
}

fn threads_groups_item() -> Node {
    record(
        "A group of threads.",
        [("name", string("Name of the group.")), ("size", integer("How many threads it has."))],
    )
}
