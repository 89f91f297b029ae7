//! Claims about formats: checks and their words, interning, defaults.

use super::*;
use crate::tuple::testing::msgpack;
use crate::tuple::{FieldType, Part};

fn fields(json: &str) -> Vec<FieldDef> {
    FieldDef::decode_all(&msgpack(json)).expect("valid fields")
}

fn format(json: &str, parts: Vec<Part>) -> &'static Format {
    let def = FormatDef { fields: fields(json), field_count: 0 };
    let key = KeyDef::new(parts).expect("valid parts");
    Format::new(&def, &[&key]).expect("a valid format")
}

fn problem(format: &Format, tuple: &str) -> String {
    match format.validate(&msgpack(tuple)) {
        Ok(()) => "ok".into(),
        Err(error) => error.message().to_owned(),
    }
}

fn path(text: &str) -> Option<Path> {
    Some(Path::parse(text.as_bytes(), 1).expect("a valid path"))
}

#[test]
fn tuples_are_checked_with_tarantools_words() {
    let format = format(
        r#"[{"name":"id","type":"unsigned"},
            {"name":"name","type":"string"},
            {"name":"age","type":"int8","is_nullable":true},
            {"name":"rest"}]"#,
        vec![Part::new(0, FieldType::Unsigned), Part::new(5, FieldType::Integer).nullable()],
    );
    let cases = [
        (r#"[1,"a",2,null]"#, "ok"),
        (r#"[1,"a",null,[],0,-1,7]"#, "ok"),
        (r#"[1,"a"]"#, "Tuple field 4 (rest) required by space format is missing"),
        ("[]", "Tuple field 1 (id) required by space format is missing"),
        (
            "[1,2,3,4]",
            "Tuple field 2 (name) type does not match one required by operation: \
             expected string, got unsigned",
        ),
        (
            r#"[-1,"a",3,4]"#,
            "Tuple field 1 (id) type does not match one required by operation: \
             expected unsigned, got integer",
        ),
        (
            r#"[1,null,3,4]"#,
            "Tuple field 2 (name) type does not match one required by operation: \
             expected string, got nil",
        ),
        (
            r#"[1,"a",300,4]"#,
            "The value of field 3 (age) exceeds the supported range for type 'int8': \
             expected [-128..127], got 300",
        ),
        (
            r#"[1,"a",-129,4]"#,
            "The value of field 3 (age) exceeds the supported range for type 'int8': \
             expected [-128..127], got -129",
        ),
        (
            r#"[1,"a",1,4,5,"x"]"#,
            "Tuple field 6 type does not match one required by operation: \
             expected integer, got string",
        ),
    ];
    for (tuple, expected) in cases {
        assert_eq!(problem(format, tuple), expected, "{tuple}");
    }
}

#[test]
fn exact_field_count_is_exact() {
    let def = FormatDef { fields: Vec::new(), field_count: 2 };
    let format = Format::new(&def, &[]).expect("a valid format");
    assert_eq!(problem(format, "[1,2]"), "ok");
    let expected = "Tuple field count 3 does not match space field count 2";
    assert_eq!(problem(format, "[1,2,3]"), expected);
}

#[test]
fn indexed_paths_are_checked_inside_fields() {
    let parts = vec![
        Part::new(0, FieldType::Unsigned),
        Part { path: path("a.b[2]"), ..Part::new(1, FieldType::String) },
        Part { path: path("c"), ..Part::new(1, FieldType::Unsigned) }.nullable(),
    ];
    let format = format(r#"[{"name":"id"},{"name":"doc","type":"map"}]"#, parts);
    let cases = [
        (r#"[1,{"a":{"b":[1,"x"]}}]"#, "ok"),
        (r#"[1,{"c":null,"a":{"b":[1,"x",2],"c":2}}]"#, "ok"),
        (
            r#"[1,{"a":{"b":[1]}}]"#,
            r#"Tuple field [2]["a"]["b"][2] required by space format is missing"#,
        ),
        (r#"[1,{}]"#, r#"Tuple field [2]["a"]["b"][2] required by space format is missing"#),
        (r#"[1]"#, r#"Tuple field [2]["a"]["b"][2] required by space format is missing"#),
        (
            r#"[1,{"a":{"b":[1,2]}}]"#,
            r#"Tuple field [2]["a"]["b"][2] type does not match one required by operation: expected string, got unsigned"#,
        ),
        (
            r#"[1,{"a":[]}]"#,
            r#"Tuple field [2]["a"] type does not match one required by operation: expected map, got array"#,
        ),
        (
            "[1,2]",
            "Tuple field 2 (doc) type does not match one required by operation: \
             expected map, got unsigned",
        ),
    ];
    for (tuple, expected) in cases {
        assert_eq!(problem(format, tuple), expected, "{tuple}");
    }
}

#[test]
fn equal_content_is_one_format() {
    let make = |kind| format(r#"[{"name":"interned"}]"#, vec![Part::new(0, kind)]);
    assert!(std::ptr::eq(make(FieldType::String), make(FieldType::String)));
    assert_ne!(make(FieldType::String).id(), make(FieldType::Unsigned).id());
    assert!(std::ptr::eq(Format::by_id(make(FieldType::String).id()), make(FieldType::String)));
}

#[test]
fn wrong_definitions_are_refused() {
    let cases = [
        ("[1]", "Wrong space format field 1: expected a map"),
        (r#"[{"name":"a"},{"type":"any"}]"#, "Wrong space format field 2: field name is missing"),
        (r#"[{"name":"a","type":"x"}]"#, "Wrong space format field 1: unknown field type"),
        (r#"[{"name":"a","is_nullable":1}]"#, {
            "Wrong space format field 1: 'is_nullable' must be boolean"
        }),
        (r#"[{"name":"a","is_nullable":true,"nullable_action":"abort"}]"#, {
            "Wrong space format field 1: conflicting nullability and nullable action properties"
        }),
        (r#"[{"name":"a","type":"unsigned","collation":1}]"#, {
            "Wrong space format field 1: collation is reasonable only for 'string', 'scalar', and \
             'any' fields"
        }),
        (r#"[{"name":"a","type":"decimal32"}]"#, {
            "Wrong space format field 1: scale is not specified"
        }),
    ];
    for (json, expected) in cases {
        let error = FieldDef::decode_all(&msgpack(json)).expect_err("a wrong definition");
        assert_eq!(error.message(), expected);
    }
    let def = FormatDef { fields: fields(r#"[{"name":"a"},{"name":"a"}]"#), field_count: 0 };
    let error = Format::new(&def, &[]).expect_err("a name twice");
    assert_eq!(error.message(), "Space field 'a' is duplicate");
    let def = FormatDef { fields: fields(r#"[{"name":"a","type":"string"}]"#), field_count: 0 };
    let key = KeyDef::new(vec![Part::new(0, FieldType::Unsigned)]).expect("valid parts");
    let error = Format::new(&def, &[&key]).expect_err("types that exclude each other");
    assert_eq!(
        error.message(),
        "Field 1 (a) has type 'string' in space format, but type 'unsigned' in index definition"
    );
}

#[test]
fn defaults_stand_for_nil_and_absent_fields() {
    let def = FormatDef {
        fields: fields(
            r#"[{"name":"id"},{"name":"a","default":7,"type":"unsigned"},
                {"name":"b","is_nullable":true},{"name":"c","default":"x"},
                {"name":"d","default":3,"default_func":9}]"#,
        ),
        field_count: 0,
    };
    let format = Format::new(&def, &[]).expect("a valid format");
    let cases = [
        ("[1]", Some(r#"[1,7,null,"x",[9,3]]"#)),
        ("[1,null,2,3,4,5]", Some("[1,7,2,3,4,5]")),
        ("[1,2,3,4,5]", None),
    ];
    let mut compute = |function: u32, argument: Option<&[u8]>| {
        let argument = argument.expect("the literal default").to_vec();
        Ok([vec![0x92, function as u8], argument].concat())
    };
    for (tuple, expected) in cases {
        let filled = format.apply_defaults(&msgpack(tuple), &mut compute).expect("no errors");
        assert_eq!(filled, expected.map(msgpack), "{tuple}");
    }
}

#[test]
fn wider_formats_can_store_tuples_of_narrower_ones() {
    let of = |json| {
        Format::new(&FormatDef { fields: fields(json), field_count: 0 }, &[]).expect("valid")
    };
    let narrow = of(r#"[{"name":"a","type":"unsigned"}]"#);
    let wide = of(r#"[{"name":"b","type":"number","is_nullable":true}]"#);
    let longer = of(r#"[{"name":"a","type":"unsigned"},{"name":"b","is_nullable":true}]"#);
    assert!(wide.can_store_tuples_of(narrow));
    assert!(!narrow.can_store_tuples_of(wide));
    assert!(longer.can_store_tuples_of(narrow));
    assert!(narrow.can_store_tuples_of(longer));
}
