//! The log as a whole: what was reported as written is read back, whatever happens to the disk.

use std::cell::RefCell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::disk::Disk;
use super::hostile::{Faults, HostileDisk};
use super::*;
use crate::base::error_injection as injection;
use crate::base::{Error, Result};
use crate::value::uuid::Uuid;
use crate::xrow::iproto::kind;
use crate::xrow::{Header, Request, Row, Vclock};

const UUID: Uuid = Uuid(0x1418_b61b_2e2d_4af9_8e57_c8f8_48e5_bc74_u128.to_be_bytes());

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

fn directory() -> PathBuf {
    PathBuf::from("/log")
}

fn options(vclock: Vclock) -> Options {
    Options {
        directory: directory(),
        mode: Mode::Fsync,
        max_size: 1 << 30,
        queue_max_size: 1 << 20,
        checkpoint_threshold: 1 << 40,
        instance_uuid: UUID,
        instance_id: 1,
        vclock,
    }
}

fn start(disk: &HostileDisk, options: &Options) -> Writer {
    Writer::start(Arc::new(disk.clone()), options).unwrap()
}

fn body(number: u64, size: usize) -> Vec<u8> {
    let mut tuple = Vec::new();
    crate::value::msgpack::write_array_len(&mut tuple, 2);
    crate::value::msgpack::write_uint(&mut tuple, number);
    let text: Vec<u8> = (0..size).map(|at| b'a' + ((at as u64 * 7 + number) % 26) as u8).collect();
    crate::value::msgpack::write_str(&mut tuple, &text);
    let mut body = Vec::new();
    Request { tuple: Some(&tuple), ..Request::new(kind::REPLACE, 512) }.encode(&mut body);
    body
}

fn submit_rows(journal: &dyn Journal, bodies: &[Vec<u8>]) -> Result<Ticket> {
    let header = Header::new(kind::REPLACE);
    let mut rows: Vec<Row<'_>> = bodies.iter().map(|body| Row { header, body }).collect();
    journal.submit(&mut rows, 0)
}

fn submit(journal: &dyn Journal, number: u64) -> Ticket {
    submit_rows(journal, &[body(number, 20)]).unwrap()
}

fn write(journal: &dyn Journal, number: u64) -> Result<()> {
    block_on(submit_rows(journal, &[body(number, 20)]).unwrap())
}

/// LSN and body.
type Rows = Vec<(i64, Vec<u8>)>;

/// All rows in the directory, and the vclock that they lead to.
fn recover(disk: &dyn Disk) -> (Rows, Vclock) {
    let (rows, vclock, error) = recover_or_error(disk);
    assert!(error.is_none(), "{error:?}");
    (rows, vclock)
}

fn recover_or_error(disk: &dyn Disk) -> (Rows, Vclock, Option<Error>) {
    let mut names = disk.list(&directory()).unwrap();
    names.retain(|name| name.ends_with(".xlog"));
    names.sort();
    let mut rows = Vec::new();
    let mut vclock = Vclock::new();
    for name in names {
        let mut reader = Reader::open_on(disk, &directory().join(&name)).unwrap();
        assert_eq!(reader.meta().start(), vclock, "{name} begins where the one before ends");
        loop {
            match reader.next_row() {
                Ok(Some(row)) => {
                    rows.push((row.header.lsn, row.body.to_vec()));
                    vclock.set(row.header.replica_id, row.header.lsn);
                }
                Ok(None) => break,
                Err(error) => return (rows, vclock, Some(error)),
            }
        }
    }
    (rows, vclock, None)
}

fn numbered(numbers: impl IntoIterator<Item = u64>) -> Rows {
    let numbers = numbers.into_iter().enumerate();
    numbers.map(|(index, number)| (index as i64 + 1, body(number, 20))).collect()
}

