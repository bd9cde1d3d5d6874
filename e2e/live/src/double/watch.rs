//! Follows EndpointSlices and `TrafficSplits`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use super::table::Table;

/// The newest table, and the work that keeps it new.
pub(super) fn follow(
    client: Client,
) -> (
    watch::Receiver<Arc<Table>>,
    impl Future<Output = anyhow::Result<()>>,
) {
    let (publish, table) = watch::channel(Arc::default());
    (table, keep(client, publish))
}

/// A second between tries: a story may take the custom resource away for a while, and the double must be back soon after it.
struct Soon;

impl Iterator for Soon {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Backoff for Soon {
    fn reset(&mut self) {}
}

async fn keep(client: Client, publish: watch::Sender<Arc<Table>>) -> anyhow::Result<()> {
    // Any served version gives the same objects: the CRD of the suites has no conversion.
    let split = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("split.smi-spec.io", "v1alpha2", "TrafficSplit"),
        "trafficsplits",
    );
    let slices = Api::<EndpointSlice>::all(client.clone());
    let splits = Api::<DynamicObject>::all_with(client, &split);
    let (slice_store, slice_writer) = reflector::store();
    let split_writer = reflector::store::Writer::new(split);
    let split_store = split_writer.as_reader();
    let slices = reflector(slice_writer, watcher(slices, watcher::Config::default()))
        .backoff(Soon)
        .map(|event| event.map(drop));
    let splits = reflector(split_writer, watcher(splits, watcher::Config::default()))
        .backoff(Soon)
        .map(|event| event.map(drop));
    let mut changes = std::pin::pin!(futures::stream::select(slices, splits));
    while let Some(change) = changes.next().await {
        match change {
            Ok(()) => {
                let (slices, splits) = (slice_store.state(), split_store.state());
                publish.send_replace(Arc::new(Table::new(
                    slices.iter().map(AsRef::as_ref),
                    splits.iter().map(AsRef::as_ref),
                )));
            }
            Err(error) => tracing::warn!(%error, "watch"),
        }
    }
    anyhow::bail!("the watches ended")
}
