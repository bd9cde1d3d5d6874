//! Everything that one reconciliation may use.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, Utc};
use kube::Client;
use kube::runtime::reflector::Store as Reflected;
use secrecy::SecretString;
use slipway_api::{AlertProvider, Canary, MetricTemplate};
use slipway_core::blueprint::CodecSettings;
use slipway_core::plan::Defaults;
use slipway_metrics::Environment;

use crate::ask::Counting;
use crate::clock::Clock;
use crate::fleet::Ledger;
use crate::http::Http;
use crate::leader::Leadership;
use crate::memory::Memory;
use crate::observe::order::Dependents;
use crate::observe::targets::Targets;
use crate::observe::watches::Watches;
use crate::record::alerts::AlertQueue;
use crate::record::events::EventWriter;
use crate::record::metrics::Metrics;
use crate::settings::GlobalNotifier;

/// The world of the controller: how it reads, writes, asks and tells.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) client: Client,
    /// The way to routing objects, where they live in another cluster.
    pub(crate) mesh: Client,
    pub(crate) clock: Arc<dyn Clock>,
    /// When this process began to work here.
    pub(crate) started: DateTime<Utc>,
    pub(crate) http: Arc<dyn Http>,
    pub(crate) watches: Watches,
    pub(crate) memory: Memory,
    pub(crate) counting: Counting,
    pub(crate) targets: Targets,
    pub(crate) dependents: Dependents,
    pub(crate) ledger: Ledger,
    pub(crate) canaries: Reflected<kube::core::DeserializeGuard<Canary>>,
    pub(crate) templates: Reflected<kube::core::DeserializeGuard<MetricTemplate>>,
    pub(crate) templates_known: Arc<AtomicBool>,
    pub(crate) alert_providers: Reflected<kube::core::DeserializeGuard<AlertProvider>>,
    pub(crate) alert_providers_known: Arc<AtomicBool>,
    pub(crate) events: EventWriter,
    pub(crate) alerts: AlertQueue,
    pub(crate) metrics: Metrics,
    pub(crate) leadership: Leadership,
    pub(crate) defaults: Defaults,
    pub(crate) codecs: CodecSettings,
    /// The Prometheus of Canaries that name none.
    pub(crate) metrics_server: String,
    /// Its credentials: namespace and name of a Secret.
    pub(crate) metrics_server_secret: Option<(String, String)>,
    /// Who the controller is to a cloud, but for the files that say it.
    pub(crate) environment: Arc<Environment>,
    /// `-mesh-provider`, which decides on the built-in queries as well.
    pub(crate) mesh_provider: String,
    /// Whether ConfigMaps and Secrets are tracked.
    pub(crate) tracks_configs: bool,
    /// `-cluster-name`, told with alerts.
    pub(crate) cluster_name: String,
    /// Who is told of Canaries without alert rules of their own.
    pub(crate) notifier: Option<GlobalNotifier>,
    /// Who is told of every event of Canaries without event hooks of their own.
    pub(crate) event_webhook: Option<SecretString>,
}
