//! Sizes and durations with unit suffixes: `256MiB`, `1.5h`.
//!
//! # Yields
//! never

use super::value::{Value, number_text};

const BYTE_UNITS: [(&str, f64); 6] = [
    ("B", 1.0),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
    ("PiB", 1_125_899_906_842_624.0),
];

const DURATION_UNITS: [(&str, f64); 8] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
    ("M", 2_592_000.0),
    ("y", 31_536_000.0),
];

/// A number of bytes, or text with a binary suffix in any case.
pub fn parse_byte_size(value: &Value) -> Result<Value, String> {
    let (number, suffix) = split(value, "byte size")?;
    if number < 0.0 {
        let shown = number_text(number);
        return Err(format!("Expected a non-negative byte size, got {shown}"));
    }
    let upper = suffix.to_ascii_uppercase();
    let multiplier = match BYTE_UNITS.iter().find(|(name, _)| name.to_ascii_uppercase() == upper) {
        _ if suffix.is_empty() => 1.0,
        Some((_, multiplier)) => *multiplier,
        None => {
            let names = names(&BYTE_UNITS);
            return Err(format!("Unknown byte size suffix \"{upper}\" (use {names})"));
        }
    };
    if multiplier == 1.0 && number.fract() != 0.0 {
        let shown = number_text(number);
        return Err(format!("Expected byte size without a fractional part, got {shown}"));
    }
    match value {
        Value::Integer(_) | Value::Unsigned(_) => Ok(value.clone()),
        _ => Ok(whole((number * multiplier).floor())),
    }
}

/// A number of seconds, or text with a suffix from milliseconds to years.
pub fn parse_duration(value: &Value) -> Result<Value, String> {
    let (number, suffix) = split(value, "duration")?;
    if number < 0.0 {
        let shown = number_text(number);
        return Err(format!("Expected a non-negative duration, got {shown}"));
    }
    if suffix.is_empty() {
        return match value {
            Value::String(_) => Ok(whole(number)),
            _ => Ok(value.clone()),
        };
    }
    match DURATION_UNITS.iter().find(|(name, _)| *name == suffix) {
        Some((_, multiplier)) => Ok(whole(number * multiplier)),
        None => {
            let names = names(&DURATION_UNITS);
            Err(format!("Unknown duration suffix \"{suffix}\" (use {names})"))
        }
    }
}

/// The number and the letters after it.
fn split<'a>(value: &'a Value, what: &str) -> Result<(f64, &'a str), String> {
    let text = match value {
        Value::String(text) => text,
        _ => {
            return value.as_f64().map(|number| (number, "")).ok_or_else(|| {
                format!(
                    "Expected {what} as number or string with optional {what} suffix, got {}",
                    value.type_name()
                )
            });
        }
    };
    let failed = || format!("Unable to parse a number from \"{text}\"");
    let end = text
        .char_indices()
        .find(|(index, symbol)| {
            !(symbol.is_ascii_digit() || *symbol == '.' || (*index == 0 && *symbol == '-'))
        })
        .map_or(text.len(), |(index, _)| index);
    let suffix = text[end..].trim_start();
    if !suffix.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(failed());
    }
    let number = text[..end].parse::<f64>().map_err(|_| failed())?;
    Ok((number, suffix))
}

/// An integer where the number is one exactly.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9.2e18 {
        Value::Integer(number as i64)
    } else {
        Value::Double(number)
    }
}

fn names(units: &[(&str, f64)]) -> String {
    units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_multiply() {
        assert_eq!(parse_byte_size(&"1GiB".into()), Ok(Value::Integer(1 << 30)));
        assert_eq!(parse_byte_size(&"1.5 kib".into()), Ok(Value::Integer(1536)));
        assert_eq!(parse_byte_size(&"77".into()), Ok(Value::Integer(77)));
        assert_eq!(parse_duration(&"5m".into()), Ok(Value::Integer(300)));
        assert_eq!(parse_duration(&"250ms".into()), Ok(Value::Double(0.25)));
    }

    #[test]
    fn wrong_units_say_what_is_allowed() {
        let error = parse_byte_size(&"1XB".into()).unwrap_err();
        assert_eq!(error, "Unknown byte size suffix \"XB\" (use B, KiB, MiB, GiB, TiB, PiB)");
        let error = parse_duration(&"1H".into()).unwrap_err();
        assert_eq!(error, "Unknown duration suffix \"H\" (use ms, s, m, h, d, w, M, y)");
        assert!(parse_byte_size(&"1.5".into()).is_err());
        assert!(parse_byte_size(&"-1".into()).is_err());
        assert!(parse_duration(&"-".into()).is_err());
        assert!(parse_duration(&Value::Boolean(true)).is_err());
    }
}
