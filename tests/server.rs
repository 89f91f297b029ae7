//! The program as its users run it: scripts, instances, the console, signals, the log, reload.
//!
//! Every process is ended by a guard, and every wait is for a condition, with a bound.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a condition.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running program; it does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Most have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.0.id()).expect("a pid");
        // SAFETY: a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the process to end", || {
            status = self.0.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !condition() {
        assert!(Instant::now() < deadline, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lycosa"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("HOME", folder);
    command
}

/// Runs a program that ends by itself.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = program(folder, arguments);
    let out = folder.join("stdout");
    let err = folder.join("stderr");
    command.stdout(std::fs::File::create(&out).expect("a file"));
    command.stderr(std::fs::File::create(&err).expect("a file"));
    let mut process = Process(command.spawn().expect("the program"));
    let status = process.wait();
    let read = |path| std::fs::read(path).expect("a file");
    Output { status, stdout: read(out), stderr: read(err) }
}

/// Starts a program that goes on; what it says is in the file `log`.
fn start(folder: &Path, arguments: &[&str]) -> Process {
    let log = std::fs::File::create(folder.join("log")).expect("a file");
    let mut command = program(folder, arguments);
    command.stdout(log.try_clone().expect("a file")).stderr(log);
    Process(command.spawn().expect("the program"))
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    folder
}

const INSTANCE: &str = "\
app: {file: app/main.lua}
groups: {g: {replicasets: {r: {instances: {i: {}}}}}}
";

