//! Faults between a client and the server, as a real `kube::Client` and its runtime meet them, and scripted receivers.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use serde_json::json;
use slipway_sim::{Fault, Reply, Verb, World};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn api(world: &World, identity: &str) -> Api<ConfigMap> {
    Api::default_namespaced(kube::Client::new(world.client_service(identity), "default"))
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}}))
        .unwrap_or_default()
}

async fn set(api: &Api<ConfigMap>, value: &str) -> kube::Result<ConfigMap> {
    api.patch(
        "x",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"a": value}})),
    )
    .await
}

fn value(world: &World) -> String {
    let live = world.get("cm", "default", "x");
    live.and_then(|it| it.pointer("/data/a")?.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn writes_are_numbered_apart_from_other_requests() {
    let world = World::new(1);
    let api = api(&world, "a");
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    api.get("x").await.unwrap();
    set(&api, "2").await.unwrap();
    let faults = world.faults("a");
    assert_eq!((faults.requests(), faults.writes()), (3, 2));
    let asked = faults.asked();
    assert_eq!(asked[0].summary(), "Create configmaps default/");
    assert_eq!(
        (asked[1].verb, asked[1].write, asked[1].name.as_str()),
        (Verb::Get, None, "x")
    );
    assert_eq!((asked[2].number, asked[2].write), (3, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_what_it_says_and_happens_once() {
    let world = World::new(1);
    let api = api(&world, "a");
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let faults = world.faults("a");
    faults
        .at_write(2, Fault::Refuse(409))
        .at_write(3, Fault::Refuse(500))
        .at_write(4, Fault::Unreachable)
        .at_write(5, Fault::LoseAnswer);
    faults
        .at_write(6, Fault::Delay(Duration::from_secs(5)))
        .at_write(7, Fault::DelayAnswer(Duration::from_secs(5)));
    for (value_set, code) in [("2", 409), ("3", 500)] {
        let Err(kube::Error::Api(status)) = set(&api, value_set).await else {
            panic!("not refused")
        };
        assert_eq!(status.code, code);
        assert_eq!(value(&world), "1");
    }
    assert!(matches!(set(&api, "4").await, Err(kube::Error::Service(_))));
    assert_eq!(value(&world), "1");
    assert!(matches!(set(&api, "5").await, Err(kube::Error::Service(_))));
    assert_eq!(value(&world), "5", "the server did it");
    set(&api, "6").await.unwrap();
    set(&api, "7").await.unwrap();
    assert_eq!(world.clock().elapsed(), Duration::from_secs(10));
    set(&api, "8").await.unwrap();
    assert_eq!(world.clock().elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_everything_of_that_life_and_nothing_of_the_next() {
    for (fault, expected) in [(Fault::CrashBefore, "1"), (Fault::CrashAfter, "2")] {
        let world = World::new(1);
        let first = api(&world, "a");
        first
            .create(&PostParams::default(), &config_map("x"))
            .await
            .unwrap();
        let faults = world.faults("a");
        faults.at_write(2, fault);
        let writer = tokio::spawn({
            let first = first.clone();
            async move { set(&first, "2").await }
        });
        faults.crashed().await;
        assert_eq!(value(&world), expected);
        assert!(
            tokio::time::timeout(Duration::from_mins(1), first.get("x"))
                .await
                .is_err(),
            "the dead get no answer"
        );
        assert!(!writer.is_finished());
        writer.abort();
        let second = api(&world, "a");
        set(&second, "3").await.unwrap();
        assert_eq!(
            (value(&world).as_str(), faults.crashes(), faults.writes()),
            ("3", 1, 3)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn faults_can_be_for_some_requests_only_and_for_a_time() {
    let world = World::new(1);
    let api = api(&world, "a");
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let faults = world.faults("a");
    faults.at_nth(2, Fault::Refuse(500), |asked| asked.verb == Verb::Get);
    api.get("x").await.unwrap();
    assert!(api.get("x").await.is_err());
    api.get("x").await.unwrap();
    faults.always(Fault::Unreachable, |_| true);
    assert!(api.get("x").await.is_err());
    assert!(set(&api, "2").await.is_err());
    faults.clear();
    api.get("x").await.unwrap();
    world.user("b").get("cm", "default", "x").unwrap();
}

/// The names of what a watcher sees, in order.
fn follow(world: &World, identity: &str) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, api) = (Arc::clone(&seen), api(world, identity));
    tokio::spawn(async move {
        let mut events = watch(api, watcher::Config::default())
            .default_backoff()
            .boxed();
        while let Some(event) = events.next().await {
            let line = match event {
                Ok(Event::Init) => "init".to_owned(),
                Ok(Event::InitApply(it)) => format!("has {}", it.metadata.name.unwrap_or_default()),
                Ok(Event::InitDone) => "listed".to_owned(),
                Ok(Event::Apply(it)) => format!(
                    "set {}",
                    it.data
                        .unwrap_or_default()
                        .get("a")
                        .cloned()
                        .unwrap_or_default()
                ),
                Ok(Event::Delete(_)) => "gone".to_owned(),
                Err(error) => format!(
                    "error {}",
                    error.to_string().chars().take(40).collect::<String>()
                ),
            };
            log.lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(line);
        }
    });
    seen
}

async fn pause(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn seen(log: &Arc<Mutex<Vec<String>>>) -> Vec<String> {
    std::mem::take(
        &mut *log
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    )
}

#[tokio::test(start_paused = true)]
async fn a_watcher_follows_lists_again_after_gone_and_resumes_after_a_drop() {
    let world = World::new(1);
    world.user("u").create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}})).unwrap();
    let log = follow(&world, "a");
    let write = |value: &str| {
        world
            .patch("cm", "default", "x", &json!({"data": {"a": value}}))
            .unwrap()
    };
    let lists = || {
        world
            .faults("a")
            .asked()
            .iter()
            .filter(|asked| asked.verb == Verb::List)
            .count()
    };
    pause(1).await;
    assert_eq!(seen(&log), ["init", "has x", "listed"]);
    write("2");
    pause(1).await;
    assert_eq!(seen(&log), ["set 2"]);
    world.drop_watches("a");
    write("3");
    pause(30).await;
    assert_eq!((seen(&log), lists()), (vec!["set 3".to_owned()], 1));
    write("4");
    world.expire_watches("a");
    pause(30).await;
    let events = seen(&log);
    assert_eq!(
        events.last().map(String::as_str),
        Some("listed"),
        "{events:?}"
    );
    assert_eq!(lists(), 2);
    write("5");
    pause(1).await;
    assert_eq!(seen(&log), ["set 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_can_lag_by_time_and_by_events_and_repeat_itself() {
    let world = World::new(1);
    world.user("u").create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}})).unwrap();
    let log = follow(&world, "a");
    pause(1).await;
    seen(&log);
    let write = |value: &str| {
        world
            .patch("cm", "default", "x", &json!({"data": {"a": value}}))
            .unwrap()
    };
    world.lag_watches("a", Duration::from_secs(5), 0);
    write("2");
    pause(4).await;
    assert_eq!(seen(&log), Vec::<String>::new());
    pause(2).await;
    assert_eq!(seen(&log), ["set 2"]);
    world.lag_watches("a", Duration::ZERO, 2);
    for value in ["3", "4", "5"] {
        write(value);
    }
    pause(100).await;
    assert_eq!(seen(&log), ["set 3"]);
    world.lag_watches("a", Duration::ZERO, 0);
    pause(1).await;
    assert_eq!(seen(&log), ["set 4", "set 5"]);
    world.repeat_watch_events("a", true);
    write("6");
    pause(1).await;
    assert_eq!(seen(&log), ["set 6", "set 6"]);
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_a_controller_at_rest_is_a_few_watches() {
    let world = World::new(1);
    world.user("u").create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}})).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let reconcile = async |_: Arc<ConfigMap>, count: Arc<AtomicUsize>| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(Action::requeue(Duration::from_mins(1)))
    };
    let controller = Controller::new(api(&world, "a"), watcher::Config::default())
        .run(
            reconcile,
            |_, _, _| Action::await_change(),
            Arc::clone(&count),
        )
        .for_each(async |_| {});
    let task = tokio::spawn(controller);
    pause(3600).await;
    task.abort();
    let reconciles = count.load(Ordering::Relaxed);
    assert!((59..=61).contains(&reconciles), "{reconciles}");
    let asked = world.faults("a").asked();
    let watches = asked
        .iter()
        .filter(|asked| asked.verb == Verb::Watch)
        .count();
    assert!((12..=14).contains(&watches), "{watches}");
    assert_eq!(asked.len() - watches, 1, "one list");
}

