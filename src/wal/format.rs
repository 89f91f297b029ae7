//! The bytes of `.xlog` and `.snap` files.
//!
//! # Layout
//! ```text
//! XLOG                                              or SNAP
//! 0.13
//! Version: 3.x                                      of the program, informative
//! Instance: 1418b61b-2e2d-4af9-8e57-c8f848e5bc74
//! VClock: {1: 258}                                  what was known before the first row
//! PrevVClock: {}                                    that of the file before this one
//! <empty line>
//! block*
//! d5 10 ad ed                                       end marker, missing after a crash
//! ```
//! A block is a fixed header of 19 bytes and rows: magic `d5 ba 0b ab` (plain) or `d5 ba 0b ba`
//! (one zstd frame), then as MessagePack unsigned integers the size of what follows the header, the
//! checksum of the block before (unused, 0) and the CRC-32C of what follows, then a MessagePack
//! string of zeros as padding. A block holds whole transactions.
//!
//! # Invariants
//! - decoders take untrusted bytes and never panic
//!
//! # Yields
//! never

use crate::base::error::Type;
use crate::base::{Error, Result, version};
use crate::value::msgpack as mp;
use crate::value::uuid::Uuid;
use crate::xrow::Vclock;
use crate::xrow::iproto::BODY_SIZE_MAX;

/// Size of a block's fixed header.
pub const BLOCK_HEADER_SIZE: usize = 19;
/// Blocks of at least this size are compressed; on less, it costs time and saves little.
pub const COMPRESS_SIZE_MIN: usize = 2 * 1024;
/// A block is closed at the first end of a transaction past this size.
pub const BLOCK_SIZE: usize = 128 * 1024;
/// Longest text header.
pub const META_SIZE_MAX: usize = 1024 + 2 * 1024;
/// Suffix of a file that is not complete yet.
pub const IN_PROGRESS_SUFFIX: &str = ".inprogress";

pub(crate) const MAGIC_PLAIN: [u8; 4] = [0xd5, 0xba, 0x0b, 0xab];
pub(crate) const MAGIC_ZSTD: [u8; 4] = [0xd5, 0xba, 0x0b, 0xba];
pub(crate) const MAGIC_END: [u8; 4] = [0xd5, 0x10, 0xad, 0xed];

/// Level 1 is three times as fast as Tarantool's 3 and a few percent larger; any reader takes both.
const COMPRESSION_LEVEL: i32 = 1;

/// What a file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// Changes in order.
    Xlog,
    /// All data at one moment.
    Snap,
}

impl FileType {
    /// As the first line says it.
    pub fn name(self) -> &'static str {
        match self {
            FileType::Xlog => "XLOG",
            FileType::Snap => "SNAP",
        }
    }

    /// The file name's extension with its dot.
    pub fn extension(self) -> &'static str {
        match self {
            FileType::Xlog => ".xlog",
            FileType::Snap => ".snap",
        }
    }
}

/// The text header of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// The first line: `XLOG`, `SNAP`, or what other files of the family say.
    pub file_type: String,
    /// The instance that wrote the file.
    pub instance_uuid: Uuid,
    /// What was known before the first row.
    pub vclock: Option<Vclock>,
    /// The same of the file before this one.
    pub previous_vclock: Option<Vclock>,
}

impl Meta {
    /// The header of a new file.
    pub fn new(
        file_type: FileType,
        instance_uuid: Uuid,
        vclock: Vclock,
        previous_vclock: Option<Vclock>,
    ) -> Meta {
        let file_type = file_type.name().to_owned();
        Meta { file_type, instance_uuid, vclock: Some(vclock), previous_vclock }
    }

    /// The vclock, zeros when the header has none.
    pub fn start(&self) -> Vclock {
        self.vclock.unwrap_or_default()
    }

    /// The text, with the empty line that ends it.
    pub fn encode(&self) -> String {
        let mut text = format!("{}\n0.13\nVersion: {}\n", self.file_type, version::TARANTOOL);
        text.push_str(&format!("Instance: {}\n", self.instance_uuid));
        if let Some(vclock) = &self.vclock {
            text.push_str(&format!("VClock: {vclock}\n"));
        }
        if let Some(vclock) = &self.previous_vclock {
            text.push_str(&format!("PrevVClock: {vclock}\n"));
        }
        text.push('\n');
        text
    }

