//! From a note to messages: to the chats whose alert rules want it, or the global notifier, and to event hooks.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use kube::runtime::reflector::ObjectRef;
use secrecy::{ExposeSecret, SecretString};
use slipway_api::{AlertNote, CanaryAlert, CanaryStatus, Note};
use slipway_core::plan::{Hook, HookKind, Plan};
use slipway_hooks::notify::{Alert, Chat, Destination, is_wanted};
use slipway_hooks::{Payload, webhook};
use tracing::warn;

use super::alerts::AlertJob;
use super::events::Place;
use crate::http::{Limits, Retry};
use crate::settings::GlobalNotifier;
use crate::shell::Shell;

impl Shell {
    /// Leaves what is told of a note to be sent. Nothing waits for it: Secrets are read in a task of their own.
    pub(crate) fn alert(&self, plan: Arc<Plan>, place: Place, note: &Note, status: &CanaryStatus) {
        let telling = Telling {
            shell: self.clone(),
            plan,
            place,
            note: note.clone(),
            status: status.clone(),
        };
        self.watches.spawn(telling.run());
    }
}

/// One note on its way to whoever wants it.
struct Telling {
    shell: Shell,
    plan: Arc<Plan>,
    place: Place,
    note: Note,
    status: CanaryStatus,
}

impl Telling {
    async fn run(self) {
        self.tell_event_hooks();
        let Some(note) = self.note.alert.clone() else {
            return;
        };
        if self.plan.alerts.is_empty() {
            self.tell_global(&note);
            return;
        }
        for rule in self
            .plan
            .alerts
            .iter()
            .filter(|rule| is_wanted(rule.severity.as_ref(), note.severity))
        {
            if let Err(why) = self.tell_provider(rule, &note).await {
                warn!(canary = %self.plan.canary.dotted(), alert = %rule.name, %why, "alert cannot be sent");
            }
        }
    }

    async fn tell_provider(&self, rule: &CanaryAlert, note: &AlertNote) -> Result<(), String> {
        let namespace = rule
            .provider_ref
            .namespace
            .as_deref()
            .unwrap_or(&self.plan.canary.namespace);
        let name = &rule.provider_ref.name;
        let reference = ObjectRef::new(name).within(namespace);
        let found = self.shell.alert_providers.get(&reference);
        let found =
            found.ok_or_else(|| format!("AlertProvider {namespace}/{name} does not exist"))?;
        let provider = found.0.as_ref().map_err(ToString::to_string)?;
        let secret = match &provider.spec.secret_ref {
            Some(reference) => Some(self.shell.secret(namespace, &reference.name).await?),
            None => None,
        };
        let destination =
            Destination::of(&provider.spec, secret.as_ref()).map_err(|error| error.to_string())?;
        self.send(
            &destination,
            &format!("AlertProvider {namespace}/{name}"),
            note,
        )
    }

    fn tell_global(&self, note: &AlertNote) {
        let Some(notifier) = &self.shell.notifier else {
            return;
        };
        if let Err(why) = self.send(&global(notifier), "the global notifier", note) {
            warn!(canary = %self.plan.canary.dotted(), %why, "alert cannot be sent");
        }
    }

    fn send(&self, destination: &Destination, named: &str, note: &AlertNote) -> Result<(), String> {
        let alert = Alert::new(&self.plan, note, &self.shell.cluster_name, self.key());
        let request = destination
            .chat
            .notifier()
            .request(&alert, destination)
            .map_err(|error| error.to_string())?;
        let (limits, retry) = AlertJob::usual();
        self.leave(
            named,
            request,
            Limits {
                proxy: destination.proxy.clone(),
                ..limits
            },
            retry,
        );
        Ok(())
    }

    /// Hooks of type `event`; without any, the global event webhook. **Source**: dossier 03 A6.
    fn tell_event_hooks(&self) {
        let own: Vec<&Hook> = self.plan.hooks_of(HookKind::Event).collect();
        if own.is_empty()
            && let Some(url) = &self.shell.event_webhook
        {
            self.tell_event_hook(&global_hook(url));
        }
        for hook in own {
            self.tell_event_hook(hook);
        }
    }

    fn tell_event_hook(&self, hook: &Hook) {
        let at = self
            .status
            .slipway
            .as_ref()
            .and_then(|slipway| slipway.transition.as_ref()?.at);
        let at: DateTime<Utc> = at.unwrap_or_else(|| self.shell.clock.now());
        let payload = Payload::new(&self.plan.canary, self.status.phase, &self.status)
            .with_metadata(hook.metadata.as_ref())
            .with_event(&self.note, at);
        match webhook::request(hook, &payload) {
            Ok(request) => {
                let timeout = hook.timeout.to_std().unwrap_or_default();
                let limits = Limits {
                    verify_tls: !hook.disable_tls,
                    ..Limits::for_verdict(timeout)
                };
                self.leave(
                    &format!("event hook {}", hook.name),
                    request,
                    limits,
                    Retry {
                        retries: hook.retries,
                    },
                );
            }
            Err(error) => {
                warn!(canary = %self.plan.canary.dotted(), hook = %hook.name, %error, "event hook cannot be called");
            }
        }
    }

    fn leave(
        &self,
        destination: &str,
        request: http::Request<Vec<u8>>,
        limits: Limits,
        retry: Retry,
    ) {
        self.shell.alerts.push(AlertJob {
            key: format!("{}/{destination}", self.key()),
            destination: destination.to_owned(),
            about: self.plan.canary.dotted(),
            request,
            limits,
            retry,
        });
    }

    /// Names the note for good: one for each transition and place in it.
    fn key(&self) -> String {
        format!(
            "{}/{}/{}",
            self.plan.canary.uid, self.place.transition, self.place.index
        )
    }
}

fn global(notifier: &GlobalNotifier) -> Destination {
    match notifier {
        GlobalNotifier::Slack {
            url,
            token,
            proxy,
            user,
            channel,
        } => Destination {
            chat: Chat::Slack,
            address: url.clone(),
            token: token.clone(),
            channel: channel.clone(),
            username: user.clone(),
            proxy: proxy.clone(),
        },
        GlobalNotifier::Teams { url, proxy } => Destination {
            chat: Chat::MsTeams,
            address: url.clone(),
            token: None,
            channel: String::new(),
            username: String::new(),
            proxy: proxy.clone(),
        },
    }
}

fn global_hook(url: &SecretString) -> Hook {
    Hook {
        name: "-event-webhook".to_owned(),
        kind: HookKind::Event,
        url: url.expose_secret().to_owned(),
        timeout: TimeDelta::seconds(10),
        retries: 0,
        mute_alert: true,
        disable_tls: false,
        metadata: None,
    }
}
