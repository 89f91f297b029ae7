//! What a schema is made of, and the words in which the tables are written.
//!
//! A node says of one option: its type, default, allowed values, checks, the `box.cfg` option
//! that it becomes, whether a reload applies it, and what it is for. Everything that the
//! configuration does (validation, defaults, environment variables, JSON schema, help) reads
//! these nodes, so an option is added in one line of one table.
//!
//! # Yields
//! never

use std::sync::Arc;

use super::check::Check;
use crate::config::value::Value;

/// One option, section, list or mapping.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its type.
    pub kind: Kind,
    /// What it is for, in a sentence.
    pub description: &'static str,
    /// The value when nothing is configured. `Null` differs from none: it resets a `box.cfg`
    /// option to its own default.
    pub default: Option<Value>,
    /// The values that are allowed; empty when any are.
    pub allowed: Vec<Value>,
    /// The `box.cfg` option that it becomes.
    pub box_cfg: Option<&'static str>,
    /// Whether only a restart applies a change.
    pub needs_restart: bool,
    /// The unit that text may give.
    pub unit: Unit,
    /// Folders to make before the database starts.
    pub folder: Folder,
    /// Whether the items of the list must differ.
    pub unique: bool,
    /// Whether diagnostic output hides it.
    pub sensitive: bool,
    /// Whether Tarantool has it in its Enterprise Edition only; refused here as it is there.
    pub enterprise: bool,
    /// What else must hold.
    pub check: Option<Check>,
    /// The scope that this section of a cluster configuration stands for.
    pub scope: Option<Scope>,
}

/// The type of a node.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Text.
    String,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Whatever the user's own code understands.
    Any,
    /// A mapping with these keys.
    Record(Vec<Field>),
    /// A mapping with any keys.
    Map {
        /// What a key must fulfil.
        key_check: Option<Check>,
        /// What is under each key.
        value: Arc<Node>,
    },
    /// A list.
    Array(Arc<Node>),
    /// One of several types.
    Union(Vec<Arc<Node>>),
}

/// A key of a record. Nodes are shared, because the four scopes hold the same options.
pub type Field = (&'static str, Arc<Node>);

/// What a number counts, and so which suffixes text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing particular.
    None,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

/// What an option says about folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Nothing.
    None,
    /// It names a folder.
    Itself,
    /// It names a file in a folder.
    Parent,
}

/// A level of the cluster configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole cluster.
    Global,
    /// A group.
    Group,
    /// A replica set.
    Replicaset,
    /// An instance.
    Instance,
}

impl Scope {
    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Global => "global",
            Scope::Group => "group",
            Scope::Replicaset => "replicaset",
            Scope::Instance => "instance",
        }
    }
}

impl Kind {
    /// The name of the type in messages and in the list of environment variables.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
            Kind::Any => "any",
            Kind::Record(_) => "record",
            Kind::Map { .. } => "map",
            Kind::Array(_) => "array",
            Kind::Union(_) => "union",
        }
    }

    /// Whether it is one value rather than a list or mapping.
    pub fn is_scalar(&self) -> bool {
        matches!(self, Kind::String | Kind::Number | Kind::Integer | Kind::Boolean | Kind::Any)
    }
}

impl Node {
    fn new(kind: Kind, description: &'static str) -> Node {
        Node {
            kind,
            description,
            default: None,
            allowed: Vec::new(),
            box_cfg: None,
            needs_restart: false,
            unit: Unit::None,
            folder: Folder::None,
            unique: false,
            sensitive: false,
            enterprise: false,
            check: None,
            scope: None,
        }
    }

    /// The node under a key, when this is a record that has it or a map.
    pub fn field(&self, name: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Record(fields) => {
                fields.iter().find(|(have, _)| *have == name).map(|(_, node)| &**node)
            }
            Kind::Map { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The fields of a record; none for other types.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Record(fields) => fields,
            _ => &[],
        }
    }

    pub(super) fn default(mut self, value: impl Into<Value>) -> Node {
        self.default = Some(value.into());
        self
    }

    pub(super) fn default_null(self) -> Node {
        self.default(Value::Null)
    }

    pub(super) fn box_cfg(mut self, option: &'static str) -> Node {
        self.box_cfg = Some(option);
        self
    }

    pub(super) fn restart(mut self) -> Node {
        self.needs_restart = true;
        self
    }

    pub(super) fn folder(mut self, folder: Folder) -> Node {
        self.folder = folder;
        self
    }

    pub(super) fn sensitive(mut self) -> Node {
        self.sensitive = true;
        self
    }

    pub(super) fn enterprise(mut self) -> Node {
        self.enterprise = true;
        self
    }

    pub(super) fn check(mut self, check: Check) -> Node {
        self.check = Some(check);
        self
    }

    pub(super) fn allowed(mut self, values: Vec<Value>) -> Node {
        self.allowed = values;
        self
    }

    pub(super) fn scope(mut self, scope: Scope) -> Node {
        self.scope = Some(scope);
        self
    }
}

pub(super) fn string(description: &'static str) -> Node {
    Node::new(Kind::String, description)
}

pub(super) fn number(description: &'static str) -> Node {
    Node::new(Kind::Number, description)
}

pub(super) fn integer(description: &'static str) -> Node {
    Node::new(Kind::Integer, description)
}

pub(super) fn boolean(description: &'static str) -> Node {
    Node::new(Kind::Boolean, description)
}

pub(super) fn any(description: &'static str) -> Node {
    Node::new(Kind::Any, description)
}

/// A size: a number of bytes, or text such as `256MiB`.
pub(super) fn bytes(description: &'static str) -> Node {
    Node { unit: Unit::Bytes, ..integer(description) }
}

/// A duration: a number of seconds, or text such as `5m`.
pub(super) fn seconds(description: &'static str) -> Node {
    Node { unit: Unit::Seconds, ..number(description) }
}

/// One of these words.
pub(super) fn choice(values: &[&str], description: &'static str) -> Node {
    string(description).allowed(values.iter().map(|value| (*value).into()).collect())
}

/// A list of different ones of these words.
pub(super) fn set(values: &[&str], description: &'static str) -> Node {
    Node { unique: true, ..array(choice(values, "One of the allowed words."), description) }
}

pub(super) fn array(items: Node, description: &'static str) -> Node {
    Node::new(Kind::Array(Arc::new(items)), description)
}

pub(super) fn map(value: Node, description: &'static str) -> Node {
    Node::new(Kind::Map { key_check: None, value: Arc::new(value) }, description)
}

/// A mapping whose keys must pass the check.
pub(super) fn map_of(key_check: Check, value: Node, description: &'static str) -> Node {
    Node::new(Kind::Map { key_check: Some(key_check), value: Arc::new(value) }, description)
}

pub(super) fn union<const N: usize>(variants: [Node; N], description: &'static str) -> Node {
    Node::new(Kind::Union(variants.into_iter().map(Arc::new).collect()), description)
}

pub(super) fn record<const N: usize>(
    description: &'static str,
    fields: [(&'static str, Node); N],
) -> Node {
    record_of(description, fields.into_iter().map(|(name, node)| (name, Arc::new(node))).collect())
}

/// A record of nodes that others hold too.
pub(super) fn record_of(description: &'static str, fields: Vec<Field>) -> Node {
    Node::new(Kind::Record(fields), description)
}
