//! The command line: what Tarantool 3 accepts, and the subcommands that its companion `tt` has.
//!
//! Two programs share it. `lycosa` knows the subcommands, and starts the folder's first instance
//! when it is given nothing. `tarantool`, the name that `#!` lines and tools look for, knows only
//! what Tarantool knows. Flags are read as `getopt` reads them (they end at the first argument
//! that is none, so that a script gets its own), which is why `clap` serves the subcommands only.
//!
//! # Yields
//! never

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::base::version;

/// Status of the process when the arguments make no sense (`EX_USAGE`).
pub const USAGE_STATUS: u8 = 64;

/// What the program is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Print how the program is used.
    Help,
    /// Print the version.
    Version,
    /// Print the environment variables of all options.
    EnvironmentList,
    /// Run an instance of a configuration.
    Instance(Instance),
    /// Run Lua: a script, pieces of code, the interactive console.
    Lua(Lua),
    /// Save or list bytecode, with these arguments of LuaJIT's `-b`.
    Bytecode(Vec<String>),
    /// Start instances in the background.
    Start(Selection),
    /// Stop instances.
    Stop(Selection),
    /// Show which instances run.
    Status(Selection),
    /// Open a console on an instance.
    Connect(Connect),
    /// Print the records of log and snapshot files.
    Cat(Cat),
    /// Check a configuration.
    Check(Selection),
}

/// Which instance to run. What is missing is looked for in the folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// `--name`
    pub name: Option<String>,
    /// `--config`
    pub config: Option<String>,
    /// `-e`, `-l` and `-j`, run before the instance starts.
    pub actions: Vec<Action>,
    /// `-i`: a console on the terminal beside the instance.
    pub interactive: bool,
    /// `--force-recovery`
    pub force_recovery: bool,
}

/// Which Lua to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lua {
    /// `-e`, `-l` and `-j` in their order.
    pub actions: Vec<Action>,
    /// The script; `-` reads it from standard input.
    pub script: Option<String>,
    /// What follows the script: its `arg[1]`, `arg[2]`, …
    pub arguments: Vec<String>,
    /// Whether to open the interactive console in the end.
    pub interactive: bool,
    /// `--force-recovery`
    pub force_recovery: bool,
}

/// Something to do before the script.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `-e`: run this code.
    Execute(String),
    /// `-l`: require this module and make it a global.
    Require(String),
    /// `-j`: a command for LuaJIT, such as `off` or `dump=+rs`.
    Jit(String),
}

/// The instances that a subcommand is about: all of `instances.yml`, or those named.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Names of instances; all of instances.yml when there are none
    pub names: Vec<String>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// One instance
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
}

/// What to open a console on.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Connect {
    /// Path of a console socket, name of an instance, or [user:password@]host:port
    pub address: String,
    /// User name, when it is not part of the address
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password, when it is not part of the address
    #[arg(short, long)]
    pub password: Option<String>,
}

/// Which records to print.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Cat {
    /// Files that end in .xlog or .snap
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Only records with at least this LSN
    #[arg(long, value_name = "LSN")]
    pub from: Option<u64>,
    /// Only records with a lower LSN
    #[arg(long, value_name = "LSN")]
    pub to: Option<u64>,
    /// Only records of these spaces, by id
    #[arg(long, value_name = "ID")]
    pub space: Vec<u32>,
    /// Only records of these replicas, by id
    #[arg(long, value_name = "ID")]
    pub replica: Vec<u32>,
    /// Records of system spaces too
    #[arg(long)]
    pub show_system: bool,
    /// Form of the output
    #[arg(long, value_parser = ["yaml", "json", "lua"], default_value = "yaml")]
    pub format: String,
}

/// Why the arguments make no sense, or help that a subcommand prints itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What to print.
    pub text: String,
    /// Status of the process; 0 prints to standard output.
    pub status: u8,
}

impl Refusal {
    fn usage(text: impl Into<String>) -> Refusal {
        Refusal { text: text.into(), status: USAGE_STATUS }
    }

