//! Functions: what `_func` says of them. Calling them is the host's business.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;
use crate::tuple::{FieldType, Tuple};
use crate::value::mp::Reader;

use super::row::{Row, check_identifier, cut_name, is_name_too_long};

/// The highest function id.
const FUNCTION_ID_MAX: u32 = 32000;

/// The definition of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionDefinition {
    /// Function id.
    pub id: u32,
    /// Owner.
    pub owner: u32,
    /// Name.
    pub name: String,
    /// Whether it runs with its owner's access.
    pub is_setuid: bool,
    /// `LUA` or `C`; old directories have `SQL_BUILTIN`.
    pub language: String,
    /// The body of a stored Lua function, empty for one called by its global name.
    pub body: String,
    /// Type of the result.
    pub returns: String,
    /// `none`, or `group` for one that takes rows one by one.
    pub aggregate: String,
    /// What its author says of it.
    pub comment: String,
    /// Whether the same arguments always give the same result.
    pub is_deterministic: bool,
    /// Whether it runs without access to globals.
    pub is_sandboxed: bool,
    /// Whether Lua may call it.
    pub exports_lua: bool,
    /// Whether SQL may call it.
    pub exports_sql: bool,
    /// Names of the events that it is a trigger of.
    pub triggers: Vec<String>,
    /// Count of declared parameters.
    pub parameter_count: u32,
    /// Whether it takes the tuple's fields for several keys.
    pub is_multikey: bool,
    /// Whether it takes the tuple as is.
    pub takes_raw_args: bool,
}

impl FunctionDefinition {
    pub(crate) fn from_tuple(tuple: &Tuple, is_unchecked: bool) -> Result<FunctionDefinition> {
        let row = Row::new(tuple.data());
        let name = row.str(2)?;
        let refuse = |details: &str| client_error!(ER_CREATE_FUNCTION, cut_name(name), details);
        if is_name_too_long(name) {
            return Err(refuse("function name is too long"));
        }
        check_identifier(name)?;
        let language = if row.len() > 4 { row.str(4)? } else { "LUA" };
        let known = match language.to_ascii_uppercase().as_str() {
            "LUA" | "C" => true,
            "SQL_BUILTIN" => is_unchecked,
            _ => false,
        };
        if !known {
            return Err(client_error!(ER_FUNCTION_LANGUAGE, language, cut_name(name)));
        }
        let id = row.u32(0)?;
        if id > FUNCTION_ID_MAX {
            return Err(refuse("function id is too big"));
        }
        let mut definition = FunctionDefinition {
            id,
            owner: row.u32(1)?,
            name: name.to_owned(),
            is_setuid: row.len() > 3 && row.u32(3)? != 0,
            language: language.to_ascii_uppercase(),
            body: String::new(),
            returns: "any".to_owned(),
            aggregate: "none".to_owned(),
            comment: String::new(),
            is_deterministic: false,
            is_sandboxed: false,
            exports_lua: true,
            exports_sql: false,
            triggers: Vec::new(),
            parameter_count: 0,
            is_multikey: false,
            takes_raw_args: false,
        };
        if row.len() > 5 {
            definition.read_details(&row, &refuse)?;
        }
        if row.len() > 19 {
            definition.triggers = read_strings(row.array(19)?)
                .ok_or_else(|| refuse("trigger name must be a string"))?;
        }
        Ok(definition)
    }

