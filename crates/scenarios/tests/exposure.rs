//! What the sequential test promises, by simulation: fixed seeds, few releases, the bounds of the issue with room for chance.

use slipway_core::analysis::{Bets, JudgeSettings, Policy};
use slipway_core::weight::Weight;
use slipway_scenarios::exposure::{Case, Fault, Figures, Rule, Threshold, figures};

fn slipway(settings: JudgeSettings) -> Rule {
    Rule::Evidence {
        settings: JudgeSettings {
            on_insufficient: Policy::Advance,
            ..settings
        },
        steps: [1, 5, 10, 25, 50].map(Weight::clamped).to_vec(),
        raises_first: true,
    }
}

fn usual(case: &Case, releases: usize) -> Figures {
    figures(case, &slipway(JudgeSettings::default()), releases)
}

#[test]
fn a_healthy_release_is_hardly_ever_rolled_back_whatever_happens_to_both_sides() {
    let incident = Fault::Shared(0.05, 60, 240);
    let clumped = Case {
        clump: 10.0,
        ..Case::healthy(100.0, 0.005)
    };
    let rows = [
        ("quiet", Case::healthy(100.0, 0.001)),
        ("slow", Case::healthy(10.0, 0.001)),
        ("failing", Case::healthy(100.0, 0.005)),
        ("incident", Case::healthy(100.0, 0.001).with(incident)),
        ("clumped", clumped),
    ];
    for (name, case) in rows {
        let found = usual(&case, 300);
        assert!(found.rolled_back <= 1.0 / 300.0, "{name}: {found:?}");
    }
}

#[test]
fn a_bad_release_is_taken_back_before_many_requests_failed() {
    // Failure, greatest 95th percentile of failed requests, longest median in seconds: the targets of 3.4.
    for (rate, exposed, seconds) in [(1.0, 50.0, 45.0), (0.05, 15.0, 240.0)] {
        let case = Case::healthy(100.0, 0.001).with(Fault::Canary(rate, 0));
        let found = usual(&case, 300);
        assert!(found.rolled_back >= 1.0, "{rate}: {found:?}");
        assert!(found.exposed.1 <= exposed, "{rate}: {found:?}");
        assert!(found.seconds <= seconds, "{rate}: {found:?}");
    }
    let small = Case::healthy(100.0, 0.001).with(Fault::Canary(0.005, 0));
    let found = usual(&small, 100);
    assert!(found.rolled_back >= 0.99, "{found:?}");
}

#[test]
fn a_healthy_release_at_100_requests_a_second_is_promoted_within_six_minutes() {
    let found = usual(&Case::healthy(100.0, 0.001), 200);
    assert!(found.promoted_after <= 360.0, "{found:?}");
}

#[test]
fn clumps_break_the_count_test_and_not_the_default() {
    let clumped = Case {
        clump: 10.0,
        ..Case::healthy(100.0, 0.005)
    };
    let counts = slipway(JudgeSettings {
        bets: Bets::Count,
        ..JudgeSettings::default()
    });
    assert!(figures(&clumped, &counts, 100).rolled_back > 0.1);
    assert!(usual(&clumped, 100).rolled_back < 0.02);
}

#[test]
fn the_rules_beside_it_behave_as_they_are_known_to() {
    let threshold = Rule::Threshold(Threshold {
        interval: 60,
        window: 60,
        least: 99.0,
        failures: 10,
        ends_late: true,
        steps: (1..=10).map(|step| Weight::clamped(step * 5)).collect(),
        pace: None,
    });
    let dead = Case::healthy(100.0, 0.001).with(Fault::Canary(1.0, 0));
    let found = figures(&dead, &threshold, 50);
    assert!((3000.0..3600.0).contains(&found.exposed.0), "{found:?}");
    let healthy = figures(&Case::healthy(100.0, 0.001), &threshold, 50);
    assert!((healthy.promoted_after - 600.0).abs() < 1.0, "{healthy:?}");
    let found = figures(&dead, &Rule::Kayenta, 3);
    assert!((found.seconds - 3600.0).abs() < 1.0, "{found:?}");
    assert!(found.exposed.0 > 30_000.0, "{found:?}");
    let healthy = figures(&Case::healthy(100.0, 0.001), &Rule::Kayenta, 20);
    assert!(healthy.rolled_back < 0.2, "{healthy:?}");
}

#[test]
fn equal_seeds_give_equal_figures() {
    let case = Case::healthy(50.0, 0.002).with(Fault::Canary(0.02, 30));
    // What was never promoted has no time, which equals nothing: the texts are compared.
    let twice = [usual(&case, 20), usual(&case, 20)].map(|found| format!("{found:?}"));
    assert_eq!(twice[0], twice[1]);
}
