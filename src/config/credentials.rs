//! The `credentials` section as lists of users and roles with their privileges.
//!
//! Every privilege names one object, so that the database compares the list with what is granted
//! and grants the difference.
//!
//! # Yields
//! never

use super::cluster::children;
use super::value::Value;

/// All configured users and roles, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    /// The roles.
    pub roles: Vec<Grantee>,
    /// The users.
    pub users: Vec<Grantee>,
}

/// A user or a role.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grantee {
    /// Its name.
    pub name: String,
    /// The password of a user.
    pub password: Option<String>,
    /// The roles that it has.
    pub roles: Vec<String>,
    /// What it may do.
    pub privileges: Vec<Privilege>,
}

/// Permissions on one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Privilege {
    /// `read`, `write`, `execute`, …
    pub permissions: Vec<String>,
    /// `universe`, `space`, `function`, `sequence`, `lua_eval`, `lua_call` or `sql`.
    pub object_type: &'static str,
    /// The object; empty for all of the type.
    pub object_name: String,
}

impl Credentials {
    /// Reads the section.
    pub(super) fn new(section: Option<&Value>) -> Credentials {
        let list = |key| {
            let entries = section.into_iter().flat_map(|section| children(section, key));
            entries.map(|(name, definition)| grantee(name, definition)).collect()
        };
        Credentials { roles: list("roles"), users: list("users") }
    }
}

fn grantee(name: &str, definition: &Value) -> Grantee {
    let privileges = definition.path("privileges").and_then(Value::as_array).unwrap_or(&[]);
    Grantee {
        name: name.to_owned(),
        password: definition.path("password").and_then(Value::as_str).map(str::to_owned),
        roles: words(definition, "roles"),
        privileges: privileges.iter().flat_map(privilege).collect(),
    }
}

fn words(value: &Value, field: &str) -> Vec<String> {
    let items = value.path(field).and_then(Value::as_array).unwrap_or(&[]);
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// One privilege for each object that the definition names.
fn privilege(definition: &Value) -> Vec<Privilege> {
    const NAMED: [(&str, &str); 5] = [
        ("spaces", "space"),
        ("functions", "function"),
        ("sequences", "sequence"),
        ("lua_call", "lua_call"),
        ("sql", "sql"),
    ];
    let permissions = words(definition, "permissions");
    let mut privileges = Vec::new();
    let mut add = |object_type, object_name: String| {
        let permissions = permissions.clone();
        privileges.push(Privilege { permissions, object_type, object_name });
    };
    for whole in ["universe", "lua_eval"] {
        if definition.path(whole).and_then(Value::as_bool) == Some(true) {
            add(whole, String::new());
        }
    }
    for (field, object_type) in NAMED {
        for name in words(definition, field) {
            add(object_type, if name == "all" { String::new() } else { name });
        }
    }
    privileges
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    #[test]
    fn privileges_name_one_object_each() {
        let text = "users:\n  web:\n    password: p\n    roles: [super]\n    privileges:\n    - \
                    permissions: [read, write]\n      spaces: [a, all]\n      lua_eval: true\n";
        let credentials = Credentials::new(Some(&parse(text, "c").unwrap()));
        let web = &credentials.users[0];
        assert_eq!((web.name.as_str(), web.password.as_deref()), ("web", Some("p")));
        assert_eq!(web.roles, ["super"]);
        let objects: Vec<_> =
            web.privileges.iter().map(|p| (p.object_type, p.object_name.as_str())).collect();
        assert_eq!(objects, [("lua_eval", ""), ("space", "a"), ("space", "")]);
        assert_eq!(web.privileges[0].permissions, ["read", "write"]);
    }
}
