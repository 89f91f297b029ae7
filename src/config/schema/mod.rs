//! The schema: every option of Tarantool 3's configuration, declared once.
//!
//! [`instance`] is what one instance is configured by. [`cluster`] is what a file has: the same
//! options in four scopes, from the whole cluster down to the instance, and what only a file has
//! (`conditional`, `include`, `leader`). Names, types, defaults and allowed values are facts of
//! Tarantool; the sections are split over the files by what they are about.
//!
//! # Not here
//! Reading text, merging and defaults are one folder up; they walk these nodes.

mod check;
mod monitoring;
mod network;
mod node;
mod process;
mod replication;
mod storage;

use std::sync::{Arc, LazyLock};

pub use check::{Uri, validate_name};
pub use node::{Field, Folder, Kind, Node, Scope, Unit};

use node::{any, array, map, map_of, record_of, string};

/// The name that messages give the schema of one instance.
pub const INSTANCE: &str = "instance_config";
/// The name that messages give the schema of a file.
pub const CLUSTER: &str = "cluster_config";
/// The name that messages give a conditional section.
pub const NESTED_CLUSTER: &str = "nested_cluster_config";

static INSTANCE_FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let sections = [
        ("config", process::config()),
        ("process", process::process()),
        ("lua", process::lua()),
        ("console", process::console()),
        ("fiber", process::fiber()),
        ("log", process::log()),
        ("app", process::app()),
        ("threads", process::threads()),
        ("iproto", network::iproto()),
        ("session", network::session()),
        ("credentials", network::credentials()),
        ("security", network::security()),
        ("connpool", network::connpool()),
        ("database", storage::database()),
        ("sql", storage::sql()),
        ("memtx", storage::memtx()),
        ("vinyl", storage::vinyl()),
        ("quiver", storage::quiver()),
        ("wal", storage::wal()),
        ("snapshot", storage::snapshot()),
        ("replication", replication::replication()),
        ("sharding", replication::sharding()),
        ("failover", replication::failover()),
        ("stateboard", replication::stateboard()),
        ("roles", replication::roles()),
        ("roles_cfg", replication::roles_cfg()),
        ("labels", replication::labels()),
        ("isolated", replication::isolated()),
        ("feedback", monitoring::feedback()),
        ("flightrec", monitoring::flightrec()),
        ("metrics", monitoring::metrics()),
        ("audit_log", monitoring::audit_log()),
        ("compat", monitoring::compat_section()),
    ];
    sections.into_iter().map(|(name, node)| (name, Arc::new(node))).collect()
});

static INSTANCE_NODE: LazyLock<Node> =
    LazyLock::new(|| record_of("Options of one instance.", INSTANCE_FIELDS.clone()));

static NESTED_CLUSTER_NODE: LazyLock<Node> = LazyLock::new(|| scoped_cluster(Vec::new()));

static CLUSTER_NODE: LazyLock<Node> = LazyLock::new(|| {
    let section = map(any("Any option of the cluster."), "Options, and `if`: when they apply.");
    let conditional = array(section, "Sections that apply to some versions only.");
    scoped_cluster(vec![("conditional", Arc::new(conditional))])
});

/// The schema of one instance.
pub fn instance() -> &'static Node {
    &INSTANCE_NODE
}

/// The schema of a configuration file.
pub fn cluster() -> &'static Node {
    &CLUSTER_NODE
}

/// The schema of a conditional section, which may not be conditional again.
pub fn nested_cluster() -> &'static Node {
    &NESTED_CLUSTER_NODE
}

/// Every option of an instance that is one value, list or mapping, with its path; sorted by it.
pub fn options() -> Vec<(Vec<&'static str>, &'static Node)> {
    fn collect(
        node: &'static Node,
        path: &mut Vec<&'static str>,
        found: &mut Vec<(Vec<&'static str>, &'static Node)>,
    ) {
        if !matches!(node.kind, Kind::Record(_)) {
            found.push((path.clone(), node));
        }
        for (name, field) in node.fields() {
            path.push(name);
            collect(field, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    collect(instance(), &mut Vec::new(), &mut found);
    found.sort_by_key(|(path, _)| path.join("_"));
    found
}

/// A record with the instance options, `own` fields first.
fn scope(scope: Scope, description: &'static str, mut own: Vec<Field>) -> Node {
    own.extend(INSTANCE_FIELDS.iter().cloned());
    record_of(description, own).scope(scope)
}

fn scoped_cluster(mut own: Vec<Field>) -> Node {
    let instance = scope(Scope::Instance, "Options of the instance.", Vec::new());
    let instances = map_of(check::node_name, instance, "Instances of the replica set.");
    let leader = string("Instance that leads, when replication.failover is manual.");
    let bootstrap_leader =
        string("Instance that bootstraps, when replication.bootstrap_strategy is config.");
    let replicaset = scope(
        Scope::Replicaset,
        "Options of the replica set.",
        vec![
            ("leader", Arc::new(leader)),
            ("bootstrap_leader", Arc::new(bootstrap_leader)),
            ("instances", Arc::new(instances)),
        ],
    );
    let replicasets = map_of(check::node_name, replicaset, "Replica sets of the group.");
    let group =
        scope(Scope::Group, "Options of the group.", vec![("replicasets", Arc::new(replicasets))]);
    let groups = map_of(check::node_name, group, "Groups of replica sets.");
    let include = array(string("Path or pattern."), "Files that this one goes on in.");
    own.push(("include", Arc::new(include)));
    own.push(("groups", Arc::new(groups)));
    scope(Scope::Global, "Configuration of a cluster.", own)
}

/// Whether the option or a section around it is of the Enterprise Edition.
pub fn is_enterprise(path: &[&str]) -> bool {
    let mut node = instance();
    path.iter().any(|name| {
        node = node.field(name).unwrap_or(node);
        node.enterprise
    })
}
