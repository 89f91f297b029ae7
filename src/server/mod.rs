//! Boot order, configuration applied, command line, console, signals, shutdown.
//!
//! `main` calls [`run`], which parses the arguments and starts the run loop; everything after that
//! happens in fibers.

mod script;

pub use script::run;
