//! `lycosa check`: says whether a configuration is right.
//!
//! # Yields
//! never

use std::path::Path;
use std::process::ExitCode;

use super::command_line::Selection;
use super::world::{self, Machine};
use crate::config::{self, Configuration, Problem, Problems};

/// Checks the configuration of each chosen instance and prints what is wrong.
pub fn run(selection: &Selection) -> ExitCode {
    match check(selection) {
        Ok(()) => {
            println!("configuration is valid");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}

fn check(selection: &Selection) -> Result<(), Problems> {
    let mut names = selection.names.clone();
    // `lycosa check FILE` is what hands write by themselves.
    let file = match &names[..] {
        [file] if selection.config.is_none() && Path::new(file).is_file() => names.pop(),
        _ => selection.config.clone(),
    };
    let config = world::config_file(file.as_deref());
    names.extend(selection.name.clone());
    if names.is_empty() {
        names = world::instance_names(config.as_deref())?;
    }
    for name in names {
        let configuration = config::load(&Machine, &name, config.as_deref())?;
        application_exists(&configuration, config.as_deref())?;
    }
    Ok(())
}

/// A file that is not there is found here rather than at the next start.
fn application_exists(configuration: &Configuration, file: Option<&str>) -> Result<(), Problems> {
    let Some(application) = configuration.text("app.file") else { return Ok(()) };
    let folder = configuration.text("process.work_dir").unwrap_or("");
    if Path::new(folder).join(application).is_file() {
        return Ok(());
    }
    let instance = &configuration.names().instance;
    let mut problem = Problem::new(format!(
        "app.file of instance \"{instance}\": there is no file {application}"
    ));
    problem.file = file.map(str::to_owned);
    Err(problem.into())
}
