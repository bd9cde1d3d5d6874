//! The clients of the API server: which server, which account, how often, how long.

use http::{Request, Response};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::BoxError;
use tower::limit::RateLimitLayer;
use tower::util::BoxService;

use super::watched::Watched;
use super::{ClusterSettings, Rate, Settings};
use crate::http::{USER_AGENT, install_crypto};
use crate::record::metrics::Metrics;

/// Why the API server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig.
    #[error("read the kubeconfig {path}")]
    Kubeconfig {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// Neither in a pod nor with a kubeconfig.
    #[error("find the cluster: no --kubeconfig, no --master, and no account of a pod")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The account of the pod.
    #[error("read the account of this pod")]
    InCluster(#[source] kube::config::InClusterError),
    /// TLS or the proxy.
    #[error("make the client of {url}")]
    Client {
        /// The API server.
        url: String,
        /// Why not.
        source: Box<kube::Error>,
    },
}

/// The clients of one process.
#[derive(Clone)]
pub struct Clients {
    /// For everything.
    pub api: Client,
    /// For the Lease alone, so that nothing makes a renewal wait (FC-106).
    pub lease: Client,
    /// For routing objects; the same as `api`, unless they live in another cluster.
    pub mesh: Client,
    /// Whether routing objects live in another cluster: then nothing here can own them.
    pub mesh_is_elsewhere: bool,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Clients {{ mesh_is_elsewhere: {} }}",
            self.mesh_is_elsewhere
        )
    }
}

/// Every client of one process; requests are counted in `metrics`.
///
/// # Errors
/// When no API server can be asked.
pub async fn clients(settings: &Settings, metrics: &Metrics) -> Result<Clients, ClientError> {
    let cluster = &settings.cluster;
    let config = config(cluster).await?;
    let api = build(config.clone(), cluster.rate, metrics)?;
    let lease = lease_of(config.clone())?;
    let Some(path) = &cluster.mesh_kubeconfig else {
        return Ok(Clients {
            mesh: api.clone(),
            api,
            lease,
            mesh_is_elsewhere: false,
        });
    };
    let mesh_config = from_file(path).await?;
    let mesh_is_elsewhere = mesh_config.cluster_url != config.cluster_url;
    let mesh = build(mesh_config, cluster.rate, metrics)?;
    Ok(Clients {
        api,
        lease,
        mesh,
        mesh_is_elsewhere,
    })
}

/// The client for everything, without counting.
///
/// # Errors
/// When no API server can be asked.
pub async fn client(settings: &Settings) -> Result<Client, ClientError> {
    build(
        config(&settings.cluster).await?,
        settings.cluster.rate,
        &Metrics::default(),
    )
}

/// The client for the Lease: no limit of requests, no retries of its own, no other traffic on its connection.
///
/// # Errors
/// When no API server can be asked.
pub async fn lease_client(settings: &Settings) -> Result<Client, ClientError> {
    lease_of(config(&settings.cluster).await?)
}

fn lease_of(mut config: Config) -> Result<Client, ClientError> {
    // A retry that waits as long as the server says would outlast the claim; the candidate tries again by itself.
    config.default_retry = false;
    Ok(builder(config)?.build())
}

/// Flagger's order: a kubeconfig or a URL that was named, else the account of the pod; and, for a desk, what kubectl would take.
async fn config(cluster: &ClusterSettings) -> Result<Config, ClientError> {
    let mut config = match (&cluster.kubeconfig, &cluster.master) {
        (Some(path), _) => from_file(path).await?,
        (None, Some(master)) => Config::new(master.clone()),
        (None, None) if in_pod() => Config::incluster().map_err(ClientError::InCluster)?,
        (None, None) => Config::infer().await.map_err(ClientError::NoCluster)?,
    };
    if let Some(master) = &cluster.master {
        config.cluster_url = master.clone();
    }
    Ok(config)
}

fn in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty())
}

async fn from_file(path: &std::path::Path) -> Result<Config, ClientError> {
    let failed = |source| ClientError::Kubeconfig {
        path: path.display().to_string(),
        source,
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(failed)
}

type Builder = ClientBuilder<BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>>;

fn builder(mut config: Config) -> Result<Builder, ClientError> {
    install_crypto();
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    let url = config.cluster_url.to_string();
    ClientBuilder::try_from(config).map_err(|source| ClientError::Client {
        url,
        source: Box::new(source),
    })
}

fn build(config: Config, rate: Option<Rate>, metrics: &Metrics) -> Result<Client, ClientError> {
    let watched = builder(config)?.with_layer(&Watched::counting(metrics.clone()));
    Ok(match rate {
        // A fixed window, not Go's bucket: so many requests in the time that the bucket would take to fill again.
        Some(Rate { requests, within }) => watched
            .with_layer(&RateLimitLayer::new(u64::from(requests), within))
            .build(),
        None => watched.build(),
    })
}
