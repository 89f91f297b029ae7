//! What must hold of an option beyond its type, in Tarantool's words.
//!
//! # Yields
//! never

use super::node::Scope;
use crate::config::value::{Value, number_text};

/// Looks at a value whose types are right. `scope` is none outside of a cluster configuration
/// (environment variables), where the restrictions of scopes do not apply.
pub type Check = fn(value: &Value, scope: Option<Scope>) -> Result<(), String>;

/// Longest name of an instance, replica set or group.
const NODE_NAME_SIZE_MAX: usize = 63;
/// Least value of `lua.memory`.
const LUA_MEMORY_MIN: f64 = 268_435_456.0;
const NULL_UUID: &str = "00000000-0000-0000-0000-000000000000";

type Checked = Result<(), String>;

fn fail<T>(message: impl Into<String>) -> Result<T, String> {
    Err(message.into())
}

/// Whether the section has this field and it is not `null`.
fn has(value: &Value, field: &str) -> bool {
    value.field(field).is_some_and(|found| !found.is_null())
}

/// The name of an instance, replica set or group.
pub fn validate_name(name: &str) -> Checked {
    if name.is_empty() {
        return fail("Zero length name is forbidden");
    }
    if name.len() > NODE_NAME_SIZE_MAX {
        return fail(format!(
            "A name must fit {NODE_NAME_SIZE_MAX} characters limit, got \"{name}\""
        ));
    }
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    };
    if !name.bytes().all(allowed) {
        return fail(format!(
            "A name must contain only lowercase letters, digits, dash and underscore, got \
             \"{name}\""
        ));
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return fail(format!("A name must start from a lowercase letter, got \"{name}\""));
    }
    Ok(())
}

pub(super) fn node_name(value: &Value, _: Option<Scope>) -> Checked {
    validate_name(value.as_str().unwrap_or(""))
}

fn in_scope(scope: Option<Scope>, allowed: &[Scope]) -> Checked {
    match scope {
        Some(scope) if !allowed.contains(&scope) => {
            fail(format!("The option must not be present in the {} scope", scope.name()))
        }
        _ => Ok(()),
    }
}

pub(super) fn global_only(_: &Value, scope: Option<Scope>) -> Checked {
    in_scope(scope, &[Scope::Global])
}

pub(super) fn instance_only(_: &Value, scope: Option<Scope>) -> Checked {
    in_scope(scope, &[Scope::Instance])
}

pub(super) fn above_instance(_: &Value, scope: Option<Scope>) -> Checked {
    in_scope(scope, &[Scope::Global, Scope::Group, Scope::Replicaset])
}

pub(super) fn privilege(value: &Value, _: Option<Scope>) -> Checked {
    if has(value, "permissions") {
        return Ok(());
    }
    fail("The permissions field must be defined for a privilege")
}

pub(super) fn uuid(value: &Value, _: Option<Scope>) -> Checked {
    let text = value.as_str().unwrap_or("");
    let shaped = text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if !shaped {
        return fail(format!("Unable to parse the value as a UUID: \"{text}\""));
    }
    if text == NULL_UUID {
        return fail("nil UUID is reserved");
    }
    Ok(())
}

pub(super) fn app(value: &Value, _: Option<Scope>) -> Checked {
    if has(value, "file") && has(value, "module") {
        return fail("Fields file and module cannot appear at the same time");
    }
    Ok(())
}

pub(super) fn context_variable(value: &Value, _: Option<Scope>) -> Checked {
    if value.as_map().is_none() {
        return Ok(());
    }
    let from = value.path("from").and_then(Value::as_str);
    match from {
        None => fail("\"from\" field must be defined in a context variable definition"),
        Some("env") if !has(value, "env") => fail(
            "\"env\" field must define an environment variable name if \"from\" field is set to \
             \"env\"",
        ),
        Some("file") if !has(value, "file") => {
            fail("\"file\" field must define a file name if \"from\" field is set to \"file\"")
        }
        _ => Ok(()),
    }
}

pub(super) fn log(value: &Value, _: Option<Scope>) -> Checked {
    if value.path("to").and_then(Value::as_str) == Some("pipe") && !has(value, "pipe") {
        return fail(
            "The pipe logger is set by the log.to parameter but the command is not set (log.pipe \
             parameter)",
        );
    }
    Ok(())
}