    /// Prints the text and gives the status.
    pub fn report(&self) -> ExitCode {
        match self.status {
            0 => println!("{}", self.text.trim_end()),
            _ => eprintln!("{}", self.text.trim_end()),
        }
        ExitCode::from(self.status)
    }
}

/// Which of the two names the program was called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Ours, with subcommands.
    Lycosa,
    /// The one that Tarantool's ecosystem expects.
    Tarantool,
}

impl Program {
    /// Judges by the file name in `argv[0]`.
    pub fn of(path: &str) -> Program {
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
        if name.starts_with("tarantool") { Program::Tarantool } else { Program::Lycosa }
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Program::Lycosa => "lycosa",
            Program::Tarantool => "tarantool",
        }
    }
}

#[derive(Parser)]
#[command(name = "lycosa", disable_help_subcommand = true)]
struct Subcommands {
    #[command(subcommand)]
    chosen: Chosen,
}

#[derive(Subcommand)]
enum Chosen {
    /// Start instances in the background
    Start(Selection),
    /// Stop instances and wait until they have ended
    Stop(Selection),
    /// Show which instances run
    Status(Selection),
    /// Open a console on an instance
    Connect(Connect),
    /// Print the records of log and snapshot files
    Cat(Cat),
    /// Check a configuration and print what is wrong with it
    Check(Selection),
}

const SUBCOMMANDS: [&str; 6] = ["start", "stop", "status", "connect", "cat", "check"];

/// Understands `arguments`, the first of which is the program.
pub fn parse(arguments: &[String]) -> Result<Command, Refusal> {
    let path = arguments.first().map_or("lycosa", String::as_str);
    let program = Program::of(path);
    if program == Program::Lycosa
        && arguments.get(1).is_some_and(|word| SUBCOMMANDS.contains(&word.as_str()))
    {
        return subcommand(arguments);
    }
    let flags = Flags::read(program, arguments.get(1..).unwrap_or(&[]))?;
    if let Some(early) = flags.early {
        return Ok(early);
    }
    flags.command(program)
}

fn subcommand(arguments: &[String]) -> Result<Command, Refusal> {
    let parsed = Subcommands::try_parse_from(arguments).map_err(|error| Refusal {
        text: error.to_string(),
        status: if error.use_stderr() { USAGE_STATUS } else { 0 },
    })?;
    Ok(match parsed.chosen {
        Chosen::Start(selection) => Command::Start(selection),
        Chosen::Stop(selection) => Command::Stop(selection),
        Chosen::Status(selection) => Command::Status(selection),
        Chosen::Connect(connect) => Command::Connect(connect),
        Chosen::Cat(cat) => Command::Cat(cat),
        Chosen::Check(selection) => Command::Check(selection),
    })
}

/// The flags, and what follows them.
#[derive(Default)]
struct Flags {
    /// A flag that decides alone.
    early: Option<Command>,
    name: Option<String>,
    config: Option<String>,
    actions: Vec<Action>,
    interactive: bool,
    force_recovery: bool,
    environment_list: bool,
    rest: Vec<String>,
}

