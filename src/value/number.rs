//! Numbers across their encodings: integers, floats, decimals.

/// C's `%.{digits}g`: so many significant digits, trailing zeros dropped.
pub fn format_general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let digits = digits.max(1);
    // `{:e}` rounds correctly to the digits asked for, so its exponent is the one `%g` decides by.
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) =
        scientific.split_once('e').expect("`{:e}` always prints an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of a double is a small integer");
    if exponent < -4 || exponent >= digits as i32 {
        let mantissa = trim_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let fraction = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{value:.fraction$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_format_matches_c() {
        for (value, digits, expected) in [
            (0.0, 6, "0"),
            (-0.0, 6, "-0"),
            (100000.0, 6, "100000"),
            (1000000.0, 6, "1e+06"),
            (0.0001, 6, "0.0001"),
            (0.00001, 6, "1e-05"),
            (999999.5, 6, "1e+06"),
            (0.1 + 0.2, 14, "0.3"),
            (0.1 + 0.2, 17, "0.30000000000000004"),
            (1e100, 14, "1e+100"),
            (123456789012.5, 14, "123456789012.5"),
            (f64::INFINITY, 14, "inf"),
        ] {
            assert_eq!(format_general(value, digits), expected);
        }
    }
}