    /// Reads the text at the start of untrusted bytes; returns it with its size. `None` when its
    /// end is not there.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Meta, usize)>> {
        let Some(end) = bytes.windows(2).take(META_SIZE_MAX).position(|pair| pair == b"\n\n")
        else {
            if bytes.len() > META_SIZE_MAX {
                return Err(xlog_error("failed to parse xlog type string"));
            }
            return Ok(None);
        };
        let mut lines = bytes[..end].split(|byte| *byte == b'\n');
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        let file_type = lines.next().filter(|line| line.len() < 10);
        let file_type =
            text(file_type.ok_or_else(|| xlog_error("failed to parse xlog type string"))?);
        let format = lines.next().filter(|line| line.len() < 10);
        let format = format.ok_or_else(|| xlog_error("failed to parse xlog version string"))?;
        if format != b"0.12" && format != b"0.13" {
            let format = text(format);
            return Err(xlog_error(&format!("unsupported file format version {format}")));
        }
        let mut meta =
            Meta { file_type, instance_uuid: Uuid::NIL, vclock: None, previous_vclock: None };
        for line in lines {
            let line = text(line);
            let (key, value) =
                line.split_once(':').ok_or_else(|| xlog_error("can't extract meta value"))?;
            let value = value.trim_start_matches([' ', '\t']);
            match key {
                "Instance" | "Server" => {
                    meta.instance_uuid = Uuid::parse(value.as_bytes())
                        .ok_or_else(|| xlog_error("can't parse instance UUID"))?;
                }
                "VClock" => meta.vclock = Some(Vclock::parse(value)?),
                "PrevVClock" => meta.previous_vclock = Some(Vclock::parse(value)?),
                "Version" => {}
                _ => tracing::warn!("Unknown meta item: '{key}'"),
            }
        }
        Ok(Some((meta, end + 2)))
    }
}

/// The fixed header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub is_compressed: bool,
    pub size: usize,
    pub checksum: u32,
}

impl BlockHeader {
    pub fn encode(&self) -> [u8; BLOCK_HEADER_SIZE] {
        let mut out = Vec::with_capacity(BLOCK_HEADER_SIZE + 1);
        out.extend_from_slice(if self.is_compressed { &MAGIC_ZSTD } else { &MAGIC_PLAIN });
        mp::write_uint(&mut out, self.size as u64);
        mp::write_uint(&mut out, 0);
        mp::write_uint(&mut out, u64::from(self.checksum));
        let padding = BLOCK_HEADER_SIZE - out.len();
        if padding > 0 {
            mp::write_str(&mut out, &[0; BLOCK_HEADER_SIZE][..padding - 1]);
        }
        // At most 15 bytes come before the padding, whose own header is one byte.
        out.try_into().expect("the parts add up to the fixed size")
    }

    /// Reads a header from untrusted bytes.
    pub fn decode(bytes: &[u8; BLOCK_HEADER_SIZE]) -> Result<BlockHeader, String> {
        let magic = &bytes[..4];
        if magic != MAGIC_PLAIN && magic != MAGIC_ZSTD {
            // Tarantool prints the four bytes as a little-endian number.
            let magic = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            return Err(format!("invalid magic: 0x{magic:x}"));
        }
        let mut reader = mp::Reader::new(&bytes[4..]);
        let size = reader.read_uint().ok_or("broken fixheader length")?;
        if size > BODY_SIZE_MAX {
            return Err("too large fixheader length".to_owned());
        }
        reader.read_uint().ok_or("broken fixheader crc32p")?;
        let checksum = reader.read_uint().and_then(|value| u32::try_from(value).ok());
        let checksum = checksum.ok_or("broken fixheader crc32c")?;
        if !reader.is_empty() && (reader.skip().is_none() || !reader.is_empty()) {
            return Err("broken fixheader padding".to_owned());
        }
        Ok(BlockHeader { is_compressed: magic == MAGIC_ZSTD, size: size as usize, checksum })
    }
}

