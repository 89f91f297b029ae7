//! What the configuration sees of the machine: environment variables and files; and where the
//! files of an installation are looked for.
//!
//! # Yields
//! never: this runs before the run loop starts, and at a reload, where the files are small

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::base::error::strerror;
use crate::config::{self, Problem, Problems, World};

/// The file that a folder's configuration is in by custom.
const CONFIG_FILE: &str = "config.yaml";
/// The file that lists the instances of a folder.
const INSTANCES_FILES: [&str; 2] = ["instances.yml", "instances.yaml"];

/// The machine that the program runs on. Relative paths are relative to the folder that the
/// program was started in, although the database moves to `process.work_dir`.
pub struct Machine;

static START_FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Keeps the present folder as the one that relative paths start from.
pub fn remember_start_folder() {
    // Where there is no present folder, relative paths stay as they are.
    START_FOLDER.get_or_init(|| std::env::current_dir().unwrap_or_default());
}

/// The path from the folder that the program was started in.
pub fn absolute(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    START_FOLDER.get().map_or_else(|| path.to_path_buf(), |folder| folder.join(path))
}

impl World for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let bytes = std::fs::read(absolute(path)).map_err(|error| strerror(&error))?;
        String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".into())
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let Ok(paths) = glob::glob(&absolute(pattern).to_string_lossy()) else { return Vec::new() };
        let mut found: Vec<String> =
            paths.filter_map(|path| Some(path.ok()?.to_str()?.to_owned())).collect();
        found.sort();
        found
    }
}

/// An instance and the configuration file that it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The name of the instance.
    pub name: String,
    /// The configuration file.
    pub config: Option<String>,
}

/// The configuration file: the given one, `TT_CONFIG`, or `config.yaml` in the folder.
pub fn config_file(given: Option<&str>) -> Option<String> {
    let custom = || Path::new(CONFIG_FILE).exists().then(|| CONFIG_FILE.to_owned());
    given.map(str::to_owned).or_else(|| Machine.variable("TT_CONFIG")).or_else(custom)
}

/// The instances of a folder: those that `instances.yml` beside the configuration lists, or all
/// of the configuration.
pub fn instance_names(config: Option<&str>) -> Result<Vec<String>, Problems> {
    let folder = config.and_then(|file| Path::new(file).parent()).unwrap_or(Path::new(""));
    for file in INSTANCES_FILES {
        let path = folder.join(file);
        let path = path.to_string_lossy();
        if Path::new(&*path).exists() {
            let text = Machine.read(&path).map_err(|reason| {
                Problem::new(format!("Unable to read \"{path}\": {reason}")).in_file(&path)
            })?;
            return config::instance_names(&text, &path);
        }
    }
    let Some(config) = config else {
        let problem = Problem::new("there is no config.yaml in this folder");
        return Err(problem.help("give one with --config FILE, or a script to run").into());
    };
    let cluster = config::load_cluster(&Machine, config)?;
    let names: Vec<String> =
        config::instances(&cluster).into_iter().map(|names| names.instance).collect();
    if names.is_empty() {
        let problem = Problem::new("the configuration has no instances: groups is empty");
        return Err(problem.in_file(config).into());
    }
    Ok(names)
}

/// The instance that `--name` and `--config` mean, with `TT_INSTANCE_NAME`, `TT_CONFIG` and the
/// files of the folder for what is not given.
pub fn target(name: Option<&str>, config: Option<&str>) -> Result<Target, Problems> {
    let config = config_file(config);
    let name = name.map(str::to_owned).or_else(|| Machine.variable("TT_INSTANCE_NAME"));
    let name = match name {
        Some(name) => name,
        // Neither source of names is ever empty without an error.
        None => instance_names(config.as_deref())?.into_iter().next().unwrap_or_default(),
    };
    Ok(Target { name, config })
}

/// Whether `TT_INSTANCE_NAME` names the instance to start.
pub fn has_instance_name() -> bool {
    Machine.variable("TT_INSTANCE_NAME").is_some()
}
