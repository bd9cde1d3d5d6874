//! Where each value of a plan came from: default, spec, or the annotation that is in force.

use slipway_api::names::annotation;
use slipway_api::{CanarySpec, go};

use crate::analysis::JudgeMode;

use super::{MetricCheck, MetricSource, Place, Plan, Strategy};

/// One value of a plan, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// Every value of the plan in force with its origin, in the order in which a release meets them.
pub fn lines(plan: &Plan, spec: &CanarySpec) -> Vec<Line> {
    let mut lines = Lines {
        plan,
        all: Vec::new(),
    };
    lines.add(
        "provider",
        plan.provider.to_string(),
        &[],
        given(spec.provider.is_some(), "spec.provider"),
    );
    let target = format!("{} {}", plan.target.kind.as_str(), plan.target.name);
    lines.add("target", target, &[], Some("spec.targetRef"));
    lines.strategy(spec);
    lines.pace(spec);
    lines.gates(spec);
    lines.judge();
    for check in &plan.metrics {
        lines.check(check);
    }
    for hook in &plan.hooks {
        let name = format!("hook {}", hook.name);
        let value = format!("{} {}", hook.kind.as_str(), hook.url);
        lines.add(name, value, &[], Some("spec.analysis.webhooks"));
    }
    lines.all
}

struct Lines<'a> {
    plan: &'a Plan,
    all: Vec<Line>,
}

