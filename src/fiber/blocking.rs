//! Work that blocks its thread (files, name look-up), done on tokio's blocking pool.
//!
//! # Yields
//! `blocking`

use super::scheduler;

/// Runs `work` on the blocking pool and waits for its result. Yields. The wait is not
/// interrupted by cancellation: the work may use what the caller owns.
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match scheduler::wait(tokio::task::spawn_blocking(work)) {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
