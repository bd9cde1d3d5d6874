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

/// For `#[serde(deserialize_with)]`: a whole number of the status. A fraction, which no controller writes, is cut off.
///
/// # Errors
/// When the value is not a number, or beyond 64 bits.
pub fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let number = GoInt::deserialize(from)?;
    let whole = match number {
        GoInt::Int(value) => Some(value),
        GoInt::Fraction(value) => GoInt::from_float(value.trunc()).value(),
    };
    whole.ok_or_else(|| serde::de::Error::custom(format!("{number} is not a 64-bit integer")))
}

/// For `#[serde(deserialize_with)]`: a port by number or name. Go's zero (`0`, and `"0"`, which Flagger takes for it) is absent.
///
/// # Errors
/// When the value is neither a 32-bit integer nor a text.
pub fn int_or_string<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IntOrString>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(GoInt),
        Text(String),
    }
    match Option::<Written>::deserialize(from)? {
        None => Ok(None),
        Some(Written::Text(text)) if text == "0" => Ok(None),
        Some(Written::Text(text)) => Ok(Some(IntOrString::String(text))),
        Some(Written::Number(number)) if number.is_zero() => Ok(None),
        Some(Written::Number(number)) => number
            .value()
            .and_then(|value| i32::try_from(value).ok())
            .map(|value| Some(IntOrString::Int(value)))
            .ok_or_else(|| serde::de::Error::custom(format!("{number} is not a 32-bit integer"))),
    }
}
