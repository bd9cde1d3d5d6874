//! A query of `CloudWatch`: a list of `MetricDataQuery` in JSON.

use serde_json::{Map, Value};

use crate::text::bounded;

/// What an object is, and the fields that it may have.
struct Shape {
    what: &'static str,
    fields: &'static [(&'static str, Field)],
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Field {
    /// Whatever it is, `CloudWatch` judges it.
    Plain,
    One(&'static Shape),
    Many(&'static Shape),
}

static QUERY: Shape = Shape {
    what: "a query",
    fields: &[
        ("AccountId", Field::Plain),
        ("Expression", Field::Plain),
        ("Id", Field::Plain),
        ("Label", Field::Plain),
        ("MetricStat", Field::One(&STATISTIC)),
        ("Period", Field::Plain),
        ("ReturnData", Field::Plain),
    ],
};
static STATISTIC: Shape = Shape {
    what: "a MetricStat",
    fields: &[
        ("Metric", Field::One(&METRIC)),
        ("Period", Field::Plain),
        ("Stat", Field::Plain),
        ("Unit", Field::Plain),
    ],
};
static METRIC: Shape = Shape {
    what: "a Metric",
    fields: &[
        ("Dimensions", Field::Many(&DIMENSION)),
        ("MetricName", Field::Plain),
        ("Namespace", Field::Plain),
    ],
};
static DIMENSION: Shape = Shape {
    what: "a dimension",
    fields: &[("Name", Field::Plain), ("Value", Field::Plain)],
};

/// The queries, with the names of their fields as `CloudWatch` writes them: in which letters they are written does not matter, as in Flagger.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let parsed: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if parsed.as_array().is_some_and(Vec::is_empty) {
        return Err("the list is empty".to_owned());
    }
    many(parsed, &QUERY)
}

fn many(value: Value, shape: &Shape) -> Result<Value, String> {
    let Value::Array(all) = value else {
        return Err(format!("it must be a list, each item {}", shape.what));
    };
    let all = all.into_iter().map(|item| one(item, shape));
    all.collect::<Result<_, _>>().map(Value::Array)
}

fn one(value: Value, shape: &Shape) -> Result<Value, String> {
    let Shape { what, fields } = shape;
    let Value::Object(found) = value else {
        return Err(format!("{what} must be an object"));
    };
    let mut named = Map::new();
    for (name, value) in found {
        // A null is what Go takes for absent.
        if value.is_null() {
            continue;
        }
        let known = fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name));
        let (known, field) = known.ok_or_else(|| {
            let allowed: Vec<_> = fields.iter().map(|(known, _)| *known).collect();
            let name = bounded(&name, 50);
            format!("{what} has {name:?}, allowed is {}", allowed.join(", "))
        })?;
        let value = match field {
            Field::Plain => value,
            Field::One(shape) => one(value, shape)?,
            Field::Many(shape) => many(value, shape)?,
        };
        named.insert((*known).to_owned(), value);
    }
    Ok(Value::Object(named))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_fields_are_written_as_cloudwatch_does() {
        let text = r#"[{"id": "m1", "label": null, "RETURNDATA": false, "metricStat": {
            "metric": {"namespace": "AWS/SQS", "metricname": "Age", "dimensions": [{"name": "Queue", "value": "id"}]},
            "period": 60, "stat": "Average", "unit": "Count"}}]"#;
        let expected = json!([{"Id": "m1", "ReturnData": false, "MetricStat": {
            "Metric": {"Namespace": "AWS/SQS", "MetricName": "Age", "Dimensions": [{"Name": "Queue", "Value": "id"}]},
            "Period": 60, "Stat": "Average", "Unit": "Count"}}]);
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_no_list_of_queries_is_refused_and_the_place_is_said() {
        let rows = [
            ("up", "expected value"),
            ("[]", "the list is empty"),
            (r#"{"Id": "m1"}"#, "must be a list"),
            ("[1]", "a query must be an object"),
            (
                r#"[{"Id": "m1", "Perod": 60}]"#,
                "a query has \"Perod\", allowed is AccountId",
            ),
            (r#"[{"MetricStat": []}]"#, "a MetricStat must be an object"),
            (
                r#"[{"MetricStat": {"Metric": {"Dimensions": {"Name": "x"}}}}]"#,
                "a list, each item a dimension",
            ),
        ];
        for (text, expected) in rows {
            let why = parse(text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
