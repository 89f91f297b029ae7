//! Durability, proved on the program itself: killed, damaged, out of space, run twice.
//!
//! `LYCOSA_CRASH_ROUNDS` makes the killing go on for longer, `LYCOSA_CRASH_SEED` repeats a run.

#[path = "crash/model.rs"]
mod model;
#[path = "crash/program.rs"]
mod program;
#[path = "crash/random.rs"]
mod random;

#[path = "crash/damage.rs"]
mod damage;
#[path = "crash/foreign.rs"]
mod foreign;
#[path = "crash/kill.rs"]
mod kill;
#[path = "crash/vinyl.rs"]
mod vinyl;
