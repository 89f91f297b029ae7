//! What must hold between the instances of a cluster: names, leaders, read-write modes.
//!
//! The messages are Tarantool's. Only the replica set of the loaded instance is checked in
//! depth, because an instance must start even where another replica set is misconfigured.
//!
//! # Yields
//! never

use super::cluster::{self, children};
use super::instance::{Configuration, View};
use super::problem::Problem;
use super::value::Value;

type Checked = Result<(), Problem>;

fn fail(message: String) -> Checked {
    Err(Problem::new(message))
}

/// Every group has a replica set, every replica set has an instance, and no name is used twice.
pub fn check_names(cluster: &Value) -> Checked {
    for (group_name, group) in children(cluster, "groups") {
        if children(group, "replicasets").next().is_none() {
            return fail(format!("group \"{group_name}\" should include at least one replicaset."));
        }
        for (replicaset_name, replicaset) in children(group, "replicasets") {
            if children(replicaset, "instances").next().is_none() {
                return fail(format!(
                    "replicaset \"{replicaset_name}\" should include at least one instance."
                ));
            }
        }
    }
    let all = cluster::instances(cluster);
    for (index, names) in all.iter().enumerate() {
        let before = &all[..index];
        let (name, group) = (&names.replicaset, &names.group);
        if let Some(twin) = before.iter().find(|o| o.replicaset == *name && o.group != *group) {
            return fail(format!(
                "found replicasets with the same name \"{name}\" in the groups \"{}\" and \
                 \"{group}\".",
                twin.group
            ));
        }
        let Some(twin) = before.iter().find(|other| other.instance == names.instance) else {
            continue;
        };
        let instance = &names.instance;
        return fail(if twin.group == *group {
            format!(
                "found instances with the same name \"{instance}\" in the replicasets \"{}\" and \
                 \"{name}\" in the group \"{group}\".",
                twin.replicaset
            )
        } else {
            format!(
                "found instances with the same name \"{instance}\" in the replicaset \"{}\" in \
                 the group \"{}\" and in the replicaset \"{name}\" in the group \"{group}\".",
                twin.replicaset, twin.group
            )
        });
    }
    Ok(())
}

/// Everything about the replica set of the instance.
pub fn check(configuration: &Configuration) -> Checked {
    let set = ReplicaSet::new(configuration);
    set.failover()?;
    set.election_mode()?;
    set.failover_section()?;
    set.bootstrap_leader()?;
    set.anonymous()?;
    set.several_writers()
}

/// The replica set of the instance, with what the checks ask often.
struct ReplicaSet<'a> {
    configuration: &'a Configuration,
    peers: Vec<(&'a str, &'a View)>,
    failover: &'a str,
    leader: Option<&'a str>,
    replicaset: &'a str,
    group: &'a str,
}

fn text<'a>(view: &'a View, path: &str) -> Option<&'a str> {
    view.full.path(path).and_then(Value::as_str)
}

fn is_anonymous(view: &View) -> bool {
    view.full.path("replication.anon").and_then(Value::as_bool) == Some(true)
}

