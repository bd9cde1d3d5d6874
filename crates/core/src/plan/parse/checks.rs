//! Metric checks, hooks and alert rules.

use chrono::TimeDelta;
use slipway_api::{
    AlertSeverity, CanaryAlert, CanaryMetric, CanarySpec, CanaryWebhook, CrossNamespaceReference,
    HookType, go,
};

use super::{Defaults, Problems};
use crate::plan::{CanaryId, Hook, HookKind, MetricCheck, MetricSource};

/// Every metric check, in the order in which they are asked: built-ins and queries of the Canary's own first, then templates.
///
/// **Source**: dossier 01 §9.1 (two passes; one entry may be both a built-in and a template).
pub(super) fn metrics(
    spec: &CanarySpec,
    id: &CanaryId,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Vec<MetricCheck> {
    let Some(analysis) = spec.analysis_in_force() else {
        return Vec::new();
    };
    let mut first = Vec::new();
    let mut templates = Vec::new();
    for (index, metric) in analysis.metrics.iter().enumerate() {
        let field = format!("spec.analysis.metrics[{index}]");
        check_window(metric, &field, problems);
        let builtin = match metric.name.as_str() {
            "request-success-rate" => Some(MetricSource::SuccessRate),
            "request-duration" => Some(MetricSource::RequestDuration),
            _ => None,
        };
        let has_builtin = builtin.is_some();
        let query = metric.query.clone().map(MetricSource::Query);
        for source in builtin.into_iter().chain(query) {
            first.extend(check(metric, source, &field, problems));
        }
        if let Some(reference) = &metric.template_ref {
            let namespace = namespace_of(
                reference,
                id,
                &format!("{field}.templateRef"),
                defaults,
                problems,
            );
            let (name, variables) = (reference.name.clone(), metric.template_variables.clone());
            templates.extend(check(
                metric,
                MetricSource::Template {
                    namespace,
                    name,
                    variables,
                },
                &field,
                problems,
            ));
        } else if !has_builtin && metric.query.is_none() {
            problems.add(
                format!("{field}.name"),
                &metric.name,
                "must be request-success-rate or request-duration, or have a query or a templateRef",
            );
        }
    }
    first.append(&mut templates);
    first
}

fn check_window(metric: &CanaryMetric, field: &str, problems: &mut Problems) {
    if let Some(text) = &metric.interval
        && !go::parse_duration(text).is_ok_and(|window| window > TimeDelta::zero())
    {
        problems.add(
            format!("{field}.interval"),
            text,
            "must be a duration longer than nothing, such as 30s or 1m",
        );
    }
}

/// One check with its bounds: `thresholdRange`, or the former `threshold`, which is a least value for a success rate and a greatest for the rest.
///
/// **Differs from Flagger**, which compares with 0 where neither is given, so that a success rate without a threshold always passes (INV-12).
fn check(
    metric: &CanaryMetric,
    source: MetricSource,
    field: &str,
    problems: &mut Problems,
) -> Option<MetricCheck> {
    let (min, max) = match (&metric.threshold_range, metric.threshold) {
        (Some(range), _) => (range.min, range.max),
        (None, Some(threshold)) if source == MetricSource::SuccessRate => (Some(threshold), None),
        (None, Some(threshold)) => (None, Some(threshold)),
        (None, None) => (None, None),
    };
    if min.is_none() && max.is_none() {
        let text = format!(
            "must have a min or a max: {} is not judged without",
            metric.name
        );
        problems.add(format!("{field}.thresholdRange"), "", text);
        return None;
    }
    for bound in [min, max].into_iter().flatten() {
        if !bound.is_finite() {
            let text = "must be a finite number";
            problems.add(format!("{field}.thresholdRange"), bound, text);
        }
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        problems.add(
            format!("{field}.thresholdRange.min"),
            min,
            format!("must not be greater than max, which is {max}"),
        );
    }
    let interval = match &source {
        MetricSource::Template { .. } => metric.interval.clone().unwrap_or_default(),
        MetricSource::SuccessRate | MetricSource::RequestDuration | MetricSource::Query(_) => {
            metric.interval.clone().unwrap_or_else(|| "1m".to_owned())
        }
    };
    Some(MetricCheck {
        name: metric.name.clone(),
        source,
        interval,
        min,
        max,
    })
}

/// Every hook, in order.
pub(super) fn hooks(spec: &CanarySpec, problems: &mut Problems) -> Vec<Hook> {
    let webhooks = spec
        .analysis_in_force()
        .map(|analysis| analysis.webhooks.as_slice())
        .unwrap_or_default();
    let mut hooks: Vec<Hook> = Vec::new();
    for (index, webhook) in webhooks.iter().enumerate() {
        let field = format!("spec.analysis.webhooks[{index}]");
        let hook = hook(webhook, &field, problems);
        if let Some(hook) = hook {
            if hooks
                .iter()
                .any(|other| other.name == hook.name && other.kind == hook.kind)
            {
                problems.add(
                    format!("{field}.name"),
                    &hook.name,
                    "must not be the name of another hook of this type",
                );
            }
            hooks.push(hook);
        }
    }
    hooks
}

fn hook(webhook: &CanaryWebhook, field: &str, problems: &mut Problems) -> Option<Hook> {
    if !(webhook.url.starts_with("http://") || webhook.url.starts_with("https://")) {
        problems.add(
            format!("{field}.url"),
            &webhook.url,
            "must be a URL that starts with http:// or https://",
        );
    }
    let retries = problems.integer(
        &format!("{field}.retries"),
        webhook.retries,
        i64::from(i32::MIN)..=100,
        0,
    );
    Some(Hook {
        name: webhook.name.clone(),
        kind: hook_kind(&webhook.type_, field, problems)?,
        url: webhook.url.clone(),
        timeout: hook_timeout(webhook, field, problems),
        // A negative number means no retries, as in Flagger.
        retries: u32::try_from(retries).unwrap_or(0),
        mute_alert: webhook.mute_alert,
        disable_tls: webhook.disable_tls,
        metadata: webhook.metadata.clone(),
    })
}

fn hook_kind(type_: &HookType, field: &str, problems: &mut Problems) -> Option<HookKind> {
    Some(match type_ {
        HookType::ConfirmRollout => HookKind::ConfirmRollout,
        HookType::PreRollout => HookKind::PreRollout,
        HookType::Rollout => HookKind::Rollout,
        HookType::ConfirmTrafficIncrease => HookKind::ConfirmTrafficIncrease,
        HookType::ConfirmPromotion => HookKind::ConfirmPromotion,
        HookType::PostRollout => HookKind::PostRollout,
        HookType::Event => HookKind::Event,
        HookType::Rollback => HookKind::Rollback,
        HookType::Unknown(word) => {
            let words = HookType::ALL.map(String::from).join(", ");
            problems.add(
                format!("{field}.type"),
                word,
                format!("must be one of {words}"),
            );
            return None;
        }
    })
}

/// Flagger's rule: shorter than two characters is 10 s. Nothing and less than nothing mean no limit there; here they are a mistake.
fn hook_timeout(webhook: &CanaryWebhook, field: &str, problems: &mut Problems) -> TimeDelta {
    let ten = TimeDelta::seconds(10);
    match webhook.timeout.as_deref() {
        None => ten,
        Some(text) if text.len() < 2 => ten,
        Some(text) => match go::parse_duration(text) {
            Ok(timeout) if timeout > TimeDelta::zero() => timeout,
            Ok(_) | Err(_) => {
                problems.add(
                    format!("{field}.timeout"),
                    text,
                    "must be a duration longer than nothing, such as 30s or 1m",
                );
                ten
            }
        },
    }
}

/// Every alert rule, in order.
pub(super) fn alerts(
    spec: &CanarySpec,
    id: &CanaryId,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Vec<CanaryAlert> {
    let alerts = spec
        .analysis_in_force()
        .map(|analysis| analysis.alerts.clone())
        .unwrap_or_default();
    for (index, alert) in alerts.iter().enumerate() {
        let field = format!("spec.analysis.alerts[{index}]");
        if let Some(AlertSeverity::Unknown(word)) = &alert.severity {
            problems.add(
                format!("{field}.severity"),
                word,
                "must be info, warn or error",
            );
        }
        namespace_of(
            &alert.provider_ref,
            id,
            &format!("{field}.providerRef"),
            defaults,
            problems,
        );
    }
    alerts
}

fn namespace_of(
    reference: &CrossNamespaceReference,
    id: &CanaryId,
    field: &str,
    defaults: &Defaults,
    problems: &mut Problems,
) -> String {
    let namespace = reference
        .namespace
        .clone()
        .unwrap_or_else(|| id.namespace.clone());
    if namespace != id.namespace && !defaults.cross_namespace_references {
        let text = format!(
            "must be {}: the controller's -no-cross-namespace-refs blocks references to other namespaces",
            id.namespace
        );
        problems.add(format!("{field}.namespace"), &namespace, text);
    }
    namespace
}
