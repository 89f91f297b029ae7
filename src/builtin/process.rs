//! What `box.cfg` asks of the process as a whole. The server does it: it installs a [`Process`].
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::error::Result;

/// Options of `box.cfg` that are about the process.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the number of the process is written.
    pub pid_file: Option<String>,
    /// Go on without the terminal.
    pub background: bool,
    /// Where messages go, if anywhere but to the terminal.
    pub log: Option<String>,
    /// The user that the process runs as.
    pub username: Option<String>,
    /// Whether a crash leaves a memory image.
    pub coredump: bool,
}

/// Applies the options.
pub trait Process {
    /// Called once, in the working directory of the instance, before its database starts.
    fn configure(&self, options: &Options) -> Result<()>;
}

thread_local! {
    static PROCESS: RefCell<Option<Rc<dyn Process>>> = const { RefCell::new(None) };
}

/// Installs who applies the options.
pub fn set(process: Rc<dyn Process>) {
    PROCESS.set(Some(process));
}

/// Applies the options, where someone does.
pub fn configure(options: &Options) -> Result<()> {
    match PROCESS.with_borrow(Clone::clone) {
        Some(process) => process.configure(options),
        None => Ok(()),
    }
}
