//! Runs Lua as the program: a script, pieces of code, the console, an instance.
//!
//! # Yields
//! in the script's fiber

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use super::command_line::{Action, Connect, Instance, Lua, Selection};
use super::world::{self, Machine};
use super::{allocator, background, logging, process, reload, shutdown, signals};
use crate::base::error::{Error, Result};
use crate::base::version;
use crate::lua::Context;
use crate::{builtin, config, fiber, lua};

/// Runs `-e`, `-l` and `-j`, the script, and the console, as far as they are asked for.
pub fn run(program: &str, command: Lua) -> ExitCode {
    let program = program.to_owned();
    let name =
        command.script.as_deref().filter(|path| *path != "-").map_or("interactive", |path| {
            let path = Path::new(path);
            path.file_name().and_then(|name| name.to_str()).unwrap_or("interactive")
        });
    if let Some(path) = &command.script {
        builtin::loaders::set_script(path);
    }
    let name = name.to_owned();
    in_lua(&name, move |cx| {
        set_arguments(cx, &program, &command);
        force_recovery(cx, command.force_recovery)?;
        actions(cx, &command.actions)?;
        if let Some(path) = &command.script {
            script(cx, path, &command.arguments)?;
        }
        if command.interactive { console(cx) } else { Ok(()) }
    })
}

