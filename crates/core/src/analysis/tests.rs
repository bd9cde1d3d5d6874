//! The tests are tested: exactly where counts are small, by laws where they are not.

use chrono::TimeDelta;
use proptest::prelude::*;
use slipway_api::Evidence;

use super::*;
use crate::weight::Weight;

fn pair(canary: (u64, u64), primary: (u64, u64)) -> Pair {
    let arm = |(requests, bad)| Arm { requests, bad };
    Pair {
        canary: arm(canary),
        primary: arm(primary),
    }
}

fn steps() -> Vec<Weight> {
    [1, 5, 10, 25, 50].map(Weight::clamped).to_vec()
}

fn at(steps: &[Weight], weight: i64, stood: i64) -> Stage<'_> {
    Stage {
        steps,
        weight: Weight::clamped(weight),
        stood: TimeDelta::seconds(stood),
    }
}

fn seen(errors: Pair) -> Seen {
    Seen {
        errors,
        slow: Vec::new(),
        spread: None,
        is_of_one_weight: true,
    }
}

fn choose(of: u64, taken: u64) -> f64 {
    let number = |count: u64| real(count);
    (0..taken).fold(1.0, |product, at| {
        product * number(of - at) / number(at + 1)
    })
}

/// How likely each number of failures of the canary is, given how many there are in all, where its odds are `odds` times the primary's.
fn failures_of_canary(canary: u64, primary: u64, failed: u64, odds: f64) -> Vec<(u64, f64)> {
    let least = failed.saturating_sub(primary);
    let most = failed.min(canary);
    let weight =
        |bad: u64| choose(canary, bad) * choose(primary, failed - bad) * odds.powf(real(bad));
    let all: f64 = (least..=most).map(weight).sum();
    (least..=most).map(|bad| (bad, weight(bad) / all)).collect()
}

#[test]
fn no_bet_wins_in_the_mean_against_a_harmless_canary_by_exact_enumeration() {
    let sides = [
        (1, 9),
        (5, 5),
        (3, 60),
        (10, 30),
        (40, 10),
        (12, 12),
        (2, 98),
    ];
    for (canary, primary) in sides {
        for odds in [1.0, 1.25, 1.5, 2.0, 5.0] {
            for failed in 1..=(canary + primary).min(10) {
                type Factors = fn(Pair, f64) -> Option<Vec<f64>>;
                let kinds: [Factors; 2] = [share::factors, count::factors];
                for factors in kinds {
                    let mut means = Vec::new();
                    for (bad, chance) in failures_of_canary(canary, primary, failed, odds) {
                        let won = factors(pair((canary, bad), (primary, failed - bad)), odds);
                        let won = won.unwrap();
                        means.resize(won.len(), 0.0);
                        for (mean, log) in means.iter_mut().zip(won) {
                            *mean += chance * log.exp();
                        }
                    }
                    let greatest = means.iter().copied().fold(0.0, f64::max);
                    let case = format!("{canary} {primary} {failed} {odds}: {greatest}");
                    assert!(greatest <= 1.0 + 1e-9, "{case}");
                }
            }
        }
    }
}

#[test]
fn the_floor_and_the_clean_test_win_nothing_at_their_limits_by_exact_enumeration() {
    let chance = |requests: u64, bad: u64, rate: f64| {
        choose(requests, bad) * rate.powf(real(bad)) * (1.0 - rate).powf(real(requests - bad))
    };
    for (limit, usual) in [(0.0005, 0.0001), (0.05, 0.01), (0.3, 0.001)] {
        for requests in [1, 7, 20] {
            let (mut floor, mut clean) = (0.0, 0.0);
            for bad in 0..=requests {
                let mut stakes = Vec::new();
                floor_step(&mut stakes, limit, requests, bad);
                let mean = number::log_mean(stakes.iter().copied()).exp();
                floor += chance(requests, bad, limit) * mean;
                let won = clean_step(0.0, usual, limit, requests, bad).exp();
                clean += chance(requests, bad, limit) * won;
            }
            assert!(floor <= 1.0 + 1e-9 && floor > 0.99, "{limit}: {floor}");
            assert!(clean <= 1.0 + 1e-9 && clean > 0.99, "{limit}: {clean}");
        }
    }
}

