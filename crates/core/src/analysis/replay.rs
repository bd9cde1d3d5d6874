//! The test over what was scraped in the past.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::Evidence;

use super::counters::{CounterSeries, Counters, count};
use super::judge::{Stage, Verdict, conclude, learn};
use super::settings::JudgeSettings;
use crate::weight::Weight;
use crate::words;

/// One tick of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When it was.
    pub at: DateTime<Utc>,
    /// The canary's weight.
    pub weight: Weight,
    /// What the test says.
    pub verdict: Verdict,
    /// By which numbers, in a sentence.
    pub says: String,
}

/// The past of a release.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// From when on the canary had each weight, in order; never empty.
    pub weights: Vec<(DateTime<Utc>, Weight)>,
    /// When it ended.
    pub until: DateTime<Utc>,
    /// The weights of its plan.
    pub steps: Vec<Weight>,
}

/// What the test would have said at each tick in which something was counted. The weights are those that the release had: what the test would
/// have changed is not played on.
pub fn replay(settings: &JudgeSettings, past: &Past, counters: &Counters) -> Vec<Moment> {
    let Some((begin, _)) = past.weights.first() else {
        return Vec::new();
    };
    let mut known = Evidence {
        until: Some(*begin),
        edges: settings.edges.clone().or_else(|| counters.edges.clone()),
        ..Evidence::default()
    };
    let tick = settings.tick.max(TimeDelta::seconds(1));
    let mut moments = Vec::new();
    let mut now = *begin + tick;
    while now <= past.until {
        let passed = past.weights.iter().rev().find(|(since, _)| *since < now);
        if let Some((since, weight)) = passed {
            let mut seen = count(&mut known, &before(counters, now), *since + tick);
            if known.accounts <= 1 && now < *begin + settings.warmup {
                seen.slow.clear();
            }
            let stage = Stage {
                steps: &past.steps,
                weight: *weight,
                stood: now - *since,
            };
            learn(&mut known, settings, stage, &seen);
            if seen.is_news() {
                let verdict = conclude(&known, settings, stage, &seen);
                let says = words::evidence(&known, settings, stage, verdict);
                moments.push(Moment {
                    at: now,
                    weight: *weight,
                    verdict,
                    says,
                });
            }
        }
        now += tick;
    }
    moments
}

/// What had been scraped then.
fn before(counters: &Counters, now: DateTime<Utc>) -> Counters {
    let then = |one: &CounterSeries| CounterSeries {
        samples: one
            .samples
            .iter()
            .copied()
            .filter(|(at, _)| *at <= now)
            .collect(),
        ..one.clone()
    };
    let series = counters.series.iter().map(then);
    Counters {
        series: series.filter(|one| !one.samples.is_empty()).collect(),
        edges: counters.edges.clone(),
    }
}

#[cfg(test)]
mod tests {
    use slipway_api::Side;

    use super::*;
    use crate::analysis::{Cause, Counts};

    fn second(at: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(at)
    }

    /// A counter that grows by so many requests with each scrape from a time on.
    fn grows(side: Side, counts: Counts, from: i64, by: f64) -> CounterSeries {
        let mut value = 0.0;
        let samples = (from..600).step_by(5).map(|at| {
            value += by;
            (second(at), value)
        });
        CounterSeries {
            side,
            pod: format!("{side:?}"),
            counts,
            samples: samples.collect(),
        }
    }

    #[test]
    fn a_failure_of_the_past_is_found_when_it_began_and_not_before() {
        let good = |side, by| grows(side, Counts::Good, 0, by);
        let counters = Counters {
            series: vec![
                good(Side::Primary, 475.0),
                good(Side::Canary, 25.0),
                grows(Side::Canary, Counts::Failed, 300, 25.0),
            ],
            edges: None,
        };
        let past = Past {
            weights: vec![
                (second(60), Weight::clamped(1)),
                (second(200), Weight::clamped(5)),
            ],
            until: second(500),
            steps: [1, 5, 10].map(Weight::clamped).to_vec(),
        };
        let moments = replay(&JudgeSettings::default(), &past, &counters);
        let bad = |it: &&Moment| matches!(it.verdict, Verdict::RollBack(_));
        let first = moments.iter().find(bad).unwrap();
        assert!((second(310)..=second(350)).contains(&first.at), "{first:?}");
        assert_eq!(first.weight, Weight::clamped(5));
        let causes = [Cause::Cliff, Cause::Evidence].map(Verdict::RollBack);
        assert!(causes.contains(&first.verdict), "{first:?}");
        assert!(first.says.starts_with("canary fails "), "{}", first.says);
        assert!(moments.iter().all(|it| it.at > second(60)));
    }
}
