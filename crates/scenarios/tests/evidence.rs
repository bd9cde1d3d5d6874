//! Releases that are judged by evidence, with the real controller, and users whose requests are counted by a Prometheus.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::time::Duration;

use serde_json::json;
use slipway_api::{Evidence, Phase};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment, image};
use slipway_sim::{Behaviour, Mesh, Reply, Sampling, Which};
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_hours(1);

/// A Canary by 1, 5, 10, 25, 50 whose pace of checks is a minute, with these annotations, and 100 requests a second of which 0.1 % fail.
async fn initialised(seed: u64, annotations: &[(&str, &str)]) -> Stage {
    let flags = [
        "-mesh-provider=istio",
        "-metrics-server=http://prometheus:9090",
    ];
    let mut stage = Stage::live(seed, &flags);
    stage.world.users().set_sampling(Sampling::Drawn);
    stage.start();
    let analysis = json!({"interval": "1m", "threshold": 5, "stepWeights": [1, 5, 10, 25, 50]});
    let mut canary = canary("istio", &analysis);
    let annotations: serde_json::Map<_, _> = annotations
        .iter()
        .map(|(key, value)| (format!("slipway.dev/{key}"), json!(value)))
        .collect();
    *canary.pointer_mut("/metadata").unwrap() =
        json!({"name": "app", "namespace": NAMESPACE, "annotations": annotations});
    runs(&stage, "app:v1", 0.001);
    stage.apply(&[deployment("app:v1", 2), canary]);
    assert_eq!(
        stage.reach(&[Phase::Initialized], HOUR).await,
        Phase::Initialized
    );
    stage.world.users().call("app.test", 100.0);
    sleep(Duration::from_mins(5)).await;
    stage.world.users().begin_anew();
    stage
}

/// What an image runs: requests take 20 ms, and such a share of them fails.
fn runs(stage: &Stage, image: &str, errors: f64) {
    let behaviour = Behaviour::healthy()
        .latency(Duration::from_millis(20))
        .errors(errors);
    stage.world.script(Which::image(image), behaviour);
}

fn evidence(stage: &Stage) -> Evidence {
    let slipway = stage.status().slipway.unwrap();
    *slipway.release.unwrap().evidence.unwrap_or_default()
}

fn reason(stage: &Stage) -> String {
    stage.status().slipway.unwrap().reason.unwrap_or_default()
}

