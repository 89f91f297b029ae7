//! Checking a tuple's bytes against a format, and collecting the offsets of indexed fields on the
//! same walk. This walk also proves that the bytes are well-formed, on which all later reading
//! of the tuple relies.

use smallvec::SmallVec;

use super::node::{Node, describe};
use super::{Format, NO_SLOT};
use crate::base::{Error, Result};
use crate::client_error;
use crate::tuple::body::Fields;
use crate::tuple::field_type::FieldType;
use crate::tuple::item::{self, Kind};
use crate::tuple::json_path::Token;

/// Calls a function: see [`Format::apply_defaults`].
type Compute<'a> = dyn FnMut(u32, Option<&[u8]>) -> Result<Vec<u8>> + 'a;

impl Format {
    /// Whether a tuple of these bytes may be stored.
    pub fn validate(&self, data: &[u8]) -> Result<()> {
        let mut offsets = SmallVec::<[u32; 8]>::from_elem(0, usize::from(self.slot_count));
        self.validate_into(data, &mut offsets)
    }

    /// [`Format::validate`], writing where the indexed fields start.
    pub(in crate::tuple) fn validate_into(&self, data: &[u8], offsets: &mut [u32]) -> Result<()> {
        let (count, mut at) = item::array(data).ok_or_else(|| match item::size(data) {
            Some(_) => client_error!(ER_TUPLE_NOT_ARRAY),
            None => malformed(),
        })?;
        let exact_count = self.content.def.field_count;
        if exact_count > 0 && exact_count != count {
            return Err(client_error!(ER_EXACT_FIELD_COUNT, count, exact_count));
        }
        if u32::try_from(data.len()).is_err() {
            return Err(Error::out_of_memory(data.len(), "slab allocator", "memtx_tuple"));
        }
        if self.is_nested {
            at = self.validate_nested(data, count, at, offsets)?;
        } else {
            if count < self.min_field_count {
                return Err(self.missing_after(count));
            }
            for node in self.content.nodes.iter().take(count as usize) {
                let rest = &data[at..];
                let size = item::size(rest).ok_or_else(malformed)?;
                self.check(node, &rest[..size], &[])?;
                if node.slot != NO_SLOT {
                    offsets[usize::from(node.slot)] = at as u32;
                }
                at += size;
            }
        }
        for _ in self.content.nodes.len()..count as usize {
            at += item::size(&data[at..]).ok_or_else(malformed)?;
        }
        if at == data.len() { Ok(()) } else { Err(malformed()) }
    }

    /// Whether some field has a default.
    pub fn has_defaults(&self) -> bool {
        self.default_field_count > 0
    }

    /// Whether some field has a default that a function computes.
    pub fn has_default_functions(&self) -> bool {
        let fields = &self.fields()[..self.default_field_count as usize];
        fields.iter().any(|field| field.default_func != 0)
    }

    /// The tuple's bytes with the defaults of fields that are nil or absent, or nothing when no
    /// default applies. `compute` calls the function of a default that has one; it is given the
    /// function's id and the literal default.
    pub fn apply_defaults(
        &self,
        data: &[u8],
        compute: &mut Compute<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let Some((count, _)) = item::array(data) else { return Ok(None) };
        let mut fields = Fields::new(data);
        let mut body = Vec::with_capacity(data.len() + 16);
        let mut is_changed = false;
        for field in &self.fields()[..self.default_field_count as usize] {
            let given = fields.next();
            let is_nil = given.is_none_or(|given| item::kind(given) == Kind::Nil);
            let default = field.default.as_deref();
            if is_nil && field.default_func != 0 {
                body.extend_from_slice(&compute(field.default_func, default)?);
                is_changed = true;
            } else if let Some(default) = default.filter(|_| is_nil) {
                body.extend_from_slice(default);
                is_changed = true;
            } else {
                body.extend_from_slice(given.unwrap_or(&[item::NIL]));
            }
        }
        if !is_changed {
            return Ok(None);
        }
        body.extend_from_slice(fields.rest());
        let mut result = Vec::with_capacity(body.len() + 5);
        item::write_array(&mut result, count.max(self.default_field_count));
        result.extend_from_slice(&body);
        Ok(Some(result))
    }

    /// Checks one value against what its node demands; `parents` lead to the node.
    #[inline]
    fn check(&self, node: &Node, value: &[u8], parents: &[&Token]) -> Result<()> {
        if !node.kind.admits(value, node.allows_nil()) {
            let actual = item::kind_name(item::kind(value));
            let path = self.describe(node, parents);
            return Err(client_error!(ER_FIELD_TYPE, path, node.kind.name(), actual));
        }
        if node.kind >= FieldType::Int8 && item::kind(value) != Kind::Nil {
            return self.check_sized(node, value, parents);
        }
        Ok(())
    }

