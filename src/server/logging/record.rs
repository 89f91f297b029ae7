//! One message and its forms: bare, plain, JSON, syslog.
//!
//! # Layout
//! ```text
//! plain: 2026-11-21 03:55:00.123 [pid] cord/fiber id/fiber name/module file:line L> message
//! json:  {"time": "2026-11-21T03:55:00.123+0000", "level": "INFO", "message": …, "pid": …,
//!         "cord_name": …, "fiber_id": …, "fiber_name": …, "file": …, "line": …, "module": …}
//! ```
//! The fiber is left out where no fiber runs, file and module where they are not known.

use std::fmt::Write as _;

use jiff::Zoned;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::fiber;

/// The target of events that Lua's `log` makes.
pub(super) const LUA: &str = "lua";

/// Letters and names of levels, by number.
const LEVELS: [(char, &str); 8] = [
    ('F', "FATAL"),
    ('!', "SYSERROR"),
    ('E', "ERROR"),
    ('C', "CRIT"),
    ('W', "WARN"),
    ('I', "INFO"),
    ('V', "VERBOSE"),
    ('D', "DEBUG"),
];

/// Severities of syslog, by the number of the level.
const SEVERITIES: [u8; 8] = [3, 3, 3, 3, 4, 6, 6, 7];

/// How messages look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Just the message: nothing is configured yet.
    Bare,
    Plain,
    Json,
}

/// The number of a level of `tracing`: verbose is Rust's debug, debug its trace.
pub(super) fn level_of(level: Level) -> u8 {
    match level {
        Level::ERROR => 2,
        Level::WARN => 4,
        Level::INFO => 5,
        Level::DEBUG => 6,
        Level::TRACE => 7,
    }
}

/// A message with what is known of its origin.
#[derive(Debug)]
pub(super) struct Record {
    level: u8,
    message: String,
    /// The message is a JSON object whose fields belong to the record.
    is_json: bool,
    module: String,
    file: String,
    line: u64,
    cord: String,
    /// Number and name.
    fiber: Option<(u64, String)>,
    time: Zoned,
}

impl Record {
    pub(super) fn new(level: u8, message: String) -> Record {
        let fiber = fiber::in_fiber().then(|| {
            let fiber = fiber::current();
            (fiber.id(), fiber.name())
        });
        let thread = std::thread::current();
        Record {
            level: level.min(7),
            message,
            is_json: false,
            module: String::new(),
            file: String::new(),
            line: 0,
            cord: thread.name().unwrap_or("worker").to_owned(),
            fiber,
            time: Zoned::now(),
        }
    }

    pub(super) fn of(event: &Event<'_>) -> Record {
        let metadata = event.metadata();
        let mut record = Record::new(level_of(*metadata.level()), String::new());
        if metadata.target() != LUA {
            metadata.file().unwrap_or("").clone_into(&mut record.file);
            record.line = u64::from(metadata.line().unwrap_or(0));
        }
        let mut fields = Fields { record: &mut record, rest: String::new() };
        event.record(&mut fields);
        let rest = fields.rest;
        record.message.push_str(&rest);
        record
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.level == 0
    }

    /// The message as one line or several, ended by a newline.
    pub(super) fn text(&self, format: Format) -> String {
        match format {
            Format::Bare => format!("{}\n", self.message),
            Format::Plain => {
                let time = self.time.strftime("%Y-%m-%d %H:%M:%S%.3f");
                format!("{time} [{}] {}\n", std::process::id(), self.body())
            }
            Format::Json => format!("{}\n", self.json()),
        }
    }

    /// The message with the header of RFC 3164.
    pub(super) fn syslog(&self, facility: u8, identity: &str, format: Format) -> String {
        let priority = facility << 3 | SEVERITIES[usize::from(self.level)];
        let time = self.time.strftime("%b %e %H:%M:%S");
        let body = match format {
            Format::Json => self.json(),
            _ => self.body(),
        };
        // Control characters would end the message early in most daemons.
        let body: String =
            body.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        format!("<{priority}>{time} {identity}[{}]: {body}", std::process::id())
    }