/// Starts an instance of a configuration.
pub fn run_instance(instance: &Instance) -> ExitCode {
    let target = match world::target(instance.name.as_deref(), instance.config.as_deref()) {
        Ok(target) => target,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    // Wrong configuration is told before anything starts.
    let configuration = match config::load(&Machine, &target.name, target.config.as_deref()) {
        Ok(configuration) => configuration,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    if process::goes_to_background(&configuration) {
        return background::start(&Selection {
            names: vec![target.name],
            config: target.config,
            name: None,
        });
    }
    let _pid_file = match process::apply(&configuration) {
        Ok(pid_file) => pid_file,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let name = target.name.clone();
    builtin::config::set_loader(Rc::new(move || {
        config::load(&Machine, &target.name, target.config.as_deref())
    }));
    let command = instance.clone();
    in_lua(&name, move |cx| {
        force_recovery(cx, command.force_recovery)?;
        actions(cx, &command.actions)?;
        // From before the files are loaded, so that none is missed that is saved meanwhile.
        let changes = configuration.text("app.file").map(reload::watch);
        method(cx, "config", "_startup", &[])?;
        banner(&configuration);
        if let Some(changes) = changes {
            reload::follow(changes)?;
        }
        if command.interactive { console(cx) } else { Ok(()) }
    })
}

/// Says what listens where. What the application opens, it says itself.
fn banner(configuration: &config::Configuration) {
    let names = configuration.names();
    tracing::info!("{} {} runs instance {}", version::PACKAGE, version::LYCOSA, names.instance);
    if configuration.flag("console.enabled") == Some(true)
        && let Some(socket) = configuration.text("console.socket")
    {
        tracing::info!("console: lycosa connect {socket}");
    }
}

/// Opens a console on an instance: by the path of its socket, its name, or its URI.
pub fn connect(connect: &Connect) -> ExitCode {
    let uri = console_uri(connect);
    let is_address = uri.contains([':', '/']) || uri.bytes().all(|byte| byte.is_ascii_digit());
    if !is_address {
        eprintln!(
            "cannot connect to {uri}: there is no such socket or instance here, and it is no URI"
        );
        return ExitCode::FAILURE;
    }
    in_lua("interactive", move |cx| {
        require(cx, "console")?;
        cx.get_field(-1, "_start_connected");
        cx.push_bytes(&uri);
        cx.call(1, 1)?;
        shutdown::start(u8::from(!cx.boolean(-1)));
        Ok(())
    })
}

/// Saves bytecode: `-b[sg] INPUT OUTPUT`.
pub fn bytecode(arguments: &[String]) -> ExitCode {
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let flags: String = words.iter().take_while(|word| word.starts_with('-')).copied().collect();
    words.retain(|word| !word.starts_with('-'));
    let known = flags.chars().all(|letter| "-bsg".contains(letter));
    let (true, [input, output]) = (known, &words[..]) else {
        eprintln!(
            "Usage: -b[s|g] INPUT OUTPUT\n  s  leave debug information out (the default)\n  \
                   g  keep it"
        );
        return ExitCode::from(super::command_line::USAGE_STATUS);
    };
    let (input, output) = ((*input).to_owned(), (*output).to_owned());
    let strip = !flags.contains('g');
    in_lua("interactive", move |cx| {
        load_file(cx, &input)?;
        cx.get_global("string");
        cx.get_field(-1, "dump");
        cx.push_value(-3);
        cx.push_boolean(strip);
        cx.call(2, 1)?;
        let code = cx.check_bytes(-1)?;
        std::fs::write(&output, code)
            .map_err(|error| Error::system(&format!("cannot write {output}"), &error))
    })
}

/// Runs `work` in the first fiber. An error is said and ends the process with status 1.
fn in_lua(name: &str, work: impl FnOnce(Context<'_>) -> Result<()> + 'static) -> ExitCode {
    logging::install();
    allocator::start();
    let result = fiber::run(name, move || {
        // A script that just ends has its triggers run, too.
        fiber::on_end(|| shutdown::start(0));
        watch_overflow();
        let result = signals::listen()
            .map_err(|error| Error::system("cannot take signals", &error))
            .and_then(|()| lua::open())
            .and_then(|()| lua::with_main(|cx| builtin::open(cx).and_then(|()| shutdown::open(cx))))
            .map(|()| process::serve_box_cfg())
            .and_then(|()| lua::enter(work));
        if let Err(error) = result {
            tracing::error!("{}: {error}", error.type_name());
            logging::fatal("fatal error, exiting the event loop");
            shutdown::abort();
        }
    });
    process::remove_pid_file();
    logging::flush();
    match result {
        Ok(()) => shutdown::status(),
        Err(error) => {
            eprintln!("cannot start the run loop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The overflow of a stack ends its fiber on the spot. When that is the one which starts the
/// program, the process must end as well, and not wait for what nobody will start.
fn watch_overflow() {
    let first = fiber::current();
    let watch = fiber::spawn("overflow_watch", move || {
        first.join();
        if first.overflowed() {
            logging::fatal("fatal error, exiting the event loop");
            shutdown::abort();
        }
    });
    watch.set_system();
}

/// Hands `--force-recovery` on to `box.cfg`.
fn force_recovery(cx: Context<'_>, is_forced: bool) -> Result<()> {
    if !is_forced {
        return Ok(());
    }
    cx.load(b"box.internal.force_recovery = true", "=(command line)")?;
    cx.call(0, 0)
}

/// The global `arg`: the interpreter at -1, the script at 0 (the program where there is none).
fn set_arguments(cx: Context<'_>, program: &str, command: &Lua) {
    let script = command.script.as_deref().unwrap_or(program);
    cx.new_table(command.arguments.len(), 2);
    let all = [program, script].into_iter().chain(command.arguments.iter().map(String::as_str));
    for (number, argument) in (-1..).zip(all) {
        cx.push_bytes(argument);
        cx.raw_set_index(-2, number);
    }
    cx.set_global("arg");
}

fn actions(cx: Context<'_>, actions: &[Action]) -> Result<()> {
    for action in actions {
        match action {
            Action::Execute(code) => {
                cx.load(code.as_bytes(), "=(command line)")?;
                cx.call(0, 0)?;
            }
            Action::Require(module) => {
                require(cx, module)?;
                cx.set_global(module);
            }
            Action::Jit(command) => jit(cx, command)?,
        }
    }
    Ok(())
}

/// `on`, `off` and `flush` are functions of `jit`; any other command is a module `jit.NAME` with
/// a function `start`.
fn jit(cx: Context<'_>, command: &str) -> Result<()> {
    let (name, options) = command.split_once('=').unwrap_or((command, ""));
    if ["on", "off", "flush"].contains(&name) {
        cx.get_global("jit");
        cx.get_field(-1, name);
        return cx.call(0, 0);
    }
    require(cx, &format!("jit.{name}"))?;
    cx.get_field(-1, "start");
    for option in options.split(',') {
        cx.push_bytes(option);
    }
    cx.call(i32::try_from(options.split(',').count()).unwrap_or(0), 0)
}

fn script(cx: Context<'_>, path: &str, arguments: &[String]) -> Result<()> {
    load_file(cx, path)?;
    for argument in arguments {
        cx.push_bytes(argument);
    }
    cx.call(i32::try_from(arguments.len()).unwrap_or(0), 0)
}

/// Pushes the function that a file is; `-` is standard input.
fn load_file(cx: Context<'_>, path: &str) -> Result<()> {
    let mut source = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut source).map(|_| ()),
        _ => std::fs::read(path).map(|bytes| source = bytes),
    };
    read.map_err(|error| Error::system(&format!("Can't open script {path}"), &error))?;
    // A `#!` line is not Lua; the line stays, so that line numbers are right.
    if source.starts_with(b"#") {
        source.splice(0..0, *b"--");
    }
    let name = if path == "-" { "=stdin".to_owned() } else { format!("@{path}") };
    cx.load(&source, &name)
}

/// Runs the console on the terminal; leaving it ends the process.
fn console(cx: Context<'_>) -> Result<()> {
    if std::io::stdin().is_terminal() {
        println!(
            "{} {} (Tarantool {})\ntype 'help' for interactive help",
            version::PACKAGE,
            version::LYCOSA,
            version::TARANTOOL
        );
    }
    require(cx, "console")?;
    cx.get_field(-1, "start");
    cx.call(0, 0)?;
    shutdown::start(0);
    Ok(())
}

/// Pushes a module.
fn require(cx: Context<'_>, module: &str) -> Result<()> {
    cx.get_global("require");
    cx.push_bytes(module);
    cx.call(1, 1)
}

/// Calls `module:name(arguments)`.
fn method(cx: Context<'_>, module: &str, name: &str, arguments: &[&str]) -> Result<()> {
    require(cx, module)?;
    cx.get_field(-1, name);
    cx.push_value(-2);
    for argument in arguments {
        cx.push_bytes(argument);
    }
    cx.call(i32::try_from(arguments.len() + 1).unwrap_or(1), 0)
}

/// The URI of what `lycosa connect` was given.
fn console_uri(connect: &Connect) -> String {
    let address = connect.address.as_str();
    let is_file = |path: &str| std::path::Path::new(path).exists();
    if is_file(address) {
        let path = if address.starts_with('/') { address.into() } else { format!("./{address}") };
        return format!("unix/:{path}");
    }
    if address.contains('/') && !address.contains(':') && !address.starts_with(['/', '.']) {
        return format!("./{address}");
    }
    // The name of an instance of this folder means its console.
    let config = world::config_file(None);
    if config::schema::validate_name(address).is_ok()
        && let Ok(configuration) = config::load(&Machine, address, config.as_deref())
    {
        let folder = configuration.text("process.work_dir").unwrap_or("");
        let socket = configuration.text("console.socket").unwrap_or("");
        let path = std::path::Path::new(folder).join(socket);
        let start = if path.is_absolute() { "" } else { "./" };
        return format!("unix/:{start}{}", path.display());
    }
    // What runs is there although its configuration is broken by now.
    let socket = background::console_at_default_path(address);
    if socket.exists() {
        return format!("unix/:./{}", socket.display());
    }
    match (&connect.username, &connect.password) {
        (Some(user), Some(password)) => format!("{user}:{password}@{address}"),
        (Some(user), None) => format!("{user}@{address}"),
        _ => address.to_owned(),
    }
}
