//! **Not Linkerd.** Neither its control plane nor its proxy can be had where these suites run, so this double stands in for the two
//! things that a progressive delivery controller needs of it: live requests are split as a TrafficSplit says, and metrics tell by
//! deployment how they went, under Linkerd's names. It is an HTTP proxy: a request for `SERVICE.NAMESPACE` goes to a ready pod of one of
//! the backends of that Service's TrafficSplit, or to a ready pod of the Service itself where there is none.
//!
//! What Linkerd has and this has not: mutual TLS, retries, balancing by latency, protocol detection, Services with several ports.

mod metrics;
mod proxy;
mod table;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::stop;
use metrics::Metrics;
use proxy::Proxy;
use table::Turn;

/// Where to listen; the cluster is the one of the environment (`KUBECONFIG`, or a pod's own).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The address of the HTTP proxy.
    #[arg(long, default_value = "127.0.0.1:15081")]
    proxy: SocketAddr,
    /// The address of `/metrics`.
    #[arg(long, default_value = "127.0.0.1:15080")]
    metrics: SocketAddr,
}

/// Serves until it is asked to end or a watch cannot go on.
///
/// # Errors
/// When the cluster cannot be reached or an address cannot be bound.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    tracing::info!("this is a double of Linkerd's traffic, not Linkerd");
    let client = kube::Client::try_default().await?;
    let (table, watching) = watch::follow(client);
    let metrics = Arc::new(Metrics::default());
    let proxy = Arc::new(Proxy {
        table,
        metrics: Arc::clone(&metrics),
        turn: Turn::default(),
    });
    let proxied = axum::serve(TcpListener::bind(args.proxy).await?, proxy::router(proxy));
    let told = axum::serve(
        TcpListener::bind(args.metrics).await?,
        metrics::router(metrics),
    );
    tokio::select! {
        ended = proxied => Ok(ended?),
        ended = told => Ok(ended?),
        ended = watching => ended,
        asked = stop::asked() => Ok(asked?),
    }
}
