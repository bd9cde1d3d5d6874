//! The one place where the time of our types (chrono) and Kubernetes' (jiff, through k8s-openapi) meet.
//!
//! Times are stored in RFC 3339 with whole seconds, as Go's `metav1.Time` is.

use chrono::{DateTime, SecondsFormat, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Nanoseconds of a second.
const NANOSECONDS: i128 = 1_000_000_000;

/// The text of a moment: RFC 3339 in UTC, whole seconds (a fraction is cut off).
pub fn to_text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The moment that a text in RFC 3339 names, in any offset.
///
/// # Errors
/// When the text is not RFC 3339.
pub fn from_text(text: &str) -> Result<DateTime<Utc>, chrono::ParseError> {
    DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc())
}

/// The moment that Kubernetes tells. `None` when it is beyond what chrono can hold, which no clock of a cluster reaches.
pub fn from_kubernetes(time: &Time) -> Option<DateTime<Utc>> {
    let total = time.0.as_nanosecond();
    let seconds = i64::try_from(total.div_euclid(NANOSECONDS)).ok()?;
    // Before 1970 too the fraction counts forwards from the second, unlike jiff's own parts.
    let fraction = u32::try_from(total.rem_euclid(NANOSECONDS)).ok()?;
    DateTime::from_timestamp(seconds, fraction)
}

/// The moment for Kubernetes. `None` when it is beyond the year 9999, which jiff does not hold.
pub fn to_kubernetes(moment: DateTime<Utc>) -> Option<Time> {
    let nanoseconds = i32::try_from(moment.timestamp_subsec_nanos()).ok()?;
    Timestamp::new(moment.timestamp(), nanoseconds)
        .ok()
        .map(Time)
}

/// For `#[serde(with = "...")]`: a moment that may be absent. Go writes its zero time as `null`; that, and an empty text, are absent too.
pub mod optional {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a moment with whole seconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        moment: &Option<DateTime<Utc>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        moment.map(super::to_text).serialize(to)
    }

    /// Reads a moment.
    ///
    /// # Errors
    /// When a text is there and is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        match Option::<String>::deserialize(from)? {
            Some(text) if !text.is_empty() => super::from_text(&text)
                .map(Some)
                .map_err(|error| serde::de::Error::custom(format!("time {text:?}: {error}"))),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_stored_in_utc_with_whole_seconds() {
        let rows = [
            ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
            (
                "2026-11-24T10:00:00.987654321+02:00",
                "2026-11-24T08:00:00Z",
            ),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ];
        for (written, stored) in rows {
            assert_eq!(to_text(from_text(written).unwrap()), stored);
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "yesterday", "2026-11-24", "2026-11-24T08:00:00"] {
            assert!(from_text(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn kubernetes_time_and_ours_are_the_same_moment() {
        for text in ["2026-11-24T08:00:00.25Z", "1969-12-31T23:59:59.75Z"] {
            let moment = from_text(text).unwrap();
            let time = to_kubernetes(moment).unwrap();
            assert_eq!(time.0.to_string(), text);
            assert_eq!(from_kubernetes(&time), Some(moment));
        }
    }

    #[test]
    fn a_moment_that_kubernetes_cannot_hold_is_none() {
        assert_eq!(to_kubernetes(DateTime::<Utc>::MAX_UTC), None);
    }
}
