use super::{random::Random, *};
use crate::{Level, Pool};

/// Which function a kernel applies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    Exp,
    Tanh,
    Silu,
    GeluErf,
    GeluTanh,
    Softcap,
}

struct Apply<'a>(Function, &'a mut [f32]);

impl Kernel for Apply<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let function = self.0;
        for_each_vector!(l, self.1, |x| match function {
            Function::Exp => exp(l, x),
            Function::Tanh => tanh(l, x),
            Function::Silu => silu(l, x),
            Function::GeluErf => gelu_erf(l, x),
            Function::GeluTanh => gelu_tanh(l, x),
            Function::Softcap => softcap(l, x, 30.0),
        });
    }
}

fn apply(level: Level, function: Function, values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    dispatch(&Pool::new(level, 1), Apply(function, &mut values));
    values
}

/// The distance from the exact value in units of the last place of an f32 near it.
fn ulps(ours: f32, exact: f64) -> f64 {
    let near = (exact as f32).abs().max(f32::MIN_POSITIVE);
    let unit = f64::from(near.next_up()) - f64::from(near);
    (f64::from(ours) - exact).abs() / unit
}

fn assert_close(function: Function, arguments: &[f32], exact: impl Fn(f64) -> f64, most: f64) {
    for (&x, ours) in arguments.iter().zip(apply(Level::Scalar, function, arguments)) {
        let exact = exact(f64::from(x));
        let off = ulps(ours, exact);
        assert!(off <= most, "{function:?}({x:e}) is {ours:e}, {off:.2} ulp from {exact:e}");
    }
}

fn spread(from: f32, to: f32) -> Vec<f32> {
    let steps = 40_001;
    (0..steps).map(|i| from + (to - from) * (i as f32 / (steps - 1) as f32)).collect()
}

#[test]
fn exp_is_accurate() {
    assert_close(Function::Exp, &spread(-87.0, 88.375), f64::exp, 1.0);
    assert_close(Function::Exp, &spread(-1.0, 1.0), f64::exp, 1.0);
    assert_close(Function::Exp, &[1e-30, -1e-30, 0.0, -0.0, 1e-7], f64::exp, 1.0);
}

#[test]
fn exp_has_these_values_at_the_edges() {
    let out =
        apply(Level::Scalar, Function::Exp, &[0.0, -87.1, f32::NEG_INFINITY, 88.375, 1e9, f32::INFINITY, f32::NAN]);
    assert_eq!(out[0].to_bits(), 1f32.to_bits());
    assert_eq!(out[1..3], [0.0, 0.0]);
    assert!(out[3] > 2.3e38 && out[3..6].iter().all(|&e| e == out[3]));
    assert!(out[6].is_nan());
}

#[test]
fn tanh_is_accurate() {
    assert_close(Function::Tanh, &spread(-10.0, 10.0), f64::tanh, 2.0);
    assert_close(Function::Tanh, &spread(-0.7, 0.7), f64::tanh, 2.0);
    assert_close(Function::Tanh, &[1e-30, -1e-20, 0.0, 100.0, -1e30, f32::INFINITY, f32::NEG_INFINITY], f64::tanh, 1.0);
    assert!(apply(Level::Scalar, Function::Tanh, &[f32::NAN])[0].is_nan());
}

#[test]
fn silu_is_accurate() {
    assert_close(Function::Silu, &spread(-80.0, 80.0), |x| x / (1.0 + (-x).exp()), 4.0);
    assert_eq!(apply(Level::Scalar, Function::Silu, &[1e30])[0], 1e30);
}

#[test]
fn gelu_is_accurate() {
    let exact = |x: f64| {
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        // x/2 (1 + tanh u) without its cancellation.
        x / (1.0 + (-2.0 * u).exp())
    };
    assert_close(Function::GeluTanh, &spread(-1.0, 30.0), exact, 4.0);
    // Further down the exponent's own rounding counts: relative error grows with it, absolute error vanishes.
    for (x, ours) in spread(-6.0, -1.0).into_iter().zip(apply(Level::Scalar, Function::GeluTanh, &spread(-6.0, -1.0))) {
        assert!((f64::from(ours) - exact(f64::from(x))).abs() < 1e-7, "gelu({x}) is {ours}");
    }
}