/// One file with a few transactions in several blocks; returns it with the ends of its blocks.
fn sample() -> (Vec<u8>, Vec<usize>) {
    let disk = HostileDisk::default();
    let path = Path::new("/log/00000000000000000000.xlog");
    let writer = start(&disk, &options(Vclock::new()));
    let mut ends = Vec::new();
    for number in 0..6 {
        let size = if number == 3 { 3000 } else { 20 };
        let bodies = [body(number, size), body(number + 100, size)];
        block_on(submit_rows(&writer, &bodies).unwrap()).unwrap();
        ends.push(disk.get(path).len());
    }
    writer.stop();
    (disk.get(path), ends)
}

fn read(bytes: &[u8], force_recovery: bool) -> (usize, Option<Error>, Reader) {
    let disk = HostileDisk::default();
    let path = directory().join("0.xlog");
    disk.put(&path, bytes.to_vec());
    let mut reader = Reader::open_on(&disk, &path).unwrap();
    reader.set_force_recovery(force_recovery);
    let mut count = 0;
    loop {
        match reader.next_row() {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, None, reader),
            Err(error) => return (count, Some(error), reader),
        }
    }
}

fn header_size(bytes: &[u8]) -> usize {
    bytes.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2
}

#[test]
fn written_rows_are_read_back_after_a_crash() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    for number in 0..100 {
        write(&writer, number).unwrap();
    }
    let (rows, vclock) = recover(&disk.crash());
    assert_eq!(rows, numbered(0..100));
    assert_eq!(vclock, writer.written_vclock());
    assert_eq!(writer.vclock(), vclock);
}

#[test]
fn pipeline_pays_one_sync_for_many_entries() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    write(&writer, 0).unwrap();
    let before = disk.sync_count();
    let mut tickets: Vec<Ticket> = (1..1000).map(|number| submit(&writer, number)).collect();
    block_on(tickets.pop().unwrap()).unwrap();
    assert!(tickets.iter().all(|ticket| ticket.outcome().unwrap().is_ok()));
    assert!(disk.sync_count() - before < 10, "{} syncs", disk.sync_count() - before);
    assert_eq!(recover(&disk.crash()).0, numbered(0..1000));
}

#[test]
fn torn_tail_at_every_byte_keeps_all_whole_blocks() {
    let (bytes, ends) = sample();
    for size in header_size(&bytes)..bytes.len() {
        let (count, error, reader) = read(&bytes[..size], false);
        assert!(error.is_none(), "cut at {size}: {error:?}");
        assert_eq!(count, 2 * ends.iter().filter(|end| **end <= size).count(), "cut at {size}");
        assert!(!reader.is_closed());
    }
    let (count, error, reader) = read(&bytes, false);
    assert_eq!((count, error.is_none(), reader.is_closed()), (12, true, true));
    assert_eq!(reader.offset(), bytes.len() as u64);
}

#[test]
fn zeros_at_the_end_are_a_torn_tail() {
    let (bytes, ends) = sample();
    let mut bytes = bytes[..ends[4]].to_vec();
    bytes.resize(ends[4] + 5000, 0);
    let (count, error, _) = read(&bytes, false);
    assert_eq!((count, error.is_none()), (10, true));
}

/// Whether the byte is a block header's checksum of the block before or padding: nobody reads them.
fn is_unused(bytes: &[u8], ends: &[usize], at: usize) -> bool {
    let start = ends.iter().rev().find(|end| **end <= at).copied();
    let start = start.unwrap_or_else(|| header_size(bytes));
    let size_of = |first: u8| match first {
        0xcc => 2,
        0xcd => 3,
        0xce => 5,
        _ => 1,
    };
    let Some(header) = bytes.get(start..start + 19) else { return false };
    let previous = 4 + size_of(header[4]);
    let padding = previous + 1 + size_of(header[previous + 1]);
    // The padding's own first byte is its length.
    at < start + 19 && (at == start + previous || at > start + padding)
}

