//! The terminal: lines are read and edited on a thread of their own, because that blocks.
//!
//! The thread asks the fiber that reads for completions, since only the tx thread may touch Lua.
//!
//! # Yields
//! `lua_console_read_line`

use std::cell::RefCell;
use std::sync::mpsc as blocking;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{DefaultHistory, History};
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Editor, Helper};
use tokio::sync::mpsc;

use crate::base::error::{Error, Result};
use crate::base::limits::CONSOLE_HISTORY_COUNT_MAX;
use crate::fiber;
use crate::lua::{Context, Kind};

/// What the fiber asks of the thread.
enum Request {
    ReadLine(String),
    LoadHistory(String),
    /// Adds a statement and saves the file, if one was loaded.
    AddHistory(String),
}

/// What the thread tells the fiber.
enum Answer {
    Line(String),
    /// Ctrl-C: what was typed so far is to be forgotten.
    Interrupted,
    End,
    /// Wants the completions of the text between two positions of a line.
    Complete {
        word: String,
        reply: blocking::Sender<Vec<String>>,
    },
}

struct Terminal {
    requests: blocking::Sender<Request>,
    answers: mpsc::UnboundedReceiver<Answer>,
}

thread_local! {
    static TERMINAL: RefCell<Option<Terminal>> = const { RefCell::new(None) };
}

/// Asks Lua for the names that a word may become.
struct Assistant {
    answers: mpsc::UnboundedSender<Answer>,
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

impl Validator for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_.:".contains(letter);
        let before = &line[..position];
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, letter)| is_part(*letter))
            .last()
            .map_or(position, |(index, _)| index);
        let (reply, found) = blocking::channel();
        let question = Answer::Complete { word: before[start..].to_owned(), reply };
        let names = match self.answers.send(question) {
            Ok(()) => found.recv().unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        Ok((start, names))
    }
}

fn start() -> Result<Terminal> {
    let (requests, inbox) = blocking::channel();
    let (outbox, answers) = mpsc::unbounded_channel();
    let failed = |error: &std::io::Error| Error::system("cannot start the console", error);
    std::thread::Builder::new()
        .name("console".to_owned())
        .spawn(move || serve(&inbox, &outbox))
        .map_err(|error| failed(&error))?;
    Ok(Terminal { requests, answers })
}

fn serve(inbox: &blocking::Receiver<Request>, outbox: &mpsc::UnboundedSender<Answer>) {
    let config = Config::builder()
        .max_history_size(CONSOLE_HISTORY_COUNT_MAX)
        .map(|builder| builder.completion_type(CompletionType::List).auto_add_history(false));
    let editor = config
        .and_then(|builder| Editor::<Assistant, DefaultHistory>::with_config(builder.build()));
    let Ok(mut editor) = editor else {
        let _ = outbox.send(Answer::End);
        return;
    };
    editor.set_helper(Some(Assistant { answers: outbox.clone() }));
    let mut history_file = None;
    while let Ok(request) = inbox.recv() {
        match request {
            Request::ReadLine(prompt) => {
                let answer = match editor.readline(&prompt) {
                    Ok(line) => Answer::Line(line),
                    Err(ReadlineError::Interrupted) => Answer::Interrupted,
                    Err(_) => Answer::End,
                };
                if outbox.send(answer).is_err() {
                    return;
                }
            }
            Request::LoadHistory(path) => {
                // A file that is not there yet is an empty one.
                let _ = editor.load_history(&path);
                history_file = Some(path);
            }
            Request::AddHistory(line) => {
                let last = editor.history().len().checked_sub(1);
                let known = last.and_then(|last| editor.history().iter().nth(last).cloned());
                if known.as_deref() != Some(line.as_str()) {
                    let _ = editor.add_history_entry(line);
                }
                if let Some(path) = &history_file {
                    // A history that cannot be kept must not disturb the work.
                    let _ = editor.save_history(path);
                }
            }
        }
    }
}

/// Takes the terminal for one call; a second reader is refused.
fn with_terminal<T>(work: impl FnOnce(&mut Terminal) -> T) -> Result<T> {
    let mut terminal = match TERMINAL.take() {
        Some(terminal) => terminal,
        None => start()?,
    };
    let result = work(&mut terminal);
    TERMINAL.set(Some(terminal));
    Ok(result)
}

/// `read_line(prompt, complete)`: the line, or nil at the end of input; true as the second value
/// when the line was given up. `complete(word)` returns a list of names.
pub(super) fn lua_console_read_line(cx: Context<'_>) -> Result<usize> {
    let prompt = cx.check_text(1)?.to_owned();
    with_terminal(|terminal| terminal.requests.send(Request::ReadLine(prompt)))?
        .map_err(|_| Error::illegal_params("the console has ended"))?;
    // Out of its place while this fiber waits: the wait must not hold a borrow.
    let Some(mut terminal) = TERMINAL.take() else {
        return Err(Error::illegal_params("the console is busy"));
    };
    let result = read_line(cx, &mut terminal);
    TERMINAL.set(Some(terminal));
    match result? {
        Answer::Line(line) => {
            cx.push_bytes(line);
            cx.push_boolean(false);
        }
        Answer::Interrupted => {
            cx.push_bytes("");
            cx.push_boolean(true);
        }
        Answer::End | Answer::Complete { .. } => {
            cx.push_nil();
            cx.push_boolean(false);
        }
    }
    Ok(2)
}

fn read_line(cx: Context<'_>, terminal: &mut Terminal) -> Result<Answer> {
    loop {
        match fiber::wait_or_cancel(terminal.answers.recv())? {
            Some(Answer::Complete { word, reply }) => {
                let names = complete(cx, &word).unwrap_or_default();
                // The thread waits for this; if it is gone, so is the question.
                let _ = reply.send(names);
            }
            Some(answer) => return Ok(answer),
            None => return Ok(Answer::End),
        }
    }
}

/// Calls the completion function at 2.
fn complete(cx: Context<'_>, word: &str) -> Result<Vec<String>> {
    let top = cx.top();
    let mut names = Vec::new();
    if cx.kind(2) == Kind::Function {
        cx.push_value(2);
        cx.push_bytes(word);
        cx.call(1, 1)?;
        if cx.kind(-1) == Kind::Table {
            for index in 1..=i32::try_from(cx.raw_len(-1)).unwrap_or(0) {
                cx.raw_get_index(-1, index);
                names.extend(cx.text(-1).map(str::to_owned));
                cx.pop(1);
            }
        }
    }
    cx.set_top(top);
    Ok(names)
}

/// `load_history(path)`: also the file that the history is saved to.
pub(super) fn lua_console_load_history(cx: Context<'_>) -> Result<usize> {
    let path = cx.check_text(1)?.to_owned();
    let _ = with_terminal(|terminal| terminal.requests.send(Request::LoadHistory(path)))?;
    Ok(0)
}

/// `add_history(statement)`
pub(super) fn lua_console_add_history(cx: Context<'_>) -> Result<usize> {
    let line = String::from_utf8_lossy(cx.check_bytes(1)?).into_owned();
    if !line.is_empty() {
        let _ = with_terminal(|terminal| terminal.requests.send(Request::AddHistory(line)))?;
    }
    Ok(0)
}
