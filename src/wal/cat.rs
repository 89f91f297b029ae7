//! Prints log and snapshot files for people and scripts, as `tarantoolctl cat` does.
//!
//! Damage is skipped with a message in the log: whoever looks into a file wants what there is.
//!
//! # Yields
//! never; blocks on the disk

mod text;
mod yaml;

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use super::reader::Reader;
use crate::base::{Error, Result};
use crate::value::msgpack as mp;
use crate::xrow::Row;
use crate::xrow::iproto::{key, kind};

/// Spaces below this id belong to the system.
const USER_SPACE_ID_MIN: u64 = 512;

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A document for each row.
    #[default]
    Yaml,
    /// A line for each row.
    Json,
    /// A line of Lua that would make the change.
    Lua,
}

impl Format {
    /// By its name on the command line.
    pub fn by_name(name: &str) -> Option<Format> {
        match name {
            "yaml" => Some(Format::Yaml),
            "json" => Some(Format::Json),
            "lua" => Some(Format::Lua),
            _ => None,
        }
    }
}

/// What to print.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// The first LSN.
    pub from: u64,
    /// The LSN to stop before.
    pub to: u64,
    /// Only these spaces; empty: all.
    pub spaces: Vec<u64>,
    /// Also system spaces, when `spaces` does not say.
    pub show_system: bool,
    /// Only changes of these instances; empty: all.
    pub replicas: Vec<u32>,
    /// How.
    pub format: Format,
}

impl Options {
    /// All changes of user spaces in one file, as YAML.
    pub fn file(path: impl Into<PathBuf>) -> Options {
        Options {
            files: vec![path.into()],
            from: 0,
            to: u64::MAX,
            spaces: Vec::new(),
            show_system: false,
            replicas: Vec::new(),
            format: Format::Yaml,
        }
    }
}

/// Prints what the options ask for.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let failed = |error: std::io::Error| Error::system("failed to write", &error);
    for path in &options.files {
        let mut reader = Reader::open(path)?;
        reader.set_force_recovery(true);
        let mut has_printed = false;
        let mut record = String::new();
        while let Some(row) = reader.next_row()? {
            match choose(&row, options) {
                Choice::Print => {}
                Choice::Pass => continue,
                Choice::Stop => break,
            }
            record.clear();
            print(&row, options.format, &mut record);
            out.write_all(record.as_bytes()).map_err(failed)?;
            has_printed = true;
        }
        if options.format == Format::Yaml && has_printed {
            out.write_all(b"...\n\n").map_err(failed)?;
        }
    }
    out.flush().map_err(failed)
}

enum Choice {
    Print,
    Pass,
    Stop,
}

fn choose(row: &Row<'_>, options: &Options) -> Choice {
    let lsn = row.header.lsn as u64;
    let replica_id = row.header.replica_id;
    let space_id = space_id(row);
    if options.replicas == [replica_id] && lsn >= options.to {
        return Choice::Stop;
    }
    let is_space_wanted = if options.spaces.is_empty() {
        options.show_system || space_id.is_none_or(|id| id >= USER_SPACE_ID_MIN)
    } else {
        space_id.is_some_and(|id| options.spaces.contains(&id))
    };
    let is_replica_wanted = options.replicas.is_empty() || options.replicas.contains(&replica_id);
    if lsn >= options.from && lsn < options.to && is_space_wanted && is_replica_wanted {
        Choice::Print
    } else {
        Choice::Pass
    }
}

fn space_id(row: &Row<'_>) -> Option<u64> {
    let value = body_of(row).into_iter().find(|(key, _)| *key == u64::from(key::SPACE_ID))?.1;
    mp::Reader::new(value).read_uint()
}

/// A part of a row.
pub struct Field {
    /// How it is called.
    pub name: String,
    /// Its value as MessagePack.
    pub value: Vec<u8>,
}

