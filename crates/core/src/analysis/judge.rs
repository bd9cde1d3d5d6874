//! One tick of the test: what was counted is learned, and then concluded from.
//!
//! **Source**: analysis.md 2.6.

use chrono::TimeDelta;
use slipway_api::{Clean, Evidence, MetricEvidence, Shared, Spread};

use super::binomial::{clean_step, floor_evidence, floor_step, is_enough};
use super::number::{down, length, log_mean, real};
use super::ratio::ratio_evidence;
use super::settings::{Bets, JudgeSettings, Policy};
use super::{count, share};
use crate::weight::Weight;

/// The metric that every release has: requests that failed.
const ERRORS: &str = "errors";
/// The evidence of a share that is not the weight at which the route is not believed.
const RATIO_ALPHA: f64 = 0.001;
/// The evidence against the canary above which no step is taken.
const DOUBT: f64 = 3.0;

/// Requests of the primary from which on its usual rate of failures is known.
const KNOWN_WELL: u64 = 100;

/// Requests of one side in one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arm {
    /// All of them.
    pub requests: u64,
    /// The bad ones: failed, or slower than an edge.
    pub bad: u64,
}

/// Both sides in one tick, by one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// The new revision.
    pub canary: Arm,
    /// The one that serves.
    pub primary: Arm,
}

/// What one tick counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Requests that failed.
    pub errors: Pair,
    /// Requests that were slower than an edge, by the name of the metric.
    pub slow: Vec<(String, Pair)>,
    /// How evenly the primary's failures fell on its pods, where that could be told.
    pub spread: Option<f64>,
    /// Whether all of it was requested under the weight that the canary has now.
    pub is_of_one_weight: bool,
}

impl Seen {
    /// Whether anything was requested.
    pub fn is_news(&self) -> bool {
        self.errors != Pair::default()
    }
}

/// Where the release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage<'a> {
    /// The weights of the plan, in order.
    pub steps: &'a [Weight],
    /// The canary's weight.
    pub weight: Weight,
    /// How long it has had it.
    pub stood: TimeDelta,
}

/// What a tick comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The weight stays.
    Hold(Hold),
    /// The canary has earned the next weight.
    Advance,
    /// It goes back to its first weight, and is measured on.
    Retreat,
    /// It goes back altogether.
    RollBack(Cause),
}

/// Why a weight stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Neither side is shown to be better yet.
    Measuring,
    /// Nothing new was counted.
    NoData,
    /// The primary fails as well: something that both need is broken.
    SharedIncident,
    /// Requests are not shared as the weight says.
    WrongRatio,
    /// The longest step ended undecided.
    Undecided,
}

/// Why a release goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The canary is shown to be worse.
    Evidence,
    /// It fails grossly.
    Cliff,
    /// The longest step ended undecided, and the plan says so.
    Undecided,
    /// The primary fails as well, and the plan says so.
    SharedIncident,
}

impl Stage<'_> {
    fn is_first(self) -> bool {
        self.steps.first().is_none_or(|first| self.weight <= *first)
    }

    /// The weight that the canary would have next; all of it after the last.
    pub(crate) fn next(self) -> Weight {
        let next = self.steps.iter().find(|step| **step > self.weight);
        next.copied().unwrap_or(Weight::FULL)
    }
}

/// The share of the primary's requests that failed so far; a little above 0 where none did.
fn usual(known: &Evidence) -> f64 {
    (real(known.primary.failed) + 0.5) / (real(known.primary.requests) + 1.0)
}

/// Whether the primary fails much more than it used to.
fn is_degraded(known: &Evidence, primary: Arm) -> bool {
    let rate = real(primary.bad) / real(primary.requests.max(1));
    known.primary.requests >= KNOWN_WELL && primary.bad >= 5 && rate > 3.0 * usual(known) + 0.005
}

