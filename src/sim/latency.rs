//! Latency distributions: one uniform number in, one latency out.
//!
//! Inverse transform sampling, so that a packet's latency is a function of a single draw. Logarithm and exponential
//! come from `libm`, not from the platform, so that hashes agree across machines.

use std::time::Duration;

use crate::script::Latency;

use super::trace::nanos;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_840_8;

/// A distribution, made ready for a sample for each packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sampler {
    /// Uniform, from the least on over this many nanoseconds.
    Uniform { min: Duration, span: f64 },
    /// As it stands.
    Other(Latency),
}

impl From<Latency> for Sampler {
    fn from(latency: Latency) -> Self {
        match latency {
            Latency::Uniform { min, max } => Self::Uniform { min, span: float(max.saturating_sub(min)) },
            _ => Self::Other(latency),
        }
    }
}

impl Sampler {
    /// The latency at probability `unit`, in `[0, 1)`.
    #[inline]
    pub(crate) fn sample(&self, unit: f64) -> Duration {
        match self {
            Self::Uniform { min, span } => *min + from_nanos(span * unit),
            Self::Other(latency) => sample(latency, unit),
        }
    }
}

/// The latency at probability `unit`, in `[0, 1)`.
pub(crate) fn sample(latency: &Latency, unit: f64) -> Duration {
    match *latency {
        Latency::Constant(value) => value,
        Latency::Uniform { .. } => Sampler::from(*latency).sample(unit),
        Latency::Normal { mean, sd } => from_nanos(float(mean) + float(sd) * normal_quantile(unit)),
        Latency::LogNormal { median, sigma } => from_nanos(float(median) * libm::exp(sigma * normal_quantile(unit))),
        Latency::Quantiles { min, median, p99 } => {
            let middle = float(median.saturating_sub(min));
            let sigma = libm::log(float(p99.saturating_sub(min)) / middle) / Z99;
            min + from_nanos(middle * libm::exp(sigma * normal_quantile(unit)))
        }
    }
}

fn float(duration: Duration) -> f64 {
    nanos(duration) as f64
}

/// Rounds to whole nanoseconds; what is below zero is zero, what is past ten days is ten days.
#[inline]
fn from_nanos(value: f64) -> Duration {
    const MAX: f64 = 864e12;
    let value = value.clamp(0.0, MAX);
    // Below 2^52 both steps are exact, so that this is `libm::round`, which takes several times as long.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range first")]
    let whole = value as u64;
    Duration::from_nanos(whole + u64::from(value - whole as f64 >= 0.5))
}

/// The quantile function of the standard normal distribution: algorithm AS 241 (PPND16) of Wichura, 1988, exact to
/// about 16 digits.
pub(crate) fn normal_quantile(unit: f64) -> f64 {
    let p = unit.clamp(1e-300, 1.0 - 1e-16);
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&CENTRE_A, r) / polynomial(&CENTRE_B, r);
    }
    let r = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p }));
    let tail = if r <= 5.0 {
        polynomial(&TAIL_C, r - 1.6) / polynomial(&TAIL_D, r - 1.6)
    } else {
        polynomial(&FAR_E, r - 5.0) / polynomial(&FAR_F, r - 5.0)
    };
    if q < 0.0 { -tail } else { tail }
}

/// Horner's rule, the constant first.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

const CENTRE_A: [f64; 8] = [
    3.387_132_872_796_366_5e0,
    1.331_416_678_917_843_8e2,
    1.971_590_950_306_551_3e3,
    1.373_169_376_550_946e4,
    4.592_195_393_154_987e4,
    6.726_577_092_700_87e4,
    3.343_057_558_358_813e4,
    2.509_080_928_730_122_7e3,
];
const CENTRE_B: [f64; 8] = [
    1.0,
    4.231_333_070_160_091e1,
    6.871_870_074_920_579e2,
    5.394_196_021_424_751e3,
    2.121_379_430_158_659_7e4,
    3.930_789_580_009_271e4,
    2.872_908_573_572_194_3e4,
    5.226_495_278_852_545e3,
];
const TAIL_C: [f64; 8] = [
    1.423_437_110_749_683_5e0,
    4.630_337_846_156_546e0,
    5.769_497_221_460_691e0,
    3.647_848_324_763_204_5e0,
    1.270_458_252_452_368_4e0,
    2.417_807_251_774_506e-1,
    2.272_384_498_926_918_4e-2,
    7.745_450_142_783_414e-4,
];
const TAIL_D: [f64; 8] = [
    1.0,
    2.053_191_626_637_759e0,
    1.676_384_830_183_803_8e0,
    6.897_673_349_851e-1,
    1.481_039_764_274_800_8e-1,
    1.519_866_656_361_645_7e-2,
    5.475_938_084_995_345e-4,
    1.050_750_071_644_416_9e-9,
];
const FAR_E: [f64; 8] = [
    6.657_904_643_501_103e0,
    5.463_784_911_164_114e0,
    1.784_826_539_917_291_3e0,
    2.965_605_718_285_048_7e-1,
    2.653_218_952_657_612_4e-2,
    1.242_660_947_388_078_4e-3,
    2.711_555_568_743_487_6e-5,
    2.010_334_399_292_288_1e-7,
];
const FAR_F: [f64; 8] = [
    1.0,
    5.998_322_065_558_88e-1,
    1.369_298_809_227_358e-1,
    1.487_536_129_085_061_5e-2,
    7.868_691_311_456_133e-4,
    1.846_318_317_510_054_7e-5,
    1.421_511_758_316_446e-7,
    2.044_263_103_389_939_8e-15,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    #[test]
    fn the_normal_quantile_is_the_published_one() {
        for (p, z) in [
            (0.5, 0.0),
            (0.25, -0.674_489_750_196_081_7),
            (0.975, 1.959_963_984_540_054),
            (0.001, -3.090_232_306_167_813_5),
            (1e-20, -9.262_340_089_798_408),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-12, "at {p}: {} is not {z}", normal_quantile(p));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        #[allow(clippy::float_cmp, reason = "both are whole numbers")]
        fn it_rounds_as_libm_does(whole in 0..864_000_000_000_000_u64, part in 0.0..1.0_f64) {
            for value in [whole as f64 + part, whole as f64 + 0.5, whole as f64, part] {
                prop_assert!(from_nanos(value).as_nanos() as f64 == libm::round(value), "{}", value);
            }
        }
    }

    #[test]
    fn quantiles_are_what_the_script_asked_for() {
        let asked = Latency::Quantiles { min: ms(1), median: ms(3), p99: ms(40) };
        assert_eq!(sample(&asked, 0.0), ms(1));
        assert_eq!(sample(&asked, 0.5), ms(3));
        assert!(sample(&asked, 0.99).abs_diff(ms(40)) < Duration::from_nanos(10));
        let log_normal = Latency::LogNormal { median: ms(10), sigma: 0.5 };
        assert_eq!(sample(&log_normal, 0.5), ms(10));
        let normal = Latency::Normal { mean: ms(10), sd: ms(2) };
        assert_eq!(sample(&normal, 0.5), ms(10));
        assert_eq!(sample(&normal, 0.0), Duration::ZERO, "never before it was sent");
        assert_eq!(sample(&Latency::Uniform { min: ms(2), max: ms(4) }, 0.25), Duration::from_micros(2500));
    }
}
