//! The configuration of one instance: what the server and Lua ask of it.
//!
//! It never changes. It knows the other instances of the cluster too, because peers, leaders and
//! `config:get(path, {instance = …})` need them.
//!
//! # Yields
//! never

use std::collections::BTreeMap;

use super::cluster::{self, Names};
use super::credentials::Credentials;
use super::load::join;
use super::problem::{Problem, Step, path_text};
use super::schema::{self, Folder, INSTANCE, Kind, Node, Uri};
use super::value::{Map, Value};

/// The options of an instance in two forms.
#[derive(Clone, Debug)]
pub struct View {
    /// What is configured.
    pub(super) given: Value,
    /// The same with defaults.
    pub(super) full: Value,
}

/// What a configuration is made of.
pub(super) struct Parts {
    pub(super) names: Names,
    pub(super) own: View,
    pub(super) instances: BTreeMap<String, (Names, Result<View, Problem>)>,
    pub(super) cluster: Value,
    pub(super) sources: Vec<String>,
}

/// The checked, merged configuration of one instance.
pub struct Configuration {
    parts: Parts,
    peers: Vec<String>,
}

/// Which URI of an instance is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvertiseType {
    /// For the other instances of the cluster.
    Peer,
    /// For routers and the rebalancer.
    Sharding,
}

/// Options of [`Configuration::instance_uri`].
#[derive(Clone, Debug, Default)]
pub struct UriOptions<'a> {
    /// The instance; this one by default.
    pub instance: Option<&'a str>,
    /// Connect as this user.
    pub login: Option<&'a str>,
    /// With this password; by default the one in `credentials`.
    pub password: Option<&'a str>,
    /// Parameters that override the configured ones.
    pub params: Option<&'a Map>,
}

impl Configuration {
    pub(super) fn new(parts: Parts) -> Result<Configuration, Problem> {
        let mut peers = Vec::new();
        for (name, (names, view)) in &parts.instances {
            if names.replicaset == parts.names.replicaset {
                view.as_ref().map_err(Problem::clone)?;
                peers.push(name.clone());
            }
        }
        Ok(Configuration { parts, peers })
    }

    /// How this instance, its replica set and its group are called.
    pub fn names(&self) -> &Names {
        &self.parts.names
    }

    /// All instances of the cluster, in the order of the file.
    pub fn instances(&self) -> Vec<Names> {
        cluster::instances(&self.parts.cluster)
    }

    /// The names of the instances of this replica set, this one too, sorted.
    pub fn peers(&self) -> &[String] {
        &self.peers
    }

    pub(super) fn peer_views(&self) -> impl Iterator<Item = (&str, &View)> {
        self.peers.iter().filter_map(|name| match self.parts.instances.get(name) {
            Some((_, Ok(view))) => Some((name.as_str(), view)),
            _ => None,
        })
    }

    /// The cluster configuration as merged from its files: no defaults, no variables replaced.
    pub fn cluster_config(&self) -> &Value {
        &self.parts.cluster
    }

    /// The sources that took part, one line each.
    pub fn sources(&self) -> &[String] {
        &self.parts.sources
    }

    /// All options of this instance with defaults.
    pub fn options(&self) -> &Value {
        &self.parts.own.full
    }

    /// The option at a dotted path, `null` counting as absent.
    pub fn value(&self, path: &str) -> Option<&Value> {
        self.parts.own.full.path(path)
    }

    /// Whether the option at a dotted path was configured, rather than left at its default.
    pub fn is_given(&self, path: &str) -> bool {
        self.parts.own.given.path(path).is_some()
    }

