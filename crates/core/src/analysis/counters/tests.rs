//! What is counted, against what was requested.

use proptest::prelude::*;

use super::*;

fn second(at: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(at)
}

fn series(side: Side, pod: &str, counts: Counts, samples: &[(i64, f64)]) -> CounterSeries {
    let samples = samples.iter().map(|(at, value)| (second(*at), *value));
    CounterSeries {
        side,
        pod: pod.to_owned(),
        counts,
        samples: samples.collect(),
    }
}

fn fresh(at: i64) -> Evidence {
    Evidence {
        until: Some(second(at)),
        ..Evidence::default()
    }
}

/// Counts looks one after the other; what each of them saw of the canary and of the primary, as requests and failures.
fn look(known: &mut Evidence, series: Vec<CounterSeries>) -> [(u64, u64); 2] {
    let counters = Counters {
        series,
        edges: None,
    };
    let seen = count(known, &counters, second(0));
    let of = |arm: Arm| (arm.requests, arm.bad);
    [of(seen.errors.canary), of(seen.errors.primary)]
}

#[test]
fn what_was_requested_before_the_first_users_is_not_counted() {
    use Counts::{Failed, Good};
    use Side::{Canary, Primary};
    let mut known = fresh(100);
    let first = look(
        &mut known,
        vec![
            // Probes and load tests before the first step.
            series(Canary, "c", Good, &[(95, 40.0), (105, 47.0)]),
            series(Primary, "p", Good, &[(92, 9_000.0), (107, 10_000.0)]),
            // The first failures ever: the series is younger than the pod.
            series(Primary, "p", Failed, &[(107, 3.0)]),
            series(Canary, "c", Failed, &[(105, 2.0)]),
        ],
    );
    assert_eq!(first, [(9, 2), (1_003, 3)]);
}

#[test]
fn a_pod_of_the_primary_that_was_unseen_at_first_counts_from_what_is_seen_and_a_new_one_from_nothing()
 {
    use Counts::Good;
    use Side::{Canary, Primary};
    let mut known = fresh(100);
    let unseen = series(Primary, "old", Good, &[(107, 50_000.0)]);
    let canary = series(Canary, "c", Good, &[(106, 5.0)]);
    assert_eq!(look(&mut known, vec![unseen, canary]), [(5, 0), (0, 0)]);
    let unseen = series(Primary, "old", Good, &[(107, 50_000.0), (117, 50_100.0)]);
    let scaled_up = series(Primary, "new", Good, &[(116, 30.0)]);
    assert_eq!(
        look(&mut known, vec![unseen, scaled_up]),
        [(0, 0), (130, 0)]
    );
}

#[test]
fn a_restart_counts_from_nothing_and_a_long_gap_from_what_is_seen_after_it() {
    use Counts::{Failed, Good};
    use Side::Canary;
    let mut known = fresh(0);
    let before = [(5, 10.0), (10, 20.0)];
    look(&mut known, vec![series(Canary, "c", Good, &before)]);
    let restarted = [(10, 20.0), (15, 4.0), (20, 6.0)];
    assert_eq!(
        look(&mut known, vec![series(Canary, "c", Good, &restarted)])[0],
        (6, 0)
    );
    // Nothing in the window is as old as what was counted last: what it says at first has been counted, nobody knows how much of it.
    let after_gap = [(320, 500.0), (325, 510.0)];
    let failed = [(320, 50.0), (325, 51.0)];
    let seen = look(
        &mut known,
        vec![
            series(Canary, "c", Good, &after_gap),
            series(Canary, "c", Failed, &failed),
        ],
    );
    assert_eq!(seen[0], (11, 1));
}

#[test]
fn pods_beyond_those_that_are_remembered_are_counted_all_the_same() {
    use Counts::Good;
    use Side::{Canary, Primary};
    let many = |at: i64| -> Vec<CounterSeries> {
        let primary = (0..100).map(|pod| {
            let from = f64::from(pod) * 1_000.0;
            let samples = [(at - 10, from), (at, from + 10.0)];
            series(Primary, &format!("p{pod}"), Good, &samples)
        });
        let canary = series(Canary, "c", Good, &[(at - 10, 0.0), (at, 10.0)]);
        primary.chain([canary]).collect()
    };
    let mut known = fresh(0);
    assert_eq!(look(&mut known, many(10)), [(10, 0), (1_000, 0)]);
    assert_eq!(known.pods.len(), COUNTED_PODS);
    assert!(known.pods.contains_key(&digest(Canary, "c")));
    assert_eq!(look(&mut known, many(20)), [(10, 0), (1_000, 0)]);
    let size = serde_json::to_string(&known.pods).unwrap().len();
    assert!(size < 700, "{size}");
}

