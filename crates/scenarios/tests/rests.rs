//! Releases at rest cost nothing (P9).

use std::time::Duration;

use serde_json::json;
use slipway_api::Phase;
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{canary, deployment};
use slipway_scenarios::stage::SLIPWAY;

const HOUR: Duration = Duration::from_hours(1);

/// A new leader lists everything that there is; what it finds as it should be it leaves alone.
#[tokio::test(start_paused = true)]
async fn a_leader_that_begins_at_rest_writes_nothing_but_its_lease() {
    for provider in ["kubernetes", "istio", "linkerd"] {
        let mut stage = Stage::new(1, &["-metrics-server=http://prometheus:9090"]);
        stage.apply(&[
            deployment("app:v1", 2),
            canary(provider, &json!({"stepWeight": 20, "maxWeight": 60})),
        ]);
        let rests = [Phase::Initialized];
        assert_eq!(stage.reach(&rests, HOUR).await, Phase::Initialized);
        // A leader that comes right after a transition tells its event once more, by the same name.
        tokio::time::sleep(HOUR).await;
        stage.stop().await;
        let before = stage.world.faults(SLIPWAY).asked().len();
        stage.start();
        tokio::time::sleep(Duration::from_mins(10)).await;
        let asked = stage.world.faults(SLIPWAY).asked();
        let writes: Vec<_> = asked
            .iter()
            .skip(before)
            .filter(|asked| asked.write.is_some() && asked.resource != "leases")
            .collect();
        assert!(writes.is_empty(), "{provider}: {writes:?}");
    }
}
