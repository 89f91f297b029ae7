//! Reads rows from a log or snapshot file.
//!
//! Blocks are read, checked and decompressed by [`Source`], either as the rows are asked for or by
//! a thread that runs ahead; rows are decoded there too, so that the consumer only looks at
//! headers and borrows bodies. Memory is reused from block to block.
//!
//! # What the end of a file can look like
//! - the end marker: the file was closed
//! - nothing, or part of a block, or zeros: the writer died, or is still writing. Whoever reads a
//!   growing file asks again. A part of a block *followed by a good block or the end marker* is no
//!   torn tail but damage: rows that were acknowledged would be lost silently.
//!
//! Damage is an `XlogError` that names file and offset. With `force_recovery` it is skipped up to
//! the next block that can be read, and counted.
//!
//! # Invariants
//! - untrusted bytes never panic, and every body given out is well-formed MessagePack
//!
//! # Yields
//! never; blocks on the disk

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::disk::{Disk, DiskFile, OsDisk, read_full_at};
use super::file::cannot;
use super::format::{
    BLOCK_HEADER_SIZE, BlockHeader, MAGIC_END, MAGIC_PLAIN, MAGIC_ZSTD, META_SIZE_MAX, Meta,
    checksum, xlog_error,
};
use crate::base::error::Type;
use crate::base::limits::LOG_BLOCK_SIZE_MAX;
use crate::base::{Error, Result};
use crate::xrow::{Header, Row};

/// How much is read at once.
const READ_SIZE: usize = 1 << 20;
/// Blocks that wait between the thread that reads ahead and the consumer.
const AHEAD_COUNT: usize = 8;

/// What `force_recovery` has left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How often damage was met.
    pub count: u64,
    /// Bytes of the file, or of an unpacked block, that were skipped.
    pub bytes: u64,
}

/// Reads rows from a file.
pub struct Reader {
    path: PathBuf,
    meta: Meta,
    feed: Feed,
    block: Block,
    next: usize,
    state: State,
}

/// What is known after the block that is being given out.
#[derive(Clone, Copy, Default)]
struct State {
    offset: u64,
    is_closed: bool,
    skipped: Skipped,
}

enum Feed {
    Here(Box<Source>),
    Ahead {
        blocks: Receiver<(Block, State, Result<bool>)>,
        used: Sender<Block>,
    },
    /// The thread has given its last.
    Done,
}

impl Reader {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Reader> {
        Reader::open_on(&OsDisk, path)
    }

    /// Opens a file of a disk.
    pub fn open_on(disk: &dyn Disk, path: &Path) -> Result<Reader> {
        let file = disk.open_to_read(path).map_err(|error| {
            Error::system(&format!("failed to open '{}' file", path.display()), &error)
        })?;
        Reader::new(file, path)
    }

    fn new(file: Box<dyn DiskFile>, path: &Path) -> Result<Reader> {
        let mut source = Source::new(file, path);
        let meta = source.read_meta()?;
        Ok(Reader {
            path: path.to_owned(),
            meta,
            state: source.state,
            feed: Feed::Here(Box::new(source)),
            block: Block::default(),
            next: 0,
        })
    }

    /// The file's header.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the blocks end that were read so far.
    pub fn offset(&self) -> u64 {
        self.state.offset
    }

    /// Whether the end marker was met: false at the end of a file that was not closed.
    pub fn is_closed(&self) -> bool {
        self.state.is_closed
    }

    /// What was skipped so far.
    pub fn skipped(&self) -> Skipped {
        self.state.skipped
    }

    /// Skip damage instead of failing.
    pub fn set_force_recovery(&mut self, on: bool) {
        if let Feed::Here(source) = &mut self.feed {
            source.force_recovery = on;
        }
    }

    /// Moves reading to a thread that runs ahead of the consumer. Not for a file that still grows.
    pub fn read_ahead(&mut self) -> Result<()> {
        let Feed::Here(source) = std::mem::replace(&mut self.feed, Feed::Done) else {
            return Ok(());
        };
        let (block_sender, blocks) = sync_channel(AHEAD_COUNT);
        let (used, used_receiver) = channel();
        std::thread::Builder::new()
            .name("xlog_reader".to_owned())
            .spawn(move || run_ahead(*source, &block_sender, &used_receiver))
            .map_err(|error| Error::system("failed to start the thread 'xlog_reader'", &error))?;
        self.feed = Feed::Ahead { blocks, used };
        Ok(())
    }

