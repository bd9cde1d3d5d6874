//! Quantities (`100m`, `512Mi`) as Go holds them in memory, which is what Flagger hashes.
//!
//! **Source**: the behaviour of `k8s.io/apimachinery` v0.36 `resource.ParseQuantity`, checked value by value.

use std::fmt::Write;

use serde_json::Value;

/// A quantity in the two forms that Go has for it.
#[derive(Debug, PartialEq, Eq)]
struct Quantity {
    number: Number,
    /// The text that it was parsed from, where that is the shortest way to write it; else empty.
    text: String,
    format: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum Number {
    /// `value * 10^scale`, for what fits in 64 bits with room to spare.
    Small { value: i64, scale: i32 },
    /// `unscaled / 10^scale`, for everything else.
    Big {
        negative: bool,
        unscaled: u128,
        scale: i32,
    },
}

/// The text taken apart.
struct Parts<'a> {
    negative: bool,
    /// The digits before the point, without leading zeros but never empty.
    whole: &'a str,
    /// The digits after the point.
    fraction: &'a str,
    exponent: i32,
    format: &'static str,
}

const DECIMAL: &str = "DecimalSI";
const EXPONENT: &str = "DecimalExponent";
const BINARY: &str = "BinarySI";

/// How many digits Go trusts 64 bits with.
const TRUSTED_DIGITS: i32 = 18;
/// The smallest unit, nano, as a power of ten.
const NANO: i32 = -9;

/// Writes the body of a `resource.Quantity`.
pub(super) fn dump(value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    let quantity = match value {
        None => Quantity {
            number: Number::Small { value: 0, scale: 0 },
            text: String::new(),
            format: "",
        },
        Some(Value::String(text)) => parse(text)?,
        Some(Value::Number(number)) => parse(&number.to_string())?,
        Some(_) => return None,
    };
    let Quantity {
        number,
        text,
        format,
    } = quantity;
    let (value, scale, decimal) = match number {
        Number::Small { value, scale } => (value, scale, "<nil>".to_owned()),
        Number::Big {
            negative,
            unscaled,
            scale,
        } => (
            0,
            0,
            format!(
                "{{unscaled:(big.Int){{neg:(bool){negative} abs:(big.nat)[{}]}} scale:(inf.Scale){scale}}}",
                words(unscaled)
            ),
        ),
    };
    write!(
        out,
        "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
         d:(resource.infDecAmount){{Dec:(*inf.Dec){decimal}}} s:(string){text} Format:(resource.Format){format}}}"
    )
    .ok()
}

/// The 64-bit words of a number, the lowest first.
fn words(number: u128) -> String {
    let (high, low) = (number >> 64, number & u128::from(u64::MAX));
    if high == 0 {
        low.to_string()
    } else {
        format!("{low} {high}")
    }
}

fn parse(text: &str) -> Option<Quantity> {
    if text == "0" {
        return Some(Quantity {
            number: Number::Small { value: 0, scale: 0 },
            text: text.to_owned(),
            format: DECIMAL,
        });
    }
    let parts = take_apart(text)?;
    small(&parts, text).or_else(|| big(&parts))
}

fn take_apart(text: &str) -> Option<Parts<'_>> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = unsigned
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let (exponent, format) = interpret(suffix)?;
    Some(Parts {
        negative,
        whole: if whole.is_empty() { "0" } else { whole },
        fraction,
        exponent,
        format,
    })
}

/// The exponent that a suffix stands for: of two for binary ones, of ten for the others.
fn interpret(suffix: &str) -> Option<(i32, &'static str)> {
    Some(match suffix {
        "n" => (-9, DECIMAL),
        "u" => (-6, DECIMAL),
        "m" => (-3, DECIMAL),
        "" => (0, DECIMAL),
        "k" => (3, DECIMAL),
        "M" => (6, DECIMAL),
        "G" => (9, DECIMAL),
        "T" => (12, DECIMAL),
        "P" => (15, DECIMAL),
        "E" => (18, DECIMAL),
        "Ki" => (10, BINARY),
        "Mi" => (20, BINARY),
        "Gi" => (30, BINARY),
        "Ti" => (40, BINARY),
        "Pi" => (50, BINARY),
        "Ei" => (60, BINARY),
        _ => (suffix.strip_prefix(['e', 'E'])?.parse().ok()?, EXPONENT),
    })
}

/// The form for numbers of few digits; `None` when it has too many.
fn small(parts: &Parts<'_>, text: &str) -> Option<Quantity> {
    let digits = i32::try_from(parts.whole.len() + parts.fraction.len()).ok()?;
    let (factor, exponent, spare) = match parts.format {
        BINARY if !parts.fraction.is_empty() => return None,
        BINARY => (
            1_i64.checked_shl(u32::try_from(parts.exponent).ok()?)?,
            0,
            14 - digits - parts.exponent * 3 / 10,
        ),
        _ => (1, parts.exponent, TRUSTED_DIGITS - digits),
    };
    let scale = exponent - i32::try_from(parts.fraction.len()).ok()?;
    if spare < 0 || scale < NANO {
        return None;
    }
    let shifted = format!("{}{}", parts.whole, parts.fraction);
    let mantissa: i64 = shifted.parse().ok()?;
    let value = mantissa.checked_mul(factor)?;
    let shortest = if parts.format == BINARY {
        parts.exponent % 10 == 0 && mantissa % 8 != 0
    } else {
        scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0')
    };
    Some(Quantity {
        number: Number::Small {
            value: if parts.negative { -value } else { value },
            scale,
        },
        text: if shortest {
            text.to_owned()
        } else {
            String::new()
        },
        format: parts.format,
    })
}

