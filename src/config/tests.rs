//! The whole way from sources to a configuration, over a world of maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Files and variables that a test gives.
#[derive(Default)]
struct Fake {
    files: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
}

impl World for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "No such file or directory".into())
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        let fits = |path: &&String| path.starts_with(start) && path.ends_with(end);
        self.files.keys().filter(fits).cloned().collect()
    }
}

const ONE: &str = "groups: {g: {replicasets: {r: {instances: {i: {}}}}}}\n";

fn world(text: &str, variables: &[(&str, &str)]) -> Fake {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Fake {
        files: [("config.yaml".to_owned(), text.to_owned())].into(),
        variables: variables.collect(),
    }
}

fn loaded(text: &str, variables: &[(&str, &str)]) -> Configuration {
    load(&world(text, variables), "i", Some("config.yaml")).unwrap()
}

fn refused(text: &str) -> String {
    let problems = load(&world(text, &[]), "i", Some("config.yaml")).err();
    problems.map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn environment_overrides_the_file_which_overrides_environment_defaults() {
    let text = format!("{ONE}wal: {{mode: none}}\n");
    let variables = [("TT_WAL_MODE_DEFAULT", "write"), ("TT_WAL_MAX_SIZE_DEFAULT", "1MiB")];
    let configuration = loaded(&text, &variables);
    assert_eq!(configuration.text("wal.mode"), Some("none"));
    assert_eq!(configuration.integer("wal.max_size"), Some(1 << 20));
    let configuration = loaded(&text, &[("TT_WAL_MODE", "fsync"), ("TT_LISTEN", "3301")]);
    assert_eq!(configuration.text("wal.mode"), Some("fsync"));
    assert_eq!(
        configuration.value("iproto.listen").map(Value::to_string).as_deref(),
        Some(r#"[{"uri":"3301"}]"#)
    );
    // Naming the instance means the cluster configuration alone.
    assert_eq!(configuration.get("wal.mode", Some("i")), Ok(Some(&"none".into())));
}

#[test]
fn variables_come_from_names_environment_and_files() {
    let text = "config:\n  context:\n    key: {from: file, file: key.txt, rstrip: true}\n    home: \
                {from: env, env: HOME}\n    port: 3301\napp: {file: '{{ context.home }}/{{ \
                group_name }}.lua', cfg: {key: '{{ context.key }}', p: '{{ context.port \
                }}'}}\ngroups: {g: {replicasets: {r: {instances: {i: {}}}}}}\n";
    let mut world = world(text, &[("HOME", "/home/x")]);
    world.files.insert("key.txt".into(), "secret\n".into());
    let configuration = load(&world, "i", Some("config.yaml")).unwrap();
    assert_eq!(configuration.text("app.file"), Some("/home/x/g.lua"));
    assert_eq!(configuration.text("app.cfg.key"), Some("secret"));
    assert_eq!(configuration.text("app.cfg.p"), Some("3301"));
    let message = refused(
        "config: {context: {a: {from: env, env: NOBODY}}}\ngroups: {g: \
                           {replicasets: {r: {instances: {i: {}}}}}}\n",
    );
    assert!(
        message.starts_with(
            "config.yaml:1:20: Unable to read config.context.a variable value: no \"NOBODY\" \
         environment variable"
        ),
        "{message}"
    );
}

#[test]
fn problems_have_file_line_path_and_advice() {
    let text = "wal:\n  mode: sometimes\nmemtx:\n  memry: 1\ngroups:\n  g:\n    replicasets:\n      \
                r:\n        instances:\n          i: {log: {level: 9}}\n";
    let message = refused(text);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(
        lines[0],
        "config.yaml:2:3: [cluster_config] wal.mode: Got sometimes, but only the following \
         values are allowed: none, write, fsync"
    );
    assert_eq!(lines[2], "config.yaml:4:3: [cluster_config] memtx: Unexpected field \"memry\"");
    assert!(lines[3].starts_with("  did you mean \"memory\"? allowed here: memory, "));
    assert!(lines[4].starts_with("config.yaml:10:21: [cluster_config] groups.g.replicasets.r."));
    let message = refused(&format!("{ONE}wal: {{dir: '{{{{ nobody }}}}'}}\n"));
    assert!(message.starts_with("config.yaml:2:7: [instance_config] wal.dir: Unknown variable"));
}

#[test]
fn missing_instance_is_explained() {
    let problems = load(&world(ONE, &[]), "j", Some("config.yaml")).err().unwrap().to_string();
    assert!(problems.contains("Unable to find instance \"j\" in the group/replicaset/instance"));
    assert!(problems.ends_with("instances of this configuration: i"));
    let problems = load(&world("", &[]), "j", Some("config.yaml")).err().unwrap().to_string();
    assert!(problems.contains("No cluster config received"));
    let problems = load(&world(ONE, &[]), "Bad", Some("config.yaml")).err().unwrap();
    assert!(problems.first_message().starts_with("[--name] A name must contain only lowercase"));
    let problems = load(&world(ONE, &[]), "i", Some("other.yaml")).err().unwrap();
    assert_eq!(
        problems.to_string(),
        "other.yaml: Unable to read config file \"other.yaml\": No such file or directory"
    );
}

#[test]
fn included_files_override_in_order() {
    let mut world = world("include: [conf.d/*.yaml]\nwal: {mode: none, dir: a}\n", &[]);
    world.files.insert("conf.d/1.yaml".into(), "wal: {dir: b}\nsnapshot: {count: 3}\n".into());
    world.files.insert("conf.d/2.yaml".into(), format!("snapshot: {{count: 4}}\n{ONE}"));
    let configuration = load(&world, "i", Some("config.yaml")).unwrap();
    assert_eq!(configuration.text("wal.mode"), Some("none"));
    assert_eq!(configuration.text("wal.dir"), Some("b"));
    assert_eq!(configuration.integer("snapshot.count"), Some(4));
    assert_eq!(configuration.integer("snapshot.by.interval"), Some(3600));
}

#[test]
fn uris_over_tls_get_what_the_instance_has() {
    let text = format!(
        "{ONE}iproto: {{ssl: {{ssl_cert: a.crt, ssl_key: a.key, ca_file: ca.crt}}, listen: [\
         {{uri: 'h:1', params: {{transport: ssl, ssl_key_file: b.key, ssl_verify_client: off}}}}, \
         {{uri: 'h:2'}}]}}\n\
         security: {{auth_type: pap-sha256, auth_delay: 5}}\n"
    );
    let configuration = loaded(&text, &[]);
    let options: BTreeMap<_, _> = configuration.box_cfg().into_iter().collect();
    let params = |value: &Value| {
        let params = value.path("params").and_then(Value::as_map).cloned().unwrap_or_default();
        let texts = params.into_iter().map(|(name, value)| format!("{name}={value}"));
        texts.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    };
    let expected = "ssl_ca_file=ca.crt ssl_cert_file=a.crt ssl_key_file=b.key \
                    ssl_verify_client=off transport=ssl"
        .to_owned();
    let listen = options["listen"].as_array().unwrap();
    assert_eq!((params(&listen[0]), params(&listen[1])), (expected.clone(), String::new()));
    let uri = configuration.instance_uri(AdvertiseType::Peer, &UriOptions::default()).unwrap();
    assert_eq!(params(&uri.unwrap()), expected);
    assert_eq!(options["auth_type"], Value::from("pap-sha256"));
    assert_eq!(options["password_min_length"], Value::Integer(0));
}

#[test]
fn box_cfg_gets_mapped_and_derived_options() {
    let text =
        format!("{ONE}log: {{to: file, file: a.log}}\niproto: {{listen: [{{uri: 3301x}}]}}\n");
    assert!(refused(&text).is_empty());
    let options: BTreeMap<_, _> = loaded(&text, &[]).box_cfg().into_iter().collect();
    assert_eq!(options["log"], "file:a.log".into());
    assert_eq!(options["wal_mode"], "write".into());
    assert_eq!(options["memtx_memory"], Value::Integer(268_435_456));
    assert_eq!(options["read_only"], false.into());
    assert_eq!(options["instance_name"], "i".into());
    assert_eq!(options["memtx_dir"], "var/lib/i".into());
    assert_eq!(options["replication"], Value::Null);
    assert!(!options.contains_key("wal_retention_period"));
    assert!(!options.contains_key("feedback_enabled"));
}

#[test]
fn leaders_and_modes_follow_the_failover() {
    let set = |more: &str| {
        format!(
            "iproto: {{listen: [{{uri: 'unix/:./{{{{ instance_name }}}}.iproto'}}]}}\ngroups: {{g: \
             {{replicasets: {{r: {{{more} instances: {{i: {{}}, j: {{}}}}}}}}}}}}\n"
        )
    };
    let read_only = |text: &str| {
        let options: BTreeMap<_, _> = loaded(text, &[]).box_cfg().into_iter().collect();
        options["read_only"].clone()
    };
    assert_eq!(read_only(&set("")), true.into());
    assert_eq!(read_only(&set("database: {mode: rw},")), false.into());
    assert_eq!(read_only(&set("leader: i, replication: {failover: manual},")), false.into());
    assert_eq!(read_only(&set("leader: j, replication: {failover: manual},")), true.into());
    assert!(refused(&set("leader: i,")).contains("cannot be used together with"));
    assert!(refused(&set("leader: k, replication: {failover: manual},")).contains("not found"));
    assert!(refused(&set("replication: {anon: true},")).contains("anonymous replicas"));
    let configuration = loaded(&set(""), &[]);
    assert_eq!(configuration.peers(), ["i", "j"]);
    let uri = configuration.instance_uri(
        AdvertiseType::Peer,
        &UriOptions { instance: Some("j"), login: Some("guest"), ..UriOptions::default() },
    );
    assert_eq!(uri.unwrap().unwrap().to_string(), r#"{"login":"guest","uri":"unix/:./j.iproto"}"#);
}

#[test]
fn get_follows_the_schema() {
    let configuration = loaded(&format!("{ONE}app: {{cfg: {{a: {{b: 5}}}}}}\n"), &[]);
    assert_eq!(configuration.get("app.cfg.a.b", None), Ok(Some(&Value::Integer(5))));
    assert_eq!(configuration.get("app.cfg.a.c", None), Ok(None));
    assert_eq!(
        configuration.get("wal.moed", None),
        Err("[instance_config] wal.moed: No such field in the schema".into())
    );
    assert_eq!(
        configuration.get("wal.mode.x", None),
        Err("[instance_config] wal.mode: Attempt to index a scalar value of type string by field \
             \"x\""
            .into())
    );
    assert_eq!(
        configuration.get("app.cfg.a.b.c", None),
        Err("[instance_config] app.cfg.a.b: Attempt to index a non-table value (number) by field \
             \"c\""
            .into())
    );
    assert_eq!(configuration.get("x", Some("k")), Err("Unknown instance \"k\"".into()));
    assert!(configuration.get("", None).unwrap().is_some());
}

#[test]
fn a_reload_knows_what_needs_a_restart() {
    let old = loaded(&format!("{ONE}wal: {{mode: none}}\nlog: {{level: 5}}\n"), &[]);
    let new = loaded(&format!("{ONE}wal: {{mode: write}}\nlog: {{level: debug}}\n"), &[]);
    let difference = old.difference(&new);
    assert_eq!(difference.live.len(), 1);
    assert_eq!(difference.live[0].path, "log.level");
    assert_eq!(difference.restart[0].box_cfg, Some("wal_mode"));
    assert_eq!(old.difference(&old), Difference::default());
    // What needs a restart is named at each reload until there was one.
    let changes = new.box_cfg_changes(&old, &old);
    assert_eq!(changes.live, [("log_level", "debug".into())]);
    assert_eq!(changes.restart, ["wal_mode"]);
    assert_eq!(new.box_cfg_changes(&old, &new).restart, ["wal_mode"]);
    assert_eq!(old.box_cfg_changes(&old, &new).live, [("log_level", Value::Integer(5))]);
}

#[test]
fn secrets_are_masked() {
    let text = format!("{ONE}credentials: {{users: {{web: {{password: hunter2}}}}}}\n");
    let shown = loaded(&text, &[]).masked_options().to_string();
    assert!(shown.contains("<hidden>") && !shown.contains("hunter2"));
}

#[test]
fn folders_are_relative_to_the_working_folder() {
    let folders = loaded(&format!("{ONE}process: {{work_dir: /data}}\n"), &[]).folders(false);
    assert!(folders.contains(&("process.work_dir".into(), "/data".into())));
    assert!(folders.contains(&("wal.dir".into(), "/data/var/lib/i".into())));
    assert!(folders.contains(&("process.pid_file".into(), "/data/var/run/i".into())));
}

#[test]
fn names_are_unique_and_nothing_is_empty() {
    assert!(refused("groups: {g: {}}").contains("Unable to find instance"));
    let twice = "groups: {g: {replicasets: {r: {instances: {i: {}}}, s: {instances: {i: {}}}}}}";
    assert!(refused(twice).contains("found instances with the same name \"i\" in the replicasets"));
    let empty = "groups: {g: {replicasets: {r: {instances: {i: {}}}, s: {}}}}";
    assert!(refused(empty).contains("replicaset \"s\" should include at least one instance."));
}

#[test]
fn instances_file_lists_names() {
    assert_eq!(instance_names("i1:\ni2:\n", "instances.yml").unwrap(), ["i1", "i2"]);
    assert!(instance_names("", "instances.yml").is_err());
    let message = instance_names("i1:\nBad:\n", "instances.yml").unwrap_err().to_string();
    assert!(message.starts_with("instances.yml:2:1: A name must contain only"), "{message}");
}

#[test]
fn the_configuration_in_the_repository_is_right() {
    let text = include_str!("../../config.yaml");
    let names = instance_names(include_str!("../../instances.yml"), "instances.yml").unwrap();
    assert_eq!(names, ["instance-001"]);
    let configuration = load(&world(text, &[]), &names[0], Some("config.yaml")).unwrap();
    assert_eq!(configuration.text("app.file"), Some("lua/init.lua"));
    assert_eq!(configuration.integer("memtx.memory"), Some(1 << 30));
    assert_eq!(configuration.integer("snapshot.by.interval"), Some(3600));
    let in_container = [("TT_APP_CFG", r#"{"redis": {"host": "0.0.0.0"}}"#)];
    let configuration = load(&world(text, &in_container), &names[0], Some("config.yaml")).unwrap();
    assert_eq!(configuration.text("app.cfg.redis.host"), Some("0.0.0.0"));
    assert_eq!(configuration.integer("app.cfg.redis.port"), Some(6379));
}

proptest! {
    #[test]
    fn any_text_ends_in_a_configuration_or_in_problems(text in "\\PC{0,200}") {
        let _ = load(&world(&text, &[]), "i", Some("config.yaml"));
    }

    #[test]
    fn any_value_of_any_option_is_judged(
        option in 0..schema::options().len(),
        value in "[-a-z0-9.:{},\\[\\]'\"& *!|>]{0,20}",
    ) {
        let (path, _) = schema::options()[option].clone();
        let text = format!("{ONE}{}: {value}{}", path.join(": {"), "}".repeat(path.len() - 1));
        let name = variable::environment_name(&path, variable::Level::Override);
        let _ = load(&world(&text, &[]), "i", Some("config.yaml"));
        let _ = load(&world(ONE, &[(name.as_str(), value.as_str())]), "i", Some("config.yaml"));
    }
}