    /// The next row, `None` at the end. A growing file may have more later.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        if !self.fill()? {
            return Ok(None);
        }
        let entry = &self.block.entries[self.next];
        self.next += 1;
        Ok(Some(Row { header: entry.header, body: &self.block.data[entry.body.clone()] }))
    }

    /// The rows of the next transaction, `None` at the end.
    pub fn next_transaction(&mut self) -> Result<Option<Transaction<'_>>> {
        if !self.fill()? {
            return Ok(None);
        }
        let rest = &self.block.entries[self.next..];
        let last = rest.iter().position(|entry| entry.header.is_commit());
        // A block holds whole transactions; what lacks its end there is given out as it is.
        let count = last.map_or(rest.len(), |last| last + 1);
        self.next += count;
        Ok(Some(Transaction { entries: &rest[..count], data: &self.block.data }))
    }

    /// Makes sure that there is a row to give out.
    fn fill(&mut self) -> Result<bool> {
        while self.next >= self.block.entries.len() {
            self.next = 0;
            let more = match &mut self.feed {
                Feed::Here(source) => {
                    let more = source.next_block(&mut self.block);
                    self.state = source.state;
                    more
                }
                Feed::Ahead { blocks, used } => {
                    // The thread has ended when it does not listen any more.
                    let _ = used.send(std::mem::take(&mut self.block));
                    match blocks.recv() {
                        Ok((block, state, more)) => {
                            (self.block, self.state) = (block, state);
                            more
                        }
                        Err(_) => Ok(false),
                    }
                }
                Feed::Done => Ok(false),
            };
            if !matches!(more, Ok(true)) {
                self.block.entries.clear();
                if let Feed::Ahead { .. } = self.feed {
                    self.feed = Feed::Done;
                }
                return more;
            }
        }
        Ok(true)
    }
}

/// The rows of one transaction.
#[derive(Clone, Copy)]
pub struct Transaction<'a> {
    entries: &'a [Entry],
    data: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// How many rows there are, at least one.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// The headers of the rows in order.
    pub fn headers(&self) -> impl DoubleEndedIterator<Item = &'a Header> + use<'a> {
        self.entries.iter().map(|entry| &entry.header)
    }

    /// The rows in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let data = self.data;
        self.entries
            .iter()
            .map(move |entry| Row { header: entry.header, body: &data[entry.body.clone()] })
    }
}

fn run_ahead(
    mut source: Source,
    blocks: &SyncSender<(Block, State, Result<bool>)>,
    used: &Receiver<Block>,
) {
    loop {
        let mut block = used.try_recv().unwrap_or_default();
        let result = source.next_block(&mut block);
        let is_last = !matches!(result, Ok(true));
        if blocks.send((block, source.state, result)).is_err() || is_last {
            return;
        }
    }
}

/// An unpacked block.
#[derive(Default)]
struct Block {
    data: Vec<u8>,
    entries: Vec<Entry>,
}

struct Entry {
    header: Header,
    body: Range<usize>,
}

/// Reads blocks from a file.
struct Source {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    force_recovery: bool,
    /// Bytes of the file from `buffer_offset` on; those before `position` are used up.
    buffer: Vec<u8>,
    buffer_offset: u64,
    position: usize,
    decoder: DCtx<'static>,
    state: State,
}

impl Source {
    fn new(file: Box<dyn DiskFile>, path: &Path) -> Source {
        Source {
            file,
            path: path.to_owned(),
            force_recovery: false,
            buffer: Vec::new(),
            buffer_offset: 0,
            position: 0,
            decoder: DCtx::create(),
            state: State::default(),
        }
    }

    fn read_meta(&mut self) -> Result<Meta> {
        self.ensure(META_SIZE_MAX + 1)?;
        let decoded = Meta::decode(&self.buffer)
            .map_err(|error| xlog_error(&format!("{}: {error}", self.path.display())))?;
        let (meta, size) = decoded.ok_or_else(|| {
            let path = self.path.display();
            xlog_error(&format!("{path}: Unexpected end of file, run with 'force_recovery = true'"))
        })?;
        self.advance(size);
        Ok(meta)
    }

    /// Reads until that many bytes are at hand; false: the file ends before.
    fn ensure(&mut self, count: usize) -> Result<bool> {
        let have = self.buffer.len() - self.position;
        if have >= count {
            return Ok(true);
        }
        if self.position > 0 {
            self.buffer.drain(..self.position);
            self.buffer_offset += self.position as u64;
            self.position = 0;
        }
        let wanted = (count - have).max(READ_SIZE);
        self.buffer.resize(have + wanted, 0);
        let from = self.buffer_offset + have as u64;
        let read = read_full_at(&*self.file, &mut self.buffer[have..], from);
        let size = read.as_ref().map_or(0, |size| *size);
        self.buffer.truncate(have + size);
        read.map_err(|error| cannot("read", &self.path, &error))?;
        Ok(self.buffer.len() >= count)
    }

