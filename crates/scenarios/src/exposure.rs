//! What a rule of judgement costs: how many requests fail until it takes a bad release back, how often it takes a good one back, and how long a
//! good one takes. A model of traffic, not of a cluster: it says what rules decide, not how fast a controller is.
//!
//! ```text
//!  Case (traffic, fault) ──► World: arrivals and failures a second, scraped every 15 s
//!                              │ counters                      ▲ weight, 2 s later
//!                              └──► Rule: sequential test, threshold on a query, Kayenta's judge
//! ```
//!
//! Fixed seeds: the same command prints the same table, whatever the machine.

mod chance;
mod kayenta;
mod rule;
mod table;
mod world;

pub use rule::{Rule, Threshold};
pub use table::{Figures, benchmark, figures, forecast};
pub use world::{Case, Fault, Played, play};