fn field(name: &str, write: impl FnOnce(&mut Vec<u8>)) -> Field {
    let mut value = Vec::new();
    write(&mut value);
    Field { name: name.to_owned(), value }
}

/// The header's fields in the order in which a Lua table of Tarantool would give them.
pub fn header_fields(row: &Row<'_>) -> Vec<Field> {
    let header = &row.header;
    let mut fields = Vec::with_capacity(8);
    let number = |name: &str, value: u64| field(name, |out| mp::write_uint(out, value));
    if header.lsn != 0 {
        fields.push(number("lsn", header.lsn as u64));
    }
    if header.is_commit() && header.tsn != header.lsn {
        fields.push(field("commit", |out| mp::write_bool(out, true)));
    }
    for (name, value) in [
        ("group_id", u64::from(header.group_id)),
        ("replica_id", u64::from(header.replica_id)),
        ("stream_id", header.stream_id),
    ] {
        if value != 0 {
            fields.push(number(name, value));
        }
    }
    let kind = field("type", |out| match kind::name(u64::from(header.kind)) {
        Some(name) => mp::write_str(out, name.as_bytes()),
        None => mp::write_uint(out, u64::from(header.kind)),
    });
    let timestamp = field("timestamp", |out| mp::write_f64(out, header.timestamp));
    if header.lsn == 0 {
        // The first row of a snapshot: without the LSN the table has another order.
        fields.extend([timestamp, kind]);
        return fields;
    }
    fields.push(kind);
    if header.tsn != header.lsn || !header.is_commit() {
        fields.push(number("tsn", header.tsn as u64));
    }
    fields.push(timestamp);
    fields
}

/// Keys and values of the body; those with strange keys are left out.
pub fn body_of<'a>(row: &Row<'a>) -> Vec<(u64, &'a [u8])> {
    let mut reader = mp::Reader::new(row.body);
    let mut parts = Vec::new();
    for _ in 0..reader.read_map_len().unwrap_or(0) {
        let (Some(key), Some(value)) = (reader.skip(), reader.skip()) else { break };
        if let Some(key) = mp::Reader::new(key).read_uint() {
            parts.push((key, value));
        }
    }
    parts
}

/// How a key of the body is called, in rows that are changes of data.
pub fn body_name(row: &Row<'_>, key: u64) -> Option<String> {
    if !row.header.request_type().is_some_and(kind::is_dml) {
        return None;
    }
    match key::name(key)? {
        "OPS" => Some("operations".to_owned()),
        name => Some(name.to_ascii_lowercase()),
    }
}

/// The body's fields in the order in which a Lua table of Tarantool would give them.
fn body_fields(row: &Row<'_>) -> Vec<Field> {
    const ORDER: [u8; 5] = [key::SPACE_ID, key::OPS, key::INDEX_BASE, key::KEY, key::TUPLE];
    let is_dml = row.header.request_type().is_some_and(kind::is_dml);
    let mut parts = body_of(row);
    if is_dml {
        let rank = |key: u64| ORDER.iter().position(|known| u64::from(*known) == key);
        parts.sort_by_key(|(key, _)| rank(*key).unwrap_or(ORDER.len()));
    }
    let name_of = |key: u64| body_name(row, key).unwrap_or_else(|| key.to_string());
    parts
        .into_iter()
        .map(|(key, value)| Field { name: name_of(key), value: value.to_vec() })
        .collect()
}

fn print(row: &Row<'_>, format: Format, out: &mut String) {
    let header = header_fields(row);
    let body = body_fields(row);
    match format {
        Format::Yaml => {
            let mut document = yaml::Document::new(out);
            document.section("HEADER", &header);
            if !row.body.is_empty() {
                document.section("BODY", &body);
            }
        }
        Format::Json => {
            out.push_str("{\"HEADER\":");
            text::json_object(&header, out);
            if !row.body.is_empty() {
                out.push_str(",\"BODY\":");
                text::json_object(&body, out);
            }
            out.push_str("}\n");
        }
        Format::Lua => print_lua(row, &body, out),
    }
}

