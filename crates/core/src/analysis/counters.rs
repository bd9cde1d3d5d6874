//! From the counters of pods, as a server of metrics has scraped them, to requests: each is counted once, whatever is scraped twice, late or not at
//! all, and whatever restarts meanwhile.
//!
//! What is counted of a pod is remembered by the time of its newest counted sample. Samples carry the time at which they were scraped, so that
//! nothing depends on our clock, and none is lost that arrives late: what has not been counted of a pod is counted by the next tick.
//!
//! **Source**: analysis.md 2.5.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use slipway_api::{COUNTED_PODS, Evidence, Side};

use super::judge::{Arm, Pair, Seen};
use super::number::{real, whole};

/// The counters of both sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// One for each pod, outcome and set of labels.
    pub series: Vec<CounterSeries>,
    /// The latencies that are worth counting, in milliseconds: what was found where none were known.
    pub edges: Option<Vec<u32>>,
}

/// One counter, which only grows but for restarts.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterSeries {
    /// Whose requests it counts.
    pub side: Side,
    /// The pod that counts.
    pub pod: String,
    /// What it counts.
    pub counts: Counts,
    /// When it was scraped and what it said, the oldest first.
    pub samples: Vec<(DateTime<Utc>, f64)>,
}

/// What a counter counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Requests that succeeded.
    Good,
    /// Requests that failed.
    Failed,
    /// Requests that succeeded and were timed.
    Timed,
    /// Those of them that took at most so many milliseconds.
    Within(u32),
}

/// Where the counting of a series begins.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    /// At what this sample said.
    Sample(usize),
    /// At nothing: the series is younger than the mark of its pod.
    Zero,
}

/// What the counters say that is not counted yet; the evidence remembers that it is.
///
/// `until` of fresh evidence is when the canary got its first users. Requests before `steady_since` may have been shared by another weight.
pub fn count(known: &mut Evidence, counters: &Counters, steady_since: DateTime<Utc>) -> Seen {
    let Some(until) = known.until else {
        return Seen::default();
    };
    let is_first = known.pods.is_empty();
    let has_room = known.pods.len() < COUNTED_PODS;
    let pods = by_pod(counters);
    let mut counted = Counted::default();
    let mut newest = BTreeMap::new();
    for ((side, pod), series) in &pods {
        let digest = digest(*side, pod);
        let behind = known.pods.get(&digest).copied();
        let from = match behind {
            Some(millis) => until - TimeDelta::milliseconds(millis.into()),
            None if is_first || !has_room => until,
            // Whatever is known of it now was not when others were counted last.
            None => DateTime::<Utc>::MIN_UTC,
        };
        let was_there = series.iter().any(|one| before(one, from).is_some());
        // The primary had pods before the release; the canary's were made for it.
        let is_new = behind.is_none() && has_room && !(is_first && *side == Side::Primary);
        for one in series {
            let mark = match before(one, from) {
                Some(at) => Mark::Sample(at),
                None if was_there || is_new => Mark::Zero,
                None => Mark::Sample(0),
            };
            counted.add(*side, pod, &one.counts, growth(&one.samples, mark));
        }
        let last = series.iter().filter_map(|one| one.samples.last());
        if let Some(at) = last.map(|(at, _)| *at).max() {
            // An answer that was overtaken by a newer one takes nothing back.
            let at = behind.map_or(at, |_| at.max(from));
            newest.insert(digest, (*side, at));
        }
    }
    let is_of_one_weight = until >= steady_since;
    remember(known, until, &newest);
    if known.edges.is_none() {
        known.edges.clone_from(&counters.edges);
    }
    Seen {
        errors: counted.errors,
        spread: counted.spread(),
        slow: counted.slow(known.edges.as_deref().unwrap_or_default()),
        is_of_one_weight,
    }
}

/// How many requests a second the primary got while these samples were taken; 0 for fewer than two scrapes.
pub fn rate(counters: &Counters) -> f64 {
    let ours = |one: &&CounterSeries| {
        one.side == Side::Primary && matches!(one.counts, Counts::Good | Counts::Failed)
    };
    let series = || counters.series.iter().filter(ours);
    let times = || series().flat_map(|one| one.samples.iter().map(|(at, _)| *at));
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return 0.0;
    };
    let grown: u64 = series()
        .map(|one| growth(&one.samples, Mark::Sample(0)))
        .sum();
    let seconds = (last - first).as_seconds_f64();
    if seconds > 0.0 {
        real(grown) / seconds
    } else {
        0.0
    }
}

/// What the series of one look add up to.
#[derive(Debug, Default)]
struct Counted<'a> {
    errors: Pair,
    pods: BTreeMap<&'a str, Arm>,
    timed: [u64; 2],
    within: BTreeMap<u32, [u64; 2]>,
}

impl<'a> Counted<'a> {
    fn add(&mut self, side: Side, pod: &'a str, counts: &Counts, grown: u64) {
        let (arm, place) = match side {
            Side::Canary => (&mut self.errors.canary, 0),
            Side::Primary => (&mut self.errors.primary, 1),
        };
        let timed = match counts {
            Counts::Good | Counts::Failed => {
                arm.requests = arm.requests.saturating_add(grown);
                let bad = if *counts == Counts::Failed { grown } else { 0 };
                arm.bad = arm.bad.saturating_add(bad);
                if side == Side::Primary {
                    let pod = self.pods.entry(pod).or_default();
                    pod.requests = pod.requests.saturating_add(grown);
                    pod.bad = pod.bad.saturating_add(bad);
                }
                return;
            }
            Counts::Timed => &mut self.timed,
            Counts::Within(edge) => self.within.entry(*edge).or_default(),
        };
        for (at, count) in timed.iter_mut().enumerate() {
            *count = count.saturating_add(if at == place { grown } else { 0 });
        }
    }

