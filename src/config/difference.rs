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

/// What a reload hands to `box.cfg`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoxCfgChanges {
    /// Options and their new values; `Null` resets one to its default.
    pub live: Vec<(&'static str, Value)>,
    /// Options that keep their values until a restart.
    pub restart: Vec<&'static str>,
}

impl Configuration {
    /// The `box.cfg` options that differ: from those in force, or, where only a restart applies a
    /// change, from those that the instance was started with.
    pub fn box_cfg_changes(
        &self,
        started: &Configuration,
        applied: &Configuration,
    ) -> BoxCfgChanges {
        let needs_restart: Vec<&str> = schema::options()
            .into_iter()
            .filter(|(_, node)| node.needs_restart)
            .filter_map(|(_, node)| node.box_cfg)
            .chain(["log"])
            .collect();
        let (started, applied) = (started.box_cfg(), applied.box_cfg());
        let value = |options: &[(&str, Value)], wanted: &str| {
            let found = options.iter().find(|(option, _)| *option == wanted);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let mut changes = BoxCfgChanges::default();
        for (option, new) in self.box_cfg() {
            if needs_restart.contains(&option) {
                if value(&started, option) != new {
                    changes.restart.push(option);
                }
            } else if value(&applied, option) != new {
                changes.live.push((option, new));
            }
        }
        changes
    }

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
