//! Which latencies are worth counting: where the median, the slowest tenth and the slowest hundredth of the primary's requests begin, as its
//! histogram can tell them.

use http::StatusCode;

use super::Sides;
use super::table::{self, Latency, Who};
use crate::builtin::Telemetry;
use crate::prometheus;

/// The shares of requests that are faster than each latency.
const SHARES: [f64; 3] = [0.5, 0.9, 0.99];

/// The query for the histogram of the last hour of a primary; none where that telemetry has none.
pub fn edges_query(telemetry: Telemetry, sides: &Sides) -> Option<String> {
    let source = table::source(telemetry)?;
    let [_, primary] = source.names(sides);
    let name = match source.who {
        Who::Workload(label) => format!(r#"{label}="{primary}""#),
        Who::Pod(label) => format!(r#"{label}=~"{primary}""#),
    };
    let mut matchers = vec![
        format!(r#"{}="{}""#, source.namespace, sides.namespace),
        name,
    ];
    matchers.extend(source.extra.iter().map(ToString::to_string));
    matchers.extend(source.latency.ok.iter().map(ToString::to_string));
    Some(format!(
        "sum by (le) (increase({}{{{}}}[1h]))",
        source.latency.bucket,
        matchers.join(", ")
    ))
}

/// The latencies that a histogram names, in milliseconds, growing; none for one without requests.
///
/// # Errors
/// Why there is no histogram.
pub fn edges(telemetry: Telemetry, status: StatusCode, body: &[u8]) -> Result<Vec<u32>, String> {
    let source = table::source(telemetry)
        .ok_or_else(|| format!("{} has no histogram", telemetry.as_str()))?;
    let mut buckets: Vec<(f64, f64)> = prometheus::vector(status, body)?
        .iter()
        .filter_map(|one| {
            let bound = one.metric().get("le")?.parse().ok()?;
            Some((bound, one.sample().value()))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    let mut found: Vec<u32> = Vec::new();
    for share in SHARES {
        let mut wide = buckets.iter().filter(|(_, count)| *count >= share * all);
        // A bound that is no whole millisecond is left for the next one that is.
        let edge = wide.find_map(|(bound, _)| source.latency.milliseconds(*bound));
        found.extend(edge.filter(|edge| all > 0.0 && !found.contains(edge)));
    }
    Ok(found)
}

impl Latency {
    /// A bound of the histogram in milliseconds, if it is a whole number of them.
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within the bounds of the type"
    )]
    pub(super) fn milliseconds(&self, bound: f64) -> Option<u32> {
        let milliseconds = bound / self.per_millisecond;
        let whole = milliseconds.round();
        let is_whole = (milliseconds - whole).abs() < 1e-6 && (1.0..=1e9).contains(&whole);
        is_whole.then_some(whole as u32)
    }

    /// The expression that the label of such a bound matches: Prometheus 3 writes `100.0` where its ancestors wrote `100`.
    pub(super) fn bound(&self, milliseconds: u32) -> String {
        let text = (f64::from(milliseconds) * self.per_millisecond).to_string();
        match text.split_once('.') {
            Some((whole, part)) => format!("{whole}[.]{part}"),
            None => format!("{text}([.]0)?"),
        }
    }
}
