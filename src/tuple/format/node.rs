//! The tree of what a format knows: its fields and what indexes read inside them.

use super::{FormatDef, NullableAction};
use crate::base::Result;
use crate::client_error;
use crate::tuple::field_type::FieldType;
use crate::tuple::json_path::{Path, Token};
use crate::tuple::key_def::{KeyDef, Part};

/// Slot number of fields that have none.
pub(in crate::tuple) const NO_SLOT: u8 = u8::MAX;

/// Most offset slots of a tuple. Indexed fields past it are found by walking.
const SLOT_COUNT_MAX: u8 = 254;

/// A field, or a value inside a field that an index reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::tuple) struct Node {
    pub token: Token,
    pub kind: FieldType,
    pub scale: i64,
    pub action: NullableAction,
    pub has_default: bool,
    pub is_key_part: bool,
    pub slot: u8,
    /// Position in the order of creation, by which missing fields are reported.
    pub id: u32,
    pub children: Vec<Node>,
}

/// The nodes of a format and what they need of a tuple.
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    pub node_count: u32,
    pub slot_count: u8,
}

impl Node {
    pub fn is_nullable(&self) -> bool {
        self.action == NullableAction::None
    }

    /// Whether nil passes whatever the type.
    pub fn allows_nil(&self) -> bool {
        self.is_nullable() || self.has_default
    }

    /// Whether a tuple without it is refused.
    pub fn is_required(&self) -> bool {
        self.children.is_empty() && !self.is_nullable()
    }

    /// The node these steps lead to.
    pub fn find(&self, tokens: &[Token]) -> Option<&Node> {
        let Some((token, rest)) = tokens.split_first() else { return Some(self) };
        self.children.iter().find(|child| child.token == *token)?.find(rest)
    }

    /// What `nodes` know of the array's element with this index.
    pub fn element(nodes: &[Node], index: u32) -> Option<&Node> {
        let is_it = |node: &&Node| node.token == Token::Index(index);
        nodes.get(index as usize).filter(is_it).or_else(|| nodes.iter().find(is_it))
    }

    /// What `nodes` know of the map's value with this key.
    pub fn value<'n>(nodes: &'n [Node], key: &[u8]) -> Option<&'n Node> {
        nodes.iter().find(|node| match &node.token {
            Token::Key(name) => name.as_bytes() == key,
            Token::Index(_) | Token::Any => false,
        })
    }

    fn new(token: Token, id: u32) -> Node {
        Node {
            token,
            kind: FieldType::Any,
            scale: 0,
            action: NullableAction::None,
            has_default: false,
            is_key_part: false,
            slot: NO_SLOT,
            id,
            children: Vec::new(),
        }
    }
}

/// How messages name a field: its number from 1 and its name, or its path.
pub(super) fn describe(def: &FormatDef, path: &[&Token]) -> String {
    match path {
        [Token::Index(number)] => match def.fields.get(*number as usize) {
            Some(field) => format!("{} ({})", number + 1, field.name),
            None => (number + 1).to_string(),
        },
        path => path.iter().map(ToString::to_string).collect(),
    }
}

/// Makes the tree of a definition and the keys that index it.
pub(super) fn build(def: &FormatDef, keys: &[&KeyDef]) -> Result<Tree> {
    let parts = keys.iter().flat_map(|key| key.parts());
    let indexed_count = parts.map(|part| part.field as usize + 1).max().unwrap_or(0);
    let field_count = def.fields.len().max(indexed_count);
    let new_node = |number: usize| Node::new(Token::Index(number as u32), number as u32);
    let mut nodes: Vec<Node> = (0..field_count).map(new_node).collect();
    for (node, field) in nodes.iter_mut().zip(&def.fields) {
        node.kind = field.kind;
        node.scale = field.scale;
        node.action = field.nullable_action;
        node.has_default = field.default.is_some() || field.default_func != 0;
        if let (Some(value), 0) = (&field.default, field.default_func)
            && !field.kind.admits(value, false)
        {
            let path = describe(def, &[&node.token]);
            let actual = crate::tuple::item::kind_name(crate::tuple::item::kind(value));
            return Err(client_error!(ER_DEFAULT_VALUE_TYPE, path, field.kind.name(), actual));
        }
    }
    let mut tree = Tree { nodes, node_count: field_count as u32, slot_count: 0 };
    for key in keys {
        for part in key.parts() {
            use_part(&mut tree, def, key, part)?;
        }
    }
    Ok(tree)
}