#[test]
fn slow_requests_are_those_that_were_timed_and_not_within_an_edge_which_is_chosen_once() {
    use Counts::{Good, Timed, Within};
    use Side::{Canary, Primary};
    let mut known = fresh(0);
    let of = |side, pod: &str, timed: f64, within: f64| {
        [
            series(side, pod, Good, &[(5, timed)]),
            series(side, pod, Timed, &[(5, timed)]),
            series(side, pod, Within(250), &[(5, within)]),
        ]
    };
    let canaries = [of(Canary, "c1", 10.0, 7.0), of(Canary, "c2", 10.0, 9.0)];
    let mut counters = Counters {
        series: canaries.concat(),
        edges: Some(vec![250]),
    };
    // A pod of the primary that is new to the books: of it only what comes later is counted.
    counters.series.extend(of(Primary, "p", 500.0, 499.0));
    let seen = count(&mut known, &counters, second(0));
    let slow = Arm {
        requests: 20,
        bad: 4,
    };
    let pair = Pair {
        canary: slow,
        ..Pair::default()
    };
    assert_eq!(seen.slow, [("slower than 250ms".to_owned(), pair)]);
    counters.edges = Some(vec![1000]);
    count(&mut known, &counters, second(0));
    assert_eq!(known.edges, Some(vec![250]));
}

#[test]
fn failures_that_fall_on_one_pod_are_told_from_those_that_fall_evenly() {
    use Counts::{Failed, Good};
    use Side::Primary;
    let pods = |failed: [f64; 4]| -> Vec<CounterSeries> {
        let each = failed.iter().enumerate().flat_map(|(pod, failed)| {
            let name = format!("p{pod}");
            [
                series(Primary, &name, Good, &[(-1, 0.0), (5, 1000.0)]),
                series(Primary, &name, Failed, &[(-1, 0.0), (5, *failed)]),
            ]
        });
        each.collect()
    };
    let spread = |failed: [f64; 4]| {
        let counters = Counters {
            series: pods(failed),
            edges: None,
        };
        count(&mut fresh(0), &counters, second(0)).spread
    };
    assert!(spread([5.0, 5.0, 5.0, 5.0]).unwrap() < 0.1);
    assert!(spread([20.0, 0.0, 0.0, 0.0]).unwrap() > 10.0);
    assert_eq!(spread([0.0, 0.0, 0.0, 0.0]), None);
}

#[test]
fn the_rate_is_the_primarys_over_the_time_that_its_samples_cover() {
    use Counts::{Failed, Good, Timed};
    use Side::{Canary, Primary};
    let rows: [(Vec<CounterSeries>, f64); 4] = [
        (vec![], 0.0),
        (vec![series(Primary, "p", Good, &[(5, 70.0)])], 0.0),
        (
            vec![
                series(Primary, "p", Good, &[(5, 70.0), (15, 120.0)]),
                series(Primary, "q", Failed, &[(10, 0.0), (15, 50.0)]),
                series(Primary, "p", Timed, &[(5, 70.0), (15, 120.0)]),
                series(Canary, "c", Good, &[(5, 0.0), (15, 900.0)]),
            ],
            10.0,
        ),
        // A restart: the counter began again.
        (
            vec![series(Primary, "p", Good, &[(0, 900.0), (10, 20.0)])],
            2.0,
        ),
    ];
    for (series, expected) in rows {
        let counters = Counters {
            series,
            edges: None,
        };
        let found = rate(&counters);
        assert!((found - expected).abs() < 1e-9, "{counters:?}: {found}");
    }
}

/// One pod: the offset of its scrapes, and in each second whether it restarts and how many requests succeed and fail.
type Life = (i64, Vec<(bool, u8, u8)>);

fn any_life() -> impl Strategy<Value = Life> {
    let second = (prop::bool::weighted(0.02), 0_u8..5, 0_u8..2);
    (0_i64..5, prop::collection::vec(second, 60..61))
}

/// When a counter was scraped, and what it said.
type Told = Vec<(i64, f64)>;