    fn offset(&self) -> u64 {
        self.buffer_offset + self.position as u64
    }

    fn advance(&mut self, count: usize) {
        self.position += count;
        self.state.offset = self.offset();
    }

    fn error_at(&self, offset: u64, what: &str) -> Error {
        xlog_error(&format!("{}: {what} at offset {offset}", self.path.display()))
    }

    /// Fills `block` with the next block; false at the end.
    fn next_block(&mut self, block: &mut Block) -> Result<bool> {
        loop {
            block.data.clear();
            block.entries.clear();
            let start = self.offset();
            let error = match self.try_next_block(block) {
                Ok(more) => return Ok(more),
                Err(error) if self.force_recovery && error.kind() == Type::Xlog => error,
                Err(error) => return Err(error),
            };
            tracing::error!("can't read block, skipping: {error}");
            self.state.skipped.count += 1;
            if self.offset() == start {
                if !self.skip_to_magic()? {
                    return Ok(false);
                }
            } else {
                // The block is whole but one of its rows is not: those before it are good.
                let good = block.entries.last().map_or(0, |entry| entry.body.end);
                self.state.skipped.bytes += (block.data.len() - good) as u64;
                if !block.entries.is_empty() {
                    return Ok(true);
                }
            }
        }
    }

    fn try_next_block(&mut self, block: &mut Block) -> Result<bool> {
        let offset = self.offset();
        if self.state.is_closed || !self.ensure(MAGIC_END.len())? {
            return Ok(false);
        }
        if self.buffer[self.position..].starts_with(&MAGIC_END) {
            if self.ensure(MAGIC_END.len() + 1)? {
                return Err(self.error_at(offset, "has some data after eof marker"));
            }
            self.advance(MAGIC_END.len());
            self.state.is_closed = true;
            return Ok(false);
        }
        if !self.ensure(BLOCK_HEADER_SIZE)? {
            return Ok(false);
        }
        let bytes = self.buffer[self.position..].first_chunk::<BLOCK_HEADER_SIZE>();
        let header = match BlockHeader::decode(bytes.expect("ensured above")) {
            Ok(header) => header,
            Err(what) if !self.rest_is_zeros()? => return Err(self.error_at(offset, &what)),
            Err(_) => {
                let path = self.path.display();
                tracing::warn!("{path}: the file ends in zeros from offset {offset}");
                return Ok(false);
            }
        };
        let size = BLOCK_HEADER_SIZE + header.size;
        if !self.has(size)? {
            if self.has_valid_data_after(offset)? {
                let what = "block ends past the end of the file but valid data follows";
                return Err(self.error_at(offset, what));
            }
            return Ok(false);
        }
        let packed = self.position + BLOCK_HEADER_SIZE..self.position + size;
        let packed = &self.buffer[packed];
        if checksum(packed) != header.checksum {
            return Err(self.error_at(offset, "tx checksum mismatch"));
        }
        if header.is_compressed {
            decompress(&mut self.decoder, packed, &mut block.data)
                .map_err(|what| self.error_at(offset, &format!("Decompression error: {what}")))?;
        } else {
            block.data.extend_from_slice(packed);
        }
        self.advance(size);
        block
            .decode_rows()
            .map_err(|error| self.error_at(offset, "can't parse row").caused_by(error))?;
        Ok(true)
    }

    /// [`Source::ensure`] that first asks for the file's size: a damaged length must not make the
    /// reader load gigabytes.
    fn has(&mut self, count: usize) -> Result<bool> {
        if self.buffer.len() - self.position >= count {
            return Ok(true);
        }
        let end = self.file.size().map_err(|error| cannot("read", &self.path, &error))?;
        Ok(self.offset() + count as u64 <= end && self.ensure(count)?)
    }

    fn rest_is_zeros(&mut self) -> Result<bool> {
        let mut window = vec![0; READ_SIZE];
        let mut offset = self.offset();
        loop {
            let size = self.read_window(&mut window, offset)?;
            if window[..size].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            if size < window.len() {
                return Ok(true);
            }
            offset += size as u64;
        }
    }