/// x/2 · erfc(−x/√2), where erfc is the integral of its derivative: Simpson's rule from where it is 0.
fn exact_gelu(x: f64) -> f64 {
    let (from, to, steps) = (x.abs() / 2f64.sqrt(), x.abs() / 2f64.sqrt() + 6.0, 2_000);
    let step = (to - from) / f64::from(steps);
    let density = |i: i32| (-(from + f64::from(i) * step).powi(2)).exp();
    let inner: f64 = (1..steps).map(|i| density(i) * if i % 2 == 0 { 2.0 } else { 4.0 }).sum();
    let erfc = (density(0) + inner + density(steps)) * step / 3.0 * 2.0 / std::f64::consts::PI.sqrt();
    x.max(0.0) - x.abs() / 2.0 * erfc
}

#[test]
fn gelu_in_its_own_form_is_accurate() {
    let arguments: Vec<f32> = (-600..=600).map(|i| i as f32 / 50.0).collect();
    for (x, ours) in arguments.iter().zip(apply(Level::Scalar, Function::GeluErf, &arguments)) {
        let exact = exact_gelu(f64::from(*x));
        assert!((f64::from(ours) - exact).abs() <= 1.5e-7 * (1.0 + exact.abs()), "gelu({x}) is {ours}, not {exact}");
        // Small as it is, what is left below zero is not noise.
        if (-8.0..0.0).contains(x) {
            assert!(((f64::from(ours) - exact) / exact).abs() < 3e-6, "gelu({x}) is {ours}, not {exact}");
        }
    }
    let edges = [0.0, -0.0, 1e30, f32::INFINITY, -1e30, f32::NEG_INFINITY];
    assert_eq!(apply(Level::Scalar, Function::GeluErf, &edges), [0.0, 0.0, 1e30, f32::INFINITY, 0.0, 0.0]);
    assert!(apply(Level::Scalar, Function::GeluErf, &[f32::NAN])[0].is_nan());
}

#[test]
fn softcap_is_accurate() {
    let exact = |x: f64| 30.0 * (x / 30.0).tanh();
    for (x, ours) in
        spread(-200.0, 200.0).into_iter().zip(apply(Level::Scalar, Function::Softcap, &spread(-200.0, 200.0)))
    {
        let exact = exact(f64::from(x));
        assert!((f64::from(ours) - exact).abs() <= 4e-7 * exact.abs(), "{ours}, not {exact}");
    }
}

#[test]
fn levels_agree_bit_for_bit() {
    let mut random = Random::new(9);
    // Any bit pattern is an argument: subnormals, infinities and NaNs among them.
    let mut arguments: Vec<f32> = (0..20_003).map(|_| f32::from_bits(random.bits() as u32)).collect();
    arguments.extend(random.numbers(20_000, 100.0));
    arguments.extend([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE, 0.625, -0.625]);
    for function in
        [Function::Exp, Function::Tanh, Function::Silu, Function::GeluErf, Function::GeluTanh, Function::Softcap]
    {
        let expected = apply(Level::Scalar, function, &arguments);
        for level in Level::available() {
            for ((ours, theirs), x) in apply(level, function, &arguments).iter().zip(&expected).zip(&arguments) {
                let same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
                assert!(same, "{level:?}: {function:?}({x:e}) is {ours:e}, not {theirs:e}");
            }
        }
    }
}

/// Sum, greatest and the two conversions of halves, which [`Apply`] does not reach.
struct Whole<'a> {
    from: &'a [f32; VECTOR],
    halves: &'a mut [u16; VECTOR],
    back: &'a mut [f32; VECTOR],
    sum: &'a mut f32,
    greatest: &'a mut f32,
}

impl Kernel for Whole<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let v = l.load(self.from);
        *self.sum = l.sum(v);
        *self.greatest = l.greatest(v);
        l.store_f16(v, self.halves);
        l.store(l.load_f16(self.halves), self.back);
    }
}

#[test]
fn whole_vector_operations_agree_bit_for_bit() {
    let mut random = Random::new(10);
    for round in 0..2_000 {
        let from: [f32; VECTOR] = std::array::from_fn(|_| match round % 3 {
            0 => random.number(1e5),
            1 => random.number(1e-5),
            _ => f32::from_bits(random.bits() as u32),
        });
        let run = |level| {
            let (mut halves, mut back, mut sum, mut greatest) = ([0; VECTOR], [0.0; VECTOR], 0.0, 0.0);
            let kernel =
                Whole { from: &from, halves: &mut halves, back: &mut back, sum: &mut sum, greatest: &mut greatest };
            dispatch(&Pool::new(level, 1), kernel);
            let canonical = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
            (halves, back.map(canonical), canonical(sum), canonical(greatest))
        };
        let expected = run(Level::Scalar);
        for level in Level::available() {
            assert_eq!(run(level), expected, "{level:?}: {from:?}");
        }
    }
}
