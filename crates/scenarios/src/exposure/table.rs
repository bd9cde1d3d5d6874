//! The figures of a rule, and the tables that stand rules side by side.

use std::fmt::Write;

use slipway_core::analysis::{Bets, JudgeSettings, Policy};
use slipway_core::weight::Weight;

use super::rule::{Rule, Threshold};
use super::world::{Case, Fault, Played, play};

/// What many releases under one rule came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// How many were played.
    pub releases: usize,
    /// The share that was not promoted.
    pub rolled_back: f64,
    /// Failed requests beyond the usual of those that were rolled back: the median and the 95th percentile.
    pub exposed: (f64, f64),
    /// Seconds until those were rolled back, the median.
    pub seconds: f64,
    /// Seconds until the others were promoted, the median.
    pub promoted_after: f64,
}

/// Plays so many releases; the seeds are 1, 2, 3 and so on.
pub fn figures(case: &Case, rule: &Rule, releases: usize) -> Figures {
    let seeds = (1..=releases).filter_map(|seed| u64::try_from(seed).ok());
    let played: Vec<Played> = seeds.map(|seed| play(case, rule, seed)).collect();
    let of = |promoted: bool, value: fn(&Played) -> f64| {
        let chosen = played.iter().filter(|it| it.promoted == promoted);
        let mut values: Vec<f64> = chosen.map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let exposed = of(false, |it| it.exposed);
    Figures {
        releases,
        rolled_back: number(exposed.len()) / number(releases.max(1)),
        exposed: (quantile(&exposed, 50), quantile(&exposed, 95)),
        seconds: quantile(&of(false, |it| it.seconds), 50),
        promoted_after: quantile(&of(true, |it| it.seconds), 50),
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// That percentile of sorted values; not a number where there are none.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(last * percent / 100)
        .copied()
        .unwrap_or(f64::NAN)
}

fn weights(percents: impl IntoIterator<Item = i64>) -> Vec<Weight> {
    percents.into_iter().map(Weight::clamped).collect()
}

/// The rules of the benchmark, by their names (2.7). The sequential test goes on where its longest step ends undecided, as modelled there.
fn rules() -> Vec<(&'static str, Rule)> {
    let fives = || weights((5..=50).step_by(5));
    let flagger = |interval, window, failures, steps| {
        Rule::Threshold(Threshold {
            interval,
            window,
            least: 99.0,
            failures,
            ends_late: true,
            steps,
            pace: None,
        })
    };
    let argo = |interval, failures, least, steps, pace| {
        Rule::Threshold(Threshold {
            interval,
            window: interval,
            least,
            failures,
            ends_late: false,
            steps,
            pace: Some(pace),
        })
    };
    let slipway = JudgeSettings {
        on_insufficient: Policy::Advance,
        ..JudgeSettings::default()
    };
    let tens = weights([10, 20, 30, 40, 50]);
    vec![
        ("Flagger, 1m/10/+5", flagger(60, 60, 10, fives())),
        ("Flagger, 1m/5/+10", flagger(60, 60, 5, tens)),
        ("Flagger, 10s/2/+5", flagger(10, 30, 2, fives())),
        (
            "Argo, 5m/3",
            argo(300, 3, 95.0, weights([20, 40, 60, 80]), 600),
        ),
        (
            "Argo, 1m/1",
            argo(60, 1, 99.0, weights([5, 10, 25, 50]), 180),
        ),
        ("Kayenta, 3h/1h", Rule::Kayenta),
        (
            "Slipway, full",
            Rule::Evidence {
                settings: slipway,
                steps: weights([1, 5, 10, 25, 50]),
                raises_first: true,
            },
        ),
    ]
}

/// The tables of docs/exposure.md: every rule over every case, each cell from so many releases.
pub fn benchmark(releases: usize) -> String {
    let rules = rules();
    let mut text = String::from("False rollbacks of a healthy release\n\n");
    head(&mut text, "traffic, base error rate", &rules);
    let incident = Fault::Shared(0.05, 60, 240);
    let clumped = Case {
        clump: 10.0,
        ..Case::healthy(100.0, 0.005)
    };
    let healthy = [
        ("100/s, 0.1 %", Case::healthy(100.0, 0.001)),
        ("10/s, 0.1 %", Case::healthy(10.0, 0.001)),
        ("10/s, 0.5 %", Case::healthy(10.0, 0.005)),
        ("100/s, 0.5 %", Case::healthy(100.0, 0.005)),
        (
            "100/s, both sides fail 5 % for 180 s",
            Case::healthy(100.0, 0.001).with(incident),
        ),
        ("100/s, 0.5 % in clumps of 10", clumped),
    ];
    for (name, case) in &healthy {
        row(&mut text, name, &rules, |rule| {
            percent(figures(case, rule, releases).rolled_back)
        });
    }
    text.push_str("\nFailed requests until rolled back, median (95th percentile), seconds; and how many bad releases were promoted; 100/s, 0.1 %\n\n");
    head(&mut text, "the canary fails", &rules);
    for (name, rate, from) in [
        ("100 %", 1.0, 0),
        ("20 %", 0.2, 0),
        ("5 %", 0.05, 0),
        ("1 %", 0.01, 0),
        ("0.5 %", 0.005, 0),
        ("5 % from 180 s on", 0.05, 180),
    ] {
        let case = Case::healthy(100.0, 0.001).with(Fault::Canary(rate, from));
        row(&mut text, name, &rules, |rule| {
            exposure(&figures(&case, rule, releases))
        });
    }
    text.push_str("\nSeconds until a healthy release is promoted, median; 0.1 %\n\n");
    head(&mut text, "traffic", &rules);
    for rate in [1000.0, 100.0, 10.0] {
        let case = Case::healthy(rate, 0.001);
        row(&mut text, &format!("{rate}/s"), &rules, |rule| {
            whole(figures(&case, rule, releases.min(200)).promoted_after)
        });
    }
    text
}

/// What one plan is to expect at this traffic: false rollbacks, escapes, exposure and time, and the count test beside the chosen bets.
pub fn forecast(rate: f64, base: f64, scrape: u64, rule: &Rule, releases: usize) -> String {
    let at = |fault| {
        let case = Case {
            scrape,
            ..Case::healthy(rate, base)
        };
        figures(&case.with(fault), rule, releases)
    };
    let healthy = at(Fault::None);
    let mut text = format!(
        "a healthy release: rolled back {} of the time, else promoted after {} s (median)\n\n",
        percent(healthy.rolled_back),
        whole(healthy.promoted_after)
    );
    text.push_str("| the canary fails | promoted all the same | failed requests until rolled back, median | 95th percentile | seconds |\n| --- | --- | --- | --- | --- |\n");
    for bad in [1.0, 0.2, 0.05, 0.01, 0.005] {
        let found = at(Fault::Canary(bad, 0));
        let cells = [
            format!("{} %", bad * 100.0),
            percent(1.0 - found.rolled_back),
            whole(found.exposed.0),
            whole(found.exposed.1),
            whole(found.seconds),
        ];
        line(&mut text, &cells);
    }
    if let Rule::Evidence { settings, .. } = rule
        && settings.bets == Bets::Count
    {
        text.push_str("\nThe count test holds only where failures are independent: not with sticky sessions and clumps.\n");
    }
    text
}

fn line(text: &mut String, cells: &[String]) {
    // A String takes everything.
    writeln!(text, "| {} |", cells.join(" | ")).unwrap_or_default();
}

fn head(text: &mut String, first: &str, rules: &[(&str, Rule)]) {
    let names = rules.iter().map(|(name, _)| (*name).to_owned());
    let cells: Vec<String> = std::iter::once(first.to_owned()).chain(names).collect();
    line(text, &cells);
    line(text, &vec!["---".to_owned(); cells.len()]);
}

fn row(text: &mut String, name: &str, rules: &[(&str, Rule)], cell: impl Fn(&Rule) -> String) {
    let cells = rules.iter().map(|(_, rule)| cell(rule));
    let cells: Vec<String> = std::iter::once(name.to_owned()).chain(cells).collect();
    line(text, &cells);
}

fn percent(share: f64) -> String {
    if share == 0.0 {
        return "0".to_owned();
    }
    format!("{:.2} %", share * 100.0)
}

fn whole(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    format!("{value:.0}")
}

fn exposure(found: &Figures) -> String {
    let escaped = 1.0 - found.rolled_back;
    if found.rolled_back <= 0.0 {
        return "all promoted".to_owned();
    }
    let (median, most) = found.exposed;
    let caught = format!("{median:.0} ({most:.0}), {:.0} s", found.seconds);
    if escaped <= 0.0 {
        return caught;
    }
    format!("{caught}, {} promoted", percent(escaped))
}