/// A long flag: its name, the letter that it means, whether it takes an argument.
type LongFlag = (&'static str, char, bool);

const LONG: [LongFlag; 8] = [
    ("help", 'h', false),
    ("version", 'v', false),
    ("config", 'c', true),
    ("name", 'n', true),
    ("help-env-list", 'E', false),
    ("force-recovery", 'F', false),
    ("integrity-check", 'I', true),
    ("failover", 'O', false),
];

impl Flags {
    /// Reads flags up to the first argument that is none, or `--`.
    fn read(program: Program, arguments: &[String]) -> Result<Flags, Refusal> {
        let name = program.name();
        let mut flags = Flags::default();
        let mut index = 0;
        while let Some(word) = arguments.get(index) {
            index += 1;
            if word == "--" {
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                let (flag, attached) = long_flag(name, long)?;
                let value = match (flag.2, attached) {
                    (true, Some(value)) => value,
                    (true, None) => {
                        index += 1;
                        arguments.get(index - 1).cloned().ok_or_else(|| {
                            let long = flag.0;
                            Refusal::usage(format!(
                                "{name}: option '--{long}' requires an argument"
                            ))
                        })?
                    }
                    (false, _) => String::new(),
                };
                flags.take(flag.1, value)?;
            } else if word.len() > 1 && word.starts_with('-') {
                for (at, letter) in word.char_indices().skip(1) {
                    let after = &word[at + letter.len_utf8()..];
                    if letter == 'b' {
                        // All that follows belongs to the bytecode compiler.
                        let mut rest = vec![format!("-b{after}")];
                        rest.extend_from_slice(arguments.get(index..).unwrap_or(&[]));
                        flags.early = Some(Command::Bytecode(rest));
                        return Ok(flags);
                    }
                    if !"hvVijeldcn".contains(letter) {
                        return Err(Refusal::usage(format!(
                            "{name}: invalid option -- '{letter}'"
                        )));
                    }
                    if !"jelcn".contains(letter) {
                        flags.take(letter, String::new())?;
                        continue;
                    }
                    let value = if after.is_empty() {
                        index += 1;
                        arguments.get(index - 1).cloned().ok_or_else(|| {
                            Refusal::usage(format!(
                                "{name}: option requires an argument -- '{letter}'"
                            ))
                        })?
                    } else {
                        after.to_owned()
                    };
                    flags.take(letter, value)?;
                    break;
                }
            } else {
                index -= 1;
                break;
            }
            if flags.early.is_some() {
                return Ok(flags);
            }
        }
        flags.rest = arguments.get(index..).unwrap_or(&[]).to_vec();
        Ok(flags)
    }

    fn take(&mut self, letter: char, value: String) -> Result<(), Refusal> {
        match letter {
            'h' => self.early = Some(Command::Help),
            'v' | 'V' => self.early = Some(Command::Version),
            'E' => self.environment_list = true,
            'F' => self.force_recovery = true,
            'i' => self.interactive = true,
            'n' => self.name = Some(value),
            'c' => self.config = Some(value),
            'e' => self.actions.push(Action::Execute(value)),
            'l' => self.actions.push(Action::Require(value)),
            'j' => self.actions.push(Action::Jit(value)),
            'I' => {
                return Err(Refusal::usage(
                    "--integrity-check CLI option is available only in Tarantool Enterprise \
                     Edition",
                ));
            }
            'O' => {
                return Err(Refusal::usage(
                    "--failover CLI option is available only in Tarantool Enterprise Edition",
                ));
            }
            _ => {
                return Err(Refusal::usage(
                    "-d: the debugger of Tarantool is not part of this program",
                ));
            }
        }
        Ok(())
    }

    fn command(self, program: Program) -> Result<Command, Refusal> {
        if self.environment_list {
            return Ok(Command::EnvironmentList);
        }
        let nothing = self.rest.is_empty() && self.actions.is_empty() && !self.interactive;
        let starts_instance = self.rest.is_empty()
            && (self.name.is_some()
                || (program == Program::Lycosa && (nothing || self.config.is_some())));
        if starts_instance {
            return Ok(Command::Instance(Instance {
                name: self.name,
                config: self.config,
                actions: self.actions,
                interactive: self.interactive,
                force_recovery: self.force_recovery,
            }));
        }
        let mut rest = self.rest.into_iter();
        Ok(Command::Lua(Lua {
            actions: self.actions,
            script: rest.next(),
            arguments: rest.collect(),
            interactive: self.interactive || nothing,
            force_recovery: self.force_recovery,
        }))
    }
}

/// The long flag that a word, or its unique beginning, means, and the value after `=`.
fn long_flag(program: &str, word: &str) -> Result<(LongFlag, Option<String>), Refusal> {
    let (given, attached) = match word.split_once('=') {
        Some((given, value)) => (given, Some(value.to_owned())),
        None => (word, None),
    };
    let exact = LONG.iter().find(|flag| flag.0 == given);
    let near: Vec<_> = LONG.iter().filter(|flag| flag.0.starts_with(given)).collect();
    let flag = match (exact, &near[..]) {
        (Some(flag), _) => flag,
        (None, [flag]) => flag,
        (None, []) => {
            return Err(Refusal::usage(format!("{program}: unrecognized option '--{given}'")));
        }
        (None, _) => {
            return Err(Refusal::usage(format!("{program}: option '--{given}' is ambiguous")));
        }
    };
    if attached.is_some() && !flag.2 {
        let long = flag.0;
        let text = format!("{program}: option '--{long}' doesn't allow an argument");
        return Err(Refusal::usage(text));
    }
    Ok((*flag, attached))
}

/// What `--version` prints.
pub fn version_text(program: Program) -> String {
    let first = match program {
        Program::Lycosa => {
            format!("Lycosa {} (Tarantool {} compatible)", version::LYCOSA, version::TARANTOOL)
        }
        // Tools read the version from the second word.
        Program::Tarantool => {
            format!("Tarantool {} (Lycosa {})", version::TARANTOOL, version::LYCOSA)
        }
    };
    format!("{first}\nTarget: {}\n", target())
}

/// `Linux-x86_64-Release`
pub fn target() -> String {
    let system = match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "Darwin",
        "freebsd" => "FreeBSD",
        other => other,
    };
    let build = if cfg!(debug_assertions) { "Debug" } else { "Release" };
    format!("{system}-{}-{build}", std::env::consts::ARCH)
}