    fn body(&self) -> String {
        let mut body = self.cord.clone();
        if let Some((id, name)) = &self.fiber {
            let _ = write!(body, "/{id}/{name}");
        }
        if !self.module.is_empty() {
            let _ = write!(body, "/{}", self.module);
        }
        if !self.file.is_empty() {
            let _ = write!(body, " {}:{}", base_name(&self.file), self.line);
        }
        let _ = write!(body, " {}> {}", LEVELS[usize::from(self.level)].0, self.message);
        body
    }

    fn json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut json = format!(
            "{{\"time\": \"{}\", \"level\": \"{}\", ",
            self.time.strftime("%Y-%m-%dT%H:%M:%S%.3f%z"),
            LEVELS[usize::from(self.level)].1
        );
        let own = self.message.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match own.filter(|_| self.is_json) {
            Some("") => {}
            Some(fields) => {
                let _ = write!(json, "{fields}, ");
            }
            None => {
                let _ = write!(json, "\"message\": {}, ", quoted(&self.message));
            }
        }
        let _ =
            write!(json, "\"pid\": {}, \"cord_name\": {}", std::process::id(), quoted(&self.cord));
        if let Some((id, name)) = &self.fiber {
            let _ = write!(json, ", \"fiber_id\": {id}, \"fiber_name\": {}", quoted(name));
        }
        if !self.file.is_empty() {
            let file = quoted(&self.file);
            let _ = write!(json, ", \"file\": {file}, \"line\": {}", self.line);
        }
        if !self.module.is_empty() {
            let _ = write!(json, ", \"module\": {}", quoted(&self.module));
        }
        json.push('}');
        json
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Takes the fields of an event: those that Lua's `log` sets have a place in the record, others
/// follow the message.
struct Fields<'a> {
    record: &'a mut Record,
    rest: String,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.rest, " {}={value:?}", field.name());
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.record.message = format!("{value:?}"),
            _ => self.add(field, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.record.message),
            "module" => value.clone_into(&mut self.record.module),
            "file" => value.clone_into(&mut self.record.file),
            // The record names the fiber that spoke.
            "fiber" if self.record.fiber.is_some() => {}
            _ => self.add(field, &value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match field.name() {
            "level" => self.record.level = u8::try_from(value.clamp(0, 7)).unwrap_or(2),
            "line" => self.record.line = u64::try_from(value).unwrap_or(0),
            _ => self.add(field, &value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "is_json" => self.record.is_json = value,
            _ => self.add(field, &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            level: 4,
            message: "disk is \"full\"".into(),
            is_json: false,
            module: "app.cache".into(),
            file: "/srv/lua/init.lua".into(),
            line: 12,
            cord: "main".into(),
            fiber: Some((103, "init.lua".into())),
            time: "2026-11-21T03:55:00.123[UTC]".parse().expect("a time"),
        }
    }

    #[test]
    fn plain_form_is_tarantools() {
        let pid = std::process::id();
        assert_eq!(
            record().text(Format::Plain),
            format!(
                "2026-11-21 03:55:00.123 [{pid}] main/103/init.lua/app.cache init.lua:12 W> \
                 disk is \"full\"\n"
            )
        );
        assert_eq!(record().text(Format::Bare), "disk is \"full\"\n");
    }

    #[test]
    fn json_form_is_one_object_with_the_fields_of_the_message() {
        let mut record = record();
        let text = record.text(Format::Json);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["time"], "2026-11-21T03:55:00.123+0000");
        assert_eq!(value["message"], "disk is \"full\"");
        assert_eq!((&value["line"], &value["fiber_id"]), (&12.into(), &103.into()));
        record.is_json = true;
        record.message = "{\"message\": \"x\", \"mine\": 1}".into();
        let value: serde_json::Value =
            serde_json::from_str(&record.text(Format::Json)).expect("JSON");
        assert_eq!((&value["message"], &value["mine"]), (&"x".into(), &1.into()));
    }

    #[test]
    fn syslog_form_is_one_line_with_its_priority() {
        let mut record = record();
        record.message = "a\nb".into();
        let text = record.syslog(23, "tarantool", Format::Plain);
        assert!(text.starts_with("<188>Nov 21 03:55:00 tarantool["), "{text}");
        assert!(text.ends_with("W> a b"), "{text}");
    }
}
