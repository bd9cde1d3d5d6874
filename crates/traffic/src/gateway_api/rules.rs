//! The rules of a route: which lead to us, what they look like, and where they stand among others.

use serde_json::{Map, Value, json};
use slipway_core::blueprint::Blueprint;
use slipway_core::object::Key;
use slipway_core::plan::{Names, Plan, Problem};
use slipway_core::weight::{Routes, Weight};

use super::filters::{self, Attributes};
use super::matches::{self, Form};
use super::parents::text;
use crate::affinity::{Affinity, Cookie};
use crate::share::share;

/// The fields of a rule that a Canary has words for. Every other one (`name`, `retry`, what is newer than this code) stays as it was found.
const WORDS: [&str; 4] = ["matches", "filters", "backendRefs", "timeouts"];

/// The two sides of an apex, as backends.
pub(super) struct Sides<'a> {
    names: &'a Names,
    namespace: &'a str,
    port: u16,
    form: Form,
}

/// A rule without its backends: what a user's rule that led to us says, or nothing.
#[derive(Clone, Debug, Default)]
struct Base {
    fields: Map<String, Value>,
    filters: Vec<Value>,
    timeouts: Option<Value>,
    matches: Vec<Value>,
}

impl<'a> Sides<'a> {
    pub(super) fn of(form: Form, plan: &'a Plan) -> Self {
        Self {
            names: &plan.names,
            namespace: &plan.canary.namespace,
            port: plan.port,
            form,
        }
    }

    /// All rules of the route: those that stand there and lead elsewhere, and ours.
    ///
    /// `theirs`: the rules that the user had before, where the route is the user's; `live`: those that stand now.
    pub(super) fn rules(
        &self,
        blueprint: &Blueprint<'_>,
        attributes: &Attributes,
        theirs: Option<&Vec<Value>>,
        live: &[Value],
        want: Routes,
    ) -> Vec<Value> {
        let service = &blueprint.canary.spec.service;
        let own = matches::all(self.form, &service.match_);
        let mut bases = self.bases(theirs.map_or(&[], Vec::as_slice), live);
        if !own.is_empty() {
            // The Canary says which requests: one rule of theirs is enough to say what is done with them.
            bases.drain(..bases.len().saturating_sub(1));
        }
        let mut generated = Vec::new();
        for mut base in bases {
            if !own.is_empty() || base.matches.is_empty() {
                base.matches.clone_from(&own);
            }
            if base.matches.is_empty() {
                base.matches = matches::everything(self.form);
            }
            base.filters = filters::joined(&base.filters, &attributes.filters);
            base.timeouts = attributes.timeouts.clone().or(base.timeouts);
            generated.extend(self.of_base(blueprint, &base, want));
        }
        self.among(live, generated)
    }

    /// What our rules begin from: each rule of the user that led to the apex, so that it goes on being about its own requests; else what others have
    /// added to ours.
    fn bases(&self, theirs: &[Value], live: &[Value]) -> Vec<Base> {
        let ours: Vec<&Value> = live.iter().filter(|rule| self.is_ours(rule)).collect();
        let are_led = ours.iter().any(|rule| self.leads_to_a_side(rule));
        let had = theirs.iter().filter(|rule| self.is_ours(rule));
        let mut bases: Vec<Base> = if are_led || ours.is_empty() {
            had.map(|rule| Base::of_the_user(self.form, rule)).collect()
        } else if theirs.is_empty() {
            Vec::new()
        } else {
            // The user wrote them anew since they were recorded.
            ours.iter()
                .map(|rule| Base::of_the_user(self.form, rule))
                .collect()
        };
        let last = ours.last().map(|rule| Base::added_by_others(rule));
        match (bases.as_mut_slice(), last) {
            ([], last) => bases.push(last.unwrap_or_default()),
            ([only], Some(last)) => only.take(last),
            (_, _) => {}
        }
        bases
    }

    /// **Source**: dossier 02 A.8. **Differs from Flagger**: matches of the service and of the analysis must both be met.
    fn of_base(&self, blueprint: &Blueprint<'_>, base: &Base, want: Routes) -> Vec<Value> {
        let mut rest = base.clone();
        rest.fields.remove("name");
        let mut copied = base.filters.clone();
        if want.mirrored {
            copied.push(filters::mirror_to(&self.names.canary_service, self.port));
        }
        if let Some(affinity) = Affinity::of(blueprint).filter(|_| self.form == Form::Http) {
            let named = base.with(&base.matches, &copied, self.split(want));
            return self.kept(&affinity, &rest, named, want);
        }
        let analysis = blueprint.canary.spec.analysis_in_force();
        let selected = matches::all(
            self.form,
            analysis.map_or(&[][..], |analysis| &analysis.match_),
        );
        if selected.is_empty() {
            return vec![base.with(&base.matches, &copied, self.split(want))];
        }
        let narrowed = matches::narrowed(&selected, &base.matches);
        let for_all = if want.everyone {
            &self.names.canary_service
        } else {
            &self.names.primary_service
        };
        let for_all = json!([self.backend(for_all, Weight::FULL)]);
        vec![
            rest.with(&narrowed, &copied, self.split(want)),
            base.with(&base.matches, &base.filters, for_all),
        ]
    }