#[test]
fn flipped_byte_is_an_error_that_names_file_and_offset() {
    let (bytes, ends) = sample();
    let end_marker = bytes.len() - 4;
    for at in header_size(&bytes)..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x15;
        let (count, error, reader) = read(&damaged, false);
        let damaged_block = ends.iter().filter(|end| **end <= at).count();
        if is_unused(&bytes, &ends, at) {
            assert_eq!((count, error.is_none()), (12, true), "byte {at}");
            continue;
        }
        assert_eq!(count, 2 * damaged_block, "byte {at}");
        if at >= end_marker {
            // All rows are there, so this is no more than a file that was not closed.
            assert!(error.is_none() && !reader.is_closed(), "byte {at}");
            continue;
        }
        let error = error.unwrap_or_else(|| panic!("byte {at} was not noticed"));
        let start = if damaged_block == 0 { header_size(&bytes) } else { ends[damaged_block - 1] };
        assert_eq!(error.type_name(), "XlogError");
        let ending = format!("at offset {start}");
        assert!(error.message().starts_with("/log/0.xlog: "), "{error}");
        assert!(error.message().ends_with(&ending), "{error} {ending}");
    }
}

#[test]
fn force_recovery_loses_the_damaged_block_only_and_counts_it() {
    let (bytes, ends) = sample();
    for at in (header_size(&bytes)..bytes.len() - 4).step_by(3) {
        if is_unused(&bytes, &ends, at) {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x15;
        let (count, error, reader) = read(&damaged, true);
        assert!(error.is_none(), "byte {at}: {error:?}");
        assert_eq!((count, reader.is_closed()), (10, true), "byte {at}");
        let block = ends.iter().filter(|end| **end <= at).count();
        let start = if block == 0 { header_size(&bytes) } else { ends[block - 1] };
        // Behind the last block only the end marker is left, which looks like no block.
        let marker = if block == 5 { 4 } else { 0 };
        assert_eq!(reader.skipped().bytes, (ends[block] - start + marker) as u64, "byte {at}");
        assert!(reader.skipped().count >= 1);
    }
}

#[test]
fn short_writes_are_continued() {
    let disk = HostileDisk::default();
    disk.set_faults(Faults { short_write: Some(7), ..Faults::default() });
    let writer = start(&disk, &options(Vclock::new()));
    (0..20).for_each(|number| write(&writer, number).unwrap());
    assert_eq!(recover(&disk.crash()).0, numbered(0..20));
}

#[derive(Default)]
struct Heard(RefCell<Vec<(u64, u64)>>);

impl Completion for Heard {
    fn written(&self, _: u64) {}

    fn lost(&self, from: u64, upto: u64, _: &Error) {
        self.0.borrow_mut().push((from, upto));
    }
}

#[test]
fn full_disk_fails_entries_and_takes_new_ones_when_space_returns() {
    for space in [0, 1, 18, 19, 20, 60, 100] {
        let disk = HostileDisk::default();
        let writer = start(&disk, &options(Vclock::new()));
        let heard = Rc::new(Heard::default());
        writer.set_completion(heard.clone());
        write(&writer, 0).unwrap();
        disk.set_faults(Faults { space: Some(space), ..Faults::default() });
        let mut tickets: Vec<Ticket> = (100..110).map(|number| submit(&writer, number)).collect();
        let error = block_on(tickets.pop().unwrap()).unwrap_err();
        assert!(error.is(&crate::base::error_code::ER_WAL_IO), "{error}");
        let cause = error.cause().unwrap();
        assert_eq!(cause.errno(), libc::ENOSPC);
        assert!(tickets.iter().all(|ticket| ticket.outcome().unwrap().is_err()));
        assert_eq!(*heard.0.borrow(), [(2, 11)]);
        assert_eq!((writer.vclock().get(1), writer.queue_size()), (1, 0));
        // Still full: fails again.
        disk.set_faults(Faults { space: Some(0), ..Faults::default() });
        assert!(write(&writer, 200).is_err());
        disk.set_faults(Faults::default());
        (1..5).for_each(|number| write(&writer, number).unwrap());
        assert_eq!(recover(&disk.crash()).0, numbered(0..5));
        assert_eq!(recover(&disk).0, numbered(0..5));
    }
}

#[test]
fn failed_sync_fails_the_batch_and_its_rows_never_come_back() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    write(&writer, 0).unwrap();
    disk.set_faults(Faults { sync_fails: true, ..Faults::default() });
    assert!(write(&writer, 100).is_err());
    // Nothing is acknowledged while the state of the medium is unknown.
    assert!(write(&writer, 101).is_err());
    disk.set_faults(Faults::default());
    write(&writer, 1).unwrap();
    write(&writer, 2).unwrap();
    assert_eq!(recover(&disk.crash()).0, numbered(0..3));
    assert_eq!(recover(&disk).0, numbered(0..3));
}

