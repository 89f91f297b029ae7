//! What a reload would change, and what of it needs a restart.
//!
//! # Yields
//! never

use super::instance::Configuration;
use super::schema;
use super::value::Value;

/// An option that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its dotted path.
    pub path: String,
    /// The `box.cfg` option that it becomes.
    pub box_cfg: Option<&'static str>,
    /// What it was.
    pub old: Value,
    /// What it is to be.
    pub new: Value,
}

/// The options that differ between two configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Those that a running instance takes over.
    pub live: Vec<Change>,
    /// Those that only a restart applies.
    pub restart: Vec<Change>,
}

impl Configuration {
    /// What differs in `new`.
    pub fn difference(&self, new: &Configuration) -> Difference {
        let mut difference = Difference::default();
        for (path, node) in schema::options() {
            let value = |configuration: &Configuration| {
                let found =
                    path.iter().try_fold(configuration.options(), |value, key| value.field(key));
                found.cloned().unwrap_or_default()
            };
            let (old, new) = (value(self), value(new));
            if old == new {
                continue;
            }
            let change = Change { path: path.join("."), box_cfg: node.box_cfg, old, new };
            // The destination of the log is one box.cfg option made of several of ours, which
            // carry no `box_cfg` name of their own.
            let is_log_destination = ["log.to", "log.file", "log.pipe"].contains(&&*change.path)
                || change.path.starts_with("log.syslog.");
            if node.needs_restart || is_log_destination || change.path.starts_with("threads.") {
                difference.restart.push(change);
            } else {
                difference.live.push(change);
            }
        }
        difference
    }
}
