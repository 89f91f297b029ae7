//! Boot order, configuration applied, command line, console, signals, shutdown.
//!
//! `main` calls [`run`], which parses the arguments and starts the run loop; everything after that
//! happens in fibers.

mod allocator;
pub mod background;
pub mod check;
pub mod command_line;
mod logging;
mod process;
mod program;
mod reload;
mod script;
mod shutdown;
mod signals;
pub mod world;

pub use program::run;