    /// The rules of users who were met before, and the weighted one behind them, which gives the cookies out.
    ///
    /// **Differs from Flagger**: a rule has one modifier of the headers of answers (F-23); with all traffic on the canary nobody is kept on the
    /// primary, which may be gone (P2); no rule stands twice (F-15).
    fn kept(
        &self,
        affinity: &Affinity<'_>,
        base: &Base,
        mut split: Value,
        want: Routes,
    ) -> Vec<Value> {
        let kept = |cookie: Cookie<'_>, to: Routes, filters: &[Value]| {
            let carrying = matches::narrowed(&[matches::carrying(cookie)], &base.matches);
            base.with(&carrying, filters, self.split(to))
        };
        let mut rules = Vec::new();
        if want.canary.is_zero() {
            rules.extend(affinity.stale().map(|stale| {
                let expiring = with_cookie(&base.filters, &affinity.expire(stale));
                kept(stale, Routes::PRIMARY, &expiring)
            }));
        } else if let Some(cookie) = affinity.canary() {
            let to_canary = Routes::to_canary(Weight::FULL);
            rules.push(kept(cookie, to_canary, &base.filters));
            let primary = affinity.primary().filter(|_| want.canary != Weight::FULL);
            rules.extend(primary.map(|cookie| kept(cookie, Routes::PRIMARY, &base.filters)));
            let texts = [
                primary.map(|cookie| affinity.set_primary(cookie)),
                Some(affinity.set_canary(cookie)),
            ];
            for (side, text) in texts.into_iter().enumerate() {
                let backend = split.pointer_mut(&format!("/backendRefs/{side}"));
                let fields = backend.and_then(Value::as_object_mut);
                if let (Some(fields), Some(text)) = (fields, text) {
                    fields.insert("filters".into(), Value::Array(with_cookie(&[], &text)));
                }
            }
        }
        rules.push(split);
        rules
    }

    fn split(&self, want: Routes) -> Value {
        json!([
            self.backend(&self.names.primary_service, want.primary()),
            self.backend(&self.names.canary_service, want.canary),
        ])
    }

    fn backend(&self, service: &str, weight: Weight) -> Value {
        json!({"group": "", "kind": "Service", "name": service, "port": self.port, "weight": weight.percent()})
    }

    /// The list with our rules in the place of those that led to us, in the order of the others: before one that takes every request where there were none.
    fn among(&self, stands: &[Value], generated: Vec<Value>) -> Vec<Value> {
        let place = stands.iter().position(|rule| self.is_ours(rule));
        let place = place.or_else(|| {
            stands
                .iter()
                .position(|rule| takes_every_request(self.form, rule))
        });
        let (before, after) = stands.split_at(place.unwrap_or(stands.len()));
        let others = |rules: &[Value]| -> Vec<Value> {
            let others = rules.iter().filter(|rule| !self.is_ours(rule));
            others.cloned().collect()
        };
        [others(before), generated, others(after)].concat()
    }

    /// What the last rule to the canary says: the rules before it are those of a match.
    ///
    /// # Errors
    /// Both weights are 0.
    pub(super) fn read(&self, rules: &[Value]) -> Result<Option<Routes>, Problem> {
        let canary_service = &self.names.canary_service;
        let leads_to_canary = |rule: &&Value| self.weight(rule, canary_service).is_some();
        let Some(rule) = rules.iter().rev().find(leads_to_canary) else {
            return Ok(None);
        };
        let weight = |service| self.weight(rule, service).unwrap_or_default();
        let shares = (weight(&self.names.primary_service), weight(canary_service));
        let Some(canary) = share(shares.0, shares.1) else {
            let allowed = "must be more than 0 for the primary or the canary";
            return Err(Problem::new(
                "spec.rules[].backendRefs[].weight",
                0,
                allowed,
            ));
        };
        let mirrored = entries(rule, "filters").any(|filter| self.is_copy_to_canary(filter));
        Ok(Some(Routes {
            canary,
            mirrored,
            everyone: false,
        }))
    }

    fn is_copy_to_canary(&self, filter: &Value) -> bool {
        let backend = filter.pointer("/requestMirror/backendRef");
        backend.is_some_and(|backend| self.is(backend, &self.names.canary_service))
    }

    /// The weight of a side in a rule, 1 where none is said. `None`: the rule does not lead there.
    fn weight(&self, rule: &Value, service: &str) -> Option<i64> {
        let backend = entries(rule, "backendRefs").find(|backend| self.is(backend, service))?;
        Some(backend.get("weight").and_then(Value::as_i64).unwrap_or(1))
    }

    /// Whether a rule leads to the apex, the primary or the canary.
    pub(super) fn is_ours(&self, rule: &Value) -> bool {
        let to_apex = entries(rule, "backendRefs").any(|it| self.is(it, &self.names.apex));
        to_apex || self.leads_to_a_side(rule)
    }

    fn leads_to_a_side(&self, rule: &Value) -> bool {
        let Names {
            primary_service,
            canary_service,
            ..
        } = self.names;
        entries(rule, "backendRefs")
            .any(|backend| self.is(backend, primary_service) || self.is(backend, canary_service))
    }

    /// Whether a backend is that Service of ours.
    fn is(&self, backend: &Value, service: &str) -> bool {
        let is_core = matches!(text(backend, "group"), "" | "core");
        let is_service = matches!(text(backend, "kind"), "" | "Service");
        let is_near = matches!(text(backend, "namespace"), "")
            || text(backend, "namespace") == self.namespace;
        is_core && is_service && is_near && text(backend, "name") == service
    }

    /// A route of this name that is about something else.
    pub(super) fn leads_elsewhere(&self, rules: &[Value], key: &Key) -> Problem {
        let backends = rules.iter().flat_map(|rule| entries(rule, "backendRefs"));
        let names: Vec<&str> = backends.map(|backend| text(backend, "name")).collect();
        let apex = &self.names.apex;
        let allowed = format!(
            "must lead to {apex}, or the route must have another name: it was there before the Canary and is left as it is"
        );
        Problem::new("spec.rules[].backendRefs[].name", names.join(", "), allowed)
            .of(key.to_string())
    }

    /// Turns every rule to the primary or the canary towards the apex.
    pub(super) fn lead_home(&self, spec: &mut Value) {
        let rules = spec.get_mut("rules").and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten() {
            self.lead_rule_home(rule);
        }
    }

    fn lead_rule_home(&self, rule: &mut Value) {
        let is_led_away = self.leads_to_a_side(rule);
        let Some(fields) = rule.as_object_mut() else {
            return;
        };
        if let Some(filters) = fields.get_mut("filters").and_then(Value::as_array_mut) {
            filters.retain(|filter| !self.is_copy_to_canary(filter));
        }
        if fields.get("filters") == Some(&json!([])) {
            fields.remove("filters");
        }
        if is_led_away {
            let home = json!([{"group": "", "kind": "Service", "name": self.names.apex, "port": self.port, "weight": 1}]);
            fields.insert("backendRefs".into(), home);
        }
    }
}

