//! Alert rules that can reach nobody: said before there is something to tell, and in nobody's way.

use std::sync::atomic::Ordering;

use kube::runtime::reflector::ObjectRef;
use slipway_api::{AlertProvider, CanaryAlert};
use slipway_core::object::kinds;
use slipway_core::plan::{Plan, Problem};
use slipway_hooks::notify::Chat;

use super::configs::Config;
use super::store::CanaryKey;
use super::watches::lock;
use crate::shell::Shell;

impl Shell {
    /// What is wrong with those whom the alert rules of a plan name.
    pub(super) fn alert_warnings(&self, key: &CanaryKey, plan: &Plan) -> Vec<Problem> {
        if !self.alert_providers_known.load(Ordering::Acquire) {
            return Vec::new();
        }
        let rules = plan.alerts.iter().enumerate();
        let wrong = rules.filter_map(|(index, rule)| self.check_alert(key, plan, index, rule));
        wrong.collect()
    }

    fn check_alert(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        index: usize,
        rule: &CanaryAlert,
    ) -> Option<Problem> {
        let namespace = rule.provider_ref.namespace.as_deref();
        let namespace = namespace.unwrap_or(&plan.canary.namespace);
        let name = &rule.provider_ref.name;
        let object = format!("AlertProvider {namespace}/{name}");
        let reference = ObjectRef::new(name).within(namespace);
        let Some(found) = self.alert_providers.get(&reference) else {
            let field = format!("spec.analysis.alerts[{index}].providerRef.name");
            let allowed = format!("but there is no {object}: these alerts are not sent");
            return Some(Problem::new(field, name, allowed));
        };
        let problem = match &found.0 {
            Ok(provider) => self.check_provider(key, namespace, provider)?,
            Err(error) => Problem::new("spec", "", format!("cannot be read: {error}")),
        };
        Some(problem.of(object))
    }

    fn check_provider(
        &self,
        key: &CanaryKey,
        namespace: &str,
        provider: &AlertProvider,
    ) -> Option<Problem> {
        let spec = &provider.spec;
        if let Err(problem) = Chat::parse(&spec.type_) {
            return Some(problem);
        }
        let Some(secret) = &spec.secret_ref else {
            let is_empty = spec.address.as_deref().unwrap_or_default().is_empty();
            return is_empty.then(|| {
                let allowed = "must be a URL, where spec.secretRef names no Secret";
                Problem::new("spec.address", "", allowed)
            });
        };
        // Only known where Secrets are watched; elsewhere the log says it when an alert is to be sent.
        let of_secret = kinds::SECRET.named(namespace, &secret.name);
        let is_absent = self.tracks_configs
            && namespace == key.namespace
            && matches!(
                lock(&self.watches.configs).get(&of_secret, key),
                Config::Absent
            );
        is_absent.then(|| {
            let allowed = format!("but there is no {of_secret}");
            Problem::new("spec.secretRef.name", &secret.name, allowed)
        })
    }
}