    /// Whether a good block begins after `offset`, or the file ends with the end marker.
    fn has_valid_data_after(&self, offset: u64) -> Result<bool> {
        let mut window = vec![0; READ_SIZE];
        let mut from = offset + 1;
        loop {
            let size = self.read_window(&mut window, from)?;
            for at in magics(&window[..size]) {
                if self.is_valid_block(from + at as u64)? {
                    return Ok(true);
                }
            }
            if size < window.len() {
                return Ok(window[..size].ends_with(&MAGIC_END));
            }
            // A magic may lie across the border of two windows.
            from += (size - MAGIC_END.len()) as u64;
        }
    }

    fn is_valid_block(&self, offset: u64) -> Result<bool> {
        let mut header = [0; BLOCK_HEADER_SIZE];
        if self.read_window(&mut header, offset)? < header.len() {
            return Ok(false);
        }
        let Ok(header) = BlockHeader::decode(&header) else { return Ok(false) };
        let data_offset = offset + BLOCK_HEADER_SIZE as u64;
        let end = self.file.size().map_err(|error| cannot("read", &self.path, &error))?;
        if data_offset + header.size as u64 > end {
            return Ok(false);
        }
        let mut data = vec![0; header.size];
        let size = self.read_window(&mut data, data_offset)?;
        Ok(size == header.size && checksum(&data) == header.checksum)
    }

    fn read_window(&self, window: &mut [u8], offset: u64) -> Result<usize> {
        let read: io::Result<usize> = read_full_at(&*self.file, window, offset);
        read.map_err(|error| cannot("read", &self.path, &error))
    }

    /// Moves to the next thing that looks like a block, at least one byte on; false: there is none.
    fn skip_to_magic(&mut self) -> Result<bool> {
        let start = self.offset();
        self.advance(1);
        let found = loop {
            let at = magics(&self.buffer[self.position..]).next();
            if let Some(at) = at {
                self.advance(at);
                break true;
            }
            let rest = self.buffer.len() - self.position;
            // Keep what may be the first bytes of a magic, or the end marker.
            self.advance(rest.saturating_sub(MAGIC_END.len()));
            let rest = self.buffer.len() - self.position;
            if !self.ensure(rest + 1)? {
                let closed = self.buffer.ends_with(&MAGIC_END);
                let rest = self.buffer.len() - self.position;
                self.advance(rest);
                self.state.is_closed = closed;
                break false;
            }
        };
        self.state.skipped.bytes += self.offset() - start;
        Ok(found)
    }
}

/// Where the magic of a block stands in `bytes`.
fn magics(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr::memmem::find_iter(bytes, &MAGIC_PLAIN[..3]).filter(|at| {
        let magic = bytes.get(*at..at + 4);
        magic == Some(&MAGIC_PLAIN) || magic == Some(&MAGIC_ZSTD)
    })
}

impl Block {
    fn decode_rows(&mut self) -> Result<()> {
        let mut position = 0;
        while position < self.data.len() {
            let (row, size) = Row::decode(&self.data[position..])?;
            let end = position + size;
            self.entries.push(Entry { header: row.header, body: end - row.body.len()..end });
            position = end;
        }
        Ok(())
    }
}

fn decompress(decoder: &mut DCtx<'_>, packed: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    decoder.init().map_err(|code| get_error_name(code).to_owned())?;
    let mut input = InBuffer::around(packed);
    loop {
        out.reserve(packed.len().max(64 * 1024));
        let mut output = OutBuffer::around_pos(out, out.len());
        let hint = decoder
            .decompress_stream(&mut output, &mut input)
            .map_err(|code| get_error_name(code).to_owned())?;
        if out.len() > LOG_BLOCK_SIZE_MAX {
            return Err("the block is too large".to_owned());
        }
        if hint == 0 && input.pos == packed.len() {
            return Ok(());
        }
        if input.pos == packed.len() && out.len() < out.capacity() {
            return Err("the frame is cut short".to_owned());
        }
    }
}

/// Reads arbitrary bytes as a file in both modes: the entry of the fuzzer.
pub fn fuzz_read(bytes: &[u8]) {
    for force_recovery in [false, true] {
        let file = Box::new(InMemory(bytes.to_vec()));
        let Ok(mut reader) = Reader::new(file, Path::new("fuzz")) else { continue };
        reader.set_force_recovery(force_recovery);
        while let Ok(Some(transaction)) = reader.next_transaction() {
            assert!(transaction.rows().count() > 0, "an empty transaction");
        }
        assert!(reader.offset() <= bytes.len() as u64, "read past the end");
    }
}

/// A file that is only bytes.
struct InMemory(Vec<u8>);

impl DiskFile for InMemory {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, data: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let size = rest.len().min(data.len());
        data[..size].copy_from_slice(&rest[..size]);
        Ok(size)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
