//! The native half of `utf8`: lengths, slices, letter case and comparison of UTF-8 strings.
//!
//! # Yields
//! never

use std::cmp::Ordering;

use crate::base::error::{Error, Result};
use crate::lua::{Context, Kind, Module};
use crate::value::collation::Collation;
use crate::value::unicode::{self, LengthError, Property};

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("len", lua_utf8_len)
        .function("sub", lua_utf8_sub)
        .function("char", lua_utf8_char)
        .function("next", lua_utf8_next)
        .function("upper", lua_utf8_upper)
        .function("lower", lua_utf8_lower)
        .function("cmp", lua_utf8_cmp)
        .function("casecmp", lua_utf8_casecmp)
        .function("isalpha", lua_utf8_isalpha)
        .function("isdigit", lua_utf8_isdigit)
        .function("islower", lua_utf8_islower)
        .function("isupper", lua_utf8_isupper);
    Ok(())
}

fn usage(text: &str) -> Error {
    crate::builtin::serializer::failure(format!("Usage: {text}"))
}

fn text_argument<'a>(cx: Context<'a>, index: i32, text: &str) -> Result<&'a [u8]> {
    cx.bytes(index).ok_or_else(|| usage(text))
}

/// `len(text[, i[, j]])`: how many characters; or nil and where the first wrong one ends.
fn lua_utf8_len(cx: Context<'_>) -> Result<usize> {
    let text = text_argument(cx, 1, "utf8.len(<string>, [i, [j]])")?;
    let start = cx.opt_integer(2, 1)?;
    let end = cx.opt_integer(3, -1)?;
    match unicode::length(text, start, end) {
        Ok(count) => {
            cx.push_integer(count as i64);
            return Ok(1);
        }
        Err(LengthError::Invalid(position)) => {
            cx.push_nil();
            cx.push_integer(position as i64);
        }
        Err(LengthError::OutOfString) => {
            cx.push_nil();
            cx.push_bytes("position is out of string");
        }
    }
    Ok(2)
}

fn lua_utf8_sub(cx: Context<'_>) -> Result<usize> {
    let text = text_argument(cx, 1, "utf8.sub(<string>, [i, [j]])")?;
    if cx.kind(2) == Kind::None {
        return Err(usage("utf8.sub(<string>, [i, [j]])"));
    }
    let start = cx.opt_integer(2, 1)?;
    let end = cx.opt_integer(3, -1)?;
    cx.push_bytes(unicode::substring(text, start, end));
    Ok(1)
}

fn lua_utf8_char(cx: Context<'_>) -> Result<usize> {
    let mut text = Vec::new();
    for index in 1..=cx.top() {
        let code = cx.check_integer(index)?;
        let code = u32::try_from(code).map_err(|_| usage("utf8.char(<char code>"))?;
        unicode::push_code(&mut text, code);
    }
    cx.push_bytes(text);
    Ok(1)
}

/// `next(text[, position])`: the position after the character there, and its code.
fn lua_utf8_next(cx: Context<'_>) -> Result<usize> {
    let text = text_argument(cx, 1, "utf8.next(<string>, [<byte offset>])")?;
    let position = cx.opt_integer(2, 1)?;
    let position = if position > 0 { position - 1 } else { position + text.len() as i64 };
    let next = usize::try_from(position).ok().and_then(|at| unicode::next(text, at));
    let Some((Some(character), after)) = next else {
        return Ok(0);
    };
    cx.push_integer(after as i64 + 1);
    cx.push_integer(i64::from(u32::from(character)));
    Ok(2)
}

fn lua_utf8_upper(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(unicode::uppercase(text_argument(cx, 1, "utf8.upper(<string>)")?));
    Ok(1)
}

fn lua_utf8_lower(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(unicode::lowercase(text_argument(cx, 1, "utf8.lower(<string>)")?));
    Ok(1)
}

fn compare(cx: Context<'_>, collation: &str, usage: &str) -> Result<usize> {
    let left = text_argument(cx, 1, usage)?;
    let right = text_argument(cx, 2, usage)?;
    let (_, collation) =
        Collation::builtin_by_name(collation).expect("the two collations are built in");
    cx.push_integer(match collation.compare(left, right) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    });
    Ok(1)
}

fn lua_utf8_cmp(cx: Context<'_>) -> Result<usize> {
    compare(cx, "unicode", "utf8.cmp(<string1>, <string2>)")
}

fn lua_utf8_casecmp(cx: Context<'_>) -> Result<usize> {
    compare(cx, "unicode_ci", "utf8.casecmp(<string1>, <string2>)")
}

/// A property of a character given as a string or as a code.
fn has(cx: Context<'_>, property: Property, name: &str) -> Result<usize> {
    let result = match cx.kind(1) {
        Kind::Number => {
            u32::try_from(cx.check_integer(1)?).is_ok_and(|code| unicode::has(property, code))
        }
        Kind::String => unicode::text_has(property, cx.check_bytes(1)?),
        _ => return Err(usage(&format!("utf8.{name}(<string> or <one unicode symbol code>)"))),
    };
    cx.push_boolean(result);
    Ok(1)
}

fn lua_utf8_isalpha(cx: Context<'_>) -> Result<usize> {
    has(cx, Property::Alpha, "isalpha")
}

fn lua_utf8_isdigit(cx: Context<'_>) -> Result<usize> {
    has(cx, Property::Digit, "isdigit")
}

fn lua_utf8_islower(cx: Context<'_>) -> Result<usize> {
    has(cx, Property::Lower, "islower")
}

fn lua_utf8_isupper(cx: Context<'_>) -> Result<usize> {
    has(cx, Property::Upper, "isupper")
}
