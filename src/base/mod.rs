//! What every other folder stands on: errors, limits, clocks, error injection. Imports nothing
//! of ours, never yields, does no I/O but reading clocks and the environment.

pub mod clock;
pub mod error;
pub mod error_code;
pub mod error_injection;
pub mod limits;
pub mod rate_limit;
pub mod version;

pub use error::{Error, Result};
