//! A value under update, and the way of an operation to where it applies.

use super::container::{Array, Map};
use super::operation::{Argument, Operation};
use super::scalar::Scalar;
use crate::base::Result;
use crate::tuple::format::Node as FormatNode;
use crate::tuple::item;
use crate::tuple::json_path::{Path, Token};

/// A value of the tuple as far as operations have changed it.
pub(super) enum Node<'a> {
    /// Bytes of one value, of the old tuple or of an operand.
    Raw(&'a [u8]),
    /// The result of a computation.
    Scalar(Scalar<'a>),
    /// An array in which something was changed.
    Array(Array<'a>),
    /// A map in which something was changed.
    Map(Map<'a>),
}

/// Applies one operation to the tuple.
pub(super) fn apply<'a>(operation: &Operation<'a>, root: &mut Array<'a>) -> Result<()> {
    let index = i64::from(operation.field);
    if operation.path.is_empty() && operation.path_error.is_none() {
        return root.apply(operation, index, true);
    }
    let field = root.child(index).ok_or_else(|| operation.no_such_field())?;
    walk(operation, field, 0, false)
}

/// Follows the operation's path from its step `depth` on. `is_checked`: the whole path is known to
/// lead somewhere.
fn walk<'a>(
    operation: &Operation<'a>,
    node: &mut Node<'a>,
    depth: usize,
    is_checked: bool,
) -> Result<()> {
    let mut is_checked = is_checked;
    if let Node::Raw(bytes) = *node {
        if !is_checked {
            check_path(operation, bytes, depth)?;
            is_checked = true;
        }
        *node = Node::open(bytes).ok_or_else(|| operation.no_such_field())?;
    }
    let Some(token) = operation.path.get(depth) else {
        return Err(operation.bad_path(operation.path_error.unwrap_or(0)));
    };
    let is_last = depth + 1 == operation.path.len() && operation.path_error.is_none();
    let child = match (node, token) {
        (Node::Array(array), Token::Index(index)) if is_last => {
            return array.apply(operation, i64::from(*index), false);
        }
        (Node::Array(array), Token::Index(index)) => array.child(i64::from(*index)),
        (Node::Array(_), _) => {
            return Err(operation.error("can not update array by non-integer index"));
        }
        (Node::Map(map), token) if is_last => return map.apply(operation, token),
        (Node::Map(map), token) => map.child(token),
        (Node::Raw(_) | Node::Scalar(_), _) => None,
    };
    walk(operation, child.ok_or_else(|| operation.no_such_field())?, depth + 1, is_checked)
}

/// Checks that the path leads somewhere in a value that was not touched yet, before it is opened.
fn check_path(operation: &Operation<'_>, value: &[u8], depth: usize) -> Result<()> {
    let may_create = matches!(operation.argument, Argument::Set(_) | Argument::Insert(_));
    let steps = &operation.path[depth..];
    let mut at = value;
    for (index, step) in steps.iter().enumerate() {
        if let Some(next) = Path::follow_tokens(std::slice::from_ref(step), at) {
            at = next;
            continue;
        }
        if !may_create || index + 1 < steps.len() {
            return Err(operation.no_such_field());
        }
        if let Some(position) = operation.path_error {
            return Err(operation.bad_path(position));
        }
        return check_new(operation, step, at);
    }
    match operation.path_error {
        Some(position) => Err(operation.bad_path(position)),
        None => Ok(()),
    }
}

/// Checks that the last step can be made new in its parent.
fn check_new(operation: &Operation<'_>, step: &Token, parent: &[u8]) -> Result<()> {
    match (step, item::array(parent), item::map(parent)) {
        (Token::Index(index), Some((count, _)), _) if *index > count => {
            Err(operation.no_such_field())
        }
        (Token::Index(_), Some(_), _) | (Token::Key(_), _, Some(_)) => Ok(()),
        (Token::Index(_), None, _) => {
            Err(operation.error("can not access by index a non-array field"))
        }
        _ => Err(operation.error("can not access by key a non-map field")),
    }
}

impl<'a> Node<'a> {
    /// The container that these bytes start with.
    fn open(bytes: &'a [u8]) -> Option<Node<'a>> {
        match item::kind(bytes) {
            item::Kind::Array => Array::open(bytes).map(Node::Array),
            item::Kind::Map => Map::open(bytes).map(Node::Map),
            _ => None,
        }
    }

    /// Applies an operation that computes the new value from the old one.
    pub fn compute(&mut self, operation: &Operation<'a>) -> Result<()> {
        let old = match self {
            Node::Raw(bytes) => Scalar::read(bytes),
            Node::Scalar(scalar) => Some(scalar.clone()),
            Node::Array(_) | Node::Map(_) => None,
        };
        let new = match (&operation.argument, old) {
            (Argument::Arithmetic(operand), Some(old)) => old.add(operation, operand)?,
            (Argument::Bit(operand), Some(old)) => old.bit(operation, *operand)?,
            (Argument::Splice(splice), Some(old)) => old.splice(operation, splice)?,
            (Argument::Bit(_), None) => {
                return Err(operation.wrong_argument("a positive integer"));
            }
            (Argument::Splice(_), None) => {
                return Err(operation.wrong_argument("a string or varbinary"));
            }
            (_, _) => return Err(operation.wrong_argument("a number")),
        };
        *self = Node::Scalar(new);
        Ok(())
    }

    /// Appends the value as MessagePack; `format` is what is known of it.
    pub fn write(&self, out: &mut Vec<u8>, format: Option<&FormatNode>) {
        let children = format.map_or(&[][..], |format| &format.children);
        match self {
            Node::Raw(bytes) => out.extend_from_slice(bytes),
            Node::Scalar(scalar) => scalar.write(out, format.map(|format| format.kind)),
            Node::Array(array) => array.write(out, children),
            Node::Map(map) => map.write(out, children),
        }
    }
}
