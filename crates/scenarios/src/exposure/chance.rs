//! A stream of chance: equal seeds give equal streams.

/// The stream of one release.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// The seed is mixed first: streams of neighbouring seeds would else be the same one, a draw apart.
    pub(super) fn new(seed: u64) -> Self {
        Self(mixed(seed ^ 0x5DEE_CE66_D1CE_4E5B))
    }

    /// By `SplitMix64`.
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// A number above 0 and up to 1.
    pub(super) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX);
        (f64::from(bits) + 1.0) / (f64::from(u32::MAX) + 1.0)
    }

    /// A normal number of mean 0 and spread 1.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// How many of something that comes `mean` times: exact for few, by the normal curve for many.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            return whole(mean + mean.sqrt() * self.normal());
        }
        let (end, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > end {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// How long a clump is: at least 1, in the mean `mean`, each length a constant factor less likely than the one before.
    pub(super) fn clump(&mut self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        let more = self.unit().ln() / (-1.0 / mean).ln_1p();
        1 + whole(more.floor())
    }
}

fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// `number` as a count.
fn whole(number: f64) -> u64 {
    let bounded = number.round().clamp(0.0, f64::from(u32::MAX));
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded just above"
    )]
    let whole = bounded as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_seeds_have_streams_of_their_own() {
        let draws = |seed| {
            let mut chance = Chance::new(seed);
            (0..200).map(|_| chance.draw()).collect::<Vec<u64>>()
        };
        let (one, two) = (draws(1), draws(2));
        assert!(!one.iter().any(|draw| two.contains(draw)));
    }

    #[test]
    fn counts_have_the_mean_that_is_asked_for() {
        let mut chance = Chance::new(7);
        for mean in [0.1, 3.0, 100.0] {
            let sum: u64 = (0..20_000).map(|_| chance.poisson(mean)).sum();
            let found = f64::from(u32::try_from(sum).unwrap()) / 20_000.0;
            assert!(
                (found - mean).abs() < 0.03 * mean + 0.005,
                "{mean}: {found}"
            );
        }
        let sum: u64 = (0..20_000).map(|_| chance.clump(10.0)).sum();
        assert!((190_000..210_000).contains(&sum), "{sum}");
    }
}
