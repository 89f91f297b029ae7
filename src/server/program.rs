//! The program: does what the command line says.
//!
//! # Yields
//! in the fibers that Lua runs in

use std::path::PathBuf;
use std::process::ExitCode;

use super::command_line::{self, Cat, Command, Program};
use super::{background, check, process, script, world};
use crate::base::error_injection;
use crate::builtin::title;
use crate::config::variable::environment_list;
use crate::wal::cat;

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    title::reserve();
    world::remember_start_folder();
    for name in error_injection::set_from_environment() {
        eprintln!("LYCOSA_ERROR_INJECTION: there is no fault '{name}'");
    }
    process::allow_files();
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let program = Program::of(arguments.first().map_or("", String::as_str));
    let command = match command_line::parse(&arguments) {
        Ok(command) => command,
        Err(refusal) => return refusal.report(),
    };
    let print = |text: String| {
        print!("{text}");
        ExitCode::SUCCESS
    };
    match command {
        Command::Help => print(command_line::help_text(program)),
        Command::Version => print(command_line::version_text(program)),
        Command::EnvironmentList => print(environment_list()),
        Command::Start(selection) => background::start(&selection),
        Command::Stop(selection) => background::stop(&selection),
        Command::Status(selection) => background::status(&selection),
        Command::Check(selection) => check::run(&selection),
        Command::Cat(options) => print_files(options),
        Command::Bytecode(arguments) => script::bytecode(&arguments),
        Command::Connect(connect) => script::connect(&connect),
        Command::Lua(lua) if lua.script.is_none() && world::has_instance_name() => {
            // TT_INSTANCE_NAME starts an instance as --name does.
            let instance = command_line::Instance {
                actions: lua.actions,
                interactive: lua.interactive && program == Program::Lycosa,
                force_recovery: lua.force_recovery,
                ..command_line::Instance::default()
            };
            script::run_instance(&instance)
        }
        Command::Lua(lua) => script::run(&arguments[0], lua),
        Command::Instance(instance) => script::run_instance(&instance),
    }
}

fn print_files(options: Cat) -> ExitCode {
    let format = cat::Format::by_name(&options.format).unwrap_or_default();
    let options = cat::Options {
        files: options.files.into_iter().map(PathBuf::from).collect(),
        from: options.from.unwrap_or(0),
        to: options.to.unwrap_or(u64::MAX),
        spaces: options.space.into_iter().map(u64::from).collect(),
        show_system: options.show_system,
        replicas: options.replica,
        format,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match cat::run(&options, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