/// What `--help` prints.
pub fn help_text(program: Program) -> String {
    let heading = version_text(program);
    let heading = heading.lines().next().unwrap_or_default();
    let subcommands = match program {
        Program::Lycosa => LYCOSA_HELP,
        Program::Tarantool => "",
    };
    let name = program.name();
    format!("{heading}\n\n{subcommands}{}", FLAGS_HELP.replace("PROGRAM", name))
}

const LYCOSA_HELP: &str = "\
In a folder with config.yaml:

  lycosa                      Run the first instance of instances.yml here.
  lycosa start [NAME...]      Start all instances of instances.yml, or these.
  lycosa status               Show which of them run.
  lycosa stop [NAME...]       Stop them, and wait until they have ended.
  lycosa check [FILE]         Say what is wrong with the configuration.
  lycosa connect ADDRESS      Open a console: a socket, an instance, host:port.
  lycosa cat FILE...          Print the records of .xlog and .snap files.

`lycosa SUBCOMMAND --help` tells more.

";

const FLAGS_HELP: &str = "\
Usage: PROGRAM [FLAGS] [SCRIPT [ARGUMENTS...]]

Actions:

  SCRIPT [ARGUMENTS...]       Run a Lua file; - reads it from standard input.
                              The arguments are in the global `arg`.
  -n, --name NAME             Run this instance of the configuration.
  -e CODE                     Run Lua code.
  -i                          Open the interactive console.
  -b ...                      Save or list bytecode (see `PROGRAM -b`).
  -h, --help                  Print this text.
  -v, -V, --version           Print the version.
  --help-env-list             Print the environment variables of all options.

Flags that go with an action:

  -c, --config FILE           The configuration file of the instance.
  -l MODULE                   Require a Lua module and make it a global.
  -j COMMAND                  Give a command to LuaJIT, such as `off`.
  --force-recovery            Go on over damage in log and snapshot files.
  --                          What follows is no flag.