    /// Checks the range of types that have one.
    #[cold]
    fn check_sized(&self, node: &Node, value: &[u8], parents: &[&Token]) -> Result<()> {
        if let Some((min, max)) = node.kind.range() {
            let (is_inside, text) = match (item::uint(value), item::int(value)) {
                (Some(number), _) => (number <= max, number.to_string()),
                (None, number) => {
                    let number = number.unwrap_or(0);
                    (number >= min, number.to_string())
                }
            };
            if !is_inside {
                let details = format!("expected [{min}..{max}], got {text}");
                let path = self.describe(node, parents);
                let kind = node.kind.name();
                return Err(client_error!(ER_FIELD_VALUE_OUT_OF_RANGE, path, kind, details));
            }
        }
        if node.kind.precision().is_some()
            && !crate::tuple::compare::fits_fixed_point(node.kind, node.scale, value)
        {
            let path = self.describe(node, parents);
            return Err(client_error!(ER_FIELD_IRREPRESENTABLE_VALUE, path));
        }
        Ok(())
    }

    /// Checks fields where indexes read inside some; returns where the last known field ends.
    fn validate_nested(
        &self,
        data: &[u8],
        count: u32,
        mut at: usize,
        offsets: &mut [u32],
    ) -> Result<usize> {
        let mut walk = Walk {
            format: self,
            offsets,
            seen: SmallVec::from_elem(0, self.node_count as usize / 64 + 1),
            data,
        };
        let mut parents = Vec::new();
        for node in self.content.nodes.iter().take(count as usize) {
            at = walk.visit(node, at, &mut parents)?;
        }
        let seen = walk.seen;
        let is_seen = |id: u32| seen[id as usize / 64] & (1 << (id % 64)) != 0;
        match self.first_missing(&|node| node.is_required() && !is_seen(node.id)) {
            Some(path) => Err(client_error!(ER_FIELD_MISSING, path)),
            None => Ok(at),
        }
    }

    /// The error of a tuple that ends after `count` fields, too early.
    #[cold]
    fn missing_after(&self, count: u32) -> Error {
        let is_missing = |node: &Node| node.id >= count && node.is_required();
        let path = self.first_missing(&is_missing).unwrap_or_else(|| (count + 1).to_string());
        client_error!(ER_FIELD_MISSING, path)
    }

    /// Describes the node of the lowest id that is missing.
    fn first_missing(&self, is_missing: &dyn Fn(&Node) -> bool) -> Option<String> {
        fn search<'a>(
            nodes: &'a [Node],
            path: &mut Vec<&'a Token>,
            is_missing: &dyn Fn(&Node) -> bool,
            best: &mut Option<(u32, Vec<&'a Token>)>,
        ) {
            for node in nodes {
                path.push(&node.token);
                if is_missing(node) && best.as_ref().is_none_or(|(id, _)| node.id < *id) {
                    *best = Some((node.id, path.clone()));
                }
                search(&node.children, path, is_missing, best);
                path.pop();
            }
        }
        let mut best = None;
        search(&self.content.nodes, &mut Vec::new(), is_missing, &mut best);
        best.map(|(_, path)| describe(&self.content.def, &path))
    }

    fn describe(&self, node: &Node, parents: &[&Token]) -> String {
        let mut path = parents.to_vec();
        path.push(&node.token);
        describe(&self.content.def, &path)
    }
}

/// State of a walk over a tuple inside whose fields indexes read.
struct Walk<'a> {
    format: &'a Format,
    offsets: &'a mut [u32],
    /// Ids of the nodes met so far, a bit each.
    seen: SmallVec<[u64; 2]>,
    data: &'a [u8],
}

impl<'a> Walk<'a> {
    /// Checks the value at `at` and what is known inside it; returns where it ends.
    fn visit(&mut self, node: &'a Node, at: usize, parents: &mut Vec<&'a Token>) -> Result<usize> {
        let rest = &self.data[at..];
        let size = item::size(rest).ok_or_else(malformed)?;
        self.format.check(node, &rest[..size], parents)?;
        self.seen[node.id as usize / 64] |= 1 << (node.id % 64);
        if node.slot != NO_SLOT {
            self.offsets[usize::from(node.slot)] = at as u32;
        }
        if node.children.is_empty() {
            return Ok(at + size);
        }
        parents.push(&node.token);
        if let Some((count, head)) = item::array(rest) {
            let mut inner = at + head;
            for index in 0..count {
                let token = Token::Index(index);
                inner = match node.children.iter().find(|child| child.token == token) {
                    Some(child) => self.visit(child, inner, parents)?,
                    None => inner + item::size(&self.data[inner..]).ok_or_else(malformed)?,
                };
            }
        } else if let Some((count, head)) = item::map(rest) {
            let mut inner = at + head;
            for _ in 0..count {
                let key = &self.data[inner..];
                inner += item::size(key).ok_or_else(malformed)?;
                let key = item::string(key);
                let names = |child: &&Node| match &child.token {
                    Token::Key(name) => Some(name.as_bytes()) == key,
                    Token::Index(_) | Token::Any => false,
                };
                inner = match node.children.iter().find(names) {
                    Some(child) => self.visit(child, inner, parents)?,
                    None => inner + item::size(&self.data[inner..]).ok_or_else(malformed)?,
                };
            }
        }
        parents.pop();
        Ok(at + size)
    }
}

#[cold]
fn malformed() -> Error {
    client_error!(ER_INVALID_MSGPACK, "tuple")
}
