//! What is wrong with a configuration, where, and what would be right.
//!
//! All problems of a text are collected, because fixing them one start at a time is tedious. The
//! first line of each is Tarantool's own wording, so that a person who looks it up finds it.
//!
//! # Yields
//! never

use std::fmt;

/// One step of a path inside a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list, or a numeric key; counted from 1 as Lua does.
    Index(usize),
}

/// A place in a text; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The file, or nothing when the value came from elsewhere.
    pub file: Option<String>,
    /// Where in the file, when that is known.
    pub position: Option<Position>,
    /// Where in the configuration.
    pub path: Vec<Step>,
    /// Tarantool's message, with the name of the schema and the path in front.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Everything that is wrong, never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// A problem of the configuration as a whole.
    pub fn new(message: impl Into<String>) -> Problem {
        Problem {
            file: None,
            position: None,
            path: Vec::new(),
            message: message.into(),
            help: None,
        }
    }

    /// The same in this file.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Problem {
        self.file = Some(file.to_owned());
        self
    }

    /// The same at this place.
    #[must_use]
    pub fn at(mut self, position: Option<Position>) -> Problem {
        self.position = position;
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

impl Problems {
    /// The message of the first problem, as Tarantool would raise it.
    pub fn first_message(&self) -> &str {
        self.0.first().map_or("", |problem| &problem.message)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Problems {
        Problems(vec![problem])
    }
}

/// `groups.group-001.iproto.listen[1].uri`
pub fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(name) if text.is_empty() => text.push_str(name),
            Step::Key(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// `[instance_config] log.level: `
pub fn prefix(schema_name: &str, path: &[Step]) -> String {
    if path.is_empty() {
        format!("[{schema_name}] ")
    } else {
        format!("[{schema_name}] {}: ", path_text(path))
    }
}

/// `file:line:column: message`, the advice on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some(at)) => write!(f, "{file}:{}:{}: ", at.line, at.column)?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