#[test]
fn log_that_cannot_be_cut_back_takes_no_writes_until_it_can() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    write(&writer, 0).unwrap();
    disk.set_faults(Faults { space: Some(10), truncate_fails: true, ..Faults::default() });
    assert!(write(&writer, 100).is_err());
    disk.set_faults(Faults { truncate_fails: true, ..Faults::default() });
    assert!(write(&writer, 101).is_err());
    disk.set_faults(Faults::default());
    write(&writer, 1).unwrap();
    assert_eq!(recover(&disk).0, numbered(0..2));
}

#[test]
fn nothing_is_taken_between_failure_and_rollback() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    write(&writer, 0).unwrap();
    disk.set_faults(Faults { space: Some(0), ..Faults::default() });
    let ticket = submit(&writer, 1);
    writer.flush();
    // Until the failure is collected, submitting either joins the lost ones or is refused.
    let refused = loop {
        match submit_rows(&writer, &[body(2, 20)]) {
            Ok(_) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.message(), "WAL has a rollback in progress");
    assert!(block_on(ticket).is_err());
    disk.set_faults(Faults::default());
    write(&writer, 1).unwrap();
    assert_eq!(recover(&disk).0, numbered(0..2));
}

/// Submits until a flush has written by itself what was submitted last; returns the next number.
fn submit_until_written_here(writer: &Writer, mut number: u64) -> u64 {
    loop {
        let ticket = submit(writer, number);
        number += 1;
        writer.flush();
        let outcome = ticket.outcome();
        if let Some(outcome) = outcome {
            outcome.unwrap();
            return number;
        }
        block_on(ticket).unwrap();
    }
}

#[test]
fn flush_writes_a_small_batch_itself_while_the_thread_sleeps() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { mode: Mode::Write, ..options(Vclock::new()) });
    writer.defer_flush();
    let next = submit_until_written_here(&writer, 0);
    assert_eq!(recover(&disk).0, numbered(0..next));
    let waiting: Vec<Ticket> = (next..next + 5).map(|number| submit(&writer, number)).collect();
    assert!(waiting.iter().all(|ticket| ticket.outcome().is_none()));
    writer.flush();
    waiting.into_iter().for_each(|ticket| block_on(ticket).unwrap());
    let rotated = block_on(writer.rotate()).unwrap();
    assert_eq!(rotated.vclock.get(1), next as i64 + 5);
    assert_eq!(recover(&disk).0, numbered(0..next + 5));
}

#[test]
fn failure_of_a_write_by_flush_loses_what_it_wrote_and_nothing_else() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { mode: Mode::Write, ..options(Vclock::new()) });
    writer.defer_flush();
    let next = submit_until_written_here(&writer, 0);
    disk.set_faults(Faults { space: Some(10), ..Faults::default() });
    let lost: Vec<Ticket> = (100..103).map(|number| submit(&writer, number)).collect();
    writer.flush();
    lost.into_iter().for_each(|ticket| assert!(block_on(ticket).is_err()));
    disk.set_faults(Faults::default());
    let ticket = submit(&writer, next);
    writer.flush();
    block_on(ticket).unwrap();
    assert_eq!(recover(&disk).0, numbered(0..next + 1));
}

#[test]
fn files_rotate_at_their_size_and_each_begins_where_the_one_before_ends() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { max_size: 1000, ..options(Vclock::new()) });
    (0..100).for_each(|number| write(&writer, number).unwrap());
    let mut logs = Directory::logs(Arc::new(disk.clone()), &directory(), UUID);
    logs.scan(false).unwrap();
    assert!(logs.files().len() > 5, "{:?}", logs.files());
    assert_eq!(recover(&disk).0, numbered(0..100));
    let second = logs.open(logs.files()[1].signature()).unwrap();
    assert_eq!(second.meta().previous_vclock, Some(logs.files()[0]));
}

