//! Options of connections and users: iproto, session, credentials, security, connpool.
//!
//! # Yields
//! never

use super::check;
use super::node::*;

pub(super) fn iproto() -> Node {
    record(
        "The binary protocol.",
        [
            ("listen", array(iproto_listen_item(), "Where to listen.").default_null()),
            ("advertise", iproto_advertise()),
            (
                "threads",
                integer("Network threads; 0: the thread of the database serves sockets itself.")
                    .default(0i64)
                    .box_cfg("iproto_threads")
                    .restart(),
            ),
            (
                "net_msg_max",
                integer("Most requests in work at once; more wait in their sockets.")
                    .default(768i64)
                    .box_cfg("net_msg_max"),
            ),
            (
                "readahead",
                bytes("Size of the read buffer of a connection.")
                    .default(16_320i64)
                    .box_cfg("readahead"),
            ),
            ("ssl", iproto_ssl()),
        ],
    )
}

fn iproto_ssl() -> Node {
    record(
        "TLS material shared by the URIs with transport: ssl.",
        [
            ("ca_file", string("File of certificates of trusted authorities.")),
            ("ssl_cert", string("File of the certificate.")),
            ("ssl_ciphers", string("Cipher suites, separated by colons.")),
            ("ssl_key", string("File of the private key.")),
            ("ssl_password", string("Password of the private key.").sensitive()),
            ("ssl_password_file", string("File with passwords of the private key.").sensitive()),
        ],
    )
}

fn iproto_advertise() -> Node {
    record(
        "Under which URIs others reach this instance.",
        [
            (
                "client",
                string("The URI for clients; only informs.")
                    .default_null()
                    .check(check::client_uri),
            ),
            ("peer", iproto_advertise_peer()),
            ("sharding", iproto_advertise_sharding()),
        ],
    )
}

fn iproto_advertise_sharding() -> Node {
    record(
        "The URI for routers and the rebalancer; by default that of \
         peer.",
        [
            ("login", string("User that others connect as.")),
            ("password", string("Password; by default the one in credentials.").sensitive()),
            (
                "uri",
                string("host:port; by default the first usable one of iproto.listen.")
                    .check(check::peer_uri),
            ),
            ("params", uri_params()),
        ],
    )
    .check(check::advertised)
}

fn iproto_advertise_peer() -> Node {
    record(
        "The URI for the other instances of the cluster.",
        [
            ("login", string("User that others connect as.")),
            ("password", string("Password; by default the one in credentials.").sensitive()),
            (
                "uri",
                string("host:port; by default the first usable one of iproto.listen.")
                    .check(check::peer_uri),
            ),
            ("params", uri_params()),
        ],
    )
    .check(check::advertised)
}

fn iproto_listen_item() -> Node {
    record(
        "A place to listen at.",
        [
            ("uri", string("host:port, or unix/:path.").check(check::listen_uri)),
            ("params", listen_params(|verify| verify)),
        ],
    )
    .check(check::listen)
}

pub(super) fn session() -> Node {
    record(
        "Options of client sessions.",
        [("users", map(session_users_item(), "Options by user.").default_null())],
    )
}

fn session_users_item() -> Node {
    record(
        "Options of the sessions of the user.",
        [(
            "idle_timeout",
            number(
                "Seconds without a request after which the user is \
                 disconnected; 0 means never.",
            )
            .check(check::not_negative),
        )],
    )
}

pub(super) fn credentials() -> Node {
    record(
        "Users and roles. What was made or granted here and is \
         removed, is dropped or revoked.",
        [
            ("roles", map(credentials_roles_item(), "Roles.")),
            ("users", map(credentials_users_item(), "Users.")),
        ],
    )
}

fn credentials_users_item() -> Node {
    record(
        "A user.",
        [
            (
                "password",
                string(
                    "Password in plain text; without one the user cannot log in \
                     by password.",
                )
                .sensitive(),
            ),
            ("privileges", array(privilege(), "What the user may do.")),
            ("roles", array(string("Name of a role."), "Roles whose privileges the user has.")),
        ],
    )
}

fn credentials_roles_item() -> Node {
    record(
        "A role.",
        [
            ("privileges", array(privilege(), "What the role may do.")),
            ("roles", array(string("Name of a role."), "Roles whose privileges this one has too.")),
        ],
    )
}

