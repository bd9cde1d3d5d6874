//! Which of two plans is the weaker one, for `--policy=strict`: weaker judges a revision less, or later, or lets more of it pass.

use slipway_api::names::annotation;

use crate::plan::{MetricSource, Plan, Strategy};
use crate::weight::Weight;

/// Whether, in what this annotation tunes, `plan` is weaker than `than`; if so, the value that it may not be weaker than.
pub(in crate::plan) fn weaker(key: &str, plan: &Plan, than: &Plan) -> Option<String> {
    let (is_weaker, limit) = match key {
        annotation::INTERVAL => (
            plan.interval < than.interval,
            slipway_api::go::format_duration(than.interval),
        ),
        annotation::SETTLE => (
            plan.settle < than.settle,
            slipway_api::go::format_duration(than.settle),
        ),
        annotation::CANARY_REPLICAS => (
            plan.canary_replicas < than.canary_replicas,
            than.canary_replicas.to_string(),
        ),
        annotation::HOLD_NEW_REVISION => (
            !plan.hold_new_revision && than.hold_new_revision,
            "true".to_owned(),
        ),
        annotation::THRESHOLD => (plan.threshold > than.threshold, than.threshold.to_string()),
        annotation::MAX_WEIGHT | annotation::STEP_WEIGHT | annotation::STEP_WEIGHTS => {
            let (new, old) = (weights(plan), weights(than));
            (have_larger_strides(&new, &old), list(&old))
        }
        annotation::ITERATIONS => {
            let (new, old) = (iterations(plan), iterations(than));
            (new < old, old.to_string())
        }
        annotation::SUCCESS_RATE => {
            let min = |plan: &Plan| bound(plan, &MetricSource::SuccessRate).and_then(|it| it.0);
            let old = min(than);
            (
                old.is_some_and(|old| min(plan).is_none_or(|new| new < old)),
                old.unwrap_or_default().to_string(),
            )
        }
        annotation::LATENCY => {
            let max = |plan: &Plan| bound(plan, &MetricSource::RequestDuration).and_then(|it| it.1);
            let old = max(than);
            (
                old.is_some_and(|old| max(plan).is_none_or(|new| new > old)),
                format!("p99<{}ms", old.unwrap_or_default()),
            )
        }
        annotation::MIRROR => (!mirrors(plan) && mirrors(than), "true".to_owned()),
        annotation::SKIP_ANALYSIS => (
            plan.skip_analysis && !than.skip_analysis,
            "false".to_owned(),
        ),
        annotation::PAUSED => (!plan.paused && than.paused, "true".to_owned()),
        annotation::ON_NO_DATA => (
            plan.on_no_data > than.on_no_data,
            than.on_no_data.to_string(),
        ),
        annotation::ON_PROVIDER_ERROR => (
            plan.on_provider_error > than.on_provider_error,
            than.on_provider_error.to_string(),
        ),
        annotation::ON_DELETE => (plan.orphans && !than.orphans, "restore".to_owned()),
        annotation::APPROVE => {
            let lacks = than.approve.iter().any(|gate| !plan.approve.contains(gate));
            let gates: Vec<&str> = than.approve.iter().map(|gate| gate.as_str()).collect();
            (lacks, gates.join(","))
        }
        annotation::AFTER => {
            let lacks = than.after.iter().any(|name| !plan.after.contains(name));
            (lacks, than.after.join(","))
        }
        _ => return super::judge::weaker(key, &plan.judge, &than.judge),
    };
    is_weaker.then_some(limit)
}

fn weights(plan: &Plan) -> Vec<Weight> {
    plan.steps().to_vec()
}

/// Fewer steps, a larger stride anywhere, or an end at a lower weight: each judges less before all users have the revision.
fn have_larger_strides(new: &[Weight], old: &[Weight]) -> bool {
    if old.is_empty() {
        return false;
    }
    let stride = |weights: &[Weight]| {
        let before = std::iter::once(&Weight::ZERO).chain(weights);
        let strides = before
            .zip(weights)
            .map(|(before, at)| at.percent() - before.percent());
        strides.max().unwrap_or(100)
    };
    new.len() < old.len() || stride(new) > stride(old) || new.last() < old.last()
}

fn list(weights: &[Weight]) -> String {
    let texts: Vec<String> = weights.iter().map(ToString::to_string).collect();
    texts.join(",")
}

fn iterations(plan: &Plan) -> i64 {
    match &plan.strategy {
        Strategy::BlueGreen { iterations, .. } | Strategy::AbTesting { iterations } => *iterations,
        Strategy::Canary { .. } => 0,
    }
}

fn mirrors(plan: &Plan) -> bool {
    match &plan.strategy {
        Strategy::Canary { mirror, .. } | Strategy::BlueGreen { mirror, .. } => *mirror,
        Strategy::AbTesting { .. } => false,
    }
}

fn bound(plan: &Plan, source: &MetricSource) -> Option<(Option<f64>, Option<f64>)> {
    let check = plan.metrics.iter().find(|check| check.source == *source)?;
    Some((check.min, check.max))
}
