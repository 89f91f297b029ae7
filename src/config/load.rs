//! From sources to a [`Configuration`]: reads them through [`World`], in the order of their
//! priority, and gives every problem the file and the line where it stands.
//!
//! # Yields
//! never (but the implementation of [`World`] may)

use std::collections::BTreeMap;

use super::cluster::{self, Names};
use super::instance::{Configuration, Parts, View};
use super::merge::{apply_defaults, finish, merge};
use super::problem::{Problem, Problems, Step};
use super::schema::{self, validate_name};
use super::topology;
use super::value::{Map, Value};
use super::variable::{Level, from_environment};
use super::yaml;

/// What the configuration needs of the world outside.
pub trait World {
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The text of a file, or why it cannot be read.
    fn read(&self, path: &str) -> Result<String, String>;
    /// The files that a pattern of `include` matches, sorted.
    fn glob(&self, pattern: &str) -> Vec<String>;
}

/// A file that takes part, with its text for positions.
struct Document {
    file: String,
    text: String,
}

/// The configuration of an instance.
pub fn load(world: &dyn World, name: &str, file: Option<&str>) -> Result<Configuration, Problems> {
    validate_name(name).map_err(|reason| Problem::new(format!("[--name] {reason}")))?;
    let overrides = from_environment(world, Level::Override).map_err(Problems)?;
    let mut documents = Vec::new();
    let cluster = match file {
        Some(file) => read_cluster(world, file, &mut documents)?,
        None => Value::Map(Map::new()),
    };
    let defaults = from_environment(world, Level::Default).map_err(Problems)?;
    let sources = source_list(&overrides, file.map(|_| &cluster), &defaults);
    let names = find(&cluster, name, file, &sources)?;

    let located = |problem: Problem| Problems::from(place(problem, &names, &documents));
    let whole_cluster = |problem: Problem| match file {
        Some(file) => Problems::from(problem.in_file(file)),
        None => Problems::from(problem),
    };
    topology::check_names(&cluster).map_err(whole_cluster)?;

    let given = merge(schema::instance(), &defaults, &cluster::instantiate(&cluster, &names));
    let given = merge(schema::instance(), &given, &overrides);
    let own = view(world, &given, &names).map_err(located)?;
    let instances = cluster::instances(&cluster)
        .into_iter()
        .map(|other| {
            let view = view(world, &cluster::instantiate(&cluster, &other), &other);
            (other.instance.clone(), (other, view))
        })
        .collect::<BTreeMap<_, _>>();
    let parts = Parts { names: names.clone(), own, instances, cluster, sources };
    let configuration = Configuration::new(parts).map_err(located)?;
    topology::check(&configuration).map_err(whole_cluster)?;
    Ok(configuration)
}

/// The cluster configuration of a file and of the files that it includes, checked.
pub fn load_cluster(world: &dyn World, file: &str) -> Result<Value, Problems> {
    read_cluster(world, file, &mut Vec::new())
}

/// The names in an `instances.yml`: its keys.
pub fn instance_names(text: &str, file: &str) -> Result<Vec<String>, Problems> {
    let tree = yaml::parse(text, file)?;
    let wrong = |message: String| {
        Problem::new(message).in_file(file).help("expected the names of instances, each as `name:`")
    };
    let Value::Map(map) = &tree else {
        return Err(wrong("the list of instances is empty or no mapping".into()).into());
    };
    let mut names = Vec::with_capacity(map.len());
    for (key, _) in map {
        let name = key.to_string();
        validate_name(&name)
            .map_err(|reason| wrong(reason).at(yaml::locate(text, &[Step::Key(name.clone())])))?;
        names.push(name);
    }
    Ok(names)
}

/// Reads a file and what it includes, depth first; what is read later overrides.
fn read_cluster(
    world: &dyn World,
    file: &str,
    documents: &mut Vec<Document>,
) -> Result<Value, Problems> {
    let mut waiting = vec![file.to_owned()];
    let mut merged = Value::Map(Map::new());
    while let Some(path) = waiting.pop() {
        if documents.iter().any(|document| document.file == path) {
            continue;
        }
        let text = world.read(&path).map_err(|reason| {
            let message = format!("Unable to read config file \"{path}\": {reason}");
            Problem::new(message).in_file(&path)
        })?;
        let tree = match yaml::parse(&text, &path)? {
            Value::Null => Value::Map(Map::new()),
            tree => tree,
        };
        let problems = cluster::check(&tree);
        if !problems.is_empty() {
            let mut problems: Vec<Problem> = problems
                .into_iter()
                .map(|problem| {
                    let position = yaml::locate(&text, &problem.path);
                    problem.in_file(&path).at(position)
                })
                .collect();
            problems.sort_by_key(|problem| problem.position);
            return Err(Problems(problems));
        }
        let mut tree = cluster::apply_conditional(&tree);
        if let Value::Map(map) = &mut tree
            && let Some(Value::Array(patterns)) = map.remove("include")
        {
            let folder = folder_of(&path);
            let mut included: Vec<String> = patterns
                .iter()
                .filter_map(Value::as_str)
                .flat_map(|pattern| world.glob(&join(folder, pattern)))
                .collect();
            included.reverse();
            waiting.extend(included);
        }
        merged = merge(schema::cluster(), &merged, &tree);
        documents.push(Document { file: path, text });
    }
    Ok(merged)
}