#[test]
fn the_ratio_test_wins_nothing_where_requests_are_shared_as_the_weight_says() {
    for (weight, requests) in [(0.01, 30_u64), (0.05, 40), (0.5, 20)] {
        let mean: f64 = (0..=requests)
            .map(|canary| {
                let chance = choose(requests, canary)
                    * f64::powf(weight, real(canary))
                    * (1.0 - weight).powf(real(requests - canary));
                chance * ratio_evidence(weight, canary, requests - canary).exp()
            })
            .sum();
        assert!((mean - 1.0).abs() < 1e-6, "{weight}: {mean}");
    }
    assert!(ratio_evidence(0.05, 500, 9_500) < 1.0);
    assert!(ratio_evidence(0.05, 5_000, 5_000) > 100.0);
}

/// The least number of canary errors in one tick, none on the primary, that rolls back.
fn fewest(weight: u32, settings: &JudgeSettings) -> Option<u64> {
    let steps = steps();
    let canary = u64::from(weight) * 1000;
    (1..2000).find(|bad| {
        let mut known = Evidence::default();
        let seen = seen(pair((canary, *bad), (100_000 - canary, 0)));
        let stage = at(&steps, i64::from(weight), 0);
        learn(&mut known, settings, stage, &seen);
        evidence(&known, settings, 5) >= -settings.alpha.ln()
    })
}

#[test]
fn by_counts_a_handful_of_errors_that_are_the_canarys_alone_is_enough() {
    let settings = JudgeSettings {
        bets: Bets::Count,
        error_floor: 1e-7,
        ..JudgeSettings::default()
    };
    // The last column of 2.4 (a): total failure needs 3, 4, 8 and 15 of them; bets of up to 1000 times need about as many.
    for (weight, most) in [(1, 4), (5, 5), (25, 9), (50, 17)] {
        let found = fewest(weight, &settings).unwrap();
        assert!((most - 2..=most).contains(&found), "{weight}: {found}");
    }
}

#[test]
fn by_ticks_a_total_failure_needs_as_many_ticks_as_the_paper_says() {
    let (steps, settings) = (steps(), JudgeSettings::default());
    for (weight, ticks) in [(1, 3), (5, 4), (10, 5), (25, 9), (50, 17)] {
        let mut known = Evidence::default();
        let canary = u64::try_from(weight).unwrap() * 10;
        let mut needed = 0;
        while evidence(&known, &settings, 5) < -settings.alpha.ln() {
            let all = seen(pair((canary, canary), (1000 - canary, 0)));
            learn(&mut known, &settings, at(&steps, weight, 0), &all);
            needed += 1;
        }
        // The tolerance of 1.25 and the mean over three bets cost a tick at most.
        assert!((ticks..=ticks + 3).contains(&needed), "{weight}: {needed}");
    }
}

#[test]
fn each_failure_is_bet_on_once_failures_are_seen_to_fall_evenly_and_no_stake_is_ever_taken_away() {
    let settings = JudgeSettings {
        bets: Bets::Auto,
        ..JudgeSettings::default()
    };
    let tick = |spread| Seen {
        spread,
        ..seen(pair((50, 1), (950, 20)))
    };
    let stakes = |known: &Evidence| known.metrics["errors"].accounts[0].len();
    let steps = steps();
    // How failures fall in each tick, and whether they are bet on one by one afterwards.
    for (spread, by_each) in [(Some(1.1), true), (Some(8.0), false), (None, false)] {
        let mut known = Evidence::default();
        for _ in 0..5 {
            learn(&mut known, &settings, at(&steps, 5, 0), &tick(spread));
            assert_eq!(stakes(&known), FRACTIONS.len());
        }
        learn(&mut known, &settings, at(&steps, 5, 0), &tick(spread));
        let expected = if by_each {
            GROWTHS.len()
        } else {
            FRACTIONS.len()
        };
        assert_eq!(stakes(&known), expected, "{spread:?}");
        // They come in clumps from now on.
        for _ in 0..20 {
            learn(&mut known, &settings, at(&steps, 5, 0), &tick(Some(50.0)));
        }
        assert_eq!(stakes(&known), expected, "{spread:?}");
    }
}

