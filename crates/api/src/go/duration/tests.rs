use proptest::prelude::*;

use super::*;

fn nanoseconds(text: &str) -> i64 {
    parse_duration(text)
        .unwrap_or_else(|error| panic!("{error}"))
        .num_nanoseconds()
        .unwrap()
}

#[test]
fn what_go_reads_means_the_same() {
    let rows: &[(&str, i64)] = &[
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("30s", 30_000_000_000),
        ("1m30s", 90_000_000_000),
        ("500ms", 500_000_000),
        ("1h", 3_600_000_000_000),
        ("1h0m0s", 3_600_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("-1.5s", -1_500_000_000),
        ("+5s", 5_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("5s3m", 185_000_000_000),
        ("1s1s", 2_000_000_000),
        ("1ns", 1),
        ("2us", 2_000),
        ("2\u{b5}s", 2_000),
        ("2\u{3bc}s", 2_000),
        ("0.5ns", 0),
        ("0.000000001s", 1),
        ("007s", 7_000_000_000),
        ("1.00000000000000000000000000000000001s", 1_000_000_000),
        ("9223372036854775807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("2562047h47m16.854775807s", i64::MAX),
    ];
    for (text, expected) in rows {
        assert_eq!(nanoseconds(text), *expected, "{text}");
    }
}

#[test]
fn what_go_refuses_is_refused_with_the_reason() {
    let malformed = |text: &str| DurationError::Malformed(text.to_owned());
    let missing = |text: &str| DurationError::MissingUnit(text.to_owned());
    let too_long = |text: &str| DurationError::TooLong(text.to_owned());
    let unknown = |text: &str, unit: &str| DurationError::UnknownUnit {
        text: text.to_owned(),
        unit: unit.to_owned(),
    };
    let rows = [
        ("", malformed("")),
        ("-", malformed("-")),
        ("s", malformed("s")),
        (".s", malformed(".s")),
        (" 1s", malformed(" 1s")),
        ("--1s", malformed("--1s")),
        ("1.2.3s", malformed("1.2.3s")),
        ("1", missing("1")),
        ("10", missing("10")),
        ("1s30", missing("1s30")),
        ("00", missing("00")),
        ("5mm", unknown("5mm", "mm")),
        ("1d", unknown("1d", "d")),
        ("1S", unknown("1S", "S")),
        ("1s ", unknown("1s ", "s ")),
        ("1m-30s", unknown("1m-30s", "m-")),
        ("9223372036854775808ns", too_long("9223372036854775808ns")),
        ("-9223372036854775809ns", too_long("-9223372036854775809ns")),
        ("2562048h", too_long("2562048h")),
        ("99999999999999999999s", too_long("99999999999999999999s")),
    ];
    for (text, expected) in rows {
        assert_eq!(parse_duration(text), Err(expected), "{text:?}");
    }
}

#[test]
fn a_refusal_says_what_is_allowed() {
    let told = parse_duration("5 minutes").unwrap_err().to_string();
    assert_eq!(
        told,
        r#"unknown unit " minutes" in duration "5 minutes": allowed are h, m, s, ms, us, ns"#
    );
}

#[test]
fn a_duration_is_printed_as_go_prints_it() {
    let rows: &[(i64, &str)] = &[
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1\u{b5}s"),
        (2_200_000, "2.2ms"),
        (500_000_000, "500ms"),
        (999_999_999, "999.999999ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (-1_500_000_000, "-1.5s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (nanoseconds, expected) in rows {
        assert_eq!(
            format_duration(TimeDelta::nanoseconds(*nanoseconds)),
            *expected
        );
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(nanoseconds_in: i64) {
        let printed = format_duration(TimeDelta::nanoseconds(nanoseconds_in));
        prop_assert_eq!(nanoseconds(&printed), nanoseconds_in);
    }

    #[test]
    fn parts_add_up(hours in 0_i64..1000, minutes in 0_i64..1000, millis in 0_i64..100_000) {
        let text = format!("{hours}h{minutes}m{millis}ms");
        let expected = ((hours * 60 + minutes) * 60_000 + millis) * 1_000_000;
        prop_assert_eq!(nanoseconds(&text), expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+]?[0-9.hmsnu\u{b5} ]{0,40}|.*") {
        let _answer = parse_duration(&text);
    }
}