/// Notes what one part of a key demands.
fn use_part(tree: &mut Tree, def: &FormatDef, key: &KeyDef, part: &Part) -> Result<()> {
    let path = part.path.as_ref().map_or(&[][..], Path::tokens);
    let mut full_path = vec![Token::Index(part.field)];
    full_path.extend_from_slice(path);
    let describe_part = |length: usize| {
        let path: Vec<&Token> = full_path[..length].iter().collect();
        describe(def, &path)
    };
    let mut node = &mut tree.nodes[part.field as usize];
    for (depth, token) in path.iter().enumerate() {
        let container = match token {
            Token::Key(_) => FieldType::Map,
            Token::Index(_) | Token::Any => FieldType::Array,
        };
        if !node.kind.contains(0, container, 0) {
            return Err(client_error!(
                ER_INDEX_PART_TYPE_MISMATCH,
                describe_part(depth + 1),
                node.kind.name(),
                container.name()
            ));
        }
        node.kind = container;
        node.is_key_part = true;
        let index = node.children.iter().position(|child| child.token == *token);
        let index = index.unwrap_or_else(|| {
            node.children.push(Node::new(token.clone(), tree.node_count));
            tree.node_count += 1;
            node.children.len() - 1
        });
        node = &mut node.children[index];
    }
    // The first field is found at once, and sequential keys are read in one walk.
    let is_far = part.field > 0 || !path.is_empty();
    if node.slot == NO_SLOT && is_far && !key.is_sequential() && tree.slot_count < SLOT_COUNT_MAX {
        node.slot = tree.slot_count;
        tree.slot_count += 1;
    }
    let is_named = (part.field as usize) < def.fields.len();
    merge_action(node, part, is_named, &describe_part(full_path.len()))?;
    merge_type(node, part, &describe_part(full_path.len()))?;
    node.is_key_part = true;
    Ok(())
}

/// The stricter of what the format and the part say of nil.
fn merge_action(node: &mut Node, part: &Part, is_named: bool, path: &str) -> Result<()> {
    use NullableAction::{Default, None};
    if !is_named && !node.is_key_part {
        node.action = part.nullable_action;
    }
    if node.action == Default {
        if part.nullable_action != None || part.path.is_some() {
            node.action = part.nullable_action;
        }
    } else if part.nullable_action == Default {
        if node.action == None {
            node.action = part.nullable_action;
        }
    } else if node.action != part.nullable_action {
        let (actual, expected) = (node.action.name(), part.nullable_action.name());
        return Err(client_error!(ER_ACTION_MISMATCH, path, actual, expected));
    }
    Ok(())
}

/// The stricter of the format's and the part's types.
fn merge_type(node: &mut Node, part: &Part, path: &str) -> Result<()> {
    if node.kind.contains(node.scale, part.kind, part.scale) {
        node.kind = part.kind;
        node.scale = part.scale;
    } else if !part.kind.contains(part.scale, node.kind, node.scale) {
        let (actual, expected) = (node.kind.name(), part.kind.name());
        return Err(match node.is_key_part {
            false => client_error!(ER_FORMAT_MISMATCH_INDEX_PART, path, actual, expected),
            true => client_error!(ER_INDEX_PART_TYPE_MISMATCH, path, actual, expected),
        });
    }
    Ok(())
}

/// Whether every value that passes `others` passes `nodes` too.
pub(super) fn all_can_store(nodes: &[Node], others: &[Node]) -> bool {
    nodes.iter().all(|node| {
        let Some(other) = others.iter().find(|other| other.token == node.token) else {
            return node.kind == FieldType::Any && node.is_nullable() && node.children.is_empty();
        };
        node.kind.contains(node.scale, other.kind, other.scale)
            && (node.is_nullable() || !other.is_nullable())
            && all_can_store(&node.children, &other.children)
    })
}