impl Base {
    /// A rule of the user, with the defaults that the API server fills in.
    fn of_the_user(form: Form, rule: &Value) -> Self {
        Self {
            filters: entries(rule, "filters").cloned().collect(),
            timeouts: rule.get("timeouts").cloned(),
            matches: entries(rule, "matches")
                .map(|entry| matches::defaulted(form, entry))
                .collect(),
            ..Self::added_by_others(rule)
        }
    }

    /// What others have added to a rule of ours: fields and filters that a Canary has no words for.
    fn added_by_others(rule: &Value) -> Self {
        let mut fields = rule.as_object().cloned().unwrap_or_default();
        fields.retain(|field, _| !WORDS.contains(&field.as_str()));
        let filters = entries(rule, "filters").filter(|filter| !filters::is_word(filter));
        Self {
            fields,
            filters: filters.cloned().collect(),
            ..Self::default()
        }
    }

    /// Takes in what stands now beside what was recorded.
    fn take(&mut self, now: Self) {
        self.fields = now.fields;
        for filter in now.filters {
            if !self.filters.contains(&filter) {
                self.filters.push(filter);
            }
        }
    }

    fn with(&self, matches: &[Value], filters: &[Value], backends: Value) -> Value {
        let mut rule = self.fields.clone();
        if !matches.is_empty() {
            rule.insert("matches".into(), json!(matches));
        }
        if !filters.is_empty() {
            rule.insert("filters".into(), json!(filters));
        }
        rule.insert("backendRefs".into(), backends);
        if let Some(timeouts) = &self.timeouts {
            rule.insert("timeouts".into(), timeouts.clone());
        }
        Value::Object(rule)
    }
}

/// The filters with a `Set-Cookie` among the headers that are added to answers.
fn with_cookie(filters: &[Value], text: &str) -> Vec<Value> {
    const KIND: &str = "ResponseHeaderModifier";
    let mut filters = filters.to_vec();
    if !filters
        .iter()
        .any(|filter| filters::kind_of(filter) == KIND)
    {
        filters.push(json!({"type": KIND, "responseHeaderModifier": {}}));
    }
    let modifier = filters
        .iter_mut()
        .find(|filter| filters::kind_of(filter) == KIND)
        .and_then(|filter| filter.get_mut("responseHeaderModifier")?.as_object_mut());
    if let Some(modifier) = modifier {
        let added = modifier.entry("add").or_insert_with(|| json!([]));
        if let Some(added) = added.as_array_mut() {
            added.push(json!({"name": "Set-Cookie", "value": text}));
        }
    }
    filters
}

fn entries<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    let list = object.get(field).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Whether a rule has no condition, or one that every request meets.
fn takes_every_request(form: Form, rule: &Value) -> bool {
    let everything = matches::everything(form);
    let mut conditions = entries(rule, "matches").peekable();
    conditions.peek().is_none()
        || conditions.any(|entry| everything.contains(&matches::defaulted(form, entry)))
}
