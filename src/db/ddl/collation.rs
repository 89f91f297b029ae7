//! `_collation`: the known collations.
//!
//! Comparison knows the collations of Tarantool's bootstrap by id; rows must be of those.

use crate::base::error::Result;
use crate::client_error;
use crate::value::collation;

use super::super::access;
use super::super::user::{ObjectKind, privilege};
use super::Ddl;
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    let row = Row::new(ddl.any().data());
    let (id, name, owner) = (row.u32(0)?, row.str(1)?, row.u32(2)?);
    let kind = ObjectKind::Collation;
    match (&ddl.old, &ddl.new) {
        (None, Some(_)) => {
            access::check_ddl(ddl.db, name, owner, kind, None, privilege::CREATE)?;
            let is_builtin = collation::definition(id).is_some_and(|known| known.name == name);
            // 'none' was id 0 and absent in the oldest directories; their 'unicode' was 0 + 1.
            if is_builtin {
                return Ok(());
            }
            Err(client_error!(ER_UNSUPPORTED, "Lycosa", "user-defined collations yet"))
        }
        (Some(_), None) => {
            access::check_ddl(ddl.db, name, owner, kind, Some(id), privilege::DROP)?;
            if id == collation::NONE_ID {
                return Err(client_error!(ER_DROP_COLLATION, "none", "system collation"));
            }
            let spaces = ddl.db.schema().spaces();
            let uses = |space: &std::rc::Rc<crate::db::Space>| {
                let format = &space.definition().format;
                format.fields.iter().any(|field| field.collation == id)
                    || space.indexes().iter().any(|index| {
                        index.definition().key_def.parts().iter().any(|part| part.collation == id)
                    })
            };
            if spaces.iter().any(uses) {
                let details = "collation is referenced by space format";
                return Err(client_error!(ER_DROP_COLLATION, name, details));
            }
            Ok(())
        }
        _ => Err(client_error!(ER_UNSUPPORTED, "collation", "alter")),
    }
}
