//! Claims about tuples: sharing, memory, fields, images, refusals.

use super::*;
use crate::tuple::testing::msgpack;
use crate::tuple::{FieldDef, FieldType, FormatDef, KeyDef, Part, arena};

fn format(fields: Vec<FieldDef>, parts: Vec<Part>) -> &'static Format {
    let key = KeyDef::new(parts).expect("valid parts");
    Format::new(&FormatDef { fields, field_count: 0 }, &[&key]).expect("a valid format")
}

fn json_part(field: u32, path: &str, kind: FieldType) -> Part {
    let path = Path::parse(path.as_bytes(), 1).expect("a valid path");
    Part { path: Some(path), ..Part::new(field, kind) }
}

#[test]
fn references_are_counted_and_memory_is_given_back() {
    let format = format(Vec::new(), vec![Part::new(0, FieldType::Unsigned)]);
    let before = arena::stat();
    let data = msgpack(r#"[1,"abc"]"#);
    let tuple = Tuple::new(format, &data).expect("a valid tuple");
    assert_eq!(tuple.bsize(), data.len());
    assert_eq!(tuple.image_size(), 8 + data.len(), "no offsets for the first field");
    assert_eq!(tuple.refs(), 1);
    let pointer = tuple.clone().into_ptr();
    assert_eq!(tuple.refs(), 2);
    assert!(arena::stat().memtx_used > before.memtx_used);
    drop(tuple);
    // SAFETY: the reference given away above is taken back once.
    let tuple = unsafe { pointer.into_tuple() };
    assert_eq!((tuple.refs(), tuple.data()), (1, &data[..]));
    drop(tuple);
    assert_eq!(arena::stat().memtx_used, before.memtx_used);
    assert_eq!(arena::stat().memtx_count, before.memtx_count);
}

#[test]
fn a_copy_of_the_image_is_a_tuple() {
    let format = format(Vec::new(), vec![Part::new(2, FieldType::String)]);
    for size in [1, 70_000] {
        let data = msgpack(&format!(r#"[1, [2, 3], "{}", 4]"#, "x".repeat(size)));
        let tuple = Tuple::new(format, &data).expect("a valid tuple");
        let mut copy = vec![0u32; tuple.image_size().div_ceil(4)];
        for (word, bytes) in copy.iter_mut().zip(tuple.image().chunks(4)) {
            let mut padded = [0; 4];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_ne_bytes(padded);
        }
        drop(tuple);
        // SAFETY: the copy is a whole image, aligned, and outlives the reference.
        let tuple = unsafe { TuplePtr::from_raw(copy.as_ptr().cast()).as_ref() };
        assert_eq!(tuple.data(), data);
        assert_eq!(tuple.field(2).map(<[u8]>::len), Some(data.len() - 6));
        assert_eq!(tuple.field(3), Some(&[4u8][..]));
    }
}

#[test]
fn fields_are_found_with_and_without_offsets() {
    let fields = ["a", "b", "c"].map(|name| FieldDef::new(name, FieldType::Any)).to_vec();
    let parts =
        vec![Part::new(3, FieldType::Unsigned), json_part(1, "x[2]", FieldType::String).nullable()];
    let format = format(fields, parts);
    let data = msgpack(r#"[10, {"x": [1, "deep"]}, [3], 4, "five"]"#);
    let indexed = Tuple::new(format, &data).expect("a valid tuple");
    let plain = Tuple::new_runtime(&data).expect("a valid tuple");
    assert_eq!(indexed.image_size(), plain.image_size() + 8);
    for number in 0..7 {
        assert_eq!(indexed.field(number), plain.field(number), "field {number}");
        assert_eq!(indexed.fields().nth(number as usize), plain.field(number));
    }
    assert_eq!(indexed.field_count(), 5);
    assert_eq!(indexed.field_by_name("c"), plain.field(2));
    assert_eq!(indexed.field_by_name("d"), None);
    for path in ["b.x[2]", "[2].x[2]", "b['x'][2]"] {
        assert_eq!(indexed.field_by_path(path), Some(&b"\xa4deep"[..]), "{path}");
    }
    for path in ["b.x[3]", "b.y", "d", "[", "[9]", "a[1]", "[*]"] {
        assert_eq!(indexed.field_by_path(path), None, "{path}");
    }
}

#[test]
fn absent_indexed_fields_have_no_offset() {
    let parts = vec![Part::new(0, FieldType::Unsigned), Part::new(2, FieldType::String).nullable()];
    let format = format(Vec::new(), parts);
    let tuple = Tuple::new(format, &msgpack("[1]")).expect("a valid tuple");
    assert_eq!(tuple.field(2), None);
    assert_eq!(tuple.field(1), None);
    assert_eq!(tuple.field(0), Some(&[1u8][..]));
}

#[test]
fn running_out_of_memory_is_an_error() {
    let format = format(Vec::new(), vec![Part::new(0, FieldType::Unsigned)]);
    let data = msgpack(&format!(r#"[1,"{}"]"#, "x".repeat(1000)));
    let used = arena::stat().memtx_used;
    arena::set_limit(used + 3000);
    let kept: Vec<_> = std::iter::repeat_with(|| Tuple::new(format, &data)).take(10).collect();
    let count = kept.iter().filter(|made| made.is_ok()).count();
    assert_eq!(count, 2);
    let error = kept[2].as_ref().expect_err("no memory");
    assert_eq!(
        error.message(),
        format!("Failed to allocate {} bytes in slab allocator for memtx_tuple", 8 + data.len())
    );
    assert_eq!(error.type_name(), "OutOfMemory");
    drop(kept);
    assert!(Tuple::new(format, &data).is_ok());
    arena::set_limit(arena::MEMORY_DEFAULT);
    arena::set_tuple_size_max(100);
    let error = Tuple::new(format, &data).expect_err("too large");
    assert!(error.message().contains("tuple is too large"), "{error}");
    assert!(Tuple::new_runtime(&data).is_ok());
    arena::set_tuple_size_max(arena::TUPLE_SIZE_MAX_DEFAULT);
}

#[test]
fn malformed_bytes_are_refused() {
    for data in
        [&b""[..], b"\x91", b"\x91\xc1", b"\x92\x01", b"\x91\x01\x02", b"\xdd\xff\xff\xff\xff"]
    {
        let error = Tuple::new_runtime(data).expect_err("malformed");
        assert_eq!(error.message(), "Invalid MsgPack - tuple", "{data:?}");
    }
    let error = Tuple::new_runtime(&[1]).expect_err("no array");
    assert_eq!(error.message(), "Tuple/Key must be MsgPack array");
}