fn verdict_of(ticks: &[Pair], weight: i64, stood: i64, settings: &JudgeSettings) -> Verdict {
    let steps = steps();
    let (mut known, mut last) = (Evidence::default(), Seen::default());
    let stage = at(&steps, weight, stood);
    for tick in ticks {
        last = seen(*tick);
        learn(&mut known, settings, stage, &last);
    }
    conclude(&known, settings, stage, &last)
}

/// A name, ticks, the weight, seconds at it, settings, and what is expected.
type Row<'a> = (&'a str, &'a [Pair], i64, i64, &'a JudgeSettings, Verdict);

#[test]
fn verdicts() {
    let healthy = pair((10, 0), (990, 1));
    let usual = JudgeSettings::default();
    let waits = JudgeSettings {
        on_insufficient: Policy::RollBack,
        ..usual.clone()
    };
    let on = |policy| JudgeSettings {
        on_shared: policy,
        ..usual.clone()
    };
    let incident = [healthy, healthy, pair((10, 1), (990, 50))];
    let gross = [pair((500, 300), (500, 1)), pair((500, 300), (500, 1))];
    let doubtful = [pair((50, 6), (950, 1)), pair((50, 2), (950, 0))];
    let rows: [Row<'_>; 12] = [
        ("nothing", &[], 1, 70, &usual, Verdict::Hold(Hold::NoData)),
        (
            "idle",
            &[healthy, Pair::default()],
            1,
            70,
            &usual,
            Verdict::Hold(Hold::NoData),
        ),
        (
            "young",
            &[healthy; 60],
            1,
            59,
            &usual,
            Verdict::Hold(Hold::Measuring),
        ),
        ("clean", &[healthy; 60], 1, 60, &usual, Verdict::Advance),
        (
            "few",
            &[healthy; 3],
            1,
            60,
            &usual,
            Verdict::Hold(Hold::Measuring),
        ),
        (
            "undecided",
            &[healthy; 3],
            1,
            900,
            &usual,
            Verdict::Hold(Hold::Undecided),
        ),
        (
            "given up",
            &[healthy; 3],
            1,
            900,
            &waits,
            Verdict::RollBack(Cause::Undecided),
        ),
        (
            "incident",
            &incident,
            1,
            60,
            &usual,
            Verdict::Hold(Hold::SharedIncident),
        ),
        (
            "impatient",
            &incident,
            1,
            60,
            &on(Policy::RollBack),
            Verdict::RollBack(Cause::SharedIncident),
        ),
        (
            "cliff",
            &gross,
            50,
            10,
            &usual,
            Verdict::RollBack(Cause::Cliff),
        ),
        (
            "all fail",
            &[pair((10, 10), (990, 0)); 4],
            1,
            40,
            &usual,
            Verdict::RollBack(Cause::Cliff),
        ),
        ("doubt", &doubtful, 5, 20, &usual, Verdict::Retreat),
    ];
    for (name, ticks, weight, stood, settings, expected) in rows {
        assert_eq!(
            verdict_of(ticks, weight, stood, settings),
            expected,
            "{name}"
        );
    }
    // Requests that are not shared as the weight says.
    let skewed = [pair((500, 0), (500, 0)); 3];
    let verdict = verdict_of(&skewed, 5, 60, &usual);
    assert_eq!(verdict, Verdict::Hold(Hold::WrongRatio));
}

