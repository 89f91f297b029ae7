//! Claims about key definitions: order of all types, hints, merging, reading keys.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::*;
use crate::tuple::format::{Format, FormatDef};
use crate::tuple::testing::msgpack;
use crate::tuple::{FieldType, Tuple};
use crate::value::collation;

fn key_def(parts: Vec<Part>) -> KeyDef {
    KeyDef::new(parts).expect("valid parts")
}

fn tuple_of(def: &KeyDef, data: &[u8]) -> Tuple {
    let format = Format::new(&FormatDef::default(), &[def]).expect("a valid format");
    Tuple::new(format, data).expect("a valid tuple")
}

fn tuple(def: &KeyDef, json: &str) -> Tuple {
    tuple_of(def, &msgpack(json))
}

/// The parts of a key written as a JSON array.
fn key(json: &str) -> (Vec<u8>, usize) {
    let data = msgpack(json);
    let (count, head) = item::array(&data).expect("an array");
    (data[head..].to_vec(), count as usize)
}

/// Checks that tuples in this order are in this order, by comparison, hint, key and hash.
#[track_caller]
fn assert_sorted(def: &KeyDef, tuples: &[Tuple]) {
    for (left_index, left) in tuples.iter().enumerate() {
        for (right_index, right) in tuples.iter().enumerate() {
            let expected = left_index.cmp(&right_index);
            assert_consistent(def, left, right, expected);
        }
    }
}

#[track_caller]
fn assert_consistent(def: &KeyDef, left: &Tuple, right: &Tuple, expected: Ordering) {
    assert_eq!(def.compare(left, right), expected, "{left:?} {right:?}");
    let extracted = def.extract_key(right);
    let (count, head) = item::array(&extracted).expect("an array");
    let parts = &extracted[head..];
    assert_eq!(def.compare_with_key(left, parts, count as usize), expected, "{left:?} {right:?}");
    let hints = def.hint(left).cmp(&def.hint(right));
    assert!(hints == expected || hints == Ordering::Equal, "{left:?} {right:?}");
    assert_eq!(def.hint(right), def.key_hint(parts));
    assert_eq!(def.hash(right), def.key_hash(parts));
    if expected == Ordering::Equal {
        assert_eq!(def.hash(left), def.hash(right), "{left:?} {right:?}");
    }
    if def.is_hint_exact() {
        assert_eq!(hints, expected);
    }
}