The variables TT_INSTANCE_NAME and TT_CONFIG stand for --name and --config.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Refusal> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn lua(line: &str) -> Lua {
        match parsed(line) {
            Ok(Command::Lua(lua)) => lua,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn instance(line: &str) -> Instance {
        match parsed(line) {
            Ok(Command::Instance(instance)) => instance,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_script_keeps_the_flags_after_it() {
        let run = lua("lycosa -l fiber script.lua -i --name x");
        assert_eq!(run.script.as_deref(), Some("script.lua"));
        assert_eq!(run.arguments, ["-i", "--name", "x"]);
        assert_eq!(run.actions, [Action::Require("fiber".into())]);
        assert!(!run.interactive);
        assert_eq!(lua("lycosa -- start").script.as_deref(), Some("start"));
        assert_eq!(lua("lycosa -i -").script.as_deref(), Some("-"));
    }

    #[test]
    fn actions_keep_their_order() {
        let run = lua("tarantool -e a=1 -lfun -joff -ie b=2");
        let expected = [
            Action::Execute("a=1".into()),
            Action::Require("fun".into()),
            Action::Jit("off".into()),
            Action::Execute("b=2".into()),
        ];
        assert_eq!(run.actions, expected);
        assert!(run.interactive);
    }

    #[test]
    fn nothing_means_an_instance_or_the_console() {
        assert_eq!(instance("lycosa"), Instance::default());
        assert!(lua("/usr/bin/tarantool").interactive);
        assert!(!lua("tarantool -e 1").interactive);
        let run = instance("tarantool --name i-1 --config=a.yaml --force-recovery");
        assert_eq!((run.name.as_deref(), run.config.as_deref()), (Some("i-1"), Some("a.yaml")));
        assert!(run.force_recovery);
        assert_eq!(instance("lycosa -ca.yaml").config.as_deref(), Some("a.yaml"));
    }

    #[test]
    fn subcommands_belong_to_lycosa() {
        let Ok(Command::Start(selection)) = parsed("lycosa start a b -c x.yaml") else { panic!() };
        assert_eq!(selection.names, ["a", "b"]);
        assert_eq!(selection.config.as_deref(), Some("x.yaml"));
        let Ok(Command::Cat(cat)) = parsed("lycosa cat a.xlog --space 512 --from 7") else {
            panic!()
        };
        assert_eq!((cat.files, cat.space, cat.from), (vec!["a.xlog".into()], vec![512], Some(7)));
        assert!(parsed("lycosa cat").is_err());
        assert_eq!(parsed("lycosa start --help").unwrap_err().status, 0);
        assert_eq!(lua("tarantool start").script.as_deref(), Some("start"));
    }

    #[test]
    fn wrong_flags_are_refused_as_getopt_does() {
        let text = |line: &str| {
            let refusal = parsed(line).unwrap_err();
            assert_eq!(refusal.status, USAGE_STATUS);
            refusal.text
        };
        assert_eq!(text("lycosa --nmae x"), "lycosa: unrecognized option '--nmae'");
        assert_eq!(text("tarantool -x"), "tarantool: invalid option -- 'x'");
        assert_eq!(text("tarantool -e"), "tarantool: option requires an argument -- 'e'");
        assert_eq!(text("tarantool --name"), "tarantool: option '--name' requires an argument");
        assert_eq!(
            text("tarantool --help=1"),
            "tarantool: option '--help' doesn't allow an argument"
        );
        assert!(text("lycosa --integrity-check x").contains("Enterprise Edition"));
        assert!(text("lycosa --failover").contains("Enterprise Edition"));
        assert!(text("lycosa -d x.lua").contains("debugger"));
    }

    #[test]
    fn flags_that_decide_alone() {
        assert_eq!(parsed("lycosa -v x"), Ok(Command::Version));
        assert_eq!(parsed("lycosa -iV"), Ok(Command::Version));
        assert_eq!(parsed("lycosa --vers"), Ok(Command::Version));
        assert_eq!(parsed("lycosa --help"), Ok(Command::Help));
        assert_eq!(parsed("lycosa --help-env-list"), Ok(Command::EnvironmentList));
        assert_eq!(
            parsed("tarantool -bl x.lua"),
            Ok(Command::Bytecode(vec!["-bl".into(), "x.lua".into()]))
        );
    }

    #[test]
    fn versions_name_both_programs() {
        let text = version_text(Program::Lycosa);
        assert!(text.starts_with("Lycosa 0.1.0 (Tarantool 3.8.0-0-lycosa-0.1.0 compatible)\n"));
        assert!(text.contains("\nTarget: "));
        assert!(version_text(Program::Tarantool).starts_with("Tarantool 3.8.0-0-lycosa-0.1.0"));
    }
}
