//! Claims about keys as bytes: they order as memtx orders tuples, and ranges hold what requests mean.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::tuple::Tuple;
use crate::value::collation;
use crate::value::msgpack as mp;

type Value = Vec<u8>;

fn encoded(write: impl FnOnce(&mut Value)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn decimal(text: &str) -> Value {
    encoded(|out| Decimal::parse(text.as_bytes()).unwrap().write(out))
}

fn unsigned() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        0..300u64,
        any::<u64>(),
        select(vec![u64::MAX, 1 << 32, (1 << 53) + 1, (1 << 56) - 1, i64::MAX as u64 + 1]),
    ];
    number.prop_map(|number| encoded(|out| mp::write_uint(out, number)))
}

fn integer() -> impl Strategy<Value = Value> {
    let number = prop_oneof![-300..300i64, any::<i64>(), Just(i64::MIN), Just(-1)];
    prop_oneof![unsigned(), number.prop_map(|number| encoded(|out| mp::write_int(out, number)))]
}

fn write_float(number: f64) -> Value {
    encoded(|out| mp::write_f64(out, number))
}

fn double() -> impl Strategy<Value = Value> {
    let near = select(vec![9007199254740992.0, 18446744073709551616.0, 1e15, -9.3e18]);
    prop_oneof![
        any::<f64>().prop_map(write_float),
        any::<f32>().prop_map(|number| encoded(|out| mp::write_f32(out, number))),
        (-300..300i64).prop_map(|number| write_float(number as f64 / 8.0)),
        (near, -3..3i32).prop_map(|(number, step)| {
            write_float((0..step.abs()).fold(number, |number, _| {
                if step < 0 { number.next_down() } else { number.next_up() }
            }))
        }),
        integer(),
    ]
}

/// Doubles that no other decimal of 15 digits is equal to: for others memtx has no order.
fn short_double() -> impl Strategy<Value = Value> {
    let special = select(vec![f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 1e300, -1e-300]);
    prop_oneof![
        (-100_000..100_000i64, -12..12i32).prop_map(|(digits, exponent)| {
            write_float(format!("{digits}e{exponent}").parse().unwrap())
        }),
        special.prop_map(write_float),
    ]
}

fn any_decimal() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-1000..1000i64, -3..3i32)
            .prop_map(|(digits, exponent)| decimal(&format!("{digits}e{exponent}"))),
        (any::<i128>(), -60..30i32)
            .prop_map(|(digits, exponent)| { decimal(&format!("{}e{exponent}", digits / 10)) }),
        select(vec![
            "1e-400",
            "-1e-400",
            "1e400",
            "-1e400",
            "0",
            "1.7976931348623157e308",
            "9e308"
        ])
        .prop_map(decimal),
        integer().prop_map(|value| {
            let mut reader = Reader::new(&value);
            let number = reader.read_integer().unwrap();
            encoded(|out| Decimal::from_i128(number).unwrap().write(out))
        }),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![integer(), short_double(), any_decimal()]
}

fn text() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        select(vec![
            "", "a", "A", "b", "ab", "a\0", "a\0b", "\0", "\0\u{1}", "é", "e", "z", "ß", "ss"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,12}",
    ];
    text.prop_map(|text| encoded(|out| mp::write_str(out, text.as_bytes())))
}

fn binary() -> impl Strategy<Value = Value> {
    let byte = select(vec![0u8, 1, 2, 0xfe, 0xff]);
    prop::collection::vec(byte, 0..4).prop_map(|bytes| encoded(|out| mp::write_bin(out, &bytes)))
}

fn boolean() -> impl Strategy<Value = Value> {
    any::<bool>().prop_map(|value| encoded(|out| mp::write_bool(out, value)))
}

fn uuid() -> impl Strategy<Value = Value> {
    prop::array::uniform16(select(vec![0u8, 1, 0x7f, 0x80, 0xff]))
        .prop_map(|bytes| encoded(|out| Uuid(bytes).write(out)))
}

fn datetime() -> impl Strategy<Value = Value> {
    let epoch = prop_oneof![-3..3i64, -100_000_000_000..100_000_000_000i64];
    (epoch, select(vec![0, 1, 999_999_999]), -100..100i16).prop_map(
        |(epoch, nanosecond, offset)| {
            let datetime = Datetime { epoch: epoch as f64, nanosecond, offset, zone: 0 };
            encoded(|out| datetime.write(out))
        },
    )
}

fn values(kind: FieldType) -> BoxedStrategy<Value> {
    match kind {
        FieldType::Unsigned => unsigned().boxed(),
        FieldType::Integer => integer().boxed(),
        FieldType::Double => double().boxed(),
        FieldType::Number => number().boxed(),
        FieldType::Decimal => any_decimal().boxed(),
        FieldType::String => text().boxed(),
        FieldType::Varbinary => binary().boxed(),
        FieldType::Boolean => boolean().boxed(),
        FieldType::Uuid => uuid().boxed(),
        FieldType::Datetime => datetime().boxed(),
        _ => prop_oneof![number(), text(), binary(), boolean(), uuid(), datetime()].boxed(),
    }
}

