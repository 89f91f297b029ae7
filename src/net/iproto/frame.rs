//! Where a packet ends: its length stands in front of it.
//!
//! # Yields
//! never

use std::ops::Range;

use super::greeting;
use crate::base::error::Result;
use crate::base::limits::IPROTO_PACKET_SIZE_MAX;
use crate::client_error;
use crate::xrow::{Request, Row};

/// What stands at the start of some input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A packet, without its length.
    Packet(Range<usize>),
    /// So many bytes are missing at least.
    Missing(usize),
}

/// Finds the packet at the start of the input. After an error there is no telling where the next
/// one starts.
pub fn find(input: &[u8]) -> Result<Frame> {
    let Some(&first) = input.first() else { return Ok(Frame::Missing(1)) };
    let size = match first {
        0x00..=0x7f => 0,
        0xcc => 1,
        0xcd => 2,
        0xce => 4,
        0xcf => 8,
        _ => return Err(client_error!(ER_INVALID_MSGPACK, "packet length")),
    };
    let header = 1 + size;
    let Some(bytes) = input.get(1..header) else { return Ok(Frame::Missing(header - input.len())) };
    let length = match size {
        0 => u64::from(first),
        _ => bytes.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    if length > IPROTO_PACKET_SIZE_MAX {
        let details = format!("too big packet size in the header: {length}");
        return Err(client_error!(ER_INVALID_MSGPACK, details));
    }
    let end = header + length as usize;
    if end > input.len() {
        return Ok(Frame::Missing(end - input.len()));
    }
    Ok(Frame::Packet(header..end))
}

/// Where the complete packets at the start of the input end, and how many bytes the packet behind
/// them lacks at least. The error is about what stands behind the last complete packet.
pub fn complete(input: &[u8]) -> (usize, Result<usize>) {
    let mut end = 0;
    loop {
        match find(&input[end..]) {
            Ok(Frame::Packet(packet)) => end += packet.end,
            Ok(Frame::Missing(size)) => return (end, Ok(size)),
            Err(error) => return (end, Err(error)),
        }
    }
}

/// Takes what stands behind `end`, where the complete packets do, into a buffer made by `make`.
pub fn cut(input: &mut Vec<u8>, end: usize, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let mut tail = Vec::new();
    if end < input.len() {
        tail = make();
        tail.extend_from_slice(&input[end..]);
        input.truncate(end);
    }
    tail
}

/// Runs the decoders of what comes from a socket on untrusted bytes: the entry of the fuzzer.
pub fn fuzz(bytes: &[u8]) {
    let (end, _) = complete(bytes);
    assert!(end <= bytes.len(), "packets end behind the input");
    let mut start = 0;
    while let Ok(Frame::Packet(packet)) = find(&bytes[start..]) {
        let body = &bytes[start + packet.start..start + packet.end];
        let quick = Request::decode_packet(body);
        let row = Row::decode_packet(body);
        if let Ok(row) = &row {
            let request = Request::decode(row, true);
            if let Some((header, quick)) = &quick {
                // Doubles that are not numbers are not equal to themselves.
                assert_eq!(header.kind, row.header.kind, "headers read in two ways");
                assert_eq!(Some(quick), request.as_ref().ok(), "requests read in two ways");
            }
        }
        assert!(quick.is_none() || row.is_ok(), "what is not well formed is not a request");
        start += packet.end;
    }
    assert_eq!(start, end, "packets are found one by one as they are all at once");
    if let Some(Ok(greeting)) = bytes.get(..greeting::SIZE).map(TryInto::try_into) {
        let _ = greeting::decode(greeting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_are_read() {
        assert_eq!(find(&[2, 7, 7, 9]).unwrap(), Frame::Packet(1..3));
        assert_eq!(find(&[0xcc, 1, 7]).unwrap(), Frame::Packet(2..3));
        assert_eq!(find(&[0xce, 0, 0, 0, 2, 7, 7]).unwrap(), Frame::Packet(5..7));
        assert_eq!(find(&[0xcf, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap(), Frame::Packet(9..9));
        assert_eq!(find(&[]).unwrap(), Frame::Missing(1));
        assert_eq!(find(&[0xce, 0]).unwrap(), Frame::Missing(3));
        assert_eq!(find(&[5, 1]).unwrap(), Frame::Missing(4));
    }

    #[test]
    fn what_is_no_length_is_an_error() {
        let error = find(b"GET / HTTP/1.1").unwrap();
        // "G" is a small integer: a packet of 71 bytes, of which 58 are missing.
        assert_eq!(error, Frame::Missing(58));
        let error = find(&[0xa1]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - packet length");
        let error = find(&[0xce, 0xff, 0xff, 0xff, 0xff]).unwrap_err();
        let expected = "Invalid MsgPack - too big packet size in the header: 4294967295";
        assert_eq!(error.message(), expected);
        let (end, rest) = complete(&[1, 0x80, 1, 0x80, 0xc0]);
        assert_eq!((end, rest.is_err()), (4, true));
    }
}