#[test]
fn writing_goes_on_after_a_restart() {
    let disk = HostileDisk::default();
    let mut numbers = 0;
    for round in 0..4 {
        let (_, vclock) = recover(&disk);
        let writer = start(&disk, &options(vclock));
        // Every second round writes nothing and leaves an empty file to go on with.
        for _ in 0..(round % 2) * 5 {
            write(&writer, numbers).unwrap();
            numbers += 1;
        }
    }
    let (rows, vclock) = recover(&disk);
    assert_eq!(rows, numbered(0..numbers));
    assert!(disk.exists(&directory().join(format!("{:020}.xlog", vclock.signature()))));
}

#[test]
fn torn_first_block_is_overwritten_after_a_restart() {
    let (bytes, ends) = sample();
    let disk = HostileDisk::default();
    disk.put(&directory().join("00000000000000000000.xlog"), bytes[..ends[0] - 5].to_vec());
    let writer = start(&disk, &options(Vclock::new()));
    write(&writer, 0).unwrap();
    writer.stop();
    assert_eq!(recover(&disk).0, numbered(0..1));
}

#[test]
fn checkpoint_rotates_and_garbage_before_it_goes() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    (0..10).for_each(|number| write(&writer, number).unwrap());
    let late = submit(&writer, 10);
    let rotation = writer.rotate();
    let later = submit(&writer, 11);
    let rotated = block_on(rotation).unwrap();
    assert_eq!(rotated.vclock.get(1), 11, "what was submitted before is part of it, no more");
    assert!(rotated.log_size > 0);
    block_on(late).unwrap();
    block_on(later).unwrap();
    writer.commit_checkpoint(rotated.log_size);
    (12..15).for_each(|number| write(&writer, number).unwrap());
    let before = block_on(writer.collect_garbage(10)).unwrap();
    assert_eq!(before, [] as [PathBuf; 0]);
    let removed = block_on(writer.collect_garbage(11)).unwrap();
    assert_eq!(removed, [directory().join("00000000000000000000.xlog")]);
    let mut logs = Directory::logs(Arc::new(disk.clone()), &directory(), UUID);
    logs.scan(false).unwrap();
    assert_eq!(logs.files_after(&rotated.vclock).unwrap().len(), 1);
    let error = logs.files_after(&Vclock::new()).unwrap_err();
    assert_eq!(error.message(), "Missing .xlog file between LSN 0 {} and 11 {1: 11}");
}

#[test]
fn queue_has_a_bound_and_opens_when_entries_end() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { queue_max_size: 1000, ..options(Vclock::new()) });
    let mut last = None;
    while writer.has_room() {
        last = Some(submit(&writer, 1));
    }
    assert!(writer.queue_size() >= 1000);
    block_on(writer.room());
    assert!(writer.has_room());
    block_on(last.unwrap()).unwrap();
}

/// Counts how often a checkpoint was wanted.
struct Wanted(RefCell<usize>);

impl Completion for Wanted {
    fn written(&self, _: u64) {}
    fn lost(&self, _: u64, _: u64, _: &Error) {}
    fn checkpoint_wanted(&self) {
        *self.0.borrow_mut() += 1;
    }
}

#[test]
fn checkpoint_is_wanted_again_after_one_that_failed() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { checkpoint_threshold: 500, ..options(Vclock::new()) });
    let wanted = Rc::new(Wanted(RefCell::new(0)));
    writer.set_completion(wanted.clone());
    (0..20).for_each(|number| write(&writer, number).unwrap());
    assert_eq!(*wanted.0.borrow(), 1);
    writer.abandon_checkpoint();
    write(&writer, 20).unwrap();
    assert_eq!(*wanted.0.borrow(), 1, "not before the log has grown as much again");
    (21..41).for_each(|number| write(&writer, number).unwrap());
    assert_eq!(*wanted.0.borrow(), 2);
}

