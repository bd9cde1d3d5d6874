//! New Relic: an NRQL query over one window of the check.
//!
//! **Source**: dossier 02 C.3 (newrelic); New Relic's Insights query API.
//!
//! **Differs from Flagger**: several results are told by their number instead of as "no values".

use http::{HeaderName, Request, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::call::{Call, given, interval, query};
use crate::{Ask, MetricError, MetricProvider, SecretData, answer};

/// The codec.
pub(crate) struct NewRelic;

const ADDRESS: &str = "https://insights-api.newrelic.com";
const NEEDED: &str = "newrelic_account_id and newrelic_query_key are needed";

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    nrql: &str,
) -> Result<Request<Vec<u8>>, MetricError> {
    let account = given(spec, secret, "newrelic_account_id", NEEDED)?;
    let key = given(spec, secret, "newrelic_query_key", NEEDED)?;
    let account = account.text.expose_secret();
    if account.is_empty() || !account.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        return Err(MetricError::SecretKey {
            secret: spec
                .secret_ref
                .as_ref()
                .map_or_else(String::new, |it| it.name.clone()),
            missing: "newrelic_account_id",
            needed: "it must be the number of an account",
        });
    }
    Call::new(
        spec,
        Some(ADDRESS),
        &format!("/v1/accounts/{account}/query"),
    )?
    .with("nrql", nrql)
    .secret(HeaderName::from_static("x-query-key"), "", &key)?
    .get()
}

impl MetricProvider for NewRelic {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let seconds = interval(ask)?.num_seconds();
        let nrql = format!("{} SINCE {seconds} seconds ago", query(ask)?);
        call(spec, secret, &nrql)
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        let answer = match answer::json(status, body) {
            Ok(answer) => answer,
            Err(why) => return why,
        };
        let results = answer.get("results").and_then(Value::as_array);
        match results.map(Vec::as_slice) {
            None | Some([]) => answer::none(),
            Some([one]) => answer::value(one.get("result")),
            Some(several) => {
                let names = several.iter().enumerate();
                answer::several(names.map(|(at, one)| format!("result {at}: {one}")))
            }
        }
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, "SELECT * FROM Metric SINCE 60 seconds ago")
    }
}
