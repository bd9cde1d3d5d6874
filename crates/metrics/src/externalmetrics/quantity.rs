//! Quantities of Kubernetes as numbers: `1500m` is 1.5.
//!
//! **Source**: the grammar of `resource.Quantity` in Kubernetes' API reference.

/// Suffixes and their factors; those below one are divisors, since thousandths are no floating-point numbers.
const LARGE: [(&str, f64); 13] = [
    ("", 1.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1_024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];
const SMALL: [(&str, f64); 3] = [("m", 1e3), ("u", 1e6), ("n", 1e9)];

/// The number that a quantity means; nothing where it is none.
pub(super) fn parse(text: &str) -> Option<f64> {
    let is_digit = |letter: char| letter.is_ascii_digit() || matches!(letter, '+' | '-' | '.');
    let end = text.find(|letter| !is_digit(letter)).unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(end)?;
    let number: f64 = digits.parse().ok()?;
    let of = |table: &[(&str, f64)]| {
        let found = table.iter().find(|(name, _)| *name == suffix);
        found.map(|(_, factor)| *factor)
    };
    if let Some(factor) = of(&LARGE) {
        return Some(number * factor);
    }
    if let Some(divisor) = of(&SMALL) {
        return Some(number / divisor);
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let is_whole = exponent.parse::<i32>().is_ok();
    is_whole.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_quantity_is_a_number_with_a_suffix_or_an_exponent() {
        let rows = [
            ("0", 0.0),
            ("-3", -3.0),
            ("1.5", 1.5),
            ("100m", 0.1),
            ("1u", 1e-6),
            ("5n", 5e-9),
            ("2k", 2_000.0),
            ("1Ki", 1_024.0),
            ("3Mi", 3_145_728.0),
            ("1E", 1e18),
            ("12e3", 12_000.0),
            ("12E-3", 0.012),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "", "m", "1 m", "1mm", "1e", "1e1.5", "NaN", "inf", "1K", "--1", "one",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