fn request(url: &str) -> http::Request<Bytes> {
    http::Request::post(url)
        .body(Bytes::from_static(b"{\"name\":\"podinfo\"}"))
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn receivers_answer_by_script_and_remember() {
    let world = World::new(1);
    let receivers = world.receivers();
    let code = async |url: &str| {
        world
            .http(request(url))
            .await
            .map(|answer| answer.status().as_u16())
    };
    assert_eq!(code("http://tester.test/").await, Ok(200));
    receivers.close("/gate/check");
    assert_eq!(code("http://tester.test/gate/check").await, Ok(403));
    receivers.open("/gate/check");
    assert_eq!(code("http://tester.test/gate/check").await, Ok(200));
    receivers.answer("/hook", Reply::status(500));
    receivers.answer_once("/hook", Reply::status(204));
    receivers.answer_once("/hook", Reply::Reset);
    assert_eq!(code("http://tester.test/hook").await, Ok(204));
    assert!(code("http://tester.test/hook").await.is_err());
    assert_eq!(code("http://tester.test/hook").await, Ok(500));
    let received = receivers.received_at("/hook");
    assert_eq!(received.len(), 3);
    assert_eq!(
        (received[0].method.as_str(), received[0].json()),
        ("POST", json!({"name": "podinfo"}))
    );
}

#[tokio::test(start_paused = true)]
async fn replies_can_hang_drip_break_off_be_late_and_be_huge() {
    let world = World::new(1);
    let receivers = world.receivers();
    receivers.answer("/hang", Reply::Hang);
    receivers.answer("/late", Reply::text("late").after(Duration::from_secs(7)));
    receivers.answer(
        "/drip",
        Reply::Drip(Duration::from_secs(1), Bytes::from_static(b"abc")),
    );
    receivers.answer("/huge", Reply::Huge(10_000_000));
    receivers.answer("/broken", Reply::Truncated(Bytes::from_static(b"ab")));
    let body = async |path: &str| {
        let answer = world.http(request(&format!("http://x{path}"))).await?;
        answer
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
    };
    assert!(
        tokio::time::timeout(Duration::from_hours(1), body("/hang"))
            .await
            .is_err()
    );
    let began = world.clock().elapsed();
    let took = || world.clock().elapsed().saturating_sub(began).as_secs();
    assert_eq!(
        (body("/late").await.unwrap(), took()),
        (Bytes::from_static(b"late"), 7)
    );
    assert_eq!(
        (body("/drip").await.unwrap(), took()),
        (Bytes::from_static(b"abc"), 10)
    );
    assert_eq!(body("/huge").await.unwrap().len(), 10_000_000);
    assert!(body("/broken").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn prometheus_answers_by_script_before_it_counts() {
    let world = World::new(1);
    let prometheus = world.prometheus();
    let text = async |query: &str| {
        let uri = format!("http://prometheus.istio-system:9090/api/v1/query?query={query}");
        let request = http::Request::get(uri).body(Bytes::new()).unwrap();
        let answer = world.http(request).await?;
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok::<_, slipway_sim::Broken>((code, String::from_utf8_lossy(&body).into_owned()))
    };
    assert!(text("vector%281%29").await.unwrap().1.contains("\"1\""));
    prometheus.answer("up", Reply::value(f64::NAN));
    assert!(text("up").await.unwrap().1.contains("\"NaN\""));
    prometheus.answer_once("up", Reply::no_data());
    prometheus.answer_once("up", Reply::Samples(vec![1.0, 2.0]));
    prometheus.answer_once("up", Reply::status(503));
    prometheus.answer_once("up", Reply::text("<html>"));
    assert!(text("up").await.unwrap().1.contains("\"result\":[]"));
    assert_eq!(text("up").await.unwrap().1.matches("value").count(), 2);
    assert_eq!(text("up").await.unwrap().0, 503);
    assert_eq!(text("up").await.unwrap().1, "<html>");
    prometheus.clear();
    assert_eq!(text("sum%28rate%28x%5B1m%5D%29%29").await.unwrap().0, 200);
    let queried = prometheus.queried();
    assert_eq!(
        (queried.len(), queried[6].query.as_str()),
        (7, "sum(rate(x[1m]))")
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_the_latency_of_the_world() {
    let world = World::new(1);
    world.set_latency(Duration::from_millis(5));
    let api = api(&world, "a");
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    api.get("x").await.unwrap();
    assert_eq!(world.clock().elapsed(), Duration::from_millis(10));
    let mut events = watch(api, watcher::Config::default()).boxed();
    assert!(matches!(events.try_next().await, Ok(Some(Event::Init))));
}