    /// The option at a dotted path, when it is text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.value(path).and_then(Value::as_str)
    }

    /// The option at a dotted path, when it is a number.
    pub fn number(&self, path: &str) -> Option<f64> {
        self.value(path).and_then(Value::as_f64)
    }

    /// The option at a dotted path, when it is a number without a fraction.
    pub fn integer(&self, path: &str) -> Option<i64> {
        self.value(path).and_then(Value::as_i64)
    }

    /// The option at a dotted path, when it is a boolean.
    pub fn flag(&self, path: &str) -> Option<bool> {
        self.value(path).and_then(Value::as_bool)
    }

    /// What `config:get(path, {instance = instance})` gives: an option, a section, or everything
    /// for an empty path. `None` is an option that has no value; a path that the schema does not
    /// know is an error.
    ///
    /// Naming this instance differs from naming none: only the latter sees `TT_*` variables.
    pub fn get(&self, path: &str, instance: Option<&str>) -> Result<Option<&Value>, String> {
        let path: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('.').collect() };
        get(&self.view(instance)?.full, &path)
    }

    /// Like [`Configuration::get`], for a path whose keys may have dots.
    pub fn get_by_keys(
        &self,
        keys: &[&str],
        instance: Option<&str>,
    ) -> Result<Option<&Value>, String> {
        get(&self.view(instance)?.full, keys)
    }

    fn view(&self, instance: Option<&str>) -> Result<&View, String> {
        let Some(name) = instance else { return Ok(&self.parts.own) };
        match self.parts.instances.get(name) {
            Some((_, Ok(view))) => Ok(view),
            Some((_, Err(problem))) => Err(problem.message.clone()),
            None => Err(format!("Unknown instance \"{name}\"")),
        }
    }

    /// The configured leader of this replica set.
    pub fn leader(&self) -> Option<&str> {
        cluster::replicaset(&self.parts.cluster, self.names())?.path("leader")?.as_str()
    }

    /// The configured bootstrap leader of this replica set.
    pub fn bootstrap_leader(&self) -> Option<&str> {
        cluster::replicaset(&self.parts.cluster, self.names())?.path("bootstrap_leader")?.as_str()
    }

    /// The configured UUID of this instance.
    pub fn instance_uuid(&self) -> Option<&str> {
        self.text("database.instance_uuid")
    }

    /// The configured UUID of this replica set.
    pub fn replicaset_uuid(&self) -> Option<&str> {
        self.text("database.replicaset_uuid")
    }

    /// The configured users and roles.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(self.value("credentials"))
    }

    /// The options with secrets replaced, for diagnostic output.
    pub fn masked_options(&self) -> Value {
        mask(schema::instance(), self.options())
    }

    /// What to hand to `box.cfg`, in no particular order. `Null` resets an option to the default
    /// of `box.cfg`.
    pub fn box_cfg(&self) -> Vec<(&'static str, Value)> {
        let mut result: Vec<(&'static str, Value)> = Vec::new();
        for (path, node) in schema::options() {
            let Some(option) = node.box_cfg else { continue };
            let found = path.iter().try_fold(self.options(), |value, key| value.field(key));
            if let Some(value) = found {
                result.push((option, value.clone()));
            }
        }
        let names = self.names();
        let mut set = |option: &'static str, value: Value| {
            result.retain(|(have, _)| *have != option);
            result.push((option, value));
        };
        let listen = self.value("iproto.listen").cloned().unwrap_or_default();
        set(
            "listen",
            match listen {
                Value::Array(uris) => {
                    Value::Array(uris.into_iter().map(|uri| self.with_ssl(uri)).collect())
                }
                other => other,
            },
        );
        set("log", self.log_destination());
        set("instance_name", names.instance.as_str().into());
        set("replicaset_name", names.replicaset.as_str().into());
        set("metrics", self.metrics());
        if let Some(leader) = self.bootstrap_leader() {
            set("bootstrap_leader", leader.into());
        }
        if let Some(mode) = self.election_mode() {
            set("election_mode", mode.into());
        }
        if let Some(flag) = self.is_read_only() {
            set("read_only", flag.into());
        }
        if self.value("replication.peers").is_none() {
            set("replication", self.peer_uris());
        }
        result
    }

    /// `file:…`, `pipe:…`, `syslog:…`, or nothing for stderr.
    fn log_destination(&self) -> Value {
        let text = |path| self.text(path).unwrap_or("");
        match text("log.to") {
            "file" => format!("file:{}", text("log.file")).into(),
            "pipe" => format!("pipe:{}", text("log.pipe")).into(),
            "syslog" => {
                let mut destination = format!(
                    "syslog:identity={},facility={}",
                    text("log.syslog.identity"),
                    text("log.syslog.facility")
                );
                if let Some(server) = self.text("log.syslog.server") {
                    destination.push_str(&format!(",server={server}"));
                }
                destination.into()
            }
            _ => Value::Null,
        }
    }

    fn metrics(&self) -> Value {
        let or = |path: &str, other: Value| self.value(path).cloned().unwrap_or(other);
        let mut alias = Map::new();
        alias.push("alias", self.names().instance.as_str().into());
        let mut metrics = Map::new();
        metrics.push("include", or("metrics.include", Value::Array(vec!["all".into()])));
        metrics.push("exclude", or("metrics.exclude", Value::Array(Vec::new())));
        metrics.push("labels", or("metrics.labels", Value::Map(alias)));
        Value::Map(metrics)
    }

    fn election_mode(&self) -> Option<&str> {
        let is_anonymous = self.flag("replication.anon") == Some(true);
        let mode = self.text("replication.election_mode");
        match self.text("replication.failover") {
            Some("election") => {
                Some(mode.unwrap_or(if is_anonymous { "off" } else { "candidate" }))
            }
            _ => mode,
        }
    }

    /// Whether changes are refused; none when an external coordinator decides.
    fn is_read_only(&self) -> Option<bool> {
        match self.text("replication.failover") {
            Some("manual") => Some(self.leader() != Some(&self.names().instance)),
            Some("election") => Some(self.election_mode() == Some("off")),
            Some("supervised") => None,
            _ => Some(match self.text("database.mode") {
                Some(mode) => mode == "ro",
                None => self.peers.len() > 1,
            }),
        }
    }

    /// URIs of the other instances of the replica set that have one.
    fn peer_uris(&self) -> Value {
        if self.peers.len() <= 1 {
            return Value::Null;
        }
        let mut uris = Vec::new();
        for (name, view) in self.peer_views() {
            let set = |path: &str| view.full.path(path).and_then(Value::as_bool) == Some(true);
            if set("replication.anon") || set("isolated") {
                continue;
            }
            let options = UriOptions { instance: Some(name), ..UriOptions::default() };
            if let Ok(Some(uri)) = self.instance_uri(AdvertiseType::Peer, &options) {
                uris.push(uri);
            }
        }
        Value::Array(uris)
    }

    /// How to connect to an instance: a mapping with `uri` and perhaps `login`, `password` and
    /// `params`. None when it has no suitable URI.
    pub fn instance_uri(
        &self,
        kind: AdvertiseType,
        options: &UriOptions<'_>,
    ) -> Result<Option<Value>, String> {
        let view = self.view(options.instance)?;
        let advertised = match kind {
            AdvertiseType::Sharding => view
                .full
                .path("iproto.advertise.sharding")
                .or_else(|| view.full.path("iproto.advertise.peer")),
            AdvertiseType::Peer => view.full.path("iproto.advertise.peer"),
        };
        let mut uri = advertised.and_then(Value::as_map).cloned().unwrap_or_default();
        if uri.get("uri").is_none_or(Value::is_null) {
            let Some(listened) = suitable_listen_uri(view) else { return Ok(None) };
            for (key, value) in listened {
                uri.insert(key, value);
            }
        }
        if let Some(login) = options.login {
            uri.insert("login", login.into());
            uri.remove("password");
            if let Some(password) = options.password {
                uri.insert("password", password.into());
            }
        }
        let login = uri.get("login").and_then(Value::as_str).map(str::to_owned);
        if let Some(login) = login
            && uri.get("password").is_none_or(Value::is_null)
            && let Some(password) = find_password(view, &login)?
        {
            uri.insert("password", password);
        }
        if let Some(params) = options.params {
            let mut merged = uri.get("params").and_then(Value::as_map).cloned().unwrap_or_default();
            for (key, value) in params {
                merged.insert(key.clone(), value.clone());
            }
            uri.insert("params", Value::Map(merged));
        }
        Ok(Some(self.with_ssl(Value::Map(uri))))
    }

    /// The URI with what `iproto.ssl` says about TLS, where it says nothing itself.
    fn with_ssl(&self, uri: Value) -> Value {
        const NAMES: [(&str, &str); 6] = [
            ("ssl_ca_file", "ca_file"),
            ("ssl_key_file", "ssl_key"),
            ("ssl_cert_file", "ssl_cert"),
            ("ssl_ciphers", "ssl_ciphers"),
            ("ssl_password", "ssl_password"),
            ("ssl_password_file", "ssl_password_file"),
        ];
        let Value::Map(mut uri) = uri else { return uri };
        let params = uri.get("params").and_then(Value::as_map).cloned();
        let Some(mut params) = params else { return Value::Map(uri) };
        if params.get("transport").and_then(Value::as_str) == Some("ssl") {
            for (name, option) in NAMES {
                let own = self.value(&format!("iproto.ssl.{option}"));
                let own = own.filter(|own| !own.is_null());
                if let Some(own) = own
                    && params.get(name).is_none_or(Value::is_null)
                {
                    params.insert(name, own.clone());
                }
            }
            uri.insert("params", Value::Map(params));
        }
        Value::Map(uri)
    }

    /// The folders that must exist before the database starts, relative to where the process is:
    /// the path of the option and the folder. `is_there`: the process is in its `work_dir`.
    pub fn folders(&self, is_there: bool) -> Vec<(String, String)> {
        let work_dir = self.text("process.work_dir").filter(|_| !is_there).unwrap_or("");
        let mut folders = Vec::new();
        if !work_dir.is_empty() {
            folders.push(("process.work_dir".to_owned(), work_dir.to_owned()));
        }
        let mut add = |option: &str, folder: &str| {
            if !folder.is_empty() {
                folders.push((option.to_owned(), join(work_dir, folder)));
            }
        };
        for (path, node) in schema::options() {
            let option = path.join(".");
            match (node.folder, self.text(&option)) {
                (Folder::Itself, Some(folder)) => add(&option, folder),
                (Folder::Parent, Some(file)) => add(&option, parent(file)),
                _ => {}
            }
        }
        if self.flag("console.enabled") == Some(true) {
            add("console.socket", parent(self.text("console.socket").unwrap_or("")));
        }
        if self.text("log.to") == Some("file") {
            add("log.file", parent(self.text("log.file").unwrap_or("")));
        }
        folders
    }
}

