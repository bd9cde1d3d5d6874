//! The way to the cluster: the flags of kubectl, and what the commands read there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Utc};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use slipway_api::names::annotation;
use slipway_api::{Canary, CanaryStatus, SlipwayStatus};
use slipway_core::object::Kind;
use slipway_core::plan::{Defaults, Plan, Problem, TargetKind};

/// The flags of kubectl.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Path of the kubeconfig [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace [default: that of the context]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The controller's -mesh-provider, for Canaries that name no provider
    #[arg(long, value_name = "NAME", default_value = "istio")]
    mesh_provider: String,
}

impl ClusterArgs {
    /// The provider of Canaries that name none.
    pub(crate) fn mesh_provider(&self) -> &str {
        &self.mesh_provider
    }
}

/// The cluster as a command sees it.
pub(crate) struct Cluster {
    client: Client,
    /// What the client was made of, where it was made here.
    config: Option<Config>,
    /// The namespace that is meant where none is said.
    pub(crate) namespace: String,
    /// Who acts, where the API server does not say it.
    pub(crate) user: String,
    defaults: Defaults,
}

/// One release: the Canary, its status, its target.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) canary: Canary,
    pub(crate) status: CanaryStatus,
    pub(crate) slipway: SlipwayStatus,
    /// The target, unless it does not exist or may not be read.
    pub(crate) target: Option<Value>,
}

impl Cluster {
    /// Connects as kubectl does.
    pub(crate) async fn connect(args: &ClusterArgs) -> anyhow::Result<Self> {
        slipway_controller::http::install_crypto();
        let options = KubeConfigOptions {
            context: args.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &args.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path)
                    .with_context(|| format!("read the kubeconfig {}", path.display()))?;
                Config::from_custom_kubeconfig(file, &options).await?
            }
            None if args.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await?,
        };
        let namespace = config.default_namespace.clone();
        let client =
            Client::try_from(config.clone()).context("make the client of the API server")?;
        let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        let mut cluster = Self::new(client, &user);
        cluster.config = Some(config);
        cluster.namespace = args.namespace.clone().unwrap_or(namespace);
        cluster.defaults.provider.clone_from(&args.mesh_provider);
        Ok(cluster)
    }

    /// A cluster behind a client.
    pub(crate) fn new(client: Client, user: &str) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self {
            client,
            config: None,
            namespace,
            user: user.to_owned(),
            defaults: Defaults::default(),
        }
    }

    /// Who the API server takes us for; it is older than Kubernetes 1.28 where it does not say.
    pub(crate) async fn who(&self) -> String {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = self.post(path, &review).await.ok();
        let name = answer.as_ref().and_then(|answer| {
            let name = answer.pointer("/status/userInfo/username")?.as_str()?;
            (!name.is_empty()).then(|| name.to_owned())
        });
        name.unwrap_or_else(|| self.user.clone())
    }

    /// The way to the API server.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What another client of the same cluster is made of.
    pub(crate) fn config(&self) -> Option<Config> {
        self.config.clone()
    }

    /// What the API server says at a path.
    pub(crate) async fn document(&self, path: &str) -> anyhow::Result<Value> {
        let request = http::Request::get(path).body(Vec::new())?;
        let answer = self.client.request(request).await;
        answer.with_context(|| format!("get {path}"))
    }

    /// What the API server answers to an object that is not kept, such as a review.
    pub(crate) async fn post(&self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes())?;
        let answer = self.client.request(request).await;
        answer.with_context(|| format!("post {path}"))
    }

    /// The API of Canaries in the namespace that is meant.
    pub(crate) fn canaries(&self) -> Api<Canary> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One release.
    pub(crate) async fn release(&self, name: &str) -> anyhow::Result<Release> {
        let name = name_of(name);
        let found = self.canaries().get_opt(name).await;
        let found = found.with_context(|| format!("read Canary {}/{name}", self.namespace))?;
        let canary = found.with_context(|| {
            format!(
                "there is no Canary {name} in namespace {}; slipway status -A lists all",
                self.namespace
            )
        })?;
        Ok(self.around(canary).await)
    }

    /// Every release of the namespace that is meant, or of all.
    pub(crate) async fn releases(&self, everywhere: bool) -> anyhow::Result<Vec<Release>> {
        let api = if everywhere {
            Api::all(self.client.clone())
        } else {
            self.canaries()
        };
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.context("list Canaries")?;
        let mut releases = Vec::new();
        for canary in listed.items {
            releases.push(self.around(canary).await);
        }
        Ok(releases)
    }

    /// Where a watch looks: the Canaries of the namespace that is meant, or of all, or one of them.
    pub(crate) fn watched(
        &self,
        name: Option<&str>,
        everywhere: bool,
    ) -> (Api<Canary>, kube::runtime::watcher::Config) {
        let all = kube::runtime::watcher::Config::default();
        match name {
            Some(name) => {
                let one = format!("metadata.name={}", name_of(name));
                (self.canaries(), all.fields(&one))
            }
            None if everywhere => (Api::all(self.client.clone()), all),
            None => (self.canaries(), all),
        }
    }

    /// The release of a Canary: with its target, as it is now.
    pub(crate) async fn around(&self, canary: Canary) -> Release {
        let status = canary.status.clone().unwrap_or_default();
        let slipway = status.slipway.clone().unwrap_or_default();
        let target = self.target(&canary).await;
        Release {
            canary,
            status,
            slipway,
            target,
        }
    }

    async fn target(&self, canary: &Canary) -> Option<Value> {
        let reference = &canary.spec.target_ref;
        let codec = slipway_workloads::target(TargetKind::of(reference)?).ok()?;
        let namespace = canary.metadata.namespace.as_deref().unwrap_or_default();
        let found = self.get(codec.kind(), namespace, &reference.name).await;
        found.ok().flatten()
    }

    /// An object, if it exists.
    pub(crate) async fn get(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<Option<Value>> {
        let (group, version) = kind
            .api_version
            .split_once('/')
            .unwrap_or(("", kind.api_version));
        let gvk = GroupVersionKind::gvk(group, version, kind.kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let found = api.get_opt(name).await;
        let found = found.with_context(|| format!("read {} {namespace}/{name}", kind.kind))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// The plan that the controller makes of a release, if its flags are the defaults.
    pub(crate) fn plan(&self, release: &Release) -> Result<Plan, Vec<Problem>> {
        Plan::tuned(&release.canary, &release.tuning(), &self.defaults)
    }
}

impl Release {
    /// `test/app`.
    pub(crate) fn name(&self) -> String {
        let metadata = &self.canary.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}/{}", text(&metadata.namespace), text(&metadata.name))
    }

    fn tuning(&self) -> BTreeMap<String, String> {
        let all = self
            .target
            .as_ref()
            .and_then(|target| target.pointer("/metadata/annotations")?.as_object());
        let ours = all
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with(annotation::PREFIX));
        ours.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// The weight that the canary really has.
    pub(crate) fn weight(&self) -> i64 {
        self.slipway
            .routed_weight
            .unwrap_or(self.status.canary_weight)
    }

    /// What it waits for, and since when.
    pub(crate) fn waits_for(&self) -> Option<(&str, DateTime<Utc>)> {
        let waiting = self.slipway.waiting.as_ref()?;
        Some((waiting.for_.as_str(), waiting.since))
    }
}

/// The name in `canary/app`, or as it stands.
fn name_of(word: &str) -> &str {
    let kinds = ["canary/", "canaries/", "canaries.flagger.app/"];
    let stripped = kinds.iter().find_map(|kind| word.strip_prefix(kind));
    stripped.unwrap_or(word)
}
