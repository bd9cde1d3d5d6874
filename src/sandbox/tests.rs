//! What the audience is told is what happened.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use slipway_api::Phase;
use slipway_sim::World;

use super::acts::{self, SCENARIOS};
use super::pace::{Pace, Speed};
use super::plain::Plain;
use super::show::{Show, Voice};
use super::view::{self, Footer};
use super::words;

fn virtually<T>(play: impl Future<Output = T>) -> T {
    slipway_sim::runtime().unwrap().block_on(play)
}

fn show(seed: u64, scenario: &str) -> Show {
    Show::new(World::new(seed), acts::named(scenario).unwrap()).unwrap()
}

fn played(scenario: &str) -> Show {
    virtually(async {
        let mut show = show(1, scenario);
        while !show.is_over() {
            show.tick().await.unwrap();
        }
        show
    })
}

fn lines(seed: u64, scenario: &str) -> String {
    virtually(async {
        let (_inbox, messages) = std::sync::mpsc::channel();
        let plain = Plain::new(show(seed, scenario), Pace::new(Speed::Max), messages, None);
        let mut out = Vec::new();
        plain.play(&mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    })
}

/// How many requests failed in each act, as it is told.
fn failed(show: &Show) -> Vec<String> {
    let outcomes = show.outcomes.iter();
    outcomes
        .map(|outcome| words::whole(outcome.users.failed))
        .collect()
}

fn phases(show: &Show) -> Vec<Phase> {
    show.outcomes.iter().map(|outcome| outcome.phase).collect()
}

#[test]
fn equal_seeds_play_equal_shows_and_others_do_not() {
    let first = lines(7, "bad");
    assert_eq!(first, lines(7, "bad"));
    assert_ne!(first, lines(8, "bad"), "chance has no part in the show");
}

#[test]
fn the_tour_promotes_what_is_good_rolls_back_what_is_bad_and_counts_as_the_users_do() {
    let show = played("tour");
    assert_eq!(
        phases(&show),
        [Phase::Succeeded, Phase::Failed, Phase::Succeeded]
    );
    let users = show.world().users();
    let lost: f64 = users.losses().iter().map(|loss| loss.requests).sum();
    let told = words::summary(&show).remove(0);
    let expected = format!(
        "failed: {} of {} (",
        words::whole(lost),
        words::whole(users.report().sent())
    );
    assert!(told.contains(&expected), "{told} does not say {expected}");
    assert!(
        lost > 0.0,
        "the bad release harmed nobody: it was not played"
    );
    assert_eq!(failed(&show), ["0", &words::whole(lost), "0"]);
    assert!(
        show.outcomes[1].at_once > 5.0 * lost,
        "{:?}",
        show.outcomes[1]
    );
}

#[test]
fn a_good_version_is_promoted_and_no_request_fails_for_it() {
    for scenario in ["good", "blue-green", "ab"] {
        let show = played(scenario);
        assert_eq!(phases(&show), [Phase::Succeeded], "{scenario}");
        assert_eq!(words::whole(show.users().failed), "0", "{scenario}");
    }
}

#[test]
fn a_version_that_fails_its_test_or_does_not_start_meets_no_user_and_a_slow_one_few() {
    for scenario in ["untested", "crash", "slow"] {
        let show = played(scenario);
        assert_eq!(phases(&show), [Phase::Failed], "{scenario}");
        let (met, all) = (show.outcomes[0].canary.sent, show.users().sent);
        let is_right = if scenario == "slow" {
            met > 0.0 && met < all / 20.0
        } else {
            met == 0.0
        };
        assert!(is_right, "{scenario}: {met} of {all}");
    }
}

#[test]
fn accidents_are_survived_and_a_killed_controller_is_not_missed_by_any_user() {
    let show = played("accidents");
    assert_eq!(phases(&show), [Phase::Succeeded; 2]);
    let failed = failed(&show);
    assert_ne!(failed[0], "0", "pods that die take their requests along");
    assert_eq!(failed[1], "0", "nobody misses Slipway for a while");
    let told = show.log.iter().filter(|line| line.voice == Voice::Story);
    assert!(
        told.clone()
            .any(|line| line.text.contains("Slipway is killed"))
    );
    assert!(
        told.clone()
            .any(|line| line.text.ends_with("goes on at 30%"))
    );
}

#[test]
fn every_scenario_has_an_act_and_a_name_of_its_own() {
    for (at, scenario) in SCENARIOS.iter().enumerate() {
        assert!(!scenario.acts.is_empty(), "{}", scenario.name);
        let found = SCENARIOS.iter().position(|it| it.name == scenario.name);
        assert_eq!(found, Some(at), "{}", scenario.name);
    }
}

fn drawn(show: &Show, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let pace = Pace::new(Speed::default());
    let footer = Footer(None);
    terminal
        .draw(|frame| view::draw(frame, show, &pace, &footer))
        .unwrap();
    terminal.backend().to_string()
}

#[test]
fn the_screen_tells_weight_checks_hooks_and_failures_and_fits_everywhere() {
    virtually(async {
        let mut show = show(1, "bad");
        while show.release(show.focus()).status.failed_checks < 2 {
            show.tick().await.unwrap();
            assert!(!show.is_over(), "the bad release never failed a check");
        }
        let screen = drawn(&show, 80, 24);
        for said in [
            "canary 3.1.2: 10%",
            "primary 3.1.0: 90%",
            "●●○",
            "acceptance-test ✓",
            "Failed checks: 2",
            "at least 99%",
        ] {
            assert!(
                screen.contains(said),
                "{said} is not on the screen:\n{screen}"
            );
        }
        for (width, height) in [(120, 40), (40, 12), (20, 5), (3, 3), (1, 1), (400, 100)] {
            drawn(&show, width, height);
        }
    });
}
