//! Integers that may have been written with a fraction.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

/// An integer as a manifest has it: Flagger's schema says `number`, so `10`, `10.0` and `1.5` all reach us.
///
/// **Shape:** `10.0` is the integer 10. A true fraction is kept, so that the object decodes and `Plan` can name the field and the value. Absent is 0, as in Go.
///
/// **Differs from Flagger:** there a fraction stops the decoding of every Canary in the cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GoInt {
    /// A whole number.
    Int(i64),
    /// A number that no integer can hold: it has a fraction, or it is beyond 64 bits.
    Fraction(f64),
}

impl GoInt {
    /// The integer, or `None` where a fraction was written.
    pub fn value(self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(value),
            Self::Fraction(_) => None,
        }
    }

    /// Whether it is 0, which is what absent means.
    pub fn is_zero(&self) -> bool {
        *self == Self::Int(0)
    }

    /// The number as it was written, up to the 53 bits that a JSON number is good for.
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts and weights are far below 2^53, and a greater one is only printed"
    )]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Fraction(value) => value,
        }
    }

    fn from_float(value: f64) -> Self {
        // 2^63 is the first whole float that an i64 cannot hold; every whole float below it is exact.
        const END: f64 = 9_223_372_036_854_775_808.0;
        if value.fract() != 0.0 || !(-END..END).contains(&value) {
            return Self::Fraction(value);
        }
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "whole and within the range of i64, as just tested"
        )]
        Self::Int(value as i64)
    }
}

impl Default for GoInt {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl From<i64> for GoInt {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for GoInt {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl PartialEq<i64> for GoInt {
    fn eq(&self, other: &i64) -> bool {
        self.value() == Some(*other)
    }
}

impl fmt::Display for GoInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Fraction(value) => value.fmt(f),
        }
    }
}

impl Serialize for GoInt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(value) => to.serialize_i64(*value),
            Self::Fraction(value) => to.serialize_f64(*value),
        }
    }
}

impl<'de> Deserialize<'de> for GoInt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(from)?;
        Ok(number.as_i64().map_or_else(
            || Self::from_float(number.as_f64().unwrap_or(f64::NAN)),
            Self::Int,
        ))
    }
}

impl JsonSchema for GoInt {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "GoInt".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        crate::opaque::number(generator)
    }
}

/// For `#[serde(deserialize_with)]`: a whole number of the status. A fraction, which no controller writes, is cut off; what 64 bits cannot hold is their end.
///
/// # Errors
/// When the value is not a number.
pub fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "cutting off and stopping at the end is what is wanted"
    )]
    Ok(match GoInt::deserialize(from)? {
        GoInt::Int(value) => value,
        GoInt::Fraction(value) => value as i64,
    })
}

/// For `#[serde(deserialize_with)]`: a port by number or name.
///
/// **Shape:** Go's zero (`0`, and `"0"`, which Flagger takes for it) is absent. A number that no port can be is kept as a text, which no
/// port name can be either, so that the object decodes and `Plan` can name the value.
///
/// # Errors
/// When the value is neither a number nor a text.
pub fn int_or_string<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IntOrString>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(GoInt),
        Text(String),
    }
    let port = match Option::<Written>::deserialize(from)? {
        None => return Ok(None),
        Some(Written::Text(text)) => IntOrString::String(text),
        Some(Written::Number(number)) => number
            .value()
            .and_then(|value| i32::try_from(value).ok())
            .map_or_else(|| IntOrString::String(number.to_string()), IntOrString::Int),
    };
    let zero = [IntOrString::Int(0), IntOrString::String("0".to_owned())];
    Ok((!zero.contains(&port)).then_some(port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Status(#[serde(deserialize_with = "whole")] i64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Port(#[serde(deserialize_with = "int_or_string")] Option<IntOrString>);

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        let rows = [
            ("10", 10),
            ("10.0", 10),
            ("1e3", 1000),
            ("-1", -1),
            ("-0.0", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808.0", i64::MIN),
        ];
        for (text, expected) in rows {
            let read: GoInt = serde_json::from_str(text).unwrap();
            assert_eq!(read, GoInt::Int(expected), "{text}");
            assert_eq!(read.value(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_fraction_decodes_and_is_told_as_it_was_written() {
        for text in ["1.5", "-0.25"] {
            let read: GoInt = serde_json::from_str(text).unwrap();
            assert_eq!(read.value(), None, "{text}");
            assert_eq!(read.to_string(), text);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        for text in ["9223372036854775808", "1e300"] {
            let read: GoInt = serde_json::from_str(text).unwrap();
            assert_eq!(read.value(), None, "{text} is beyond 64 bits");
        }
    }

    #[test]
    fn a_text_is_no_integer() {
        assert!(serde_json::from_value::<GoInt>(json!("10")).is_err());
    }

    #[test]
    fn a_number_of_the_status_always_decodes() {
        let rows = [
            (json!(-1), -1),
            (json!(10.0), 10),
            (json!(1.9), 1),
            (json!(1e300), i64::MAX),
        ];
        for (written, expected) in rows {
            let read: Status = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(read, Status(expected), "{written}");
        }
    }

    #[test]
    fn a_port_is_a_number_or_a_name_and_zero_is_absent() {
        let text = |text: &str| Some(IntOrString::String(text.to_owned()));
        let rows = [
            (json!(9898), Some(IntOrString::Int(9898))),
            (json!(9898.0), Some(IntOrString::Int(9898))),
            (json!("http"), text("http")),
            (json!("9898"), text("9898")),
            (json!(0), None),
            (json!("0"), None),
            (json!(null), None),
            (json!(4_294_967_296_i64), text("4294967296")),
            (json!(1.5), text("1.5")),
        ];
        for (written, expected) in rows {
            let read: Port = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(read, Port(expected), "{written}");
        }
    }
}