fn print_lua(row: &Row<'_>, body: &[Field], out: &mut String) {
    let (Some(space_id), Some(name)) = (space_id(row), kind::name(u64::from(row.header.kind)))
    else {
        return;
    };
    let arguments: &[&str] = match row.header.request_type() {
        Some(kind::NOP) => return,
        Some(kind::INSERT | kind::REPLACE) => &["tuple"],
        Some(kind::DELETE) => &["key"],
        Some(kind::UPDATE) => &["key", "tuple"],
        Some(kind::UPSERT) => &["tuple", "operations"],
        _ => &[],
    };
    let _ = write!(out, "box.space[{space_id}]:{}(", name.to_ascii_lowercase());
    for (index, argument) in arguments.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        match body.iter().find(|field| field.name == *argument) {
            Some(field) => text::lua_value(&field.value, out),
            None => out.push_str("nil"),
        }
    }
    out.push_str(")\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xrow::iproto::flag;
    use crate::xrow::{Header, Request};

    fn row<'a>(header: Header, body: &'a mut Vec<u8>, tuple: &[u8]) -> Row<'a> {
        let kind = header.request_type().unwrap();
        Request { tuple: Some(tuple), ..Request::new(kind, 512) }.encode(body);
        Row { header, body }
    }

    fn printed(row: &Row<'_>, format: Format) -> String {
        let mut out = String::new();
        print(row, format, &mut out);
        out
    }

    #[test]
    fn row_is_printed_as_tarantoolctl_does() {
        let header = Header {
            lsn: 259,
            tsn: 255,
            replica_id: 1,
            timestamp: 1795229638.655,
            flags: flag::COMMIT,
            ..Header::new(kind::REPLACE)
        };
        let mut body = Vec::new();
        let tuple = [0x93, 1, 0xa2, b'i', b'\'', 0x81, 0xa1, b'a', 0x90];
        let row = row(header, &mut body, &tuple);
        assert_eq!(
            printed(&row, Format::Yaml),
            "---\nHEADER:\n  lsn: 259\n  commit: true\n  replica_id: 1\n  type: REPLACE\n  \
             tsn: 255\n  timestamp: 1795229638.655\nBODY:\n  space_id: 512\n  \
             tuple: [1, 'i''', {'a': []}]\n"
        );
        assert_eq!(
            printed(&row, Format::Json),
            "{\"HEADER\":{\"lsn\":259,\"commit\":true,\"replica_id\":1,\"type\":\"REPLACE\",\
             \"tsn\":255,\"timestamp\":1795229638.655},\
             \"BODY\":{\"space_id\":512,\"tuple\":[1,\"i'\",{\"a\":[]}]}}\n"
        );
        assert_eq!(
            printed(&row, Format::Lua),
            "box.space[512]:replace({[1] = 1, [2] = '\\x69\\x27', [3] = {['\\x61'] = {}}})\n"
        );
    }

    #[test]
    fn filters_choose_by_lsn_space_and_replica() {
        let mut body = Vec::new();
        let header = Header { lsn: 10, replica_id: 2, ..Header::new(kind::REPLACE) };
        let row = row(header, &mut body, &[0x90]);
        let all = Options::file("x");
        let is_printed = |options: Options| matches!(choose(&row, &options), Choice::Print);
        assert!(is_printed(all.clone()));
        assert!(!is_printed(Options { from: 11, ..all.clone() }));
        assert!(!is_printed(Options { to: 10, ..all.clone() }));
        assert!(is_printed(Options { spaces: vec![512], ..all.clone() }));
        assert!(!is_printed(Options { spaces: vec![513], ..all.clone() }));
        assert!(!is_printed(Options { replicas: vec![1], ..all.clone() }));
        let stop = Options { replicas: vec![2], to: 10, ..all };
        assert!(matches!(choose(&row, &stop), Choice::Stop));
    }
}
