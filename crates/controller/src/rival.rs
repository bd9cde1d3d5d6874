//! A Flagger that works on a Canary while we run: two controllers on one Canary are the worst case, so we stand by (A7).
//!
//! One that is there when we start is found by its Lease or its Deployment (`leader::find_flagger`). One that comes later is told by what it
//! writes: the status of a Canary, under its field manager.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_api::{Canary, names, time};
use slipway_core::plan::CanaryId;
use slipway_core::words;
use tracing::warn;

use crate::observe::store::CanaryKey;
use crate::reconcile::name;
use crate::record::events::Place;
use crate::shell::Shell;

/// How long a Flagger must have been silent: it writes with every check of a running release, and few have checks further apart.
const SILENCE: TimeDelta = TimeDelta::minutes(10);

impl Shell {
    /// Until when we stand by for this Canary; `None` where no Flagger has written its status since we started.
    pub(crate) fn rival_until(&self, canary: &Canary) -> Option<DateTime<Utc>> {
        until(written_by_flagger(canary)?, self.started, self.clock.now())
    }

    /// Says once that we stand by.
    pub(crate) async fn tell_of_rival(&self, key: &CanaryKey, canary: &Canary) {
        let text = words::stands_by_for_flagger();
        if self.memory.is_shown(key, text) {
            return;
        }
        warn!(canary = %name(key), "a live Flagger writes its status: nothing is done until it has been silent for ten minutes");
        let id = CanaryId {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: canary.metadata.uid.clone().unwrap_or_default(),
        };
        let place = Place {
            transition: 0,
            index: 0,
        };
        if let Err(error) = self.events.write(&id, place, &words::warning(text)).await {
            warn!(canary = %name(key), %error, "event could not be written");
        }
        self.memory.remember_shown(key, text);
    }
}

/// When Flagger wrote the status last, by the API server's clock.
fn written_by_flagger(canary: &Canary) -> Option<DateTime<Utc>> {
    let entries = canary.metadata.managed_fields.iter().flatten();
    let own = entries.filter(|entry| {
        entry.manager.as_deref() == Some(names::FLAGGER_FIELD_MANAGER)
            && entry.subresource.as_deref() == Some("status")
    });
    own.filter_map(|entry| time::from_kubernetes(entry.time.as_ref()?))
        .max()
}

/// A write of before our start is what we take over; one of after it is a rival's, as long as it is young.
fn until(
    written: DateTime<Utc>,
    started: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let until = written + SILENCE;
    (written > started && until > now).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    #[test]
    fn a_flagger_is_a_rival_when_it_wrote_after_our_start_and_not_long_ago() {
        // When it wrote, when we started, now: until when we stand by.
        let rows = [
            (at(5), at(6), at(7), None),
            (at(7), at(6), at(8), Some(at(17))),
            (at(7), at(6), at(16), Some(at(17))),
            (at(7), at(6), at(17), None),
        ];
        for (written, started, now, expected) in rows {
            assert_eq!(until(written, started, now), expected, "{written} {now}");
        }
    }
}