/// Learns from what a tick counted. Which weight it was counted under is told by the stage: at a weight that is new, an account is opened.
pub fn learn(known: &mut Evidence, settings: &JudgeSettings, stage: Stage<'_>, seen: &Seen) {
    if known.accounts == 0 || known.weight != stage.weight.percent() {
        begin_weight(known, stage);
    }
    let errors = seen.errors;
    if !seen.is_news() {
        return;
    }
    known.ticks += 1;
    // The primary first: what it did in this tick is no news of the canary, so that the clean test may know it.
    if !is_degraded(known, errors.primary) {
        known.primary.requests += errors.primary.requests;
        known.primary.failed += errors.primary.bad;
        // What the canary does while the primary fails as well says nothing of what it costs to give it more.
        if known.primary.requests >= KNOWN_WELL {
            learn_clean(known, settings, stage.steps, errors.canary);
        }
    }
    let (requests, bad) = (errors.canary.requests, errors.canary.bad);
    // By what was known before this tick: a bet that is chosen by its outcome is none.
    let bets = bets(known, settings);
    if let Some(spread) = seen.spread {
        known.spread.ticks = known.spread.ticks.saturating_add(1);
        known.spread.sum = down(known.spread.sum + spread);
    }
    let metric = known.metrics.entry(ERRORS.to_owned()).or_default();
    bet(metric, known.accounts, settings, bets, errors);
    for (name, pair) in &seen.slow {
        let metric = known.metrics.entry(name.clone()).or_default();
        bet(metric, known.accounts, settings, bets, *pair);
        for (tally, arm) in [
            (&mut metric.canary, pair.canary),
            (&mut metric.primary, pair.primary),
        ] {
            tally.requests = tally.requests.saturating_add(arm.requests);
            tally.failed = tally.failed.saturating_add(arm.bad);
        }
    }
    note_gross(known, settings, errors);
    known.canary.requests += requests;
    known.canary.failed += bad;
    if seen.is_of_one_weight {
        note_share(known, stage.weight, errors);
    }
}

/// Requests from which on a share that looks right again is believed.
const BELIEVED: u64 = 100;

/// Notes how requests are shared. An account that has shown that they go astray is closed: the next one may show that they do so no more.
fn note_share(known: &mut Evidence, weight: Weight, tick: Pair) {
    let evidence = |shared: Shared| ratio_evidence(share_of(weight), shared.canary, shared.primary);
    let shows = |shared: Shared| evidence(shared) >= -f64::ln(RATIO_ALPHA);
    if shows(known.shared) {
        known.shared = Shared::default();
    }
    known.shared.canary += tick.canary.requests;
    known.shared.primary += tick.primary.requests;
    let shared = known.shared;
    if shows(shared) {
        known.astray = true;
    } else if evidence(shared) < 0.0 && shared.canary + shared.primary >= BELIEVED {
        known.astray = false;
    }
}

/// Every weight has a test of its own from the start: what the canary did at a lower weight speaks for it at a higher one as well.
fn learn_clean(known: &mut Evidence, settings: &JudgeSettings, steps: &[Weight], canary: Arm) {
    let usual = usual(known);
    for target in steps.iter().skip(1).chain([&Weight::FULL]) {
        let risked = usual + settings.max_impact / share_of(*target);
        let weight = target.percent();
        let before = clean(known, weight);
        let log = clean_step(before, usual, risked, canary.requests, canary.bad);
        known.clean.retain(|known| known.weight != weight);
        known.clean.push(Clean { weight, log });
    }
}

/// The evidence that the canary may have that weight.
fn clean(known: &Evidence, weight: i64) -> f64 {
    let found = known.clean.iter().find(|it| it.weight == weight);
    found.map_or(0.0, |it| it.log)
}

fn share_of(weight: Weight) -> f64 {
    f64::from(u8::try_from(weight.percent()).unwrap_or(100)) / 100.0
}

fn begin_weight(known: &mut Evidence, stage: Stage<'_>) {
    let most = u32::try_from(stage.steps.len().max(1)).unwrap_or(u32::MAX);
    known.accounts = (known.accounts + 1).min(most);
    known.weight = stage.weight.percent();
    (known.shared, known.astray) = (Shared::default(), false);
}

/// Ticks from which on it is known how evenly failures fall.
const TELLS: u32 = 5;
/// The greatest mean dispersion at which failures count as independent. **Source**: analysis.md 2.5.
const EVEN: f64 = 1.3;

fn bets(known: &Evidence, settings: &JudgeSettings) -> Bets {
    let Spread { ticks, sum } = known.spread;
    match settings.bets {
        Bets::Auto if ticks >= TELLS && sum <= EVEN * f64::from(ticks) => Bets::Count,
        Bets::Auto => Bets::Tick,
        said @ (Bets::Tick | Bets::Count) => said,
    }
}