#[test]
fn numbers_of_all_encodings_are_in_one_order() {
    let def = key_def(vec![Part::new(0, FieldType::Number)]);
    let values = [
        "-1e300",
        r#""dec:-1e30""#,
        "-9223372036854775808",
        "-1.5",
        "-1",
        r#""dec:-0.1""#,
        "0",
        "0.1",
        r#""dec:0.5""#,
        "1",
        "1.5",
        "4294967296",
        "9007199254740993",
        "18446744073709551615",
        "1e20",
        r#""dec:1e30""#,
        "1e300",
    ];
    let tuples: Vec<_> = values.iter().map(|value| tuple(&def, &format!("[{value}]"))).collect();
    assert_sorted(&def, &tuples);
    let equals = ["1", "1.0", r#""dec:1.0""#, r#""f32:1""#];
    let equals = equals.map(|value| tuple(&def, &format!("[{value}]")));
    for (left, right) in equals.iter().zip(equals.iter().skip(1)) {
        assert_consistent(&def, left, right, Ordering::Equal);
    }
}

#[test]
fn scalars_are_in_the_order_of_their_classes() {
    let def = key_def(vec![Part::new(0, FieldType::Scalar).nullable()]);
    let values = ["null", "false", "true", "-5", "1", "2.5", r#""""#, r#""a""#, r#""bin:a""#];
    let tuples: Vec<_> = values.iter().map(|value| tuple(&def, &format!("[{value}]"))).collect();
    assert_sorted(&def, &tuples);
}

#[test]
fn each_way_of_comparing_sorts() {
    let unsigned = || Part::new(0, FieldType::Unsigned);
    let descending = |part: Part| Part { order: SortOrder::Descending, ..part };
    let string = |field| Part::new(field, FieldType::String);
    let cases = [
        (vec![unsigned()], vec!["[0]", "[1,5]", "[300]", "[18446744073709551615]"]),
        (vec![descending(unsigned())], vec!["[300]", "[200]", "[1]", "[0]"]),
        (
            vec![string(0)],
            vec![
                r#"[""]"#,
                r#"["a"]"#,
                r#"["aaaaaaaaa"]"#,
                r#"["aaaaaaaab"]"#,
                r#"["b"]"#,
                r#"["é"]"#,
            ],
        ),
        (vec![descending(string(0))], vec![r#"["b"]"#, r#"["aa"]"#, r#"["a"]"#]),
        (vec![unsigned(), string(1)], vec![r#"[1,"a"]"#, r#"[1,"b"]"#, r#"[2,"a"]"#]),
        (vec![string(1), descending(unsigned())], vec![r#"[2,"a"]"#, r#"[1,"a"]"#, r#"[1,"b"]"#]),
        (
            vec![string(2).nullable(), unsigned()],
            vec!["[3]", "[4,1,null]", r#"[2,1,"a"]"#, r#"[3,1,"a"]"#],
        ),
        (
            vec![descending(string(2).nullable()), unsigned()],
            vec![r#"[2,1,"b"]"#, r#"[2,1,"a"]"#, "[1]", "[2,1,null]"],
        ),
        (
            vec![Part::new(1, FieldType::Boolean), Part::new(2, FieldType::Double)],
            vec!["[0,false,1.5]", "[0,false,2]", "[0,true,-1]"],
        ),
    ];
    for (parts, values) in cases {
        let def = key_def(parts);
        let tuples: Vec<_> = values.iter().map(|value| tuple(&def, value)).collect();
        assert_sorted(&def, &tuples);
    }
}

#[test]
fn collations_order_and_equate_strings() {
    let part = Part { collation: collation::UNICODE_CI_ID, ..Part::new(1, FieldType::String) };
    let def = key_def(vec![part]);
    let sorted = ["а", "Б", "в"].map(|text| tuple(&def, &format!(r#"[1,"{text}"]"#)));
    assert_sorted(&def, &sorted);
    let [upper, lower] = ["ПРИВЕТ", "привет"].map(|text| tuple(&def, &format!(r#"[1,"{text}"]"#)));
    assert_consistent(&def, &upper, &lower, Ordering::Equal);
}

#[test]
fn paths_are_compared_like_fields() {
    let path = Some(Path::parse(b"a[2]", 1).expect("a valid path"));
    let def = key_def(vec![Part { path, ..Part::new(1, FieldType::Unsigned) }]);
    let tuples = [1, 2, 300].map(|number| tuple(&def, &format!(r#"[0,{{"a":[9,{number}]}}]"#)));
    assert_sorted(&def, &tuples);
    assert_eq!(def.extract_key(&tuples[2]), msgpack("[300]"));
    assert_eq!(def.extract_key_from(tuples[2].data()), msgpack("[300]"));
}

#[test]
fn nils_of_a_unique_index_are_never_duplicates() {
    let secondary = key_def(vec![Part::new(1, FieldType::Unsigned).nullable()]);
    let primary = key_def(vec![Part::new(0, FieldType::Unsigned)]);
    let mut def = secondary.merge(&primary);
    assert_eq!(def.part_count(), 2);
    def.set_unique_part_count(1);
    let [nil_1, nil_2, one_1, one_2] =
        ["[1]", "[2,null]", "[1,1]", "[2,1]"].map(|json| tuple(&def, json));
    assert_eq!(def.compare(&nil_1, &nil_2), Ordering::Less);
    assert_eq!(def.compare(&one_1, &one_2), Ordering::Equal);
    assert!(def.has_nil(&nil_1) && !def.has_nil(&one_1));
    assert!(def.contains(&primary) && !primary.contains(&def));
}

#[test]
fn merging_keeps_what_tells_tuples_apart() {
    let ci = Part { collation: collation::UNICODE_CI_ID, ..Part::new(0, FieldType::String) };
    let plain = Part::new(0, FieldType::String);
    let [ci, plain] = [ci, plain].map(|part| key_def(vec![part]));
    assert_eq!(ci.merge(&plain).part_count(), 2);
    assert_eq!(plain.merge(&ci).part_count(), 1);
    assert_eq!(ci.merge(&ci).part_count(), 1);
}

#[test]
fn excluded_tuples_are_nil_in_an_excluding_part() {
    let part = Part { exclude_null: true, ..Part::new(1, FieldType::Unsigned).nullable() };
    let def = key_def(vec![part]);
    assert!(def.has_exclude_null());
    assert!(def.is_excluded(&tuple(&def, "[1]")));
    assert!(def.is_excluded(&tuple(&def, "[1,null]")));
    assert!(!def.is_excluded(&tuple(&def, "[1,1]")));
}

#[test]
fn keys_are_checked_with_tarantools_words() {
    let parts = vec![
        Part::new(0, FieldType::Unsigned),
        Part::new(1, FieldType::String).nullable(),
        Part::new(2, FieldType::Int8),
    ];
    let def = key_def(parts);
    let problem = |json: &str| {
        let (key, count) = key(json);
        match def.validate_key(&key, count) {
            Ok(size) => {
                assert_eq!(size, key.len());
                "ok".to_owned()
            }
            Err(error) => error.message().to_owned(),
        }
    };
    assert_eq!(problem("[]"), "ok");
    assert_eq!(problem(r#"[1,"a"]"#), "ok");
    assert_eq!(problem(r#"[1,null,3]"#), "ok");
    assert_eq!(problem("[1,null,3,4]"), "Invalid key part count (expected [0..3], got 4)");
    let expected = "Supplied key type of part 0 does not match index part type: expected unsigned";
    assert_eq!(problem(r#"["a"]"#), expected);
    assert_eq!(problem("[null]"), expected);
    let expected = "Supplied key type of part 1 does not match index part type: expected string";
    assert_eq!(problem("[1,1]"), expected);
    let expected = "The value of key part exceeds the supported range for type";
    assert_eq!(problem("[1,null,1000]"), expected);
    let (short, count) = key("[1]");
    let error = def.validate_exact_key(&short, count, true).expect_err("too short");
    assert_eq!(error.message(), "Invalid key part count in an exact match (expected 3, got 1)");
}

#[test]
fn parts_survive_encoding() {
    let json = r#"[{"field":0,"type":"unsigned","sort_order":"desc"},
        {"field":3,"type":"string","sort_order":"asc","collation":1,"is_nullable":true,
         "exclude_null":true,"path":"[\"a\"][2]"}]"#;
    let parts = Part::decode_all(&msgpack(json), &[]).expect("valid parts");
    let mut encoded = Vec::new();
    item::write_array(&mut encoded, parts.len() as u32);
    parts.iter().for_each(|part| part.encode(&mut encoded));
    let again = Part::decode_all(&encoded, &[]).expect("valid parts");
    assert_eq!(format!("{parts:?}"), format!("{again:?}"));
    assert_eq!(parts[0].order, SortOrder::Descending);
    assert!(parts[1].is_nullable() && parts[1].exclude_null);
    let old = Part::decode_all(&msgpack(r#"[[0,"num"],[1,"STR"]]"#), &[]).expect("valid parts");
    assert_eq!(
        old.iter().map(|part| part.kind).collect::<Vec<_>>(),
        [FieldType::Unsigned, FieldType::String]
    );
}

#[test]
fn wrong_parts_are_refused() {
    let cases = [
        ("[]", "Wrong index part 1: expected a non-empty array"),
        ("[1]", "Wrong index part 1: expected a map"),
        (r#"[{"field":0}]"#, "Wrong index part 1: unknown field type"),
        (r#"[{"field":0,"type":"any","x":1}]"#, "Wrong index part 1: unexpected option 'x'"),
        (r#"[{"field":0,"type":"string","path":"a["}]"#, "Wrong index part 1: invalid path"),
        (r#"[{"field":0,"type":"unsigned","collation":1}]"#, {
            "Wrong index part 1: collation is only reasonable for 'string' and 'scalar' parts"
        }),
        (r#"[{"field":0,"type":"string","collation":7777}]"#, {
            "Wrong index part 1: collation not found by id"
        }),
        (r#"[{"field":0,"type":"string","path":"a[*]"}]"#, {
            "Wrong index part 1: multikey indexes are not supported yet"
        }),
    ];
    for (json, expected) in cases {
        let error = KeyDef::decode(&msgpack(json), &[]).expect_err("wrong parts");
        assert_eq!(error.message(), expected);
    }
}

/// A value of a scalar field that a naive comparison understands.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Value {
    Nil,
    Boolean(bool),
    Number(f64),
    String(String),
}

impl Value {
    fn json(&self) -> String {
        match self {
            Value::Nil => "null".into(),
            Value::Boolean(value) => value.to_string(),
            // Small integers take all widths; halves are floats.
            Value::Number(value) if value.fract() == 0.0 => (*value as i64).to_string(),
            Value::Number(value) => value.to_string(),
            Value::String(value) => serde_json::to_string(value).expect("text is JSON"),
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Boolean),
        (-300i64..300).prop_map(|number| Value::Number(number as f64 / 2.0)),
        (0i64..1 << 50).prop_map(|number| Value::Number(number as f64)),
        "[ab]{0,10}".prop_map(Value::String),
    ]
}

proptest! {
    #[test]
    fn comparison_is_that_of_a_naive_model(
        left in proptest::collection::vec(value(), 3),
        right in proptest::collection::vec(value(), 3),
        orders in proptest::collection::vec(any::<bool>(), 3),
        fields in Just(vec![0u32, 1, 2]).prop_shuffle(),
    ) {
        let order = |is_descending| match is_descending {
            true => SortOrder::Descending,
            false => SortOrder::Ascending,
        };
        let parts = fields.iter().zip(&orders).map(|(field, is_descending)| Part {
            order: order(*is_descending),
            ..Part::new(*field, FieldType::Scalar).nullable()
        });
        let def = key_def(parts.collect());
        let make = |values: &[Value]| {
            let values: Vec<_> = values.iter().map(Value::json).collect();
            tuple(&def, &format!("[{}]", values.join(",")))
        };
        let naive = fields.iter().zip(&orders).map(|(field, is_descending)| {
            let (left, right) = (&left[*field as usize], &right[*field as usize]);
            let order = left.partial_cmp(right).expect("no NaN is generated");
            if *is_descending { order.reverse() } else { order }
        });
        let expected = naive.fold(Ordering::Equal, Ordering::then);
        assert_consistent(&def, &make(&left), &make(&right), expected);
        assert_consistent(&def, &make(&right), &make(&left), expected.reverse());
    }

    #[test]
    fn unsigned_hints_are_exact(left in any::<u64>(), right in any::<u64>()) {
        let def = key_def(vec![Part::new(0, FieldType::Unsigned)]);
        let make = |number: u64| tuple(&def, &format!("[{number}]"));
        assert_consistent(&def, &make(left), &make(right), left.cmp(&right));
    }

    #[test]
    fn integers_sort_by_value(left in any::<i64>(), right in any::<u64>()) {
        let def = key_def(vec![Part::new(0, FieldType::Integer)]);
        let (left_tuple, right_tuple) =
            (tuple(&def, &format!("[{left}]")), tuple(&def, &format!("[{right}]")));
        let expected = i128::from(left).cmp(&i128::from(right));
        assert_consistent(&def, &left_tuple, &right_tuple, expected);
    }

    #[test]
    fn doubles_sort_by_value(left in any::<f64>(), right in any::<f64>()) {
        let def = key_def(vec![Part::new(0, FieldType::Double)]);
        let make = |number: f64| {
            let mut data = vec![0x91];
            crate::value::msgpack::write_f64(&mut data, number);
            tuple_of(&def, &data)
        };
        if let Some(expected) = left.partial_cmp(&right) {
            assert_consistent(&def, &make(left), &make(right), expected);
        }
    }
}
