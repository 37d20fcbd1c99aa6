//! Values of JSON literals, exactly.
//!
//! Every function here is given text that the grammar has already accepted. Both decoding paths use the same functions,
//! so they cannot differ in what a literal means.

/// Why a literal has no value in a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is of another kind: a fraction where an integer is wanted.
    WrongType,
    /// The type cannot hold it without loss.
    OutOfRange,
}

/// An integer literal: no fraction, no exponent.
pub(super) fn integer(literal: &str) -> Result<i64, Refused> {
    if literal.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Err(Refused::WrongType);
    }
    literal.parse().map_err(|_| Refused::OutOfRange)
}

/// Any number literal, rounded to the nearest double.
pub(super) fn double(literal: &str) -> Result<f64, Refused> {
    literal.parse().ok().filter(|value: &f64| value.is_finite()).ok_or(Refused::OutOfRange)
}

/// Any number literal, rounded (once) to the nearest float.
pub(super) fn float(literal: &str) -> Result<f32, Refused> {
    literal.parse().ok().filter(|value: &f32| value.is_finite()).ok_or(Refused::OutOfRange)
}

/// The unscaled value of a number literal in `decimal(precision, scale)`, where it holds it exactly.
pub(super) fn decimal(literal: &str, precision: u8, scale: i8) -> Result<i128, Refused> {
    let (negative, rest) = match literal.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, literal),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let (whole, zeros) = match (whole.trim_start_matches('0'), fraction) {
        (whole, "") => (whole.trim_end_matches('0'), whole.len() - whole.trim_end_matches('0').len()),
        (whole, _) => (whole, 0),
    };
    let fraction_digits = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
    if whole.is_empty() && fraction_digits.is_empty() {
        return Ok(0);
    }
    // No zero at either end of the digits from here on: as many as the precision are needed, and no more.
    if whole.len() + fraction_digits.len() > usize::from(precision) {
        return Err(Refused::OutOfRange);
    }
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction_digits.bytes()) {
        value = value * 10 + i128::from(digit - b'0');
    }
    // An exponent that does not fit is far out of range, as the digits are not all zero.
    let exponent: i64 = exponent.parse().map_err(|_| Refused::OutOfRange)?;
    let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let shift = exponent
        .checked_add(i64::from(scale))
        .and_then(|shift| shift.checked_add(length(zeros)))
        .and_then(|shift| shift.checked_sub(length(fraction.len())))
        .ok_or(Refused::OutOfRange)?;
    let shift = u32::try_from(shift).map_err(|_| Refused::OutOfRange)?;
    let value = 10_i128.checked_pow(shift).and_then(|power| value.checked_mul(power)).ok_or(Refused::OutOfRange)?;
    if value >= 10_i128.pow(u32::from(precision)) {
        return Err(Refused::OutOfRange);
    }
    Ok(if negative { -value } else { value })
}

/// Whether text is a number literal of JSON, for decimals that stand in strings.
pub(super) fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers() {
        assert_eq!(integer("-0"), Ok(0));
        assert_eq!(integer("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(integer("9223372036854775808"), Err(Refused::OutOfRange));
        assert_eq!(integer("1.0"), Err(Refused::WrongType));
        assert_eq!(integer("1e3"), Err(Refused::WrongType));
    }

    #[test]
    fn doubles_and_floats() {
        assert_eq!(double("1e308"), Ok(1e308));
        assert_eq!(double("1e309"), Err(Refused::OutOfRange));
        assert_eq!(double("1e-400"), Ok(0.0));
        assert_eq!(float("1e38"), Ok(1e38));
        assert_eq!(float("1e39"), Err(Refused::OutOfRange));
    }

    #[test]
    fn decimals() {
        for (literal, expected) in [
            ("1.25", Ok(125)),
            ("-1.5", Ok(-150)),
            ("1.250000000000000000000000000000000000000000000000", Ok(125)),
            ("0.010e1", Ok(10)),
            ("1e2", Ok(10_000)),
            ("1500e-2", Ok(1_500)),
            ("-0", Ok(0)),
            ("0e99999999999999999999", Ok(0)),
            ("0.000", Ok(0)),
            ("99999999.99", Ok(9_999_999_999)),
            ("100000000", Err(Refused::OutOfRange)),
            ("1.255", Err(Refused::OutOfRange)),
            ("1e-3", Err(Refused::OutOfRange)),
            ("1e99999999999999999999", Err(Refused::OutOfRange)),
            ("1e9223372036854775807", Err(Refused::OutOfRange)),
        ] {
            assert_eq!(decimal(literal, 10, 2), expected, "{literal}");
        }
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0), Ok(10_i128.pow(38) - 1));
        assert_eq!(decimal("0.00000000000000000000000000000000000001", 38, 38), Ok(1));
    }

    proptest! {
        #[test]
        fn a_number_is_what_serde_json_takes_for_one(text in "-?[0-9]{0,3}[.]?[0-9]{0,3}[eE]?[+-]?[0-9]{0,2}") {
            let whole = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            prop_assert_eq!(is_number(&text), whole.is_ok());
        }

        #[test]
        fn a_decimal_is_exact(unscaled in -10_i64.pow(9)..10_i64.pow(9), scale in 0_i8..9, exponent in -4_i32..5) {
            // unscaled / 10^scale, written with an exponent that moves the point.
            let digits = format!("{:010}", unscaled.unsigned_abs());
            let point = digits.len() - usize::try_from(scale).unwrap();
            let whole = digits[..point].trim_start_matches('0');
            let sign = if unscaled < 0 { "-" } else { "" };
            let whole = if whole.is_empty() { "0" } else { whole };
            let fraction = &digits[point..];
            let dot = if fraction.is_empty() { "" } else { "." };
            let literal = format!("{sign}{whole}{dot}{fraction}e{exponent}");
            let wanted_scale = scale + 4;
            let expected = i128::from(unscaled) * 10_i128.pow(u32::try_from(4 + exponent).unwrap());
            prop_assert!(is_number(&literal));
            prop_assert_eq!(decimal(&literal, 38, wanted_scale), Ok(expected));
        }
    }
}