fn bet(
    metric: &mut MetricEvidence,
    accounts: u32,
    settings: &JudgeSettings,
    bets: Bets,
    pair: Pair,
) {
    let floor = (settings.error_floor, pair.canary.requests, pair.canary.bad);
    floor_step(&mut metric.floor, floor.0, floor.1, floor.2);
    let factors = match bets {
        Bets::Auto | Bets::Tick => share::factors(pair, settings.tolerance),
        Bets::Count => count::factors(pair, settings.tolerance),
    };
    let Some(factors) = factors else { return };
    let accounts = usize::try_from(accounts).unwrap_or(usize::MAX);
    metric.accounts.resize(accounts, vec![0.0; factors.len()]);
    for account in &mut metric.accounts {
        // Another kind of bet from now on: no stake is taken away, for without the losing ones the others would be worth more than they won.
        let stakes = account.len().max(factors.len());
        account.resize(stakes, 0.0);
        for (stake, factor) in account.iter_mut().zip(&factors) {
            *stake = down(*stake + factor);
        }
    }
}

fn note_gross(known: &mut Evidence, settings: &JudgeSettings, errors: Pair) {
    let cliff = settings.cliff;
    let rate = |arm: Arm| real(arm.bad) / real(arm.requests.max(1));
    let is_gross = errors.canary.requests >= cliff.requests
        && rate(errors.canary) >= cliff.share
        && rate(errors.primary) < 0.1;
    known.gross = if is_gross { known.gross + 1 } else { 0 };
}

/// The logarithm of the evidence that the canary is worse than tolerated: the weighted mean over the metrics, accounts that are not open count 1.
pub fn evidence(known: &Evidence, settings: &JudgeSettings, steps: usize) -> f64 {
    let weight = |name: &str| settings.weight_of(name);
    let all: f64 = known.metrics.keys().map(|name| weight(name)).sum();
    let logs: Vec<f64> = known
        .metrics
        .iter()
        .filter(|(name, _)| weight(name) > 0.0)
        .map(|(name, metric)| (weight(name) / all).ln() + of_metric(metric, steps))
        .collect();
    if logs.is_empty() {
        return 0.0;
    }
    log_mean(logs.iter().copied()) + length(logs.len()).ln()
}

/// The metric that speaks loudest against the canary; `None` where that is its failures.
pub fn loudest(known: &Evidence, steps: usize) -> Option<(&str, &MetricEvidence)> {
    let loud = |(_, metric): &(&String, &MetricEvidence)| of_metric(metric, steps);
    let all = known.metrics.iter();
    let loudest = all.max_by(|one, other| loud(one).total_cmp(&loud(other)))?;
    let failures = known.metrics.get(ERRORS);
    let is_louder = failures.is_none_or(|it| loud(&loudest) > of_metric(it, steps));
    is_louder.then_some((loudest.0.as_str(), loudest.1))
}

fn of_metric(metric: &MetricEvidence, steps: usize) -> f64 {
    let closed = steps.saturating_sub(metric.accounts.len());
    let open = metric
        .accounts
        .iter()
        .map(|account| log_mean(account.iter().copied()));
    let worse = log_mean(open.chain(std::iter::repeat_n(0.0, closed)));
    worse.min(floor_evidence(&metric.floor))
}

/// What follows from all that is known and the newest tick (2.6): what protects users comes first.
pub fn conclude(
    known: &Evidence,
    settings: &JudgeSettings,
    stage: Stage<'_>,
    seen: &Seen,
) -> Verdict {
    if known.gross >= settings.cliff.ticks {
        return Verdict::RollBack(Cause::Cliff);
    }
    let worse = evidence(known, settings, stage.steps.len());
    if worse >= -settings.alpha.ln() {
        return Verdict::RollBack(Cause::Evidence);
    }
    let brakes = settings.brake.is_some_and(|brake| worse >= brake.ln());
    if brakes && !stage.is_first() && !known.braked {
        return Verdict::Retreat;
    }
    if !seen.is_news() {
        return Verdict::Hold(Hold::NoData);
    }
    if is_degraded(known, seen.errors.primary) {
        match settings.on_shared {
            Policy::Hold => return Verdict::Hold(Hold::SharedIncident),
            Policy::RollBack => return Verdict::RollBack(Cause::SharedIncident),
            Policy::Advance => {}
        }
    }
    if known.astray {
        return Verdict::Hold(Hold::WrongRatio);
    }
    let is_clean = is_enough(
        clean(known, stage.next().percent()),
        settings.beta,
        stage.steps.len(),
    );
    if stage.stood >= settings.min_step && is_clean && worse < DOUBT.ln() {
        return Verdict::Advance;
    }
    if stage.stood < settings.max_step {
        return Verdict::Hold(Hold::Measuring);
    }
    match settings.on_insufficient {
        Policy::Hold => Verdict::Hold(Hold::Undecided),
        Policy::Advance => Verdict::Advance,
        Policy::RollBack => Verdict::RollBack(Cause::Undecided),
    }
}