fn given(is_given: bool, field: &'static str) -> Option<&'static str> {
    is_given.then_some(field)
}

impl Lines<'_> {
    fn add(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
        keys: &[&str],
        field: Option<&str>,
    ) {
        let tuned: Vec<String> = keys
            .iter()
            .filter_map(|key| Some((*key, self.plan.tuning.get(key)?)))
            .map(|(key, tuned)| format!("annotation {key} of {}", self.place(tuned.place)))
            .collect();
        let origin = if tuned.is_empty() {
            field.map_or_else(|| "default".to_owned(), str::to_owned)
        } else {
            tuned.join(", ")
        };
        let (name, value) = (name.into(), value.into());
        self.all.push(Line {
            name,
            value,
            origin,
        });
    }

    fn place(&self, place: Place) -> String {
        match place {
            Place::Canary => format!("Canary {}", self.plan.canary.name),
            Place::Target => {
                format!(
                    "{} {}",
                    self.plan.target.kind.as_str(),
                    self.plan.target.name
                )
            }
        }
    }

    fn strategy(&mut self, spec: &CanarySpec) {
        let analysis = spec.analysis_in_force();
        let plan = self.plan;
        self.add(
            "strategy",
            plan.strategy.label(),
            &[],
            given(analysis.is_some(), "spec.analysis"),
        );
        let mirrors = match &plan.strategy {
            Strategy::Canary { steps, mirror } => {
                let weights: Vec<String> = steps.iter().map(ToString::to_string).collect();
                let keys = [
                    annotation::STEP_WEIGHTS,
                    annotation::STEP_WEIGHT,
                    annotation::MAX_WEIGHT,
                ];
                let field = analysis.map(|analysis| {
                    if analysis.step_weight.is_zero() {
                        "spec.analysis.stepWeights"
                    } else {
                        "spec.analysis.stepWeight, maxWeight"
                    }
                });
                self.add("steps", weights.join(","), &keys, field);
                *mirror
            }
            Strategy::BlueGreen { iterations, mirror } => {
                self.iterations(*iterations, spec);
                *mirror
            }
            Strategy::AbTesting { iterations } => {
                self.iterations(*iterations, spec);
                false
            }
        };
        let field = given(analysis.is_some_and(|it| it.mirror), "spec.analysis.mirror");
        self.add("mirror", mirrors.to_string(), &[annotation::MIRROR], field);
    }

    fn iterations(&mut self, iterations: i64, spec: &CanarySpec) {
        let analysis = spec.analysis_in_force();
        let is_given = analysis.is_some_and(|it| !it.iterations.is_zero());
        let field = given(is_given, "spec.analysis.iterations");
        self.add(
            "iterations",
            iterations.to_string(),
            &[annotation::ITERATIONS],
            field,
        );
    }

    fn pace(&mut self, spec: &CanarySpec) {
        let (plan, analysis) = (self.plan, spec.analysis_in_force());
        let field = given(
            analysis.is_some_and(|it| it.interval.is_some()),
            "spec.analysis.interval",
        );
        let interval = go::format_duration(plan.interval);
        self.add("interval", interval, &[annotation::INTERVAL], field);
        let field = given(
            analysis.is_some_and(|it| !it.threshold.is_zero()),
            "spec.analysis.threshold",
        );
        self.add(
            "threshold",
            plan.threshold.to_string(),
            &[annotation::THRESHOLD],
            field,
        );
        let field = given(
            spec.progress_deadline_seconds.is_some(),
            "spec.progressDeadlineSeconds",
        );
        let deadline = go::format_duration(plan.progress_deadline);
        self.add("progress deadline", deadline, &[], field);
        let settle = go::format_duration(plan.settle);
        self.add("settle", settle, &[annotation::SETTLE], None);
        let size = plan.canary_replicas.to_string();
        let keys = [annotation::CANARY_REPLICAS];
        self.add("canary replicas", size, &keys, None);
        let holds = plan.hold_new_revision.to_string();
        let keys = [annotation::HOLD_NEW_REVISION];
        self.add("hold new revision", holds, &keys, None);
    }

    fn gates(&mut self, spec: &CanarySpec) {
        let plan = self.plan;
        let field = given(spec.skip_analysis, "spec.skipAnalysis");
        self.add(
            "skip analysis",
            plan.skip_analysis.to_string(),
            &[annotation::SKIP_ANALYSIS],
            field,
        );
        self.add(
            "suspended",
            plan.suspend.to_string(),
            &[],
            given(spec.suspend, "spec.suspend"),
        );
        self.add(
            "paused",
            plan.paused.to_string(),
            &[annotation::PAUSED],
            None,
        );
        let gates: Vec<&str> = plan.approve.iter().map(|gate| gate.as_str()).collect();
        let gates = if gates.is_empty() {
            "none".to_owned()
        } else {
            gates.join(",")
        };
        self.add("approvals", gates, &[annotation::APPROVE], None);
        let after = if plan.after.is_empty() {
            "none".to_owned()
        } else {
            plan.after.join(",")
        };
        self.add("after", after, &[annotation::AFTER], None);
        if let Some(secret) = &plan.metrics_server_secret {
            let key = annotation::METRICS_SERVER_SECRET;
            self.add("metrics server's secret", secret, &[key], None);
        }
        let keys = [annotation::ON_NO_DATA, annotation::ON_PROVIDER_ERROR];
        self.add("on no data", plan.on_no_data.to_string(), &keys[..1], None);
        let on_error = plan.on_provider_error.to_string();
        self.add("on provider error", on_error, &keys[1..], None);
        let on_delete = if plan.orphans { "orphan" } else { "restore" };
        self.add(
            "on delete",
            on_delete.to_owned(),
            &[annotation::ON_DELETE],
            None,
        );
    }

    /// The part of the sequential test; how it plays it only where it plays one.
    fn judge(&mut self) {
        let judge = &self.plan.judge;
        let shown = match judge.mode {
            JudgeMode::Off => &annotation::JUDGE[..1],
            JudgeMode::Shadow | JudgeMode::Protect | JudgeMode::Full => &annotation::JUDGE[..],
        };
        for key in shown {
            let name = key.trim_start_matches(annotation::PREFIX).replace('-', " ");
            self.add(name, judge.text(key), &[key], None);
        }
    }

    fn check(&mut self, check: &MetricCheck) {
        let key: &[&str] = match check.source {
            MetricSource::SuccessRate => &[annotation::SUCCESS_RATE],
            MetricSource::RequestDuration => &[annotation::LATENCY],
            MetricSource::Query(_) | MetricSource::Template { .. } => &[],
        };
        let name = format!("check {}", check.name);
        self.add(name, limit(check), key, Some("spec.analysis.metrics"));
    }
}

/// The bounds of a check, for people: `>= 99%`, `<= 500ms`.
pub fn limit(check: &MetricCheck) -> String {
    let unit = match check.source {
        MetricSource::SuccessRate => "%",
        MetricSource::RequestDuration => "ms",
        MetricSource::Query(_) | MetricSource::Template { .. } => "",
    };
    let min = check.min.map(|min| format!(">= {min}{unit}"));
    let max = check.max.map(|max| format!("<= {max}{unit}"));
    let bounds: Vec<String> = min.into_iter().chain(max).collect();
    bounds.join(" and ")
}