/// Every scrape of a pod, and how much it had counted in all at each: a scrape at T tells of the requests before T.
fn scrapes(life: &Life) -> (Told, Told, Vec<(i64, u64, u64)>) {
    let (mut good, mut failed, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    let (mut now, mut all, mut lost) = ((0_u64, 0_u64), (0_u64, 0_u64), (0_u64, 0_u64));
    let (offset, seconds) = life;
    for (at, (restarts, more_good, more_failed)) in (0_i64..).zip(seconds) {
        if at % 5 == *offset {
            good.push((at, f64::from(u32::try_from(now.0).unwrap())));
            failed.push((at, f64::from(u32::try_from(now.1).unwrap())));
            all = (all.0 + lost.0, all.1 + lost.1);
            lost = (0, 0);
            truth.push((at, all.0, all.1));
        }
        if *restarts {
            // What was requested since the last scrape is lost with the process; then the counters begin again.
            (now, lost) = ((0, 0), (0, 0));
        }
        now = (
            now.0 + u64::from(*more_good),
            now.1 + u64::from(*more_failed),
        );
        lost = (
            lost.0 + u64::from(*more_good),
            lost.1 + u64::from(*more_failed),
        );
    }
    (good, failed, truth)
}

proptest! {
    /// Looks at any times, scrapes that arrive late by pod, answers that come twice: in the end each request that was scraped is counted once.
    /// A counter that is above its mark again after a restart cannot be told from one that was not, so restarts are not among what is drawn here.
    #[test]
    fn each_request_is_counted_once_whenever_one_looks(
        lives in prop::collection::vec(any_life(), 1..4),
        looks in prop::collection::btree_set(1_i64..60, 1..12),
        lags in prop::collection::vec(0_i64..4, 3),
        again in any::<bool>(),
        turned in any::<bool>(),
    ) {
        let lives: Vec<Life> = lives
            .into_iter()
            .map(|(offset, seconds)| (offset, seconds.into_iter().map(|(_, g, f)| (false, g, f)).collect()))
            .collect();
        let mut known = fresh(-1);
        let (mut requests, mut failures) = (0, 0);
        let mut looks: Vec<i64> = looks.into_iter().collect();
        looks.push(70);
        for now in looks {
            let mut series = Vec::new();
            for (pod, life) in lives.iter().enumerate() {
                let (good, failed, _) = scrapes(life);
                // The samples of some pods come late.
                let known_at = now - lags[pod];
                let until = |all: Vec<(i64, f64)>| -> Vec<(i64, f64)> {
                    all.into_iter().filter(|(at, _)| *at <= known_at).collect()
                };
                for (counts, all) in [(Counts::Good, good), (Counts::Failed, failed)] {
                    let samples = until(all);
                    if !samples.is_empty() {
                        series.push(self::series(Side::Canary, &format!("c{pod}"), counts, &samples));
                    }
                }
            }
            if turned {
                series.reverse();
            }
            for _ in 0..=usize::from(again) {
                let [(all, bad), _] = look(&mut known, series.clone());
                requests += all;
                failures += bad;
            }
        }
        let (mut expected, mut expected_failures) = (0, 0);
        for life in &lives {
            let (_, _, truth) = scrapes(life);
            let (_, good, failed) = truth.last().copied().unwrap_or_default();
            expected += good + failed;
            expected_failures += failed;
        }
        prop_assert_eq!((requests, failures), (expected, expected_failures));
    }

    /// A restart never makes a count huge or negative: at most what was requested is counted.
    #[test]
    fn restarts_never_count_more_than_was_requested(life in any_life(), looks in prop::collection::btree_set(1_i64..60, 1..12)) {
        let (good, failed, _) = scrapes(&life);
        let all: u64 = life.1.iter().map(|(_, good, failed)| u64::from(*good) + u64::from(*failed)).sum();
        let mut known = fresh(-1);
        let mut counted = 0;
        for now in looks {
            let until = |all: &[(i64, f64)]| -> Vec<(i64, f64)> {
                all.iter().copied().filter(|(at, _)| *at <= now).collect()
            };
            let series = vec![
                series(Side::Canary, "c", Counts::Good, &until(&good)),
                series(Side::Canary, "c", Counts::Failed, &until(&failed)),
            ];
            counted += look(&mut known, series)[0].0;
        }
        prop_assert!(counted <= all, "{} of {}", counted, all);
    }
}