/// The form for all other numbers: nanos, rounded up, so that nobody who asked for something gets nothing.
fn big(parts: &Parts<'_>) -> Option<Quantity> {
    let digits: u128 = format!("{}{}", parts.whole, parts.fraction).parse().ok()?;
    let (unscaled, exponent) = if parts.format == BINARY {
        (
            digits.checked_mul(1_u128.checked_shl(u32::try_from(parts.exponent).ok()?)?)?,
            0,
        )
    } else {
        (digits, parts.exponent)
    };
    // Go keeps a zero in yet another form, which nobody writes in a manifest.
    if unscaled == 0 {
        return None;
    }
    let shift = exponent - i32::try_from(parts.fraction.len()).ok()? - NANO;
    let power = 10_u128.checked_pow(shift.unsigned_abs())?;
    let nanos = if shift >= 0 {
        unscaled.checked_mul(power)?
    } else {
        unscaled.div_ceil(power)
    };
    let whole = 10_u128.pow(NANO.unsigned_abs());
    let greatest = u128::from(u64::MAX >> 1);
    let (unscaled, scale) = if parts.format == BINARY && nanos > greatest * whole {
        (greatest, 0)
    } else {
        (nanos, -NANO)
    };
    let format = if parts.format == BINARY && nanos < whole {
        DECIMAL
    } else {
        parts.format
    };
    Some(Quantity {
        number: Number::Big {
            negative: parts.negative,
            unscaled,
            scale,
        },
        text: String::new(),
        format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut dumped = String::new();
        dump(Some(&Value::from(text)), &mut dumped).unwrap();
        assert_eq!(dumped, expected, "{text}");
    }

    /// `value scale "text" format`, as Go's own parser was seen to hold it.
    #[test]
    fn a_quantity_of_few_digits_is_held_in_64_bits() {
        for (text, value, scale, kept, format) in [
            ("0", 0_i64, 0, "0", DECIMAL),
            ("0m", 0, -3, "", DECIMAL),
            ("00", 0, 0, "", DECIMAL),
            ("2", 2, 0, "2", DECIMAL),
            ("100m", 100, -3, "100m", DECIMAL),
            ("0.5", 5, -1, "", DECIMAL),
            (".5", 5, -1, "", DECIMAL),
            ("1.", 1, 0, "1.", DECIMAL),
            ("2.50", 250, -2, "", DECIMAL),
            ("-1", -1, 0, "-1", DECIMAL),
            ("+1", 1, 0, "+1", DECIMAL),
            ("1000", 1000, 0, "", DECIMAL),
            ("1E", 1, 18, "1E", DECIMAL),
            ("1E3", 1, 3, "1E3", EXPONENT),
            ("1e-3", 1, -3, "1e-3", EXPONENT),
            (
                "123456789012345678",
                123_456_789_012_345_678,
                0,
                "123456789012345678",
                DECIMAL,
            ),
            ("512Mi", 536_870_912, 0, "", BINARY),
            ("12Mi", 12_582_912, 0, "12Mi", BINARY),
            ("1536Mi", 1_610_612_736, 0, "", BINARY),
            ("0Ki", 0, 0, "", BINARY),
            ("-1Gi", -1_073_741_824, 0, "-1Gi", BINARY),
            ("10000000Mi", 10_485_760_000_000, 0, "", BINARY),
        ] {
            check(
                text,
                &format!(
                    "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
                     d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){kept} Format:(resource.Format){format}}}"
                ),
            );
        }
    }

    #[test]
    fn every_other_quantity_is_held_in_nanos() {
        for (text, words, scale, format) in [
            ("1.5Gi", "1610612736000000000", 9, BINARY),
            ("100Ti", "8568098291072368640 5960", 9, BINARY),
            ("100000000Mi", "6306685034908614656 5684", 9, BINARY),
            ("1Ei", "0 62500000", 9, BINARY),
            ("9Ei", "9223372036854775807", 0, BINARY),
            ("0.5n", "1", 9, DECIMAL),
            ("1e-12", "1", 9, EXPONENT),
            (
                "1234567890123456789",
                "7888470988684038656 66926059",
                9,
                DECIMAL,
            ),
        ] {
            check(
                text,
                &format!(
                    "{{i:(resource.int64Amount){{value:(int64)0 scale:(resource.Scale)0}} \
                     d:(resource.infDecAmount){{Dec:(*inf.Dec){{unscaled:(big.Int){{neg:(bool)false abs:(big.nat)[{words}]}} \
                     scale:(inf.Scale){scale}}}}} s:(string) Format:(resource.Format){format}}}"
                ),
            );
        }
    }

    #[test]
    fn what_is_no_quantity_has_no_text() {
        for text in ["", "abc", "1x", "1_0", "0x1", "1.2.3", "-", "e3", "1ee3"] {
            assert_eq!(
                dump(Some(&Value::from(text)), &mut String::new()),
                None,
                "{text}"
            );
        }
    }
}