pub(super) fn failover_log(value: &Value, _: Option<Scope>) -> Checked {
    if value.path("to").and_then(Value::as_str) == Some("file") && !has(value, "file") {
        return fail("log.file must be specified when log.to is \"file\"");
    }
    Ok(())
}

pub(super) fn lua_memory(value: &Value, _: Option<Scope>) -> Checked {
    if value.as_f64().is_some_and(|bytes| bytes < LUA_MEMORY_MIN) {
        return fail("Memory limit should be >= 256MB");
    }
    Ok(())
}

pub(super) fn distinct_metrics(value: &Value, _: Option<Scope>) -> Checked {
    let items = value.as_array().unwrap_or(&[]);
    match items.iter().enumerate().find(|(index, item)| items[..*index].contains(item)) {
        Some((_, item)) => fail(format!("Duplicate metric group or selector: \"{item}\"")),
        None => Ok(()),
    }
}

pub(super) fn autoexpel(value: &Value, scope: Option<Scope>) -> Checked {
    above_instance(value, scope)?;
    if value.path("enabled").and_then(Value::as_bool) != Some(true) {
        return Ok(());
    }
    if !has(value, "by") {
        return fail(
            "replication.autoexpel.by must be set if replication.autoexpel.enabled = true",
        );
    }
    if value.path("by").and_then(Value::as_str) == Some("prefix") && !has(value, "prefix") {
        return fail(
            "replication.autoexpel.prefix must be set if replication.autoexpel.enabled = true and \
             replication.autoexpel.by = 'prefix'",
        );
    }
    Ok(())
}

pub(super) fn not_negative(value: &Value, _: Option<Scope>) -> Checked {
    match value.as_f64() {
        Some(number) if number < 0.0 => {
            fail(format!("must be a non-negative number, got {}", number_text(number)))
        }
        _ => Ok(()),
    }
}

pub(super) fn sharding_roles(value: &Value, scope: Option<Scope>) -> Checked {
    above_instance(value, scope)?;
    let has_role =
        |name: &str| value.as_array().unwrap_or(&[]).iter().any(|role| role.as_str() == Some(name));
    if has_role("rebalancer") && !has_role("storage") {
        return fail("The rebalancer role cannot be present without the storage role");
    }
    Ok(())
}

pub(super) fn thread_groups(value: &Value, _: Option<Scope>) -> Checked {
    let mut seen: Vec<&str> = Vec::new();
    for group in value.as_array().unwrap_or(&[]) {
        let name = group.path("name").and_then(Value::as_str).unwrap_or("");
        if name == "tx" {
            return fail("Thread group name \"tx\" is reserved");
        }
        if seen.contains(&name) {
            return fail(format!("Duplicate thread group name: \"{name}\""));
        }
        if group.path("size").and_then(Value::as_f64).is_none_or(|size| size <= 0.0) {
            return fail(format!("Thread group \"{name}\" has invalid size: must be > 0"));
        }
        seen.push(name);
    }
    Ok(())
}

pub(super) fn advertised(value: &Value, _: Option<Scope>) -> Checked {
    if value.is_empty_table() {
        return fail("An URI should have at least one field");
    }
    if has(value, "password") && !has(value, "login") {
        return fail("Password cannot be set without setting login");
    }
    if has(value, "params") && !has(value, "uri") {
        return fail("Params cannot be set without setting uri");
    }
    Ok(())
}

pub(super) fn listen(value: &Value, _: Option<Scope>) -> Checked {
    if has(value, "uri") { Ok(()) } else { fail("The URI is required for iproto.listen") }
}

pub(super) fn listen_uri(value: &Value, _: Option<Scope>) -> Checked {
    uri(value, false, false)
}

pub(super) fn client_uri(value: &Value, _: Option<Scope>) -> Checked {
    uri(value, false, true)
}

pub(super) fn peer_uri(value: &Value, _: Option<Scope>) -> Checked {
    uri(value, true, true)
}