/// Makes blocks; keeps the compressor and its memory.
pub(crate) struct BlockEncoder {
    compressor: zstd::bulk::Compressor<'static>,
}

impl BlockEncoder {
    pub fn new() -> Result<BlockEncoder> {
        let compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL)
            .map_err(|error| compression_error(&error))?;
        Ok(BlockEncoder { compressor })
    }

    /// Appends a block with these rows.
    pub fn encode(&mut self, rows: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if rows.len() < COMPRESS_SIZE_MIN {
            encode_plain(rows, out);
            return Ok(());
        }
        let start = out.len();
        let data = start + BLOCK_HEADER_SIZE;
        out.resize(data + zstd::zstd_safe::compress_bound(rows.len()), 0);
        let size = self
            .compressor
            .compress_to_buffer(rows, &mut out[data..])
            .map_err(|error| compression_error(&error))?;
        out.truncate(data + size);
        fill_header(true, &mut out[start..]);
        Ok(())
    }
}

/// Appends a block with these rows as they are.
pub(crate) fn encode_plain(rows: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + BLOCK_HEADER_SIZE, 0);
    out.extend_from_slice(rows);
    fill_header(false, &mut out[start..]);
}

/// Writes the header of a block into the room that was left for it.
fn fill_header(is_compressed: bool, block: &mut [u8]) {
    let (header, data) = block.split_at_mut(BLOCK_HEADER_SIZE);
    let content = BlockHeader { is_compressed, size: data.len(), checksum: checksum(data) };
    header.copy_from_slice(&content.encode());
}

/// Tarantool's CRC-32C starts from 0 and does not invert, unlike everyone else's.
pub(crate) fn checksum(data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!0, data)
}

/// An error about the content of a file.
pub(crate) fn xlog_error(message: &str) -> Error {
    Error::new(Type::Xlog, message)
}

fn compression_error(error: &std::io::Error) -> Error {
    crate::client_error!(ER_COMPRESSION, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_header_is_read_back_and_always_19_bytes() {
        for size in [0, 127, 128, 65536, 1 << 20, BODY_SIZE_MAX as usize] {
            for checksum in [0, 255, 65535, u32::MAX] {
                let header = BlockHeader { is_compressed: size > 2048, size, checksum };
                assert_eq!(BlockHeader::decode(&header.encode()).unwrap(), header);
            }
        }
        let error = BlockHeader::decode(&[0; BLOCK_HEADER_SIZE]).unwrap_err();
        assert_eq!(error, "invalid magic: 0x0");
    }

    #[test]
    fn meta_is_read_back() {
        let mut vclock = Vclock::new();
        vclock.set(1, 258);
        let meta = Meta::new(FileType::Xlog, Uuid::random(), vclock, Some(Vclock::new()));
        let text = meta.encode();
        assert_eq!(Meta::decode(text.as_bytes()).unwrap(), Some((meta, text.len())));
        assert_eq!(Meta::decode(&text.as_bytes()[..text.len() - 1]).unwrap(), None);
    }

    #[test]
    fn broken_meta_is_refused() {
        let message = |text: &str| Meta::decode(text.as_bytes()).unwrap_err().message().to_owned();
        assert_eq!(message("XLOG\n0.14\n\n"), "unsupported file format version 0.14");
        assert_eq!(message("XLOG\n0.13\nInstance: 1\n\n"), "can't parse instance UUID");
        assert_eq!(message("XLOG\n0.13\nVClock: {1\n\n"), "invalid vclock at offset 3");
        assert_eq!(message("XLOG\n0.13\nnonsense\n\n"), "can't extract meta value");
        assert_eq!(message(&"x".repeat(20000)), "failed to parse xlog type string");
    }

    #[test]
    fn checksum_is_that_of_a_tarantool_file() {
        // The crc of the empty sequence is 0, and appending zero bytes to it changes nothing.
        assert_eq!(checksum(&[]), 0);
        assert_eq!(checksum(&[0; 8]), 0);
    }
}
