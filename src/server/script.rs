//! Runs a Lua script as the program: `lycosa script.lua argument …`.
//!
//! # Yields
//! in the script's fiber

use std::process::ExitCode;

use crate::base::error::{Error, Result};
use crate::{builtin, fiber, lua};

/// Runs the program with the arguments of the process.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let result = fiber::run("interactive", move || {
        let result = lua::open()
            .and_then(|()| lua::with_main(builtin::open))
            .and_then(|()| run_script(&arguments));
        if let Err(error) = result {
            eprintln!("{}: {error}\nfatal error, exiting the event loop", error.type_name());
            std::process::exit(1);
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot start the run loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_script(arguments: &[String]) -> Result<()> {
    let Some(path) = arguments.get(1) else { return Ok(()) };
    let source = std::fs::read(path)
        .map_err(|error| Error::system(&format!("cannot open {path}"), &error))?;
    // A `#!` line is not Lua; the line stays, so that line numbers are right.
    let source = if source.starts_with(b"#") { [b"--", &source[..]].concat() } else { source };
    lua::enter(|cx| {
        cx.new_table(arguments.len(), 1);
        for (number, argument) in (-1..).zip(arguments) {
            cx.push_bytes(argument);
            cx.raw_set_index(-2, number);
        }
        cx.set_global("arg");
        cx.load(&source, &format!("@{path}"))?;
        for argument in &arguments[2..] {
            cx.push_bytes(argument);
        }
        cx.call(i32::try_from(arguments.len() - 2).unwrap_or(0), 0)
    })
}