#[test]
fn checkpoint_is_wanted_once_per_threshold() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { checkpoint_threshold: 500, ..options(Vclock::new()) });
    let wanted = Rc::new(Wanted(RefCell::new(0)));
    writer.set_completion(wanted.clone());
    (0..20).for_each(|number| write(&writer, number).unwrap());
    assert_eq!(*wanted.0.borrow(), 1);
    let rotated = block_on(writer.rotate()).unwrap();
    writer.commit_checkpoint(rotated.log_size);
    (0..20).for_each(|number| write(&writer, number).unwrap());
    assert_eq!(*wanted.0.borrow(), 2);
}

/// Injections are global, so one test goes through all of them, on files of its own.
#[test]
fn injected_faults_are_survived() {
    // Other tests of this process write logs as well; their writes must not strike.
    let exclusive = std::env::var_os("LYCOSA_TEST_INJECTION").is_some();
    if !exclusive {
        let program = std::env::current_exe().unwrap();
        let status = std::process::Command::new(program)
            .args(["--exact", "wal::tests::injected_faults_are_survived", "--nocapture"])
            .env("LYCOSA_TEST_INJECTION", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let faults = [
        &injection::ERRINJ_WAL_WRITE,
        &injection::ERRINJ_WAL_WRITE_PARTIAL,
        &injection::ERRINJ_WAL_SYNC,
    ];
    for fault in faults {
        let disk = HostileDisk::default();
        let writer = start(&disk, &options(Vclock::new()));
        write(&writer, 0).unwrap();
        fault.set(0);
        assert!(write(&writer, 100).is_err(), "{}", fault.name);
        fault.clear();
        write(&writer, 1).unwrap();
        assert_eq!(recover(&disk.crash()).0, numbered(0..2), "{}", fault.name);
    }
    let disk = HostileDisk::default();
    let writer = start(&disk, &Options { max_size: 1, ..options(Vclock::new()) });
    (0..5).for_each(|number| write(&writer, number).unwrap());
    injection::ERRINJ_WAL_ROTATE.set(0);
    assert!(write(&writer, 100).is_err());
    injection::ERRINJ_WAL_ROTATE.clear();
    write(&writer, 5).unwrap();
    assert_eq!(recover(&disk.crash()).0, numbered(0..6));
    injection::ERRINJ_SNAP_WRITE.set(0);
    assert!(write_snapshot(&disk, 10).is_err());
    injection::ERRINJ_SNAP_WRITE.clear();
    assert!(!disk.paths().iter().any(|path| path.to_string_lossy().contains(".snap")));
}

struct Numbers(std::ops::Range<u64>);

impl RowSource for Numbers {
    fn next_row(&mut self, rows: &mut snapshot::Rows<'_>) -> Result<bool> {
        let Some(number) = self.0.next() else { return Ok(false) };
        let mut tuple = Vec::new();
        crate::value::msgpack::write_array_len(&mut tuple, 1);
        crate::value::msgpack::write_uint(&mut tuple, number);
        rows.tuple(512, 0, &tuple);
        Ok(true)
    }
}

fn write_snapshot(disk: &HostileDisk, count: u64) -> Result<snapshot::Written> {
    let vclock = Vclock::parse("{1: 7}").unwrap();
    let meta = Meta::new(FileType::Snap, UUID, vclock, None);
    block_on(snapshot::write_in_thread(
        Arc::new(disk.clone()),
        directory().join("00000000000000000007.snap"),
        meta,
        0,
        Box::new(Numbers(0..count)),
        Arc::default(),
    ))
}

#[test]
fn snapshot_is_read_back_after_a_crash() {
    let disk = HostileDisk::default();
    let written = write_snapshot(&disk, 100_000).unwrap();
    assert_eq!(written.row_count, 100_000);
    let disk = disk.crash();
    let snapshots = {
        let mut snapshots = Directory::snapshots(Arc::new(disk), &directory(), UUID);
        snapshots.scan(false).unwrap();
        snapshots
    };
    let newest = snapshots.newest().unwrap().signature();
    let mut reader = snapshots.open_ahead(newest, false).unwrap();
    let mut count = 0;
    while let Some(transaction) = reader.next_transaction().unwrap() {
        for row in transaction.rows() {
            assert_eq!(row.header.lsn, count);
            let request = Request::decode(&row, false).unwrap();
            assert_eq!(request.space_id, 512);
            count += 1;
        }
    }
    assert_eq!((count, reader.is_closed()), (100_000, true));
}

#[test]
fn failed_snapshot_leaves_no_file() {
    let disk = HostileDisk::default();
    disk.set_faults(Faults { space: Some(1000), ..Faults::default() });
    assert!(write_snapshot(&disk, 100_000).is_err());
    assert_eq!(disk.paths(), [] as [PathBuf; 0]);
}

#[test]
fn second_process_is_kept_out() {
    let directory = tempfile::tempdir().unwrap();
    let lock = DirectoryLock::take(directory.path()).unwrap();
    let error = DirectoryLock::take(directory.path()).unwrap_err();
    let path = directory.path().display();
    let message = format!("Failed to lock WAL directory {path} and hot_standby mode is off");
    assert_eq!(error.message(), message);
    drop(lock);
    assert!(DirectoryLock::take(directory.path()).is_ok());
}

#[test]
fn growing_file_gives_more_rows_later() {
    let disk = HostileDisk::default();
    let writer = start(&disk, &options(Vclock::new()));
    write(&writer, 0).unwrap();
    let path = directory().join("00000000000000000000.xlog");
    let mut reader = Reader::open_on(&disk, &path).unwrap();
    for lsn in 1..50 {
        assert_eq!(reader.next_row().unwrap().unwrap().header.lsn, lsn);
        assert!(reader.next_row().unwrap().is_none());
        write(&writer, lsn as u64).unwrap();
    }
}

mod fuzz {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn reader_survives_any_change_of_a_file(
            changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..20),
            cut in any::<u16>(),
        ) {
            let (mut bytes, _) = sample();
            for (at, value) in changes {
                let at = at as usize % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(bytes.len() - cut as usize % bytes.len());
            fuzz_read(&bytes);
        }

        #[test]
        fn reader_survives_any_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut file = b"XLOG\n0.13\n\n".to_vec();
            file.extend_from_slice(&bytes);
            fuzz_read(&file);
        }
    }
}