/// A definition of a few parts, and some tuples of its types; the parts stand backwards in tuples.
fn index() -> impl Strategy<Value = (KeyDef, Vec<Value>)> {
    let kinds = select(vec![
        FieldType::Unsigned,
        FieldType::Integer,
        FieldType::Double,
        FieldType::Number,
        FieldType::Decimal,
        FieldType::String,
        FieldType::Varbinary,
        FieldType::Boolean,
        FieldType::Uuid,
        FieldType::Datetime,
        FieldType::Scalar,
    ]);
    let collations =
        select(vec![None, Some(collation::UNICODE_ID), Some(collation::UNICODE_CI_ID)]);
    let part = (kinds, any::<bool>(), any::<bool>(), collations);
    prop::collection::vec(part, 1..4).prop_flat_map(|kinds| {
        let count = kinds.len() as u32;
        let make =
            |(index, &(kind, is_nullable, is_descending, collation)): (usize, &(_, _, _, _))| {
                let mut part = Part::new(count - 1 - index as u32, kind);
                if is_nullable {
                    part = part.nullable();
                }
                if is_descending {
                    part.order = SortOrder::Descending;
                }
                if let Some(id) = collation
                    && matches!(kind, FieldType::String | FieldType::Scalar)
                {
                    part.collation = id;
                }
                part
            };
        let def = KeyDef::new(kinds.iter().enumerate().map(make).collect()).unwrap();
        let fields: Vec<_> = kinds
            .iter()
            .rev()
            .map(|&(kind, is_nullable, ..)| {
                let weight = u32::from(is_nullable);
                prop_oneof![4 => values(kind), weight => Just(vec![item::NIL])].boxed()
            })
            .collect();
        let tuple = fields.prop_map(move |fields| {
            let mut out = encoded(|out| mp::write_array_len(out, count));
            fields.iter().for_each(|field| out.extend_from_slice(field));
            out
        });
        (Just(def), prop::collection::vec(tuple, 2..8))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_order_as_tuples_do((def, tuples) in index()) {
        let tuples: Vec<_> = tuples.iter().map(|data| Tuple::new_runtime(data).unwrap()).collect();
        for left in &tuples {
            let key = of_tuple(&def, left);
            prop_assert_eq!(&key, &of_data(&def, left.data()));
            let parts = def.extract_key(left);
            let (_, head) = item::array(&parts).unwrap();
            prop_assert_eq!(&key, &of_parts(&def, &parts[head..], def.part_count()));
            for right in &tuples {
                let expected = def.compare(left, right);
                prop_assert_eq!(key.cmp(&of_tuple(&def, right)), expected, "{:?} {:?}", left.data(), right.data());
                for count in 1..=def.part_count() {
                    let expected = def.compare_with_key(right, &parts[head..], count);
                    let other = of_tuple(&def, right);
                    let has = |range: fn(&KeyDef, &[u8], usize) -> Range| {
                        let range = range(&def, &parts[head..], count);
                        range.contains(&other)
                    };
                    prop_assert_eq!(has(Range::equal), expected == Ordering::Equal);
                    prop_assert_eq!(has(Range::at_least), expected != Ordering::Less);
                    prop_assert_eq!(has(Range::above), expected == Ordering::Greater);
                    prop_assert_eq!(has(Range::at_most), expected != Ordering::Greater);
                    prop_assert_eq!(has(Range::below), expected == Ordering::Less);
                }
            }
        }
    }
}

#[test]
fn decimal_is_equal_to_the_double_of_its_digits() {
    let def = KeyDef::new(vec![Part::new(0, FieldType::Number)]).unwrap();
    let of = |value: Value| of_parts(&def, &value, 1);
    assert_eq!(of(decimal("0.1")), of(write_float(0.1)));
    assert_eq!(of(decimal("1.000")), of(encoded(|out| mp::write_uint(out, 1))));
    assert_eq!(of(write_float(-0.0)), of(decimal("0")));
    // Two doubles with the same 15 digits stay apart.
    assert!(of(write_float(0.30000000000000004)) > of(decimal("0.3")));
    assert_eq!(of(write_float(0.3)), of(decimal("0.3")));
    assert!(
        of(encoded(|out| mp::write_uint(out, (1 << 53) + 1))) > of(write_float(9007199254740992.0))
    );
}

#[test]
fn small_keys_are_short() {
    let def = KeyDef::new(vec![Part::new(0, FieldType::Unsigned), Part::new(1, FieldType::String)]);
    let key = encoded(|out| {
        mp::write_uint(out, 100);
        mp::write_str(out, b"abc");
    });
    assert_eq!(*of_parts(&def.unwrap(), &key, 2), *b"\x81\x64abc");
}
