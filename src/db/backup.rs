//! Backups: the files of a checkpoint and of the log after it, kept from removal while they are
//! copied.
//!
//! # Yields
//! `start_backup`, `end_backup` and `sync_log`

use std::path::PathBuf;

use crate::base::error::Result;
use crate::client_error;
use crate::fiber;
use crate::wal::Directory;
use crate::xrow::Vclock;

use super::database::Database;

/// What has to be copied.
#[derive(Clone, Debug)]
pub struct Backup {
    /// The files; none of them changes any more.
    pub files: Vec<PathBuf>,
    /// What is known with all of them.
    pub vclock: Vclock,
    /// The checkpoint it starts with; `None` when it continues an earlier backup.
    pub checkpoint: Option<Vclock>,
}

impl Database {
    /// Keeps all files until [`Database::end_backup`] and says which are the backup: those of the
    /// checkpoint `back` before the newest, and, of the newest, the log up to now. With `since`,
    /// the `vclock` of an earlier backup, only the log after it. Yields.
    pub fn start_backup(&self, back: usize, since: Option<Vclock>) -> Result<Backup> {
        self.pin_files();
        let backup = self.collect_backup(back, since);
        if backup.is_err() {
            self.unpin_files()?;
        }
        backup
    }

    /// Lets files be removed again. Yields.
    pub fn end_backup(&self) -> Result<()> {
        self.unpin_files()
    }

    fn collect_backup(&self, back: usize, since: Option<Vclock>) -> Result<Backup> {
        let checkpoint = self
            .checkpoints()
            .into_iter()
            .rev()
            .nth(back)
            .ok_or_else(|| client_error!(ER_MISSING_SNAPSHOT))?;
        let begin = since.unwrap_or(checkpoint.vclock);
        let is_full = since.is_none();
        let mut files = if is_full { vec![checkpoint.path] } else { Vec::new() };
        let mut vclock = begin;
        if back == 0
            && let Some(writer) = self.writer()
        {
            vclock = fiber::wait(writer.rotate())?.vclock;
            files.extend(self.log_files(&begin, &vclock)?);
        }
        let checkpoint = is_full.then_some(checkpoint.vclock);
        Ok(Backup { files, vclock, checkpoint })
    }

    /// The closed files of the log that hold what happened between two moments.
    fn log_files(&self, begin: &Vclock, end: &Vclock) -> Result<Vec<PathBuf>> {
        if begin.signature() >= end.signature() {
            return Ok(Vec::new());
        }
        let path = self.options().log_directory();
        let mut logs = Directory::logs(self.disk()?, &path, self.instance().uuid);
        logs.scan(false)?;
        let files = logs.files_after(begin)?.iter();
        let closed = files.filter(|file| file.signature() < end.signature());
        Ok(closed.map(|file| logs.path_of(file.signature())).collect())
    }

    /// Waits until everything that was submitted to the log before is written; fails when some of
    /// it is lost. Yields.
    pub fn sync_log(&self) -> Result<()> {
        if !self.is_logging() {
            return Ok(());
        }
        let commits = self.commits();
        let (last, lost_count) = (commits.last_position(), commits.lost_count());
        self.journal().flush();
        while commits.is_pending(last) {
            commits.wait_for_decision();
            fiber::test_cancel()?;
        }
        if commits.lost_count() != lost_count {
            return Err(client_error!(ER_WAL_IO));
        }
        Ok(())
    }
}