impl<'a> ReplicaSet<'a> {
    fn new(configuration: &'a Configuration) -> ReplicaSet<'a> {
        let names = configuration.names();
        ReplicaSet {
            configuration,
            peers: configuration.peer_views().collect(),
            failover: configuration.text("replication.failover").unwrap_or("off"),
            leader: configuration.leader(),
            replicaset: &names.replicaset,
            group: &names.group,
        }
    }

    fn place(&self) -> String {
        format!("replicaset \"{}\" of group \"{}\"", self.replicaset, self.group)
    }

    fn failover(&self) -> Checked {
        let (place, failover) = (self.place(), self.failover);
        match self.leader {
            Some(leader) if failover != "manual" => {
                return fail(format!(
                    "\"leader\" = \"{leader}\" option is set for {place}, but this option cannot \
                     be used together with replication.failover = \"{failover}\""
                ));
            }
            Some(leader) if !self.peers.iter().any(|(name, _)| *name == leader) => {
                return fail(format!(
                    "\"leader\" = \"{leader}\" option is set for {place}, but instance \
                     \"{leader}\" is not found in this replicaset"
                ));
            }
            _ => {}
        }
        if failover == "off" {
            return Ok(());
        }
        for (name, view) in &self.peers {
            if let Some(mode) = view.given.path("database.mode").and_then(Value::as_str) {
                return fail(format!(
                    "database.mode = \"{mode}\" is set for instance \"{name}\" of {place}, but \
                     this option cannot be used together with replication.failover = \
                     \"{failover}\""
                ));
            }
        }
        Ok(())
    }

    fn election_mode(&self) -> Checked {
        let (place, failover) = (self.place(), self.failover);
        for (name, view) in &self.peers {
            let Some(mode) = text(view, "replication.election_mode") else { continue };
            if failover == "supervised" {
                let synchro = self.synchro_mode() && !is_anonymous(view);
                if mode != if synchro { "manual" } else { "off" } {
                    return fail(format!(
                        "replication.election_mode = \"{mode}\" is set for instance \"{name}\" of \
                         {place}, but this option is to be deduced from \
                         failover.replicasets.{}.synchro_mode when replication.failover = \
                         \"supervised\"; the suggestion is to leave the \
                         replication.election_mode option unset",
                        self.replicaset
                    ));
                }
            } else if failover != "election" && mode != "off" {
                return fail(format!(
                    "replication.election_mode = \"{mode}\" is set for instance \"{name}\" of \
                     {place}, but this option is only applicable if replication.failover = \
                     \"election\"; the replicaset is configured with replication.failover = \
                     \"{failover}\"; if this particular instance requires its own election mode, \
                     for example, if it is an anonymous replica, consider configuring the \
                     election mode specifically for this particular instance"
                ));
            }
        }
        Ok(())
    }

    fn synchro_mode(&self) -> bool {
        let sets = self.configuration.value("failover.replicasets");
        let own = sets.and_then(|sets| sets.field(self.replicaset));
        own.and_then(|set| set.path("synchro_mode")).and_then(Value::as_bool) == Some(true)
    }

    fn failover_section(&self) -> Checked {
        let Some(Value::Map(sets)) = self.configuration.value("failover.replicasets") else {
            return Ok(());
        };
        let all = self.configuration.instances();
        for (set_name, set) in sets.named() {
            if !all.iter().any(|names| names.replicaset == set_name) {
                return fail(format!(
                    "replicaset {set_name} specified in the failover configuration doesn't exist"
                ));
            }
            let learners = set.path("learners").and_then(Value::as_array).unwrap_or(&[]);
            let learners = learners.iter().filter_map(Value::as_str);
            for name in children(set, "priority").map(|(name, _)| name).chain(learners) {
                match all.iter().find(|names| names.instance == name) {
                    None => {
                        return fail(format!(
                            "instance {name} from replicaset {set_name} specified in the \
                             failover.replicasets section doesn't exist"
                        ));
                    }
                    Some(names) if names.replicaset != set_name => {
                        return fail(format!(
                            "instance {name} from replicaset {} is specified in the wrong \
                             replicaset {set_name} in the failover.replicasets configuration \
                             section",
                            names.replicaset
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    fn bootstrap_leader(&self) -> Checked {
        let strategy = self.configuration.text("replication.bootstrap_strategy");
        let (set, place) = (self.replicaset, self.place());
        let instance = &self.configuration.names().instance;
        match (strategy, self.configuration.bootstrap_leader()) {
            (Some("config"), None) => fail(format!(
                "The \"bootstrap_leader\" option cannot be empty for replicaset \"{set}\" because \
                 \"bootstrap_strategy\" for instance \"{instance}\" is \"config\""
            )),
            (Some("config"), Some(leader)) => {
                if self.peers.iter().any(|(name, _)| *name == leader) {
                    return Ok(());
                }
                fail(format!(
                    "\"bootstrap_leader\" = \"{leader}\" option is set for {place}, but instance \
                     \"{leader}\" is not found in this replicaset"
                ))
            }
            (_, Some(_)) => fail(format!(
                "The \"bootstrap_leader\" option cannot be set for replicaset \"{set}\" because \
                 \"bootstrap_strategy\" for instance \"{instance}\" is not \"config\""
            )),
            _ => Ok(()),
        }
    }

    fn anonymous(&self) -> Checked {
        let place = self.place();
        if self.peers.iter().all(|(_, view)| is_anonymous(view)) {
            return fail(format!(
                "All the instances of {place} are configured as anonymous replicas; it \
                 effectively means that the whole replicaset is read-only; moreover, it means \
                 that default replication.peers construction logic will create empty upstream \
                 list and each instance is de-facto isolated: neither is connected to any other; \
                 this configuration is forbidden, because it looks like there is no meaningful \
                 use case"
            ));
        }
        for (name, view) in self.peers.iter().filter(|(_, view)| is_anonymous(view)) {
            let mode = view.given.path("database.mode").and_then(Value::as_str);
            if self.failover == "off" && mode == Some("rw") {
                return fail(format!(
                    "database.mode = \"rw\" is set for instance \"{name}\" of {place}, but this \
                     option cannot be used together with replication.anon = true"
                ));
            }
            if self.failover == "manual" && self.leader == Some(*name) {
                return fail(format!(
                    "replication.anon = true is set for instance \"{name}\" of {place} that is \
                     configured as a leader; a leader can not be an anonymous replica"
                ));
            }
            let election = text(view, "replication.election_mode").unwrap_or("off");
            if self.failover == "election" && election != "off" {
                return fail(format!(
                    "replication.election_mode = \"{election}\" is set for instance \"{name}\" of \
                     {place}, but this option cannot be used together with replication.anon = \
                     true; consider setting replication.election_mode = \"off\" explicitly for \
                     this instance"
                ));
            }
        }
        Ok(())
    }

    fn several_writers(&self) -> Checked {
        let writes = |view: &View| text(view, "database.mode") == Some("rw");
        let count = self.peers.iter().filter(|(_, view)| writes(view)).count();
        let expels = self.configuration.flag("replication.autoexpel.enabled") == Some(true);
        if self.failover == "off" && count > 1 && expels {
            return fail(
                "replication.autoexpel.enabled = true doesn't support the multi-master \
                 configuration"
                    .into(),
            );
        }
        Ok(())
    }
}