#[test]
fn a_wrong_configuration_is_told_with_its_place() {
    let folder = folder_with(&[("config.yaml", "log:\n  levle: 5\n")]);
    let output = run(folder.path(), &["--name", "i", "--config", "config.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("config.yaml:2") && said.contains("levle"), "{said}");
}

#[test]
fn check_takes_the_path_of_a_configuration() {
    let folder =
        folder_with(&[("my.yaml", "bogus: 1\n"), ("good.yaml", INSTANCE), ("app/main.lua", "")]);
    let output = run(folder.path(), &["check", "my.yaml"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("my.yaml:1:1: [cluster_config] Unexpected field \"bogus\""), "{said}");
    assert!(run(folder.path(), &["check", "good.yaml"]).status.success());
}

#[test]
fn a_script_gets_its_arguments_and_gives_its_status() {
    let script = "#!/usr/bin/env tarantool\nprint(arg[0], arg[1], #arg, ...) os.exit(7)";
    let folder = folder_with(&[("s.lua", script)]);
    let output = run(folder.path(), &["s.lua", "one", "-e"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "s.lua\tone\t2\tone\t-e\n");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_script_that_ends_ends_the_process() {
    let folder = folder_with(&[("s.lua", "require('fiber').create(print, 'in a fiber')")]);
    let output = run(folder.path(), &["s.lua"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "in a fiber\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_error_in_a_script_is_told_as_tarantool_does() {
    let folder = folder_with(&[("s.lua", "\nerror('oops')")]);
    let output = run(folder.path(), &["s.lua"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "LuajitError: s.lua:2: oops\nfatal error, exiting the event loop\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// Sends statements and returns everything that came back until the console closed.
fn talk(path: &Path, statements: &str) -> String {
    let mut stream = UnixStream::connect(path).expect("a console");
    stream.set_read_timeout(Some(WAIT_MAX)).expect("a timeout");
    stream.write_all(statements.as_bytes()).expect("written");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("the console's words");
    said
}

#[test]
fn a_console_answers_over_its_socket_as_tarantool_does() {
    let script = "require('console').listen('unix/:./c.sock')";
    let folder = folder_with(&[("s.lua", script)]);
    let _process = start(folder.path(), &["s.lua"]);
    let socket = folder.path().join("c.sock");
    wait_for("the console", || UnixStream::connect(&socket).is_ok());
    let said = talk(
        &socket,
        "1, nil, 'x'\nlocal a = 1\nerror('x')\nerror({a = 1})\n\\foo\n\\set output lua\n\
         {1, 2, {a = 'q'}}, nil\n\\set output lua,block\n{1, {b = {}}}\n\\set output yaml\n\
         x y\n\\set delimiter ;\n1\n+ 2;\n\\quit;\n",
    );
    let expected = "\
Tarantool 3.8.0 (Lua console)                                  \n\
type 'help' for interactive help                               \n\
---\n- 1\n- null\n- x\n...\n---\n...\n---\n- error: x\n...\n---\n- error:\n    a: 1\n...\n\
---\n- error: Invalid command \\foo. Type \\help for help.\n...\n\
true;{1, 2, {a = \"q\"}}, nil;true;{\n  1,\n  {\n    b = {\n\n    }\n  }\n};---\n- true\n...\n\
---\n- error: '[string \"x y\"]:1: ''='' expected near ''y'''\n...\n---\n...\n---\n- 3\n...\n";
    assert_eq!(said, expected);
}

#[test]
fn connect_talks_to_a_console() {
    let script = "require('console').listen('unix/:./c.sock')";
    let folder = folder_with(&[("s.lua", script), ("input", "1 + 1\nerror('no')\n")]);
    let _process = start(folder.path(), &["s.lua"]);
    wait_for("the console", || UnixStream::connect(folder.path().join("c.sock")).is_ok());
    let mut command = program(folder.path(), &["connect", "c.sock"]);
    let input = std::fs::File::open(folder.path().join("input")).expect("a file");
    let out = folder.path().join("answers");
    command.stdin(input).stdout(std::fs::File::create(&out).expect("a file"));
    let mut client = Process(command.spawn().expect("the program"));
    assert!(client.wait().success());
    let said = text(out);
    assert!(said.contains("---\n- 2\n...\n") && said.contains("- error: 'no'\n"), "{said}");
}

#[test]
fn completion_knows_the_fields_of_a_space() {
    let script = "\
box.cfg({work_dir = '.', log_level = 'error'})
box.schema.space.create('t'):create_index('pk')
for _, text in ipairs({'box.space.t.eng', 'box.space.t.index.pk.na', 'box.space.t:trunc'}) do
    print(require('console').completion_handler(text, 0, #text)[1])
end
os.exit()";
    let folder = folder_with(&[("s.lua", script)]);
    let said = String::from_utf8(run(folder.path(), &["s.lua"]).stdout).expect("text");
    assert_eq!(said, "box.space.t.engine\nbox.space.t.index.pk.name\nbox.space.t:truncate(\n");
}

/// What `ps` shows is not cut to the length of the command line.
#[test]
fn a_title_has_room() {
    let title = "a title that is longer than the words which the program was started with";
    let script = format!(
        "require('title').update({{custom_title = '{title}'}})
print(io.open('/proc/self/cmdline'):read('*a'):match('^%Z*'))
print(os.getenv('HOME'))"
    );
    let folder = folder_with(&[("s.lua", &script)]);
    let said = String::from_utf8(run(folder.path(), &["s.lua"]).stdout).expect("text");
    assert!(said.contains(title), "{said}");
    assert!(said.ends_with(&format!("{}\n", folder.path().display())), "{said}");
}

/// When `start` returns, the application serves.
#[test]
fn start_waits_for_the_application() {
    let script = "require('fiber').sleep(0.5) io.open('served', 'w'):close()";
    let folder = folder_with(&[("config.yaml", INSTANCE), ("app/main.lua", script)]);
    let status = run(folder.path(), &["start"]).status;
    let served = folder.path().join("served").exists();
    let stopped = run(folder.path(), &["stop"]).status;
    assert!(status.success() && served && stopped.success(), "{status} {served} {stopped}");
}

/// In the background standard error is the log file.
#[test]
fn a_fatal_error_in_the_background_is_said_once() {
    let config = format!("{INSTANCE}log: {{to: file, file: my.log}}\n");
    let folder = folder_with(&[("config.yaml", &config), ("app/main.lua", "error('boom')")]);
    assert_eq!(run(folder.path(), &["start"]).status.code(), Some(1));
    let said = text(folder.path().join("my.log"));
    assert_eq!(said.matches("fatal error, exiting the event loop").count(), 1, "{said}");
    assert_eq!(run(folder.path(), &["--name", "i"]).status.code(), Some(1));
    assert!(text(folder.path().join("stderr")).contains("fatal error"), "a terminal is told");
}

#[test]
fn sigterm_runs_the_triggers_and_ends_with_success() {
    let script = "\
require('trigger').set('box.ctl.on_shutdown', 'bad', function() error('bad one') end)
require('trigger').set('box.ctl.on_shutdown', 'good', function()
    require('fiber').sleep(0.001)
    print('good bye')
end)
require('log').info('ready')
require('fiber').sleep(600)";
    let folder = folder_with(&[("s.lua", script)]);
    let mut process = start(folder.path(), &["s.lua"]);
    let log = folder.path().join("log");
    wait_for("the script", || text(&log).contains("ready"));
    process.signal(libc::SIGTERM);
    assert_eq!(process.wait().code(), Some(0));
    let said = text(&log);
    assert!(said.contains("good bye") && said.contains("bad one"), "{said}");
}

#[test]
fn the_end_cancels_fibers_and_does_not_wait_forever_for_them() {
    let script = "\
local fiber = require('fiber')
fiber.new(function() pcall(fiber.sleep, 600) print('was cancelled') end)
fiber.new(function() pcall(fiber.channel().get, fiber.channel()) print('was cancelled, too') end)
box.ctl.on_shutdown(function() print('first the triggers') end)
os.exit(7)";
    let folder = folder_with(&[("s.lua", script)]);
    let output = run(folder.path(), &["s.lua"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "first the triggers\nwas cancelled\nwas cancelled, too\n");
    assert_eq!(output.status.code(), Some(7));
    let script = "\
require('internal.tweaks').box_shutdown_timeout = 0.1
local fiber = require('fiber')
fiber.new(function() while true do pcall(fiber.testcancel) pcall(fiber.sleep, 600) end end)
fiber.new(function() while true do pcall(fiber.cond().wait, fiber.cond()) end end)
os.exit()";
    let folder = folder_with(&[("s.lua", script)]);
    let output = run(folder.path(), &["s.lua"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot gracefully shutdown client fibers"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn sighup_opens_the_log_file_again() {
    let script = "\
local log, fiber = require('log'), require('fiber')
log.cfg({log = 'file:x.log'})
box.watch('box.internal.SIGHUP', function() log.info('the watcher was told') end)
while true do log.info('still here') fiber.sleep(0.005) end";
    let folder = folder_with(&[("s.lua", script)]);
    let process = start(folder.path(), &["s.lua"]);
    let (log, old) = (folder.path().join("x.log"), folder.path().join("x.log.1"));
    wait_for("the log", || text(&log).contains("I> still here"));
    std::fs::rename(&log, &old).expect("renamed");
    process.signal(libc::SIGHUP);
    wait_for("the new log", || text(&log).contains("I> still here"));
    assert!(text(&log).contains("log file has been reopened"));
    wait_for("the watcher", || text(&log).contains("the watcher was told"));
    assert!(!text(&log).contains("E>"), "{}", text(&log));
    drop(process);
    assert!(text(&old).contains("got signal #1 (Hangup)"));
}

/// A comment at the head of the application says where it works, and whether it is loaded early.
#[test]
fn an_application_is_asked_whether_it_works_here() {
    let head = |tag: &str| {
        format!("#!/usr/bin/env lycosa\n-- --- #tarantool.metadata.v1\n-- {tag}\n-- ...\n")
    };
    let run_with = |tag: &str| {
        let script = head(tag)
            + "local foo = require('config'):get('app.cfg.foo')
if early == nil then early = type(box.cfg) end
if type(box.cfg) == 'table' then print(early, foo) os.exit(0) end";
        let config = INSTANCE.replace("app/main.lua", "app/main.lua, cfg: {foo: 42}");
        let folder = folder_with(&[("config.yaml", &config), ("app/main.lua", &script)]);
        let output = run(folder.path(), &["--name", "i"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).into_owned(), said)
    };
    assert_eq!(run_with("fail_if: tarantool_version < 3.0.0").0, "table\t42\n");
    assert_eq!(run_with("early_load: true").0, "function\t42\n");
    for (condition, refusal) in [
        (
            "tarantool_version > 0.0.0",
            r#"App "app/main.lua" failed the "fail_if" check: "tarantool_version > 0.0.0""#,
        ),
        (
            "tarantool_version >< 0.0.0",
            r#"App "app/main.lua" has invalid "fail_if" expression: Unexpected token "<""#,
        ),
    ] {
        let (printed, said) = run_with(&format!("fail_if: {condition}"));
        assert!(printed.is_empty() && said.contains(refusal), "{printed} {said}");
    }
}

/// Paths are relative to `work_dir`, of a reload as of the start; and what is no longer configured is
/// no longer in force.
#[test]
fn sigusr2_reloads_the_configuration() {
    let config = format!("{INSTANCE}process: {{work_dir: w}}\n");
    let folder = folder_with(&[
        ("config.yaml", &format!("{config}log: {{modules: {{mine: error}}}}\n")),
        ("w/app/main.lua", "require('log').new('mine').info('it is loud')"),
    ]);
    let process = start(folder.path(), &["--name", "i"]);
    let log = folder.path().join("log");
    wait_for("the start", || text(&log).contains("runs instance i"));
    assert!(!text(&log).contains("it is loud"));
    assert!(folder.path().join("w/var/run/i/tarantool.control").exists());
    std::fs::write(folder.path().join("config.yaml"), config).expect("a file");
    process.signal(libc::SIGUSR2);
    let end = "Configuration reloading by SIGUSR2 is finished: status=ready";
    wait_for("the reload", || text(&log).contains(end));
    assert!(text(&log).contains("it is loud"), "{}", text(&log));
    assert!(!folder.path().join("w/w").exists(), "folders are made once");
    assert!(folder.path().join("w/var/run/i/tarantool.control").exists());
}

/// What is saved between the loading of a file and the end of the start is not missed.
#[test]
fn a_file_saved_while_the_application_starts_takes_effect() {
    let save = format!(
        "local file = io.open('app/main.lua', 'w') file:write([==[{}]==]) file:close()",
        application("42")
    );
    let main = application("41").replace("return reload", &format!("{save}\nreturn reload"));
    let folder = folder_with(&[
        ("config.yaml", INSTANCE),
        ("app/main.lua", &main),
        ("app/reload.lua", include_str!("../lua/reload.lua")),
    ]);
    let _process = start(folder.path(), &["--name", "i"]);
    wait_for("the new version", || text(folder.path().join("log")).contains("the answer is 42"));
}

fn application(answer: &str) -> String {
    format!(
        "local source = debug.getinfo(1, 'S').source
local reload = package.loaded.reload or dofile((source:match('^@(.*/)') or '') .. 'reload.lua')
local M = {{}}
function M.start()
    require('log').info('the answer is %s', {answer})
end
return reload.entry(M, source)
"
    )
}

#[test]
fn a_saved_file_takes_effect_unless_it_is_broken() {
    let reload = include_str!("../lua/reload.lua");
    let folder = folder_with(&[
        ("config.yaml", INSTANCE),
        ("app/main.lua", &application("41")),
        ("app/reload.lua", reload),
    ]);
    let mut process = start(folder.path(), &["--name", "i", "--config", "config.yaml"]);
    let log = folder.path().join("log");
    let main = folder.path().join("app/main.lua");
    wait_for("the watcher", || text(&log).contains("take effect when they are saved"));
    assert!(text(&log).contains("the answer is 41"));
    std::fs::write(&main, application("42")).expect("saved");
    wait_for("the new version", || text(&log).contains("the answer is 42"));
    std::fs::write(&main, application("no_such_variable.x")).expect("saved");
    wait_for("the refusal", || text(&log).contains("the old version goes on"));
    assert!(text(&log).contains("main.lua:5: "), "{}", text(&log));
    std::fs::write(&main, "this is no Lua").expect("saved");
    wait_for("the second refusal", || text(&log).matches("the old version goes on").count() == 2);
    std::fs::write(&main, application("43")).expect("saved");
    wait_for("the last version", || text(&log).contains("the answer is 43"));
    process.signal(libc::SIGINT);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!folder.path().join("var/run/i/tarantool.pid").exists());
}

#[test]
fn connect_tells_that_nobody_answers() {
    let folder = folder_with(&[]);
    for (address, reason) in [
        ("./none.sock", "cannot connect to ./none.sock: unix/:./none.sock: No such file"),
        ("var/none.sock", "cannot connect to ./var/none.sock: unix/:./var/none.sock: No such file"),
        ("none", "cannot connect to none: there is no such socket or instance here"),
    ] {
        let output = run(folder.path(), &["connect", address]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason) && !said.contains("fatal"), "{said}");
    }
}

#[test]
fn a_script_that_just_ends_has_its_triggers_run() {
    let script = "box.ctl.on_shutdown(function() print('good bye') end) print('end')";
    let folder = folder_with(&[("s.lua", script)]);
    let output = run(folder.path(), &["s.lua"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end\ngood bye\n");
    assert!(output.status.success());
}

#[test]
fn box_cfg_of_a_script_speaks_for_the_process() {
    let script = "\
box.cfg{pid_file = 'x.pid', custom_proc_title = 'mine', coredump = true, force_recovery = nil}
assert(box.cfg.force_recovery == true and box.cfg.log_level == 'error')
print(io.open('x.pid'):read('*n') == require('tarantool').pid(), (require('title').get()))
os.exit()";
    let folder = folder_with(&[("s.lua", script)]);
    let mut command = program(folder.path(), &["--force-recovery", "s.lua"]);
    let output = command.env("TT_LOG_LEVEL", "error").output().expect("the program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "true\tlycosa: mine\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.path().join("x.pid").exists(), "the pid file goes with the process");
    let output = program(folder.path(), &["s.lua"]).env("TT_STRIP_CORE", "x").output();
    let said = String::from_utf8_lossy(&output.expect("the program").stderr).into_owned();
    assert!(said.contains("TT_STRIP_CORE has incorrect value for option"), "{said}");
}

#[test]
fn a_script_goes_to_the_background() {
    let script = "\
box.cfg{background = true, log = 'x.log', pid_file = 'x.pid'}
require('log').info('still here')
require('fiber').sleep(600)";
    let folder = folder_with(&[("s.lua", script)]);
    assert!(run(folder.path(), &["s.lua"]).status.success());
    let log = folder.path().join("x.log");
    wait_for("the process in the background", || text(&log).contains("still here"));
    let pid: i32 = text(folder.path().join("x.pid")).trim().parse().expect("a pid");
    let output = run(folder.path(), &["s.lua"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("the daemon is already running: PID {pid}")), "{said}");
    // SAFETY: a signal to the process that the pid file names, which this test has started.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    wait_for("its end", || !folder.path().join("x.pid").exists());
}

#[test]
fn roles_run_after_those_they_depend_on_and_stop_in_reverse() {
    let role = |name: &str, rest: &str| {
        format!(
            "return {{{rest} validate = function() end,
                apply = function(cfg) print('apply {name}', cfg.n) end,
                stop = function() print('stop {name}') end,
                on_event = function(cfg, event) print(event, '{name}', cfg.n) end}}"
        )
    };
    let config = "\
roles: [first, second]
roles_cfg: {first: {n: 1}, second: {n: 2}}
groups: {g: {replicasets: {r: {instances: {i: {}}}}}}
";
    let first = role("first", "dependencies = {'second'},");
    let second = role("second", "");
    let files = [("config.yaml", config), ("first.lua", &first), ("second.lua", &second)];
    let folder = folder_with(&files);
    let arguments = ["--name", "i", "--config", "config.yaml", "-i"];
    let output = run(folder.path(), &arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> =
        said.lines().filter(|line| line.contains("first") || line.contains("second")).collect();
    let expected = [
        "apply second\t2",
        "apply first\t1",
        "config.apply\tsecond\t2",
        "config.apply\tfirst\t1",
        "stop first",
        "stop second",
    ];
    assert_eq!(lines, expected, "{}", String::from_utf8_lossy(&output.stderr));
    let without = config.replace("[first, second]", "[first]");
    std::fs::write(folder.path().join("config.yaml"), without).expect("a file");
    let output = run(folder.path(), &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("Role \"first\" requires role \"second\", but the latter is not"),
        "{said}"
    );
}

#[test]
fn an_instance_is_stopped_although_its_configuration_broke() {
    let config = "groups: {g: {replicasets: {r: {instances: {i: {}}}}}}\n";
    let folder = folder_with(&[("config.yaml", config)]);
    let output = run(folder.path(), &["start"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(folder.path().join("config.yaml"), "bogus: 1\n").expect("a file");
    let output = run(folder.path(), &["stop"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let pid =
            text(folder.path().join("var/run/i/tarantool.pid")).trim().parse().expect("a pid");
        // SAFETY: a signal to the process that the pid file names, which this test has started.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    assert_eq!(said, "i: stopped\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bogus"));
    assert!(!run(folder.path(), &["start"]).status.success(), "it does not start again");
}
