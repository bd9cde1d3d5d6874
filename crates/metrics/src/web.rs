//! Anything that answers JSON over HTTP. Flagger has nothing like it.
//!
//! The query has two lines: what is asked below the address, and where the number stands in the answer.
//!
//! ```text
//! /api/slo?service={{ target }}.{{ namespace }}
//! $.data[0].errorRate
//! ```

use http::{Request, StatusCode};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;
use url::form_urlencoded;

use crate::call::{Call, query};
use crate::{Ask, MetricError, MetricProvider, SecretData, answer, credentials};

/// The codec.
pub(crate) struct Web;

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    target: &str,
) -> Result<Request<Vec<u8>>, MetricError> {
    let (path, parameters) = target.split_once('?').unwrap_or((target, ""));
    let mut call = Call::new(spec, None, path)?;
    let from_url = call.take_authorization();
    call = call.headers(credentials::headers(spec, secret, from_url)?);
    for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
        call = call.with(&name, &value);
    }
    call.get()
}

/// What is asked, and where the number stands: the two lines of a query.
fn lines(query: &str) -> Result<(&str, Vec<Step>), MetricError> {
    let lines: Vec<&str> = query
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let [target, place] = lines.as_slice() else {
        return Err(MetricError::Query(ALLOWED));
    };
    if !target.starts_with('/') {
        return Err(MetricError::Query(ALLOWED));
    }
    let steps = steps(place).ok_or(MetricError::Query(ALLOWED))?;
    Ok((target, steps))
}

const ALLOWED: &str = "must be two lines: a path such as /api/slo?service=x, and the place of the number in the answer such as $.data[0].rate";

/// One step into an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

/// `$.data[0].rate`, or `$` alone.
fn steps(place: &str) -> Option<Vec<Step>> {
    let rest = place.strip_prefix('$')?;
    let mut steps = Vec::new();
    for part in rest.split('.') {
        let (field, items) = part
            .split_once('[')
            .map_or((part, None), |(field, items)| (field, Some(items)));
        if !field.is_empty() {
            steps.push(Step::Field(field.to_owned()));
        } else if !steps.is_empty() && items.is_none() {
            return None;
        }
        for item in items.into_iter().flat_map(|items| items.split('[')) {
            steps.push(Step::Item(item.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(steps)
}

fn find<'a>(answer: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(answer, |at, step| match step {
        Step::Field(name) => at.get(name),
        Step::Item(item) => at.get(*item),
    })
}

impl MetricProvider for Web {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let (target, _) = lines(query(ask)?)?;
        call(spec, secret, target)
    }

    fn reading(&self, query: &str, status: StatusCode, body: &[u8]) -> Reading {
        let steps = match lines(query) {
            Ok((_, steps)) => steps,
            Err(why) => return Reading::Unusable(why.to_string()),
        };
        match answer::json(status, body) {
            Ok(answer) => answer::value(find(&answer, &steps)),
            Err(why) => why,
        }
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, "/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_of_fields_and_items() {
        let field = |name: &str| Step::Field(name.to_owned());
        let rows = [
            ("$", Some(vec![])),
            ("$.a", Some(vec![field("a")])),
            (
                "$.a[0].b",
                Some(vec![field("a"), Step::Item(0), field("b")]),
            ),
            ("$[1][2]", Some(vec![Step::Item(1), Step::Item(2)])),
            ("a", None),
            ("$.a[x]", None),
            ("$.a[0", None),
            ("$.a..b", None),
        ];
        for (place, expected) in rows {
            assert_eq!(steps(place), expected, "{place}");
        }
    }
}