pub(super) fn security() -> Node {
    record(
        "How users prove who they are.",
        [
            (
                "auth_type",
                choice(&["chap-sha1", "pap-sha256"], "Method of authentication over iproto.")
                    .default("chap-sha1")
                    .box_cfg("auth_type"),
            ),
            (
                "auth_delay",
                seconds("Pause after failed log-ins.").default(0i64).box_cfg("auth_delay"),
            ),
            (
                "auth_retries",
                integer("Failed log-ins before the pause.").default(0i64).box_cfg("auth_retries"),
            ),
            (
                "disable_guest",
                boolean("Whether connections without log-in are refused.")
                    .default(false)
                    .box_cfg("disable_guest"),
            ),
            (
                "secure_erasing",
                boolean("Whether deleted files are overwritten first.")
                    .default(false)
                    .box_cfg("secure_erasing"),
            ),
            (
                "password_lifetime_days",
                integer("Days after which a password expires.")
                    .default(0i64)
                    .box_cfg("password_lifetime_days"),
            ),
            (
                "password_min_length",
                integer("Least length of a password.").default(0i64).box_cfg("password_min_length"),
            ),
            (
                "password_enforce_uppercase",
                boolean("Whether a password needs an upper-case letter.")
                    .default(false)
                    .box_cfg("password_enforce_uppercase"),
            ),
            (
                "password_enforce_lowercase",
                boolean("Whether a password needs a lower-case letter.")
                    .default(false)
                    .box_cfg("password_enforce_lowercase"),
            ),
            (
                "password_enforce_digits",
                boolean("Whether a password needs a digit.")
                    .default(false)
                    .box_cfg("password_enforce_digits"),
            ),
            (
                "password_enforce_specialchars",
                boolean("Whether a password needs a special character.")
                    .default(false)
                    .box_cfg("password_enforce_specialchars"),
            ),
            (
                "password_history_length",
                integer("How many old passwords may not be used again.")
                    .default(0i64)
                    .box_cfg("password_history_length"),
            ),
        ],
    )
}

pub(super) fn connpool() -> Node {
    record(
        "Connections to other instances of the cluster.",
        [("idle_timeout", seconds("Unused connections are closed after this.").default(60i64))],
    )
}

/// The `params` of a URI.
pub(super) fn uri_params() -> Node {
    record(
        "How the connection is made.",
        [
            ("transport", choice(&["plain", "ssl"], "Plain text or TLS.")),
            ("ssl_key_file", string("File of the private key.")),
            ("ssl_cert_file", string("File of the certificate.")),
            ("ssl_ca_file", string("File of certificates of trusted authorities.")),
            ("ssl_ciphers", string("Cipher suites, separated by colons.")),
            ("ssl_password", string("Password of the private key.").sensitive()),
            ("ssl_password_file", string("File with passwords of the private key.").sensitive()),
        ],
    )
}

/// The `params` of a URI to listen at.
pub(super) fn listen_params(verify: impl FnOnce(Node) -> Node) -> Node {
    let mut fields = uri_params().fields().to_vec();
    let clients = "Whether clients must show a certificate; by default with ssl_ca_file.";
    let choice = choice(&["off", "on", "optional"], clients);
    fields.push(("ssl_verify_client", std::sync::Arc::new(verify(choice))));
    record_of("How the connection is made.", fields)
}

fn privilege() -> Node {
    let names = |what, description| array(string(what), description);
    let permissions = ["read", "write", "execute", "create", "alter", "drop", "usage", "session"];
    record(
        "Permissions and the objects that they are for.",
        [
            ("permissions", set(&permissions, "What is allowed.")),
            ("universe", boolean("Whether it is allowed on everything.")),
            ("spaces", names("Name of a space.", "Spaces; all means every space.")),
            ("functions", names("Name of a function.", "Registered functions; all means each.")),
            ("sequences", names("Name of a sequence.", "Sequences; all means each.")),
            ("lua_eval", boolean("Whether Lua code may be evaluated.")),
            (
                "lua_call",
                names("Name of a function.", "Global Lua functions; all means each but built-ins."),
            ),
            ("sql", array(choice(&["all"], "all"), "Whether SQL may be executed.")),
        ],
    )
    .check(check::privilege)
}