fn parent(file: &str) -> &str {
    file.rfind('/').map_or("", |end| &file[..end])
}

/// The first URI that the instance listens at to which a client can connect.
fn suitable_listen_uri(view: &View) -> Option<Map> {
    let listen = view.full.path("iproto.listen")?.as_array()?;
    listen.iter().find_map(|item| {
        let uri = item.path("uri")?.as_str()?;
        Uri::parse(uri)?.is_suitable_to_connect().ok()?;
        item.as_map().cloned()
    })
}

fn find_password(view: &View, login: &str) -> Result<Option<Value>, String> {
    if login == "guest" {
        return Ok(None);
    }
    let users = view.full.path("credentials.users");
    match users.and_then(|users| users.field(login)) {
        Some(user) => Ok(user.path("password").cloned()),
        None => Err(format!(
            "Cannot find user {login} in the config to use its password in a replication peer URI"
        )),
    }
}

/// The value at a path that the schema knows.
fn get<'a>(data: &'a Value, keys: &[&str]) -> Result<Option<&'a Value>, String> {
    let mut nodes = vec![schema::instance()];
    let mut value = Some(data);
    let mut passed: Vec<Step> = Vec::new();
    let fail = |passed: &[Step], message: String| {
        Err(match passed.is_empty() {
            true => format!("[{INSTANCE}] {message}"),
            false => format!("[{INSTANCE}] {}: {message}", path_text(passed)),
        })
    };
    for key in keys {
        let mut next: Vec<&Node> = Vec::new();
        let mut reason = String::new();
        let mut unknown = false;
        for node in variants(&nodes) {
            match &node.kind {
                Kind::Any => next.push(node),
                Kind::Record(_) => match node.field(key) {
                    Some(field) => next.push(field),
                    None => unknown = true,
                },
                Kind::Map { value, .. } => next.push(value),
                Kind::Array(_) => reason = "Indexing an array is not supported yet".into(),
                kind => {
                    let kind = kind.name();
                    reason = format!(
                        "Attempt to index a scalar value of type {kind} by field \"{key}\""
                    );
                }
            }
        }
        if next.is_empty() && unknown {
            passed.push(Step::Key((*key).to_owned()));
            return fail(&passed, "No such field in the schema".into());
        }
        if next.is_empty() {
            return fail(&passed, reason);
        }
        let free = next.iter().all(|node| matches!(node.kind, Kind::Any));
        value = match value.filter(|value| !value.is_null()) {
            Some(Value::Map(map)) => map.get(key).or_else(|| by_number(map, key)),
            Some(Value::Array(items)) if free => {
                key.parse::<usize>().ok().and_then(|index| items.get(index.checked_sub(1)?))
            }
            Some(Value::Array(_)) | None => None,
            Some(other) if free => {
                let found = other.type_name();
                let message =
                    format!("Attempt to index a non-table value ({found}) by field \"{key}\"");
                return fail(&passed, message);
            }
            Some(_) => None,
        };
        passed.push(Step::Key((*key).to_owned()));
        nodes = next;
    }
    Ok(value)
}

fn by_number<'a>(map: &'a Map, key: &str) -> Option<&'a Value> {
    map.get_key(&Value::Integer(key.parse().ok()?))
}

/// The nodes with the variants of unions in their place.
fn variants<'a>(nodes: &[&'a Node]) -> Vec<&'a Node> {
    let mut all = Vec::new();
    for node in nodes {
        match &node.kind {
            Kind::Union(variants) => all.extend(variants.iter().map(|variant| &**variant)),
            _ => all.push(*node),
        }
    }
    all
}

fn mask(node: &Node, value: &Value) -> Value {
    if node.sensitive && !value.is_null() {
        return "<hidden>".into();
    }
    match (&node.kind, value) {
        (Kind::Array(items), Value::Array(values)) => {
            Value::Array(values.iter().map(|value| mask(items, value)).collect())
        }
        (_, Value::Map(map)) => Value::Map(
            map.iter()
                .map(|(key, value)| match key.as_str().and_then(|name| node.field(name)) {
                    Some(field) => (key.clone(), mask(field, value)),
                    None => (key.clone(), value.clone()),
                })
                .collect(),
        ),
        _ => value.clone(),
    }
}
