//! Random numbers that are the same on every machine.
//!
//! ChaCha8 is defined to the bit, the way from its words to our numbers stands here in full, and the logarithms and
//! roots are those of the `libm` crate (written in Rust) or exact by IEEE 754: a platform's own mathematical library
//! would differ in the last bit, and with it the events. It knows nothing of what the numbers are for.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(ChaCha8Rng);

/// Which of a seed's independent streams.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Users, sessions, songs.
    Model = 1,
    /// Which events get which fault. A stream of its own, so that faults do not change the other events.
    Faults = 2,
    /// The catalogue of songs, the same for every seed.
    Catalogue = 3,
    /// Which transactions are aborted.
    Transactions = 4,
}

impl Random {
    /// The stream of `seed` for one purpose and one of `instances` parallel instances.
    pub(super) fn new(seed: u64, purpose: Purpose, instance: u32, instances: u32) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..12].copy_from_slice(&instance.to_le_bytes());
        key[12..16].copy_from_slice(&instances.to_le_bytes());
        key[16] = purpose as u8;
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    #[inline]
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bits.
    #[inline]
    pub(super) fn bits_32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in 0 (inclusive) to 1 (exclusive).
    #[inline]
    pub(super) fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// Uniform in 0 to `limit` (exclusive); 0 when `limit` is 0.
    #[inline]
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        ((u64::from(self.bits_32()) * u64::from(limit)) >> 32) as u32
    }

    /// True with probability `share`.
    #[inline]
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Exponential with this mean: the gap between events that come independently of each other.
    #[inline]
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.unit())
    }

    /// A factor whose logarithm is normal with standard deviation `sigma`, and whose mean is 1.
    pub(super) fn log_normal_factor(&mut self, sigma: f64) -> f64 {
        libm::exp(sigma * self.normal() - sigma * sigma / 2.0)
    }

    /// Standard normal, by the method of Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(1.0 - self.unit())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }
}

/// Uniform in 0 (inclusive) to 1 (exclusive), from 64 random bits.
#[inline]
pub(super) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// Draws an index by weight in constant time (the alias method).
#[derive(Debug, Clone)]
pub(super) struct Weighted {
    /// Of each column: the threshold below which it stands for itself, and the index that has the rest.
    columns: Vec<(u32, u32)>,
}

impl Weighted {
    /// Draws index i with a probability in proportion to `weights[i]`; the weights are positive, and there is one.
    pub(super) fn new(weights: &[f64]) -> Self {
        let count = weights.len() as f64;
        let total: f64 = weights.iter().sum();
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight * count / total).collect();
        let mut columns: Vec<(u32, u32)> = (0..weights.len() as u32).map(|index| (u32::MAX, index)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|&i| scaled[i] < 1.0);
        while let (Some(&few), Some(&many)) = (small.last(), large.last()) {
            small.pop();
            columns[few] = ((scaled[few] * f64::from(u32::MAX)) as u32, many as u32);
            scaled[many] -= 1.0 - scaled[few];
            if scaled[many] < 1.0 {
                large.pop();
                small.push(many);
            }
        }
        Self { columns }
    }

    /// Draws among `count` indices of which the early ones are more frequent, as names and songs are.
    pub(super) fn by_rank(count: usize, exponent: f64) -> Self {
        let weights: Vec<f64> = (0..count).map(|rank| libm::pow(rank as f64 + 10.0, -exponent)).collect();
        Self::new(&weights)
    }

    /// One index.
    #[inline]
    pub(super) fn pick(&self, random: &mut Random) -> u32 {
        let bits = random.bits();
        let index = (((bits >> 32) * self.columns.len() as u64) >> 32) as u32;
        let (threshold, other) = self.columns[index as usize];
        if bits as u32 <= threshold { index } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_fixed() {
        let mut random = Random::new(1, Purpose::Model, 0, 1);
        assert_eq!([random.bits(), random.bits()], [6_132_721_441_876_545_771, 5_958_495_218_164_086_965]);
    }

    #[test]
    fn purposes_and_instances_differ() {
        let first = |purpose, instance, instances| Random::new(1, purpose, instance, instances).bits();
        let all = [
            first(Purpose::Model, 0, 1),
            first(Purpose::Faults, 0, 1),
            first(Purpose::Model, 0, 2),
            first(Purpose::Model, 1, 2),
        ];
        for (index, bits) in all.iter().enumerate() {
            assert!(!all[..index].contains(bits));
        }
    }

    #[test]
    fn weights_are_kept() {
        let weighted = Weighted::new(&[1.0, 2.0, 5.0]);
        let mut random = Random::new(7, Purpose::Model, 0, 1);
        let mut counts = [0_u32; 3];
        for _ in 0..80_000 {
            counts[weighted.pick(&mut random) as usize] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([10_000_u32, 20_000, 50_000]) {
            assert!(count.abs_diff(wanted) < 600, "{counts:?}");
        }
    }

    #[test]
    fn means_are_kept() {
        let mut random = Random::new(7, Purpose::Model, 0, 1);
        let count = 100_000;
        let exponential: f64 = (0..count).map(|_| random.exponential(90.0)).sum::<f64>() / f64::from(count);
        let factor: f64 = (0..count).map(|_| random.log_normal_factor(0.5)).sum::<f64>() / f64::from(count);
        assert!((exponential - 90.0).abs() < 1.5, "{exponential}");
        assert!((factor - 1.0).abs() < 0.02, "{factor}");
    }
}