/// Both programs on the same files: ours must print what Tarantool's prints, and Tarantool's must
/// read what ours wrote.
mod interoperability {
    use super::*;
    use std::process::Command;

    /// What `tarantoolctl cat` prints, `None` where it is not installed.
    fn tarantoolctl(path: &Path, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("tarantoolctl");
        let output = command.arg("cat").args(arguments).arg(path).output();
        match output {
            Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
            Err(_) => {
                eprintln!("skipped: tarantoolctl is not installed");
                None
            }
        }
    }

    fn cat(path: &Path, show_system: bool, format: cat::Format) -> String {
        let mut out = Vec::new();
        let options = cat::Options { show_system, format, ..cat::Options::file(path) };
        cat::run(&options, &mut out).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[track_caller]
    fn assert_same_text(ours: &str, theirs: &str) {
        for (number, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
            assert_eq!(ours, theirs, "line {number}");
        }
        assert_eq!(ours.len(), theirs.len());
    }

    #[test]
    fn tarantoolctl_prints_our_files_as_we_do() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { directory: directory.path().into(), ..options(Vclock::new()) };
        let writer = Writer::start(OsDisk::shared(), &options).unwrap();
        for number in 0..50 {
            let bodies = [body(number, 30), body(number, 90 * number as usize)];
            block_on(submit_rows(&writer, &bodies[..1 + number as usize % 2]).unwrap()).unwrap();
        }
        let batch: Vec<Vec<u8>> = (0..500).map(|number| body(number, 50)).collect();
        block_on(submit_rows(&writer, &batch).unwrap()).unwrap();
        writer.stop();
        let snapshot = directory.path().join("00000000000000000007.snap");
        let meta = Meta::new(FileType::Snap, UUID, Vclock::parse("{1: 7}").unwrap(), None);
        let source = Box::new(Numbers(0..5000));
        block_on(snapshot::write_in_thread(
            OsDisk::shared(),
            snapshot.clone(),
            meta,
            0,
            source,
            Arc::default(),
        ))
        .unwrap();
        for path in [directory.path().join("00000000000000000000.xlog"), snapshot] {
            let Some(theirs) = tarantoolctl(&path, &["--show-system"]) else { return };
            assert_same_text(&cat(&path, true, cat::Format::Yaml), &theirs);
            assert!(theirs.len() > 10_000);
        }
    }