/// How a release ends: its phase, and seconds from its first user.
async fn released(stage: &Stage, errors: f64) -> (Phase, u64) {
    runs(stage, "app:v2", errors);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_users = |stage: &Stage| stage.status().canary_weight > 0;
    assert!(stage.world.eventually(HOUR, |_| has_users(stage)).await);
    let began = Instant::now();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    (end, began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_always_fails_is_taken_back_within_seconds_not_at_the_next_check() {
    for mode in ["protect", "full"] {
        let stage = initialised(1, &[("analysis-mode", mode)]).await;
        let (end, seconds) = released(&stage, 1.0).await;
        assert_eq!(end, Phase::Failed, "{:#?}", stage.events());
        let failed = stage.world.users().report().failed();
        assert!(seconds <= 45, "{mode}: {seconds} s");
        assert!(failed <= 60.0, "{mode}: {failed} requests");
        let why = reason(&stage);
        assert!(why.contains("canary fails 100% of "), "{why}");
        assert!(why.contains(" user requests failed in "), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_full_a_good_revision_takes_each_step_when_it_has_earned_it() {
    let stage = initialised(2, &[("analysis-mode", "full"), ("soak", "0s")]).await;
    let (end, seconds) = released(&stage, 0.001).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    assert!(
        (300..=480).contains(&seconds),
        "{seconds} s: {:#?}",
        stage.events()
    );
}

#[tokio::test(start_paused = true)]
async fn in_full_all_traffic_soaks_before_the_promotion_and_what_begins_then_is_taken_back_at_once()
{
    for errors in [0.001, 0.8] {
        let stage = initialised(10, &[("analysis-mode", "full")]).await;
        runs(&stage, "app:v2", 0.001);
        stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
        let has_all = |stage: &Stage| stage.status().canary_weight == 100;
        assert!(stage.world.eventually(HOUR, |_| has_all(&stage)).await);
        sleep(Duration::from_mins(2)).await;
        assert_eq!(stage.status().phase, Phase::Progressing);
        let image = |name| image(&stage.object("Deployment", name).unwrap()).to_owned();
        assert_eq!(image("app-primary"), "app:v1");
        runs(&stage, "app:v2", errors);
        let began = Instant::now();
        let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
        if errors < 0.5 {
            assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
            assert_eq!(image("app-primary"), "app:v2");
        } else {
            assert_eq!(end, Phase::Failed, "{:#?}", stage.events());
            assert!(began.elapsed() < Duration::from_secs(45));
            assert!(reason(&stage).starts_with("Rolled back at weight 100: gross failure"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_full_a_revision_that_fails_one_in_a_hundred_is_never_promoted() {
    let stage = initialised(3, &[("analysis-mode", "full"), ("success-rate", "90")]).await;
    let (end, _) = released(&stage, 0.01).await;
    assert_eq!(end, Phase::Failed, "{:#?}", stage.events());
    assert!(reason(&stage).contains("evidence "), "{}", reason(&stage));
}

#[tokio::test(start_paused = true)]
async fn in_shadow_it_says_what_it_would_have_done_and_does_nothing() {
    let stage = initialised(4, &[("success-rate", "1")]).await;
    let (end, _) = released(&stage, 0.2).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    let would = evidence(&stage).would.unwrap();
    assert!(would.starts_with("rolled back at "), "{would}");
    assert!(would.contains(": canary fails "), "{would}");
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_restarts_counts_no_request_twice_and_loses_no_evidence() {
    let mut stage = initialised(5, &[("analysis-mode", "full")]).await;
    runs(&stage, "app:v2", 0.001);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    for weight in [1, 5, 10] {
        let is_there = |stage: &Stage| stage.status().canary_weight == weight;
        assert!(stage.world.eventually(HOUR, |_| is_there(&stage)).await);
        sleep(Duration::from_secs(23)).await;
        let before = evidence(&stage);
        stage.kill();
        sleep(Duration::from_secs(40)).await;
        stage.start();
        sleep(Duration::from_secs(25)).await;
        assert!(evidence(&stage).canary.requests > before.canary.requests);
    }
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    let report = stage.world.users().report();
    let served = report.of_workload(NAMESPACE, "app");
    let counted = evidence(&stage).canary.requests;
    let served = served.ok + served.failed;
    let counted = f64::from(u32::try_from(counted).unwrap());
    // The last scrapes, and what is served while the primary takes over, are of no use to the test any more.
    assert!(
        counted <= served && counted > served * 0.5,
        "{counted} of {served}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_prometheus_a_release_that_is_judged_by_evidence_holds_and_says_so() {
    let stage = initialised(6, &[("analysis-mode", "full")]).await;
    runs(&stage, "app:v2", 0.001);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_users = |stage: &Stage| stage.status().canary_weight == 5;
    assert!(stage.world.eventually(HOUR, |_| has_users(&stage)).await);
    stage
        .world
        .prometheus()
        .answer("", Reply::Http(503, "down".into()));
    sleep(Duration::from_mins(20)).await;
    let status = stage.status();
    assert_eq!(
        (status.phase, status.canary_weight),
        (Phase::Progressing, 5)
    );
    assert_eq!(status.failed_checks, 0);
    let waits = status.slipway.unwrap().waiting.unwrap().for_;
    assert!(
        waits.ends_with(" to be measured") || waits == "requests to be counted",
        "{waits}"
    );
    stage.world.prometheus().clear();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn an_incident_of_both_sides_holds_and_takes_nothing_back() {
    let stage = initialised(7, &[("analysis-mode", "full"), ("success-rate", "1")]).await;
    runs(&stage, "app:v2", 0.001);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_users = |stage: &Stage| stage.status().canary_weight == 10;
    assert!(stage.world.eventually(HOUR, |_| has_users(&stage)).await);
    for image in ["app:v1", "app:v2"] {
        runs(&stage, image, 0.05);
    }
    sleep(Duration::from_mins(3)).await;
    let status = stage.status();
    assert_eq!(
        (status.phase, status.canary_weight),
        (Phase::Progressing, 10)
    );
    let says = evidence(&stage).says.unwrap();
    assert!(
        says.ends_with("held while the primary fails as well"),
        "{says}"
    );
    for image in ["app:v1", "app:v2"] {
        runs(&stage, image, 0.001);
    }
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_slower_is_taken_back_and_it_is_said_than_what() {
    let stage = initialised(8, &[("analysis-mode", "protect")]).await;
    let slow = Behaviour::healthy().latency(Duration::from_millis(60));
    stage.world.script(Which::image("app:v2"), slow);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Failed, "{:#?}", stage.events());
    let why = reason(&stage);
    assert!(
        why.contains("canary is slower than 25ms in 100% of "),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn evidence_that_is_worrying_but_not_enough_sends_the_canary_back_to_its_first_weight() {
    let annotations = [
        ("analysis-mode", "protect"),
        ("alpha", "0.000001"),
        ("success-rate", "1"),
    ];
    let stage = initialised(9, &annotations).await;
    runs(&stage, "app:v2", 0.001);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let has_users = |stage: &Stage| stage.status().canary_weight == 25;
    assert!(stage.world.eventually(HOUR, |_| has_users(&stage)).await);
    runs(&stage, "app:v2", 0.05);
    let is_back = |stage: &Stage| stage.status().canary_weight == 1;
    assert!(stage.world.eventually(HOUR, |_| is_back(&stage)).await);
    assert!(evidence(&stage).braked);
    let told = stage.events();
    let retreat = "Retreat app.test canary weight 1: canary fails ";
    assert!(
        told.iter().any(|told| told.starts_with(retreat)),
        "{told:#?}"
    );
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Failed, "{:#?}", stage.events());
}

#[tokio::test(start_paused = true)]
async fn where_traffic_is_low_the_first_weight_is_raised_so_that_its_step_ends() {
    for (rate, first, said) in [(3.0, 10, "auto"), (100.0, 1, "auto"), (100.0, 3, "3")] {
        let annotations = [("analysis-mode", "full"), ("first-weight", said)];
        let stage = initialised(11, &annotations).await;
        stage.world.users().call("app.test", rate);
        sleep(Duration::from_mins(5)).await;
        runs(&stage, "app:v2", 0.001);
        stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
        let has_users = |stage: &Stage| stage.status().canary_weight > 0;
        assert!(stage.world.eventually(HOUR, |_| has_users(&stage)).await);
        assert_eq!(stage.status().canary_weight, first, "{rate}/s");
    }
}

#[tokio::test(start_paused = true)]
async fn fc_021_a_route_that_nobody_obeys_is_said_and_holds_the_release() {
    for mode in ["protect", "full"] {
        // No check of the canary's own would notice: there is nothing that fails.
        let annotations = [
            ("analysis-mode", mode),
            ("on-no-data", "pass"),
            ("success-rate", "50"),
        ];
        let stage = initialised(12, &annotations).await;
        stage.world.ignore(Mesh::Istio, true);
        runs(&stage, "app:v2", 0.001);
        stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
        let is_said = |stage: &Stage| {
            let conditions = stage.status().conditions;
            let mut said = conditions
                .iter()
                .filter(|it| it.type_ == "RoutingIneffective");
            said.any(|it| it.status.as_str() == "True")
        };
        assert!(
            stage.world.eventually(HOUR, |_| is_said(&stage)).await,
            "{mode}"
        );
        sleep(Duration::from_mins(10)).await;
        let weight = stage.status().canary_weight;
        assert_eq!(stage.status().phase, Phase::Progressing, "{mode}");
        assert!(is_said(&stage) && weight < 50, "{mode}: {weight}");
        let waits = stage.status().slipway.unwrap().waiting.unwrap().for_;
        assert!(
            waits.ends_with("% of the requests to arrive at the canary"),
            "{waits}"
        );
        stage.world.ignore(Mesh::Istio, false);
        let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
        assert_eq!(end, Phase::Succeeded, "{:#?}", stage.events());
    }
}

/// One release of a measurement: how it ended, requests that failed, seconds from its first user on.
struct Measured {
    promoted: bool,
    failed: f64,
    seconds: u64,
}

fn measure(seed: u64, new: Behaviour) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = initialised(seed, &[("analysis-mode", "full"), ("soak", "0s")]).await;
        stage.world.script(Which::image("app:v2"), new);
        stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
        let has_users = |stage: &Stage| stage.status().canary_weight > 0;
        assert!(stage.world.eventually(HOUR, |_| has_users(&stage)).await);
        let began = Instant::now();
        stage.world.users().begin_anew();
        let end = stage
            .reach(&[Phase::Succeeded, Phase::Failed], HOUR * 3)
            .await;
        Measured {
            promoted: end == Phase::Succeeded,
            failed: stage
                .world
                .users()
                .report()
                .of_workload(NAMESPACE, "app")
                .failed,
            seconds: began.elapsed().as_secs(),
        }
    })
}

/// The value below which so many percent of the values are.
fn quantile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Prints the table of docs/exposure.md: `RELEASES=100 HEALTHY=3000 cargo test --release -p slipway-scenarios --test evidence measured -- --ignored
/// --nocapture`.
#[test]
#[ignore = "it measures, for minutes"]
fn measured_with_the_controller_on_the_simulated_cluster() {
    let count = |name: &str, usual: u64| {
        let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
        given.unwrap_or(usual)
    };
    let quick = Duration::from_millis(20);
    let fails = |share: f64| Behaviour::healthy().latency(quick).errors(share);
    let rows = [
        ("fails 100 %", fails(1.0)),
        ("fails 20 %", fails(0.2)),
        ("fails 5 %", fails(0.05)),
        ("fails 1 %", fails(0.01)),
        ("fails 0.5 %", fails(0.005)),
        (
            "takes 60 ms in place of 20",
            fails(0.001).latency(quick * 3),
        ),
        ("is as good", fails(0.001)),
    ];
    for (name, new) in rows {
        let releases = if name == "is as good" {
            count("HEALTHY", 50)
        } else {
            count("RELEASES", 20)
        };
        let next = std::sync::atomic::AtomicU64::new(0);
        let all = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if seed >= releases {
                            return;
                        }
                        let one = measure(seed + 1, new.clone());
                        all.lock().unwrap().push(one);
                    }
                });
            }
        });
        let all = all.into_inner().unwrap();
        let promoted = all.iter().filter(|it| it.promoted).count();
        let failed: Vec<f64> = all.iter().map(|it| it.failed).collect();
        let seconds = all
            .iter()
            .map(|it| u32::try_from(it.seconds).unwrap_or(u32::MAX));
        let seconds: Vec<f64> = seconds.map(f64::from).collect();
        println!(
            "| {name} | {promoted} of {} | {} ({}) | {} ({}) |",
            all.len(),
            quantile(failed.clone(), 50),
            quantile(failed, 95),
            quantile(seconds.clone(), 50),
            quantile(seconds, 95)
        );
    }
}

/// Prints what one tick of a thousand releases costs, from the bytes of the answers on: `cargo test --profile e2e -p slipway-scenarios --test evidence
/// cost -- --ignored --nocapture`.
#[test]
#[ignore = "it measures"]
fn cost_of_one_tick_of_a_thousand_releases() {
    use slipway_core::analysis::{JudgeSettings, Stage, conclude, count, learn};
    use slipway_core::weight::Weight;
    use slipway_metrics::builtin::Telemetry;
    use slipway_metrics::counters::{Sides, read};
    const RELEASES: usize = 1000;
    const IN_A_QUERY: usize = 100;
    let sides: Vec<Sides> = (0..RELEASES)
        .map(|number| Sides {
            namespace: NAMESPACE.to_owned(),
            canary: format!("app-{number}"),
            primary: format!("app-{number}-primary"),
            is_daemon_set: false,
        })
        .collect();
    // Two pods a side, which have both kinds of answers, scraped every five seconds for 130 seconds.
    let body = |sides: &[Sides]| {
        let mut result = Vec::new();
        for name in sides.iter().flat_map(|it| [&it.canary, &it.primary]) {
            for (pod, code) in [("1", "200"), ("1", "500"), ("2", "200"), ("2", "500")] {
                let metric = json!({
                    "__name__": "istio_requests_total", "reporter": "destination", "response_code": code,
                    "destination_workload_namespace": NAMESPACE, "destination_workload": name, "pod": format!("{name}-{pod}"),
                });
                let values: Vec<_> = (0..26)
                    .map(|scrape| {
                        json!([
                            f64::from(scrape) * 5.0 + 0.123,
                            (1000 + 37 * scrape).to_string()
                        ])
                    })
                    .collect();
                result.push(json!({"metric": metric, "values": values}));
            }
        }
        let data = json!({"resultType": "matrix", "result": result});
        json!({"status": "success", "data": data}).to_string()
    };
    let bodies: Vec<String> = sides.chunks(IN_A_QUERY).map(body).collect();
    let steps: Vec<Weight> = [1, 5, 10, 25, 50].map(Weight::clamped).to_vec();
    let settings = JudgeSettings::default();
    let second = |at: i64| chrono::DateTime::from_timestamp(at, 0).unwrap();
    let mut all = vec![
        Evidence {
            until: Some(second(100)),
            ..Evidence::default()
        };
        RELEASES
    ];
    let stage = Stage {
        steps: &steps,
        weight: Weight::clamped(5),
        stood: chrono::TimeDelta::seconds(70),
    };
    let began = std::time::Instant::now();
    let mut counted = 0;
    for ((wanted, body), known) in sides
        .chunks(IN_A_QUERY)
        .zip(&bodies)
        .zip(all.chunks_mut(IN_A_QUERY))
    {
        let read = read(
            Telemetry::Istio,
            wanted,
            http::StatusCode::OK,
            body.as_bytes(),
        );
        for (known, counters) in known.iter_mut().zip(&read.unwrap()) {
            let seen = count(known, counters, second(0));
            learn(known, &settings, stage, &seen);
            conclude(known, &settings, stage, &seen);
            counted += known.canary.requests;
        }
    }
    let took = began.elapsed();
    let bytes: usize = bodies.iter().map(String::len).sum();
    assert!(counted > 0);
    println!(
        "{} ms for {RELEASES} releases, of {bytes} bytes in {} answers",
        took.as_millis(),
        bodies.len()
    );
}