fn folder_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(end) => &path[..end],
        None => ".",
    }
}

/// A path relative to a folder, unless it is absolute.
pub(super) fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') || folder == "." || folder.is_empty() {
        return path.to_owned();
    }
    format!("{}/{path}", folder.trim_end_matches('/'))
}

/// What the sources are and whether they have anything, for messages.
fn source_list(overrides: &Value, cluster: Option<&Value>, defaults: &Value) -> Vec<String> {
    let line = |name: &str, kind: &str, value: &Value| {
        let nothing = if value.is_empty_table() { " (no data)" } else { "" };
        format!("* \"{name}\" [type: {kind}]{nothing}")
    };
    let mut sources = vec![line(Level::Override.source_name(), "instance", overrides)];
    sources.extend(cluster.map(|cluster| line("file", "cluster", cluster)));
    sources.push(line(Level::Default.source_name(), "instance", defaults));
    sources
}

/// Where the instance stands, or Tarantool's explanation of what to do.
fn find(
    cluster: &Value,
    name: &str,
    file: Option<&str>,
    sources: &[String],
) -> Result<Names, Problems> {
    let all = cluster::instances(cluster);
    if let Some(found) = all.iter().find(|names| names.instance == name) {
        return Ok(found.clone());
    }
    let sources = sources.join("\n");
    let message = if cluster.is_empty_table() {
        format!(
            "Startup failure.\n\nNo cluster config received from the given configuration \
             sources.\n\n{sources}\n\nThe \"{name}\" instance cannot find itself in the \
             group/replicaset/instance\ntopology and it is unknown, whether it should join a \
             replicaset or\ncreate its own database.\n\nRecipes:\n\n* Use --config <file> command \
             line option."
        )
    } else {
        format!(
            "Startup failure.\n\nUnable to find instance \"{name}\" in the \
             group/replicaset/instance\ntopology provided by the given cluster configuration \
             sources.\n\n{sources}\n\nIt is unknown, whether the instance should join a \
             replicaset or\ncreate its own database.\n\nMinimal cluster config:\n\ngroups:\n  \
             group-001:\n    replicasets:\n      replicaset-001:\n        instances:\n          \
             instance-001: {{}}"
        )
    };
    let mut problem = Problem::new(message);
    problem.file = file.map(str::to_owned);
    if !all.is_empty() {
        let names: Vec<_> = all.into_iter().map(|names| names.instance).collect();
        problem = problem.help(format!("instances of this configuration: {}", names.join(", ")));
    }
    Err(problem.into())
}

/// The options with and without defaults, variables replaced.
fn view(world: &dyn World, given: &Value, names: &Names) -> Result<View, Problem> {
    let full = apply_defaults(schema::instance(), Some(given)).unwrap_or_default();
    let variables = variables(world, &full, names)?;
    Ok(View {
        given: finish(schema::instance(), given, &variables)?,
        full: finish(schema::instance(), &full, &variables)?,
    })
}

/// The variables that options may use.
fn variables(
    world: &dyn World,
    options: &Value,
    names: &Names,
) -> Result<Vec<(String, String)>, Problem> {
    let mut variables = vec![
        ("instance_name".to_owned(), names.instance.clone()),
        ("replicaset_name".to_owned(), names.replicaset.clone()),
        ("group_name".to_owned(), names.group.clone()),
    ];
    let folder = options.path("process.work_dir").and_then(Value::as_str).unwrap_or("");
    let context = options.path("config.context").and_then(Value::as_map);
    for (name, definition) in context.into_iter().flat_map(Map::named) {
        let value = context_value(world, folder, definition).map_err(|reason| {
            let message = format!("Unable to read config.context.{name} variable value: {reason}");
            let mut problem = Problem::new(message);
            problem.path =
                ["config", "context", name].map(|key| Step::Key(key.to_owned())).to_vec();
            problem
        })?;
        variables.push((format!("context.{name}"), value));
    }
    Ok(variables)
}

fn context_value(world: &dyn World, folder: &str, definition: &Value) -> Result<String, String> {
    if definition.as_map().is_none() {
        return Ok(definition.to_string());
    }
    let field = |name| definition.path(name).and_then(Value::as_str).unwrap_or("");
    let value = match field("from") {
        "env" => {
            let name = field("env");
            world.variable(name).ok_or_else(|| format!("no \"{name}\" environment variable"))?
        }
        _ => world.read(&join(folder, field("file")))?,
    };
    Ok(match definition.path("rstrip") {
        Some(Value::Boolean(true)) => value.trim_end().to_owned(),
        _ => value,
    })
}

/// The problem with the place of its option in the innermost scope that sets it.
fn place(problem: Problem, names: &Names, documents: &[Document]) -> Problem {
    if problem.path.is_empty() {
        return problem;
    }
    let scopes = names.path();
    for depth in [6, 4, 2, 0] {
        let path = [&scopes[..depth], &problem.path].concat();
        for document in documents {
            if let Some(position) = yaml::locate_exactly(&document.text, &path) {
                return problem.in_file(&document.file).at(Some(position));
            }
        }
    }
    problem
}