    const SCRIPT: &str = r#"
        box.cfg{work_dir = arg[1], log = arg[1] .. '/log', wal_max_size = 100000}
        local s = box.schema.space.create('t')
        s:create_index('pk')
        for i = 1, 50 do s:replace{i, 'hello', i * 1.5, {a = {1, 2}}, box.NULL, true} end
        box.begin() for i = 100, 3000 do s:replace{i, ('x'):rep(i % 100)} end box.commit()
        box.begin() s:replace{500, 'abc'} s:delete{1} s:update({2}, {{'=', 2, 'z'}})
        s:upsert({1000, 1}, {{'=', 2, 'u'}}) box.commit()
        box.snapshot()
        local uuid = require('uuid').fromstr('64d22e4d-ac92-4a23-899a-e59f34af5479')
        s:replace{1, "multi\nline", "it's", "123", "", "key: value", -5, 18446744073709551615ULL,
            1e100, 0.1, uuid, require('decimal').new('1.5'), "\n", " a\n b ", "x\ty", "\1\127",
            "é\n", ("w "):rep(200), "\240\159\152\128"}
        s:replace{2, {}, setmetatable({}, {__serialize = 'map'}), {1, 2, {3}}, {{a = 1}}, "\xff",
            "~", "null", " lead", ("x"):rep(200), 0/0, 1/0, 1e15, 5e-324, 12345.678901234567}
        local l = box.schema.space.create('l', {is_local = true})
        l:create_index('pk')
        l:replace{1}
        box.begin() l:replace{2} s:replace{77} box.commit()
        os.exit(0)
    "#;

    #[test]
    fn files_of_tarantool_are_read_and_printed_as_tarantoolctl_does() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script.lua");
        std::fs::write(&script, SCRIPT).unwrap();
        let run = Command::new("tarantool").arg(&script).arg(directory.path()).output();
        let Ok(run) = run else {
            eprintln!("skipped: tarantool is not installed");
            return;
        };
        assert!(run.status.success(), "{run:?}");
        let disk = OsDisk::shared();
        let mut logs = Directory::logs(disk.clone(), directory.path(), Uuid::NIL);
        logs.scan(false).unwrap();
        assert!(logs.files().len() >= 2);
        let mut snapshots = Directory::snapshots(disk, directory.path(), Uuid::NIL);
        snapshots.scan(false).unwrap();
        let logs = logs.files().iter().map(|file| logs.path_of(file.signature()));
        let snapshots = snapshots.files().iter().map(|file| snapshots.path_of(file.signature()));
        for path in logs.chain(snapshots) {
            let mut reader = Reader::open(&path).unwrap();
            reader.read_ahead().unwrap();
            while let Some(transaction) = reader.next_transaction().unwrap() {
                assert!(transaction.rows().last().unwrap().header.is_commit());
            }
            assert!(reader.is_closed(), "{}", path.display());
            for (arguments, format) in [
                (&["--show-system"][..], cat::Format::Yaml),
                (&["--show-system", "--format=json"][..], cat::Format::Json),
            ] {
                let Some(theirs) = tarantoolctl(&path, arguments) else { return };
                assert_same_text(&cat(&path, true, format), &theirs);
            }
        }
    }
}
