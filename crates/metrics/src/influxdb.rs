//! `InfluxDB`: a Flux query.
//!
//! **Source**: dossier 02 C.3 (influxdb); `InfluxDB`'s API `/api/v2/query` and its annotated CSV.
//!
//! **Differs from Flagger**: no rows and an error in place of rows are never 0; whole numbers are values; several tables are refused instead of
//! the first one winning.

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::json;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::call::{Call, given, query};
use crate::{Ask, MetricError, MetricProvider, SecretData, Transport, answer};

/// The codec.
pub(crate) struct Influxdb;

const NEEDED: &str = "token and org are needed";
/// What the probe asks for.
const PROBE: &str = "from(bucket:\"default\") |> range(start:-2h)";

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    flux: &str,
) -> Result<Request<Vec<u8>>, MetricError> {
    let mut call = Call::new(spec, None, "/api/v2/query")?;
    if spec.secret_ref.is_some() {
        let token = given(spec, secret, "token", NEEDED)?;
        let org = given(spec, secret, "org", NEEDED)?;
        call =
            call.with("org", org.text.expose_secret())
                .secret(AUTHORIZATION, "Token ", &token)?;
    }
    let body = json!({
        "query": flux, "type": "flux",
        "dialect": {"annotations": ["datatype", "group", "default"], "delimiter": ",", "header": true},
    });
    call.post("application/json", body.to_string().into_bytes())
}

impl MetricProvider for Influxdb {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, query(ask)?)
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        if !status.is_success() {
            return answer::failed_with(status, body);
        }
        match std::str::from_utf8(body) {
            Ok(text) => read(text),
            Err(_) => answer::invalid("it must be text"),
        }
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, PROBE)
    }

    fn transport(&self, spec: &MetricProviderSpec) -> Transport {
        Transport {
            timeout: chrono::TimeDelta::seconds(15),
            verify_tls: !spec.insecure_skip_verify,
            ..Transport::default()
        }
    }
}

/// The first row of the one table.
fn read(text: &str) -> Reading {
    let mut header: Vec<String> = Vec::new();
    let mut defaults: Vec<String> = Vec::new();
    let mut rows: Vec<(String, Option<String>)> = Vec::new();
    let mut is_header_next = true;
    for record in records(text) {
        let first = record.first().map_or("", String::as_str);
        if record.len() <= 1 && first.is_empty() {
            // A blank line ends a part: annotations and a header follow.
            is_header_next = true;
        } else if first == "#default" {
            (defaults, is_header_next) = (record, true);
        } else if first.starts_with('#') {
            is_header_next = true;
        } else if is_header_next {
            (header, is_header_next) = (record, false);
        } else {
            if let Some(why) = cell(&header, &defaults, &record, "error") {
                return answer::invalid(&why);
            }
            let table = cell(&header, &defaults, &record, "table").unwrap_or_default();
            rows.push((table, cell(&header, &defaults, &record, "_value")));
        }
    }
    let Some((table, value)) = rows.first() else {
        return answer::none();
    };
    if rows.iter().any(|(other, _)| other != table) {
        let mut tables: Vec<String> = rows
            .iter()
            .map(|(table, _)| format!("table {table}"))
            .collect();
        tables.dedup();
        return answer::several(tables.into_iter());
    }
    answer::value(value.clone().map(serde_json::Value::String).as_ref())
}

/// The cell of that column; the default where it is empty, and nothing where that is empty as well.
fn cell(header: &[String], defaults: &[String], record: &[String], column: &str) -> Option<String> {
    let at = header.iter().position(|name| name == column)?;
    let cells = [record.get(at), defaults.get(at)];
    cells
        .into_iter()
        .flatten()
        .find(|cell| !cell.is_empty())
        .cloned()
}

/// The records of a CSV (RFC 4180).
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let (mut record, mut field) = (Vec::new(), String::new());
    let mut letters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            '\r' if !is_quoted => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}
