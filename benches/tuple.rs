//! Tuples: making, reading, comparing and updating one of four fields (60 bytes).
//! Run: `cargo bench --bench tuple`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lycosa::tuple::{FieldDef, FieldType, Format, FormatDef, KeyDef, Part, Tuple, arena, update};
use lycosa::value::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn msgpack(text: &str) -> Vec<u8> {
    json::to_msgpack(text.as_bytes(), &json::Options::default()).expect("well-formed JSON")
}

fn row(number: u64) -> Vec<u8> {
    msgpack(&format!(r#"[{number}, "name {number} of thirty-two bytes", {number}.5, [1, 2]]"#))
}

fn tuples(criterion: &mut Criterion) {
    arena::set_limit(1 << 30);
    let part = |field, kind| KeyDef::new(vec![Part::new(field, kind)]).expect("a valid part");
    let id = part(0, FieldType::Unsigned);
    let name = part(1, FieldType::String);
    let fields = [
        ("id", FieldType::Unsigned),
        ("name", FieldType::String),
        ("score", FieldType::Number),
        ("list", FieldType::Array),
    ];
    let fields = fields.map(|(name, kind)| FieldDef::new(name, kind)).to_vec();
    let def = FormatDef { fields, ..FormatDef::default() };
    let format = Format::new(&def, &[&id, &name]).expect("a format");
    let (data, other) = (row(1_000_001), row(1_000_002));
    let tuple = Tuple::new(format, &data).expect("a valid tuple");
    let other = Tuple::new(format, &other).expect("a valid tuple");
    let key = msgpack("1000002");
    let operations = msgpack(r#"[["+", 3, 1], ["=", 2, "another name"]]"#);

    let mut group = criterion.benchmark_group("tuple");
    group.bench_function("new, checked by its format", |bencher| {
        bencher.iter(|| Tuple::new(format, black_box(&data)));
    });
    group.bench_function("clone and drop", |bencher| bencher.iter(|| black_box(&tuple).clone()));
    group.bench_function("field, indexed", |bencher| {
        bencher.iter(|| black_box(&tuple).field(1).map(<[u8]>::len));
    });
    group.bench_function("field, last", |bencher| {
        bencher.iter(|| black_box(&tuple).field(3).map(<[u8]>::len));
    });
    group.bench_function("field by name", |bencher| {
        bencher.iter(|| black_box(&tuple).field_by_name("score").map(<[u8]>::len));
    });
    group.bench_function("compare numbers", |bencher| {
        bencher.iter(|| id.compare(black_box(&tuple), black_box(&other)));
    });
    group.bench_function("compare strings", |bencher| {
        bencher.iter(|| name.compare(black_box(&tuple), black_box(&other)));
    });
    group.bench_function("compare with a key", |bencher| {
        bencher.iter(|| id.compare_with_key(black_box(&tuple), black_box(&key), 1));
    });
    group.bench_function("hint of a string", |bencher| {
        bencher.iter(|| name.hint(black_box(&tuple)))
    });
    group.bench_function("hash of a string", |bencher| {
        bencher.iter(|| name.hash(black_box(&tuple)))
    });
    group.bench_function("update of two fields", |bencher| {
        bencher.iter(|| update::update(black_box(&tuple), &operations, format, 1));
    });
    group.finish();
}

criterion_group!(benches, tuples);
criterion_main!(benches);
