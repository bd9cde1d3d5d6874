//! What is played: scenarios, each a list of acts, all of it data.

use std::time::Duration;

use slipway_sim::Behaviour;

use super::cluster::Service;

/// A scenario by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// One line of what it shows.
    pub(super) shows: &'static str,
    pub(super) acts: &'static [Act],
}

/// One release.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Act {
    pub(super) title: &'static str,
    /// What the audience knows and the controller does not.
    pub(super) lead: &'static str,
    pub(super) service: Service,
    pub(super) version: &'static str,
    pub(super) nature: Nature,
    pub(super) twist: Twist,
}

/// What the new version is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Nature {
    Good,
    /// This share of its requests fails.
    Failing(f64),
    /// Every answer takes so many milliseconds.
    Slow(u64),
    /// It does not pass its acceptance test.
    Untested,
    /// Its process ends again and again, from the start.
    Crashing,
}

/// What happens in the middle of the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    None,
    /// All pods of the canary die when it has this weight.
    PodsDie {
        at_weight: i64,
    },
    /// The controller is killed when the canary has this weight, and started anew a while later.
    ControllerDies {
        at_weight: i64,
    },
}

/// How long the killed controller is away.
pub(super) const AWAY: Duration = Duration::from_secs(5);

impl Nature {
    pub(super) fn behaviour(self) -> Behaviour {
        let healthy = Behaviour::healthy();
        match self {
            Self::Good | Self::Untested => healthy,
            Self::Failing(share) => healthy.errors(share),
            Self::Slow(milliseconds) => healthy.latency(Duration::from_millis(milliseconds)),
            Self::Crashing => healthy.crash_loops(),
        }
    }
}

pub(super) const GOOD: Act = Act {
    title: "a good release of backend",
    lead: "Version 3.1.1 works. Slipway does not know that yet, so only a few users get it at first.",
    service: Service::Backend,
    version: "3.1.1",
    nature: Nature::Good,
    twist: Twist::None,
};

const BAD: Act = Act {
    title: "a bad release of backend",
    lead: "Version 3.1.2 fails 8% of its requests. Its tests pass; only live traffic can tell.",
    service: Service::Backend,
    version: "3.1.2",
    nature: Nature::Failing(0.08),
    twist: Twist::None,
};

const DATABASE: Act = Act {
    title: "a blue/green release of database",
    lead: "No half measures for a database: the new version gets copies of the requests, and no user waits for its answers.",
    service: Service::Database,
    version: "3.2.0",
    nature: Nature::Good,
    twist: Twist::None,
};

/// Every scenario, the one for newcomers first.
pub(super) const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "tour",
        shows: "a good release of backend, a bad one, and a blue/green of database",
        acts: &[GOOD, BAD, DATABASE],
    },
    Scenario {
        name: "good",
        shows: "a good release: 10% of the users, 20%, ... 50%, everybody",
        acts: &[GOOD],
    },
    Scenario {
        name: "bad",
        shows: "a release that fails requests is rolled back",
        acts: &[BAD],
    },
    Scenario {
        name: "slow",
        shows: "a release that works, but too slowly, is rolled back",
        acts: &[Act {
            title: "a slow release of backend",
            lead: "Version 3.1.3 answers everything, but takes 0.7 seconds for it.",
            version: "3.1.3",
            nature: Nature::Slow(700),
            ..GOOD
        }],
    },
    Scenario {
        name: "untested",
        shows: "a release that fails its acceptance test never meets a user",
        acts: &[Act {
            title: "a release of backend that fails its test",
            lead: "Version 3.1.4 hands out no tokens. The acceptance test asks for one before any user does.",
            version: "3.1.4",
            nature: Nature::Untested,
            ..GOOD
        }],
    },
    Scenario {
        name: "crash",
        shows: "a release that does not even start is given up",
        acts: &[Act {
            title: "a release of backend that does not start",
            lead: "Version 3.1.5 crashes when it starts. It has a minute to become ready.",
            version: "3.1.5",
            nature: Nature::Crashing,
            ..GOOD
        }],
    },
    Scenario {
        name: "blue-green",
        shows: "a database is judged by copies of requests, then switched at once",
        acts: &[DATABASE],
    },
    Scenario {
        name: "ab",
        shows: "only insiders get the new frontend, until it has proven itself",
        acts: &[Act {
            title: "an A/B test of frontend",
            lead: "Version 3.2.0 is for insiders first: whoever has the cookie type=insider, or comes with Safari.",
            service: Service::Frontend,
            version: "3.2.0",
            nature: Nature::Good,
            twist: Twist::None,
        }],
    },
    Scenario {
        name: "accidents",
        shows: "the new version's pods die under traffic; Slipway itself is killed",
        acts: &[
            Act {
                title: "all new pods die in the middle of a release",
                lead: "Version 3.1.1 works, but at 30% the machine under its pods goes down.",
                twist: Twist::PodsDie { at_weight: 30 },
                ..GOOD
            },
            Act {
                title: "Slipway is killed in the middle of a release",
                lead: "Version 3.1.6 works. At 30% somebody kills Slipway; another one starts and knows nothing but what the cluster knows.",
                version: "3.1.6",
                twist: Twist::ControllerDies { at_weight: 30 },
                ..GOOD
            },
        ],
    },
];

/// The scenario of that name.
pub(super) fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