#[test]
fn a_release_that_was_sent_back_once_is_not_sent_back_again() {
    let (steps, settings) = (steps(), JudgeSettings::default());
    let doubtful = seen(pair((50, 8), (950, 1)));
    let mut known = Evidence::default();
    learn(&mut known, &settings, at(&steps, 5, 20), &doubtful);
    learn(&mut known, &settings, at(&steps, 5, 20), &doubtful);
    known.braked = true;
    let verdict = conclude(&known, &settings, at(&steps, 5, 20), &doubtful);
    assert_ne!(verdict, Verdict::Retreat);
}

fn any_tick() -> impl Strategy<Value = (Seen, i64)> {
    let arm = || (0_u64..2000, 0_u64..20).prop_map(|(all, bad)| (all, bad.min(all)));
    let pair = (arm(), arm()).prop_map(|(canary, primary)| pair(canary, primary));
    let slow = pair.clone();
    let weight = prop::sample::select(vec![1_i64, 5, 10, 25, 50]);
    (pair, slow, weight).prop_map(|(errors, slow, weight)| {
        let mut seen = seen(errors);
        seen.slow = [5, 250, 1000]
            .map(|edge| (slower_than(edge), slow))
            .to_vec();
        (seen, weight)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restart_after_any_tick_changes_nothing(ticks in prop::collection::vec(any_tick(), 1..40), cut in 0_usize..40) {
        let (steps, settings) = (steps(), JudgeSettings::default());
        let (mut known, mut again) = (Evidence::default(), Evidence::default());
        for (number, (seen, weight)) in ticks.iter().enumerate() {
            if number == cut {
                let text = serde_json::to_string(&again).unwrap();
                again = serde_json::from_str(&text).unwrap();
            }
            learn(&mut known, &settings, at(&steps, *weight, 0), seen);
            learn(&mut again, &settings, at(&steps, *weight, 0), seen);
            prop_assert_eq!(&known, &again);
        }
    }

    #[test]
    fn the_state_is_small_and_its_books_agree(ticks in prop::collection::vec(any_tick(), 1..200)) {
        let (steps, settings) = (steps(), JudgeSettings::default());
        let mut known = Evidence::default();
        let (mut requests, mut failed, mut before) = (0, 0, 0);
        for (seen, weight) in &ticks {
            learn(&mut known, &settings, at(&steps, *weight, 0), seen);
            requests += seen.errors.canary.requests;
            failed += seen.errors.canary.bad;
            prop_assert!(known.accounts >= before && known.accounts <= 5);
            before = known.accounts;
        }
        prop_assert_eq!((known.canary.requests, known.canary.failed), (requests, failed));
        prop_assert!(evidence(&known, &settings, 5).is_finite());
        known.edges = Some(vec![5, 250, 1000]);
        known.pods = (0..slipway_api::COUNTED_PODS).map(|pod| (format!("{pod:06x}"), 14_999)).collect();
        let size = serde_json::to_string(&known).unwrap().len();
        prop_assert!(size < 2048, "{} bytes", size);
    }

    #[test]
    fn a_tick_without_news_changes_no_evidence((tick, weight) in any_tick()) {
        let (steps, settings) = (steps(), JudgeSettings::default());
        let mut known = Evidence::default();
        learn(&mut known, &settings, at(&steps, weight, 0), &tick);
        let before = known.clone();
        learn(&mut known, &settings, at(&steps, weight, 0), &Seen::default());
        prop_assert_eq!(known, before);
    }

    #[test]
    fn more_failures_of_the_canary_never_lower_the_evidence((mut tick, weight) in any_tick()) {
        let (steps, settings) = (steps(), JudgeSettings::default());
        let weigh = |tick: &Seen| {
            let mut known = Evidence::default();
            learn(&mut known, &settings, at(&steps, weight, 0), tick);
            evidence(&known, &settings, 5)
        };
        let before = weigh(&tick);
        prop_assume!(tick.errors.canary.bad < tick.errors.canary.requests);
        tick.errors.canary.bad += 1;
        prop_assert!(weigh(&tick) >= before - 0.001);
    }
}