    /// The dispersion of failures over the primary's pods: their squared distance from what each pod's share of the requests lets expect, by what
    /// chance alone would make. **Source**: analysis.md 2.5.
    fn spread(&self) -> Option<f64> {
        let pods = self.pods.values().filter(|pod| pod.requests > 0);
        let pods: Vec<Arm> = pods.copied().collect();
        let (all, failed) = pods.iter().fold((0.0, 0.0), |(all, failed), pod| {
            (all + real(pod.requests), failed + real(pod.bad))
        });
        if pods.len() < 2 || failed <= 0.0 {
            return None;
        }
        let distance = |pod: &Arm| {
            let expected = failed * real(pod.requests) / all;
            (real(pod.bad) - expected).powi(2) / expected
        };
        let sum: f64 = pods.iter().map(distance).sum();
        Some(sum / real(u64::try_from(pods.len() - 1).unwrap_or(u64::MAX)))
    }

    /// Of each latency, the requests that took longer.
    fn slow(&self, edges: &[u32]) -> Vec<(String, Pair)> {
        let [canary, primary] = self.timed;
        if canary == 0 && primary == 0 {
            return Vec::new();
        }
        let arm = |requests: u64, within: u64| Arm {
            requests,
            bad: requests.saturating_sub(within),
        };
        let of_edge = |edge: &u32| {
            let [of_canary, of_primary] = self.within.get(edge).copied().unwrap_or_default();
            let pair = Pair {
                canary: arm(canary, of_canary),
                primary: arm(primary, of_primary),
            };
            (slower_than(*edge), pair)
        };
        edges.iter().map(of_edge).collect()
    }
}

/// The name of the metric that counts requests which took longer.
pub fn slower_than(milliseconds: u32) -> String {
    format!("slower than {milliseconds}ms")
}

fn by_pod(counters: &Counters) -> BTreeMap<(Side, &str), Vec<&CounterSeries>> {
    let mut pods: BTreeMap<(Side, &str), Vec<&CounterSeries>> = BTreeMap::new();
    for series in &counters.series {
        let of_pod = pods.entry((series.side, series.pod.as_str()));
        of_pod.or_default().push(series);
    }
    pods
}

/// The newest sample that is counted already.
fn before(series: &CounterSeries, from: DateTime<Utc>) -> Option<usize> {
    series.samples.iter().rposition(|(at, _)| *at <= from)
}

/// How much a counter grew since its mark; one that fell was restarted, and has counted from 0 since.
fn growth(samples: &[(DateTime<Utc>, f64)], mark: Mark) -> u64 {
    let (mut last, begin) = match mark {
        Mark::Sample(at) => (
            samples.get(at).map_or(0, |(_, value)| whole(*value)),
            at + 1,
        ),
        Mark::Zero => (0, 0),
    };
    let mut grown = 0_u64;
    for (_, value) in samples.get(begin..).unwrap_or_default() {
        let value = whole(*value);
        grown = grown.saturating_add(value.checked_sub(last).unwrap_or(value));
        last = value;
    }
    grown
}

/// Remembers up to which sample each pod is counted: the canary's first, then those that are there, then those that were.
fn remember(
    known: &mut Evidence,
    until: DateTime<Utc>,
    newest: &BTreeMap<String, (Side, DateTime<Utc>)>,
) {
    let latest = newest.values().map(|(_, at)| *at).max();
    let now = latest.map_or(until, |at| at.max(until));
    let behind =
        |at: DateTime<Utc>| u32::try_from((now - at).num_milliseconds().max(0)).unwrap_or(u32::MAX);
    let of_side = |side: Side| {
        let of_side = newest.iter().filter(move |(_, (it, _))| *it == side);
        of_side.map(|(digest, (_, at))| (digest.clone(), behind(*at)))
    };
    let gone = known
        .pods
        .iter()
        .filter(|(it, _)| !newest.contains_key(*it));
    let gone = gone.map(|(digest, millis)| {
        let at = until - TimeDelta::milliseconds((*millis).into());
        (digest.clone(), behind(at))
    });
    let all = of_side(Side::Canary)
        .chain(of_side(Side::Primary))
        .chain(gone);
    let mut kept = BTreeSet::new();
    let pods = all.filter(|(digest, _)| kept.insert(digest.clone()));
    let pods = pods.take(COUNTED_PODS).collect();
    (known.pods, known.until) = (pods, Some(now));
}

/// Three bytes of a hash: two of forty pods are the same in one of twenty thousand releases, and are then counted by one mark.
fn digest(side: Side, pod: &str) -> String {
    let hash = Sha256::new()
        .chain_update([u8::from(side == Side::Canary)])
        .chain_update(pod)
        .finalize();
    let [first, second, third, ..]: [u8; 32] = hash.into();
    format!("{first:02x}{second:02x}{third:02x}")
}

#[cfg(test)]
mod tests;