    fn read_details(
        &mut self,
        row: &Row<'_>,
        refuse: &dyn Fn(&str) -> crate::base::Error,
    ) -> Result<()> {
        self.body = row.str(5)?.to_owned();
        if !row.str(6)?.eq_ignore_ascii_case("function") {
            return Err(refuse("unsupported routine_type value"));
        }
        if !row.str(10)?.eq_ignore_ascii_case("none") {
            return Err(refuse("unsupported sql_data_access value"));
        }
        if !row.bool(13)? {
            return Err(refuse("unsupported is_null_call value"));
        }
        self.is_deterministic = row.bool(11)?;
        self.is_sandboxed = row.bool(12)?;
        if FieldType::by_name(row.str(8)?).is_none() {
            return Err(refuse("invalid returns value"));
        }
        let exports =
            read_strings(row.array(14)?).ok_or_else(|| refuse("invalid exports value"))?;
        (self.exports_lua, self.exports_sql) = (false, false);
        for language in &exports {
            match language.to_ascii_uppercase().as_str() {
                "LUA" => self.exports_lua = true,
                "SQL" => self.exports_sql = true,
                _ => return Err(refuse("invalid exports value")),
            }
        }
        let aggregate = row.str(9)?;
        if !["none", "group"].iter().any(|known| aggregate.eq_ignore_ascii_case(known)) {
            return Err(refuse("invalid aggregate value"));
        }
        let parameters =
            read_strings(row.array(7)?).ok_or_else(|| refuse("parameter type must be a string"))?;
        if parameters.iter().any(|kind| FieldType::by_name(kind).is_none()) {
            return Err(refuse("invalid argument type"));
        }
        self.parameter_count = parameters.len() as u32;
        self.returns = row.str(8)?.to_ascii_lowercase();
        self.aggregate = aggregate.to_ascii_lowercase();
        self.comment = if row.len() > 16 { row.str(16)?.to_owned() } else { String::new() };
        self.read_options(row.map(15)?)
    }

    fn read_options(&mut self, options: &[u8]) -> Result<()> {
        let refuse = |details: &str| client_error!(ER_WRONG_FUNCTION_OPTIONS, details);
        let mut reader = Reader::new(options);
        for _ in 0..reader.read_map_len().unwrap_or(0) {
            let key = reader.read_str().ok_or_else(|| refuse("expected a map with string keys"))?;
            let flag = match key {
                b"is_multikey" => &mut self.is_multikey,
                b"takes_raw_args" => &mut self.takes_raw_args,
                _ => {
                    let key = String::from_utf8_lossy(key);
                    return Err(refuse(&format!("unexpected option '{key}'")));
                }
            };
            *flag = reader.read_bool().ok_or_else(|| refuse("an option must be boolean"))?;
        }
        Ok(())
    }
}

fn read_strings(array: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::new(array);
    let count = reader.read_array_len()?;
    (0..count).map(|_| reader.read_utf8().map(str::to_owned)).collect()
}

/// All functions.
#[derive(Default)]
pub struct Functions {
    by_id: RefCell<BTreeMap<u32, Rc<FunctionDefinition>>>,
    by_name: RefCell<HashMap<String, Rc<FunctionDefinition>, ahash::RandomState>>,
}

impl Functions {
    /// The function with this id.
    pub fn get(&self, id: u32) -> Option<Rc<FunctionDefinition>> {
        self.by_id.borrow().get(&id).cloned()
    }

    /// The function with this id, or `ER_NO_SUCH_FUNCTION`.
    pub fn find(&self, id: u32) -> Result<Rc<FunctionDefinition>> {
        self.get(id).ok_or_else(|| client_error!(ER_NO_SUCH_FUNCTION, id.to_string()))
    }

    /// The function with this name.
    pub fn get_by_name(&self, name: &str) -> Option<Rc<FunctionDefinition>> {
        self.by_name.borrow().get(name).cloned()
    }

    /// All of them by id.
    pub fn all(&self) -> Vec<Rc<FunctionDefinition>> {
        self.by_id.borrow().values().cloned().collect()
    }

    pub(crate) fn insert(&self, definition: FunctionDefinition) {
        self.remove(definition.id);
        let definition = Rc::new(definition);
        self.by_name.borrow_mut().insert(definition.name.clone(), definition.clone());
        self.by_id.borrow_mut().insert(definition.id, definition);
    }

    pub(crate) fn remove(&self, id: u32) {
        if let Some(definition) = self.by_id.borrow_mut().remove(&id) {
            self.by_name.borrow_mut().remove(&definition.name);
        }
    }
}
