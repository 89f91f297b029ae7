//! Writers that append the shortest form of a value.

/// Appends `nil`.
#[inline]
pub fn write_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Appends a boolean.
#[inline]
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(0xc2 + value as u8);
}

/// Appends a non-negative integer.
#[inline]
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value <= u8::MAX as u64 {
        out.extend_from_slice(&[0xcc, value as u8]);
    } else if value <= u16::MAX as u64 {
        tagged(out, 0xcd, (value as u16).to_be_bytes());
    } else if value <= u32::MAX as u64 {
        tagged(out, 0xce, (value as u32).to_be_bytes());
    } else {
        tagged(out, 0xcf, value.to_be_bytes());
    }
}

/// Appends an integer; non-negative ones in the unsigned form.
#[inline]
pub fn write_int(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        write_uint(out, value as u64);
    } else if value >= -0x20 {
        out.push(value as u8);
    } else if value >= i8::MIN as i64 {
        out.extend_from_slice(&[0xd0, value as u8]);
    } else if value >= i16::MIN as i64 {
        tagged(out, 0xd1, (value as i16).to_be_bytes());
    } else if value >= i32::MIN as i64 {
        tagged(out, 0xd2, (value as i32).to_be_bytes());
    } else {
        tagged(out, 0xd3, value.to_be_bytes());
    }
}

/// Appends a 32-bit float.
#[inline]
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    tagged(out, 0xca, value.to_be_bytes());
}

/// Appends a 64-bit float.
#[inline]
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    tagged(out, 0xcb, value.to_be_bytes());
}

/// Appends a string.
#[inline]
pub fn write_str(out: &mut Vec<u8>, value: &[u8]) {
    write_str_len(out, value_len(value));
    out.extend_from_slice(value);
}

/// Appends the head of a string of `size` bytes.
#[inline]
pub fn write_str_len(out: &mut Vec<u8>, size: u32) {
    if size < 32 {
        out.push(0xa0 | size as u8);
    } else if size <= u8::MAX as u32 {
        out.extend_from_slice(&[0xd9, size as u8]);
    } else {
        long_len(out, 0xda, 0xdb, size);
    }
}

/// Appends binary data.
#[inline]
pub fn write_bin(out: &mut Vec<u8>, value: &[u8]) {
    write_bin_len(out, value_len(value));
    out.extend_from_slice(value);
}

/// Appends the head of `size` bytes of binary data.
#[inline]
pub fn write_bin_len(out: &mut Vec<u8>, size: u32) {
    if size <= u8::MAX as u32 {
        out.extend_from_slice(&[0xc4, size as u8]);
    } else {
        long_len(out, 0xc5, 0xc6, size);
    }
}

/// Appends the head of an array of `count` elements.
#[inline]
pub fn write_array_len(out: &mut Vec<u8>, count: u32) {
    if count < 16 {
        out.push(0x90 | count as u8);
    } else {
        long_len(out, 0xdc, 0xdd, count);
    }
}

/// Appends the head of a map of `count` pairs.
#[inline]
pub fn write_map_len(out: &mut Vec<u8>, count: u32) {
    if count < 16 {
        out.push(0x80 | count as u8);
    } else {
        long_len(out, 0xde, 0xdf, count);
    }
}

/// Appends an extension.
#[inline]
pub fn write_ext(out: &mut Vec<u8>, ext_type: i8, payload: &[u8]) {
    write_ext_header(out, ext_type, value_len(payload));
    out.extend_from_slice(payload);
}

/// Appends the head of an extension with `size` bytes of payload.
#[inline]
pub fn write_ext_header(out: &mut Vec<u8>, ext_type: i8, size: u32) {
    match size {
        1 => out.push(0xd4),
        2 => out.push(0xd5),
        4 => out.push(0xd6),
        8 => out.push(0xd7),
        16 => out.push(0xd8),
        _ if size <= u8::MAX as u32 => out.extend_from_slice(&[0xc7, size as u8]),
        _ => long_len(out, 0xc8, 0xc9, size),
    }
    out.push(ext_type as u8);
}

#[inline]
fn tagged<const N: usize>(out: &mut Vec<u8>, tag: u8, bytes: [u8; N]) {
    out.reserve(N + 1);
    out.push(tag);
    out.extend_from_slice(&bytes);
}

#[inline]
fn long_len(out: &mut Vec<u8>, tag_16: u8, tag_32: u8, length: u32) {
    if length <= u16::MAX as u32 {
        tagged(out, tag_16, (length as u16).to_be_bytes());
    } else {
        tagged(out, tag_32, length.to_be_bytes());
    }
}

/// MessagePack lengths have 32 bits; callers bound their data far below (`net_msg_max` and
/// friends), so a longer value is our bug.
#[inline]
fn value_len(value: &[u8]) -> u32 {
    u32::try_from(value.len()).expect("a MessagePack value has less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_take_the_shortest_form() {
        let size = |value: i64| {
            let mut out = Vec::new();
            write_int(&mut out, value);
            out.len()
        };
        let cases = [(0, 1), (127, 1), (128, 2), (255, 2), (256, 3), (65536, 5), (1 << 32, 9)];
        for (value, expected) in cases {
            assert_eq!(size(value), expected, "{value}");
        }
        for (value, expected) in [(-1, 1), (-32, 1), (-33, 2), (-129, 3), (i64::MIN, 9)] {
            assert_eq!(size(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64, unsigned: u64) {
            let mut out = Vec::new();
            write_int(&mut out, value);
            write_uint(&mut out, unsigned);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.read_int(), Some(value));
            prop_assert_eq!(reader.read_uint(), Some(unsigned));
        }

        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..70000), ext: i8) {
            let mut out = Vec::new();
            write_str(&mut out, &bytes);
            write_bin(&mut out, &bytes);
            write_ext(&mut out, ext, &bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.read_str(), Some(&bytes[..]));
            prop_assert_eq!(reader.read_bin(), Some(&bytes[..]));
            prop_assert_eq!(reader.read_ext(), Some((ext, &bytes[..])));
        }
    }
}
