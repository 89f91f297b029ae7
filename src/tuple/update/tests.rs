//! Claims about update and upsert: each operation, its limits, and its refusals.

use proptest::prelude::*;

use super::*;
use crate::tuple::testing::msgpack;
use crate::tuple::{FieldDef, FieldType, FormatDef};
use crate::value::msgpack::text;

/// The result of an update as text, or its error.
fn updated(tuple: &str, operations: &str, format: &Format) -> String {
    let tuple = Tuple::new_runtime(&msgpack(tuple)).expect("a valid tuple");
    match update(&tuple, &msgpack(operations), format, 1) {
        Ok(result) => text(&result),
        Err(error) => error.message().to_owned(),
    }
}

#[track_caller]
fn check_all(cases: &[(&str, &str, &str)]) {
    for (tuple, operations, expected) in cases {
        let result = updated(tuple, operations, Format::runtime());
        assert_eq!(result, *expected, "{tuple} {operations}");
    }
}

#[test]
fn fields_are_set_inserted_and_deleted() {
    check_all(&[
        ("[1,2,3]", r##"[["=",2,"x"]]"##, r##"[1, "x", 3]"##),
        ("[1,2,3]", r##"[["=",-1,9]]"##, "[1, 2, 9]"),
        ("[1,2,3]", r##"[["=",4,9]]"##, "[1, 2, 3, 9]"),
        ("[1,2,3]", r##"[["=",6,9]]"##, "[1, 2, 3, null, null, 9]"),
        ("[1,2,3]", r##"[["!",1,9]]"##, "[9, 1, 2, 3]"),
        ("[1,2,3]", r##"[["!",-1,5]]"##, "[1, 2, 3, 5]"),
        ("[1,2,3]", r##"[["!",-4,5]]"##, "[5, 1, 2, 3]"),
        ("[1,2,3]", r##"[["!",-5,5]]"##, "Field -5 was not found in the tuple"),
        ("[1,2,3]", r##"[["!",6,5],["+",5,1]]"##, {
            "Argument type in operation '+' on field 5 does not match field type: expected a number"
        }),
        ("[1,2,3]", r##"[["#",1,5]]"##, "[]"),
        ("[1,2,3]", r##"[["#",2,1],["=",2,"x"]]"##, r##"[1, "x"]"##),
        ("[1,2,3]", r##"[["#",5,1]]"##, "[1, 2, 3]"),
        ("[1,2,3]", r##"[["#",-4,1]]"##, "Field -4 was not found in the tuple"),
        ("[1,2,3]", r##"[["#",2,0]]"##, "Field 2 UPDATE error: cannot delete 0 fields"),
        ("[]", r##"[["!",1,1],["!",-1,2]]"##, "[1, 2]"),
        ("[]", r##"[]"##, "[]"),
    ]);
}

#[test]
fn numbers_keep_their_widths_and_ranges() {
    let decimal = r##"[1,"dec:1.5"]"##;
    check_all(&[
        ("[1]", r##"[["+",1,1.5]]"##, "[2.5]"),
        ("[1]", r##"[["-",1,3]]"##, "[-2]"),
        ("[18446744073709551615]", r##"[["+",1,1]]"##, {
            "Integer overflow when performing '+' operation on field 1"
        }),
        ("[-1]", r##"[["-",1,18446744073709551615]]"##, {
            "Integer overflow when performing '-' operation on field 1"
        }),
        ("[-5]", r##"[["+",1,18446744073709551615]]"##, "[18446744073709551610]"),
        (decimal, r##"[["+",2,1]]"##, "[1, 2.5]"),
        (decimal, r##"[["+",1,"dec:0.1"]]"##, "[1.1, 1.5]"),
        ("[12]", r##"[["&",1,10],["|",1,1],["^",1,3]]"##, "[10]"),
        ("[-1]", r##"[["&",1,1]]"##, {
            "Argument type in operation '&' on field 1 does not match field type: expected a \
             positive integer"
        }),
    ]);
}

#[test]
fn float_results_take_the_narrowest_width_that_the_type_allows() {
    let def = FormatDef { fields: vec![FieldDef::new("a", FieldType::Double)], field_count: 0 };
    let format = Format::new(&def, &[]).expect("a valid format");
    let tuple = Tuple::new_runtime(&msgpack("[1]")).expect("a valid tuple");
    let operations = msgpack(r##"[["+",1,0.5]]"##);
    let result = |format| update(&tuple, &operations, format, 1).expect("a valid update");
    assert_eq!(result(Format::runtime()), msgpack(r##"["f32:1.5"]"##));
    assert_eq!(result(format), msgpack("[1.5]"));
}

#[test]
fn strings_are_spliced() {
    check_all(&[
        (r##"["abcdef"]"##, r##"[[":",1,2,3,"XX"]]"##, r##"["aXXef"]"##),
        (r##"["abcdef"]"##, r##"[[":",1,-2,3,"XX"]]"##, r##"["abcdeXX"]"##),
        (r##"["abcdef"]"##, r##"[[":",1,2,-2,"X"]]"##, r##"["aXef"]"##),
        (r##"["abcdef"]"##, r##"[[":",1,100,0,"X"]]"##, r##"["abcdefX"]"##),
        (r##"["abcdef"]"##, r##"[[":",1,1,1,""],[":",1,1,1,"Z"]]"##, r##"["Zcdef"]"##),
        (r##"["abcdef"]"##, r##"[[":",1,-9,3,"X"]]"##, {
            "SPLICE error on field 1: offset is out of bound"
        }),
        (r##"["abcdef"]"##, r##"[[":",1,0,3,"X"]]"##, {
            "SPLICE error on field 1: offset is out of bound"
        }),
        ("[1]", r##"[[":",1,1,3,"X"]]"##, {
            "Argument type in operation ':' on field 1 does not match field type: expected a \
             string or varbinary"
        }),
    ]);
}

#[test]
fn paths_lead_into_fields() {
    check_all(&[
        (
            r##"[1,{"a":[1,2,{"b":3}]}]"##,
            r##"[["+","[2].a[3].b",5],["=","[2].a[4]",7],["!","[2].c",8]]"##,
            r##"[1, {"c": 8, "a": [1, 2, {"b": 8}, 7]}]"##,
        ),
        (r##"[1,{"a":1}]"##, r##"[["!","[2].a",8]]"##, {
            "Field '[2].a' UPDATE error: the key exists already"
        }),
        (r##"[1,{"a":1}]"##, r##"[["#","[2].b",1]]"##, {
            "Field ''[2].b'' was not found in the tuple"
        }),
        (r##"[1,{"a":1}]"##, r##"[["=","[2].a",5],["#","[2].b",1]]"##, r##"[1, {"a": 5}]"##),
        (r##"[1,{"a":1}]"##, r##"[["=","[2].a",5],["+","[2].a",1]]"##, r##"[1, {"a": 6}]"##),
        (r##"[1,{"a":1,"b":2}]"##, r##"[["#","[2].a",2]]"##, {
            "Field '[2].a' UPDATE error: can delete only 1 field from a map in a row"
        }),
        (r##"[1,{"a":1,"b":2}]"##, r##"[["#","[2].a",1]]"##, r##"[1, {"b": 2}]"##),
        (r##"[1,{"a":1}]"##, r##"[["=","[2][5]",5]]"##, {
            "Field '[2][5]' UPDATE error: can not access by index a non-array field"
        }),
        ("[1,[5,6]]", r##"[["=","[2].a",5]]"##, {
            "Field '[2].a' UPDATE error: can not access by key a non-map field"
        }),
        ("[1,[5,6]]", r##"[["=","[2][1]",5],["=","[2].b",6]]"##, {
            "Field '[2].b' UPDATE error: can not update array by non-integer index"
        }),
        ("[1,[5,6]]", r##"[["=","[2][5]",5]]"##, "Field ''[2][5]'' was not found in the tuple"),
        ("[1,[5,6]]", r##"[["!","[2][1]",5],["#","[2][2]",9]]"##, "[1, [5]]"),
        ("[1,2]", r##"[["=","[3][5]",5]]"##, "Field ''[3][5]'' was not found in the tuple"),
        ("[1,2]", r##"[["=","[2].a[",5]]"##, {
            "Field '[2].a[' UPDATE error: invalid JSON in position 6"
        }),
        ("[1,[2]]", r##"[["=","[2][*]",5]]"##, {
            "Field '[2][*]' UPDATE error: invalid JSON in position 5"
        }),
    ]);
}

#[test]
fn malformed_operations_are_refused() {
    check_all(&[
        ("[1]", r##"[["@",2,0]]"##, r##"Unknown UPDATE operation #1: "@""##),
        ("[1]", r##"[["=",2]]"##, {
            "Unknown UPDATE operation #1: wrong number of arguments, expected 3, got 2"
        }),
        ("[1]", r##"["=",2]"##, "update operation must be an array {op,..}"),
        ("[1]", r##"[[]]"##, "update operation must be an array {op,..}, got empty array"),
        ("[1]", r##"[[1,2,3]]"##, "update operation name must be a string"),
        ("[1]", r##"[["=",[],2]]"##, "field id must be a number or a string"),
        ("[1]", r##"[["=",0,2]]"##, "Field 0 was not found in the tuple"),
        ("[1]", r##"[["=","",2]]"##, "Field '' was not found in the tuple"),
        ("[1]", r##"[["=","b",2]]"##, "Field 'b' was not found in the tuple"),
        ("[1]", r##"[["+",1,"a"]]"##, {
            "Argument type in operation '+' on field 1 does not match field type: expected a number"
        }),
        ("[1]", r##"[["=",4294967296,"a"]]"##, {
            "Argument type in operation '=' on field 1 does not match field type: expected an \
             integer"
        }),
    ]);
}

#[test]
fn names_stand_for_fields() {
    let fields = vec![FieldDef::new("id", FieldType::Any), FieldDef::new("a.b", FieldType::Any)];
    let format = Format::new(&FormatDef { fields, field_count: 0 }, &[]).expect("a valid format");
    let cases = [
        (r##"[["=","id",7]]"##, r##"[7, {"x": 1}]"##),
        (r##"[["=","a.b",7]]"##, "[1, 7]"),
        (r##"[["+","[\"a.b\"].x",7]]"##, r##"[1, {"x": 8}]"##),
        (r##"[["=","id",7],["#","id",1]]"##, r##"[{"x": 1}]"##),
    ];
    for (operations, expected) in cases {
        assert_eq!(updated(r##"[1,{"x":1}]"##, operations, format), expected);
    }
}

#[test]
fn upsert_leaves_out_what_cannot_be_applied() {
    let tuple = Tuple::new_runtime(&msgpack(r##"[1,"a",3]"##)).expect("a valid tuple");
    let operations = msgpack(r##"[["+",2,1],["+",3,1],["=",9,1],["-",-17,1]]"##);
    let mut errors = 0;
    let result = upsert(tuple.data(), &operations, Format::runtime(), 1, |_| errors += 1);
    let result = result.expect("client errors are left out");
    assert_eq!(text(&result), r##"[1, "a", 4, null, null, null, null, null, 1]"##);
    assert_eq!(errors, 2);
    let malformed = msgpack(r##"[["?",2,1]]"##);
    assert!(upsert(tuple.data(), &malformed, Format::runtime(), 1, |_| ()).is_err());
    assert!(check(&malformed, Format::runtime(), 1).is_err());
    assert!(check(&operations, Format::runtime(), 1).is_ok());
}

/// What one operation does to a list of numbers, written in the plainest way.
fn naive(fields: &mut Vec<Option<i64>>, (code, position, operand): (char, i64, i64)) -> bool {
    let count = fields.len() as i64;
    let resolve = |count: i64| match position {
        1.. => (position <= count).then(|| (position - 1) as usize),
        _ => (position + count >= 0).then(|| (position + count) as usize),
    };
    match code {
        '=' | '!' if position > count + i64::from(code == '!') => {
            fields.resize(fields.len().max(position as usize - 1), None);
            fields.insert(position as usize - 1, Some(operand));
        }
        '=' => match resolve(count) {
            Some(index) => fields[index] = Some(operand),
            None => return false,
        },
        '!' => match resolve(count + 1) {
            Some(index) => fields.insert(index, Some(operand)),
            None => return false,
        },
        '#' if position > count => {}
        '#' => match resolve(count) {
            Some(index) => {
                let end = (index + operand as usize).min(fields.len());
                fields.drain(index..end);
            }
            None => return false,
        },
        _ => match resolve(count).and_then(|index| fields[index].as_mut()) {
            Some(field) => *field += operand,
            None => return false,
        },
    }
    true
}

fn encode(fields: &[Option<i64>]) -> Vec<u8> {
    let value = serde_json::to_string(fields).expect("numbers are JSON");
    msgpack(&value)
}

proptest! {
    #[test]
    fn updates_do_what_the_naive_model_does(
        start in proptest::collection::vec(-100i64..100, 0..12),
        operations in proptest::collection::vec(
            (proptest::sample::select(vec!['=', '!', '#', '+']), -14i64..14, 1i64..5),
            0..12,
        ),
    ) {
        let operations: Vec<_> =
            operations.into_iter().filter(|(_, position, _)| *position != 0).collect();
        let start: Vec<Option<i64>> = start.into_iter().map(Some).collect();
        let tuple = Tuple::new_runtime(&encode(&start)).expect("a valid tuple");
        let mut model = start;
        let is_ok = operations.iter().all(|operation| naive(&mut model, *operation));
        let list = operations.iter().map(|(code, position, operand)| {
            format!(r##"["{code}",{position},{operand}]"##)
        });
        let list = format!("[{}]", list.collect::<Vec<_>>().join(","));
        let result = update(&tuple, &msgpack(&list), Format::runtime(), 1);
        prop_assert_eq!(result.is_ok(), is_ok, "{}", list);
        if let Ok(result) = result {
            prop_assert_eq!(text(&result), text(&encode(&model)), "{}", list);
        }
    }

    #[test]
    fn arbitrary_operations_never_panic(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        fuzz(&data);
    }

    #[test]
    fn arbitrary_paths_never_panic(
        path in "[\\[\\]a-b0-2.\"'*é]{0,12}",
        code in proptest::sample::select(vec!["=", "!", "#", "+"]),
    ) {
        let tuple = Tuple::new_runtime(&msgpack(r##"[1,{"a":[1,{"b":2}]},[1,2]]"##));
        let tuple = tuple.expect("a valid tuple");
        let path = serde_json::to_string(&path).expect("text is JSON");
        let list = format!(r##"[["=","[2].a[1]",2],["{code}",{path},1],["{code}",{path},1]]"##);
        if let Ok(result) = update(&tuple, &msgpack(&list), Format::runtime(), 1) {
            prop_assert!(Tuple::new_runtime(&result).is_ok());
        }
    }
}