/// A URI in parts. Variables count as some word, because their values are not known yet.
fn uri(value: &Value, has_login_field: bool, used_to_connect: bool) -> Checked {
    let text = crate::config::variable::without_variables(value.as_str().unwrap_or(""));
    let Some(parsed) = Uri::parse(&text) else {
        if text.contains(',') {
            return fail("A single URI is expected, not a list of URIs");
        }
        return fail(
            "Unable to parse an URI: Incorrect URI: expected host:service or /unix.socket",
        );
    };
    if parsed.login.is_some() {
        return fail(if has_login_field {
            "Login must be set via the 'login' option"
        } else {
            "Login cannot be set for as part of the URI"
        });
    }
    if parsed.has_parameters {
        return fail(
            "URI parameters should be described in the 'params' field, not as the part of URI",
        );
    }
    if used_to_connect && let Err(reason) = parsed.is_suitable_to_connect() {
        return fail(format!("bad URI \"{text}\": {reason}"));
    }
    Ok(())
}

/// The parts of a URI that the configuration looks at.
pub struct Uri<'a> {
    /// The user name.
    pub login: Option<&'a str>,
    /// The host; `unix/` for a Unix socket.
    pub host: &'a str,
    /// The port, or the path of a Unix socket.
    pub service: Option<&'a str>,
    /// Whether there is a `?name=value` part.
    pub has_parameters: bool,
}

impl<'a> Uri<'a> {
    /// Splits `[scheme://][login[:password]@]host[:port][/path][?parameters]`, a port alone, or
    /// a Unix socket as `unix/:path` or as an absolute or `./` path.
    pub fn parse(text: &'a str) -> Option<Uri<'a>> {
        let (rest, parameters) = match text.split_once('?') {
            Some((rest, parameters)) => (rest, Some(parameters)),
            None => (text, None),
        };
        let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
        let (login, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user.split(':').next().unwrap_or(user)), rest),
            None => (None, rest),
        };
        let has_parameters = parameters.is_some();
        let made = |host, service| Some(Uri { login, host, service, has_parameters });
        if rest.is_empty() || rest.contains([',', ' ']) {
            return None;
        }
        if let Some(path) = rest.strip_prefix("unix/:") {
            return if path.is_empty() { None } else { made("unix/", Some(path)) };
        }
        if rest.starts_with('/') || rest.starts_with("./") {
            return made("unix/", Some(rest));
        }
        if rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return made("", Some(rest));
        }
        let (host, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let service = match after.strip_prefix(':') {
            Some(service) => Some(service.split('/').next().unwrap_or(service)),
            None => None,
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:~%".contains(&byte);
        let service_known =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !host.bytes().all(known) || !service.is_none_or(service_known) {
            return None;
        }
        made(host, service)
    }

    /// Whether a client can connect to it: it names one host and one port.
    pub fn is_suitable_to_connect(&self) -> Result<(), &'static str> {
        if self.host == "0.0.0.0" {
            return Err("INADDR_ANY (0.0.0.0) cannot be used to create a client socket");
        }
        if self.host == "::" {
            return Err("in6addr_any (::) cannot be used to create a client socket");
        }
        if self.service == Some("0") {
            return Err("An URI with zero port cannot be used to create a client socket");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_node_names() {
        assert!(validate_name("instance-001").is_ok());
        assert!(validate_name("").is_err());
        assert!(validate_name("1a").is_err());
        assert!(validate_name("Instance").is_err());
        assert!(validate_name(&"a".repeat(64)).is_err());
    }

    #[test]
    fn uris_are_split() {
        let uri = Uri::parse("user:secret@10.0.0.1:3301").unwrap();
        assert_eq!((uri.login, uri.host, uri.service), (Some("user"), "10.0.0.1", Some("3301")));
        let uri = Uri::parse("unix/:./x.iproto").unwrap();
        assert_eq!((uri.host, uri.service), ("unix/", Some("./x.iproto")));
        assert_eq!(Uri::parse("[::1]:3301").unwrap().host, "::1");
        assert_eq!(Uri::parse("3301").unwrap().service, Some("3301"));
        assert!(Uri::parse("a:1,b:2").is_none());
        assert!(Uri::parse("").is_none());
        assert!(Uri::parse("[::1").is_none());
    }
}
