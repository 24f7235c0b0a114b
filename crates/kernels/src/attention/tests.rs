use std::collections::HashMap;

use super::*;
use crate::{Level, half::f16_to_f32, half::f32_to_f16, kv::KvType, math::random::Random};

/// A random problem: one sequence's q, k and v for all positions.
struct Sequence {
    shape: Shape<'static>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    len: usize,
}

impl Sequence {
    fn new(random: &mut Random, shape: Shape<'static>, len: usize) -> Self {
        let kv = len * shape.kv_heads * shape.head_dim;
        Self {
            shape,
            q: random.numbers(len * shape.heads * shape.head_dim, 2.0),
            k: random.numbers(kv, 2.0),
            v: random.numbers(kv, 2.0),
            len,
        }
    }

    /// Computes rows in chunks of the given lengths, through a cache of `kind`, with these block ids.
    fn run(&self, pool: &Pool, kind: KvType, ids: &[u32], chunks: impl IntoIterator<Item = usize>) -> Vec<f32> {
        let mut kv = self.cache(kind, ids);
        let mut out = vec![0.0; self.q.len()];
        let (width, kv_width) = (self.width(), self.kv_width());
        let mut position = 0;
        for count in chunks {
            let count = count.min(self.len - position);
            let span = Span { first_row: 0, count, position, blocks: ids };
            let rows = position..position + count;
            attend(
                pool,
                &self.shape,
                &[span],
                &self.q[rows.start * width..rows.end * width],
                &self.k[rows.start * kv_width..rows.end * kv_width],
                &self.v[rows.start * kv_width..rows.end * kv_width],
                &mut kv,
                &mut out[rows.start * width..rows.end * width],
            );
            position += count;
        }
        assert_eq!(position, self.len);
        out
    }

    fn cache(&self, kind: KvType, ids: &[u32]) -> LayerKv {
        let blocks = ids.iter().max().map_or(0, |&id| id as usize + 1);
        let mut kv = LayerKv::new(kind, blocks, self.shape.kv_heads, self.shape.head_dim);
        // What an earlier user of the blocks left must not matter.
        kv.fill_with_nan();
        kv
    }

    fn ids(&self) -> Vec<u32> {
        (0..self.len.div_ceil(BLOCK_LEN) as u32).collect()
    }

    fn width(&self) -> usize {
        self.shape.heads * self.shape.head_dim
    }

    fn kv_width(&self) -> usize {
        self.shape.kv_heads * self.shape.head_dim
    }

    /// The textbook, in f64.
    fn reference(&self, kind: KvType) -> Vec<f64> {
        let Shape { heads, kv_heads, head_dim, scale, window, bidirectional, softcap, sinks } = self.shape;
        // What the cache makes of a head's numbers at a position.
        let cached = |dimensions: &[f32]| -> Vec<f64> {
            let peak = dimensions.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
            let one = |x: &f32| match kind {
                KvType::F32 => *x,
                KvType::F16 => f16_to_f32(f32_to_f16(*x)),
                KvType::I8 => (x * (127.0 / peak)).round_ties_even() * (peak / 127.0),
            };
            dimensions.iter().map(|x| f64::from(one(x))).collect()
        };
        let mut out = Vec::new();
        for row in 0..self.len {
            for head in 0..heads {
                let q = &self.q[row * self.width() + head * head_dim..][..head_dim];
                let kv_head = head / (heads / kv_heads);
                let at = |position: usize| position * self.kv_width() + kv_head * head_dim;
                let first = window.map_or(0, |window| (row + 1).saturating_sub(window));
                let end = if bidirectional { self.len } else { row + 1 };
                let scores: Vec<f64> = (first..end)
                    .map(|position| {
                        let k = cached(&self.k[at(position)..][..head_dim]);
                        let dot: f64 = q.iter().zip(k).map(|(&q, k)| f64::from(q) * k).sum();
                        let score = dot * f64::from(scale);
                        softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                    })
                    .collect();
                let sink = sinks.map(|sinks| f64::from(sinks[head]));
                let max = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().copied().chain(sink).map(|score| (score - max).exp()).sum();
                let mut weighted = vec![0.0; head_dim];
                for (position, score) in (first..).zip(&scores) {
                    let v = cached(&self.v[at(position)..][..head_dim]);
                    weighted.iter_mut().zip(v).for_each(|(sum, v)| *sum += (score - max).exp() * v);
                }
                out.extend(weighted.into_iter().map(|weighted| weighted / sum));
            }
        }
        out
    }
}

/// (heads, KV heads, dimensions, window, soft cap)
type Sizes = (usize, usize, usize, Option<usize>, Option<f32>);

const SHAPES: [Sizes; 9] = [
    (9, 3, 64, None, None),
    (9, 3, 64, Some(33), None),
    (4, 1, 256, Some(300), None),
    (2, 2, 80, None, Some(5.0)),
    (14, 2, 8, Some(16), None),
    (8, 1, 24, None, None),
    (32, 1, 16, Some(1), None),
    (5, 1, 40, Some(257), Some(3.0)),
    (7, 1, 1, None, None),
];

/// Less than the scores, among them, and greater.
const SINKS: [f32; 6] = [-30.0, -1.0, 0.0, 1.5, 4.0, 20.0];

fn shape((heads, kv_heads, head_dim, window, softcap): Sizes) -> Shape<'static> {
    let scale = 1.0 / (head_dim as f32).sqrt();
    Shape { heads, kv_heads, head_dim, scale, window, bidirectional: false, softcap, sinks: None }
}

fn shapes() -> Vec<Shape<'static>> {
    let with_sinks = |window| Shape { sinks: Some(&SINKS), ..shape((6, 2, 16, window, None)) };
    SHAPES.map(shape).into_iter().chain([with_sinks(None), with_sinks(Some(20))]).collect()
}

#[test]
fn scalar_agrees_with_the_textbook() {
    let mut random = Random::new(1);
    let pool = Pool::new(Level::Scalar, 1);
    for (index, shape) in shapes().into_iter().enumerate() {
        for kind in [KvType::F32, KvType::F16, KvType::I8] {
            let sequence = Sequence::new(&mut random, shape, if index < 2 { 530 } else { 90 + index });
            let out = sequence.run(&pool, kind, &sequence.ids(), [usize::MAX]);
            for (i, (&ours, theirs)) in out.iter().zip(sequence.reference(kind)).enumerate() {
                assert!((f64::from(ours) - theirs).abs() < 5e-6, "{shape:?} {kind:?}: [{i}] is {ours}, not {theirs}");
            }
        }
    }
}

/// One pass on one scalar thread is the reference; all levels, thread counts, chunks and block ids give its bits.
#[test]
fn bits_depend_on_nothing_but_the_sequence() {
    let mut random = Random::new(2);
    for shape in shapes() {
        let len = random.below(250) + 260;
        let sequence = Sequence::new(&mut random, shape, len);
        for kind in [KvType::F32, KvType::F16, KvType::I8] {
            let expected = bits(&sequence.run(&Pool::new(Level::Scalar, 1), kind, &sequence.ids(), [usize::MAX]));
            for level in Level::available() {
                for threads in [1, 3] {
                    let pool = Pool::new(level, threads);
                    let mut ids: Vec<u32> = (0..len.div_ceil(BLOCK_LEN) as u32 + 3).collect();
                    random.shuffle(&mut ids);
                    let chunks: Vec<usize> = (0..len).map(|_| random.below(40) + 1).collect();
                    let chunked = sequence.run(&pool, kind, &ids, taking(len, chunks));
                    assert!(bits(&chunked) == expected, "{shape:?} {kind:?} {level:?} {threads}: in chunks");
                    if level == Level::Scalar {
                        continue; // slow, and the rest adds nothing for it
                    }
                    let whole = sequence.run(&pool, kind, &ids, [usize::MAX]);
                    assert!(bits(&whole) == expected, "{shape:?} {kind:?} {level:?} {threads}: in one pass");
                    let single = sequence.run(&pool, kind, &ids, (0..len).map(|_| 1));
                    assert!(bits(&single) == expected, "{shape:?} {kind:?} {level:?} {threads}: one by one");
                }
            }
        }
    }
}

/// Chunk lengths until `len` is reached.
fn taking(len: usize, chunks: Vec<usize>) -> impl Iterator<Item = usize> {
    chunks.into_iter().scan(0, move |done, chunk| {
        let rest = len - *done;
        *done += chunk.min(rest);
        (rest > 0).then_some(chunk)
    })
}

/// Several sequences, at different points, in one call give what each gives alone.
#[test]
fn a_batch_is_its_sequences() {
    let mut random = Random::new(3);
    let shape = shape(SHAPES[1]);
    let kind = KvType::F16;
    for level in Level::available() {
        let pool = Pool::new(level, 2);
        let lens: Vec<usize> = (0..5).map(|_| random.below(120) + 300).collect();
        let sequences: Vec<Sequence> = lens.iter().map(|&len| Sequence::new(&mut random, shape, len)).collect();
        let mut free: Vec<u32> = (0..lens.iter().map(|len| len.div_ceil(BLOCK_LEN)).sum::<usize>() as u32).collect();
        random.shuffle(&mut free);
        let mut kv = LayerKv::new(kind, free.len(), shape.kv_heads, shape.head_dim);
        let tables: Vec<Vec<u32>> =
            lens.iter().map(|&len| free.split_off(free.len() - len.div_ceil(BLOCK_LEN))).collect();
        let mut outs: Vec<Vec<f32>> = sequences.iter().map(|_| Vec::new()).collect();
        let mut done = vec![0; lens.len()];
        while done.iter().zip(&lens).any(|(done, len)| done < len) {
            let (mut q, mut k, mut v, mut spans) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut row = 0;
            for (i, sequence) in sequences.iter().enumerate() {
                let count = [0, 1, 1, 7, 150][random.below(5)].min(lens[i] - done[i]);
                let (from, to) = (done[i], done[i] + count);
                q.extend_from_slice(&sequence.q[from * sequence.width()..to * sequence.width()]);
                k.extend_from_slice(&sequence.k[from * sequence.kv_width()..to * sequence.kv_width()]);
                v.extend_from_slice(&sequence.v[from * sequence.kv_width()..to * sequence.kv_width()]);
                spans.push(Span { first_row: row, count, position: from, blocks: &tables[i] });
                row += count;
            }
            let mut out = vec![0.0; q.len()];
            attend(&pool, &shape, &spans, &q, &k, &v, &mut kv, &mut out);
            for (i, span) in spans.iter().enumerate() {
                let width = sequences[i].width();
                outs[i].extend_from_slice(&out[span.first_row * width..(span.first_row + span.count) * width]);
                done[i] += span.count;
            }
        }
        for (sequence, out) in sequences.iter().zip(&outs) {
            let alone = sequence.run(&Pool::new(Level::Scalar, 1), kind, &sequence.ids(), [usize::MAX]);
            assert!(bits(out) == bits(&alone), "{level:?}");
        }
    }
}

/// A key or value that is not a number spoils the rows that see it, and no other.
#[test]
fn a_nan_stays_with_those_who_see_it() {
    let mut random = Random::new(4);
    let shape = Shape { window: Some(20), ..shape(SHAPES[0]) };
    for level in Level::available() {
        let mut sequence = Sequence::new(&mut random, shape, 80);
        let at = 30 * sequence.kv_width();
        sequence.v[at..at + shape.head_dim].fill(f32::NAN);
        let out = sequence.run(&Pool::new(level, 2), KvType::F16, &sequence.ids(), [usize::MAX]);
        for (row, out) in out.chunks(sequence.width()).enumerate() {
            for (head, out) in out.chunks(shape.head_dim).enumerate() {
                let sees = (30..50).contains(&row) && head < 3;
                assert!(out.iter().all(|x| x.is_nan() == sees), "{level:?}: row {row}, head {head}");
            }
        }
    }
}

#[test]
fn rows_of_no_span_are_left_alone() {
    let shape = shape(SHAPES[0]);
    let sequence = Sequence::new(&mut Random::new(5), shape, 6);
    let mut kv = sequence.cache(KvType::F32, &[0]);
    let mut out = vec![7.0; sequence.q.len()];
    let span = Span { first_row: 2, count: 3, position: 0, blocks: &[0] };
    attend(&Pool::new(Level::Scalar, 1), &shape, &[span], &sequence.q, &sequence.k, &sequence.v, &mut kv, &mut out);
    let width = sequence.width();
    assert!(out[..2 * width].iter().chain(&out[5 * width..]).all(|&x| x == 7.0));
    assert!(out[2 * width..5 * width].iter().all(|&x| x.abs() <= 2.0));
}

#[test]
fn contradictions_are_refused() {
    let good = shape(SHAPES[0]);
    let cases: [(&str, Shape<'static>, Vec<Span<'static>>); 9] = [
        ("over a cache with", Shape { head_dim: 32, ..good }, vec![]),
        ("evenly", Shape { heads: 8, ..good }, vec![]),
        ("6 sinks for 9 query heads", Shape { sinks: Some(&SINKS), ..good }, vec![]),
        ("sees nothing", Shape { window: Some(0), ..good }, vec![]),
        ("both ways", Shape { window: Some(4), bidirectional: true, ..good }, vec![]),
        ("comes after row", good, vec![span(0, 3, 0, &[0]), span(2, 1, 0, &[1])]),
        ("inside of 4 rows", good, vec![span(3, 2, 0, &[0])]),
        ("a block table of 1", good, vec![span(0, 2, 15, &[0])]),
        ("block 9 of a cache of 4", good, vec![span(0, 2, 15, &[9, 1])]),
    ];
    let twice = ("is written twice", good, vec![span(0, 1, 0, &[3]), span(1, 1, 4, &[3])]);
    for (message, shape, spans) in cases.into_iter().chain([twice]) {
        let panic = std::panic::catch_unwind(|| {
            let mut kv = LayerKv::new(KvType::F16, 4, good.kv_heads, good.head_dim);
            let q = vec![0.0; 4 * shape.heads * shape.head_dim];
            let k = vec![0.0; 4 * shape.kv_heads * shape.head_dim];
            attend(&Pool::new(Level::Scalar, 1), &shape, &spans, &q, &k, &k, &mut kv, &mut vec![0.0; q.len()]);
        });
        let panic = panic.expect_err(message);
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied()).unwrap_or("");
        assert!(text.contains(message), "{text:?} does not say {message:?}");
    }
}

fn span(first_row: usize, count: usize, position: usize, blocks: &'static [u32]) -> Span<'static> {
    Span { first_row, count, position, blocks }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The same blocks, read by sequences that share a prefix, give what copies give.
#[test]
fn shared_prefixes_are_read_in_place() {
    let mut random = Random::new(6);
    let shape = shape(SHAPES[0]);
    let a = Sequence::new(&mut random, shape, 40);
    let mut b = Sequence::new(&mut random, shape, 45);
    let prefix = 32;
    b.q[..prefix * a.width()].copy_from_slice(&a.q[..prefix * a.width()]);
    b.k[..prefix * a.kv_width()].copy_from_slice(&a.k[..prefix * a.kv_width()]);
    b.v[..prefix * a.kv_width()].copy_from_slice(&a.v[..prefix * a.kv_width()]);
    let pool = Pool::new(Level::detect(), 2);
    let mut kv = a.cache(KvType::F16, &[0, 1, 2, 3]);
    let mut outs = HashMap::new();
    let mut step = |name: &'static str, sequence: &Sequence, from: usize, blocks: &[u32]| {
        let (width, kv_width) = (sequence.width(), sequence.kv_width());
        let mut out = vec![0.0; sequence.q.len() - from * width];
        let span = Span { first_row: 0, count: sequence.len - from, position: from, blocks };
        let (q, k, v) = (&sequence.q[from * width..], &sequence.k[from * kv_width..], &sequence.v[from * kv_width..]);
        attend(&pool, &shape, &[span], q, k, v, &mut kv, &mut out);
        outs.insert(name, out);
    };
    step("a", &a, 0, &[0, 1, 2]);
    step("b", &b, prefix, &[0, 1, 3]);
    let alone = b.run(&pool, KvType::F16, &[0, 1, 2], [usize::MAX]);
    assert!(bits(&outs["b"]) == bits(&alone[prefix * b.width()..]));
}

/// Both ways: as the textbook has it, and the same bits at every level, in any batch and wherever blocks lie.
#[test]
fn attention_both_ways_sees_the_whole_sequence_and_no_other() {
    let mut random = Random::new(9);
    for (heads, kv_heads, head_dim) in [(12, 12, 32), (4, 2, 24), (3, 1, 64)] {
        let shape = Shape { bidirectional: true, ..shape((heads, kv_heads, head_dim, None, None)) };
        // Less than a block, whole blocks, and more than a part.
        let sequences = [1, 2, 7, 16, 33, 300, 18].map(|len| Sequence::new(&mut random, shape, len));
        let alone: Vec<Vec<f32>> = sequences
            .iter()
            .map(|sequence| {
                let plain = Pool::new(Level::Scalar, 1);
                let out = sequence.run(&plain, KvType::F32, &sequence.ids(), [usize::MAX]);
                for (i, (&ours, theirs)) in out.iter().zip(sequence.reference(KvType::F32)).enumerate() {
                    assert!((f64::from(ours) - theirs).abs() < 5e-6, "{shape:?}: [{i}] is {ours}, not {theirs}");
                }
                out
            })
            .collect();
        let mut ids: Vec<u32> = (0..64).collect();
        random.shuffle(&mut ids);
        let (mut spans, mut first_row, mut first_block) = (Vec::new(), 0, 0);
        for sequence in &sequences {
            let blocks = sequence.len.div_ceil(BLOCK_LEN);
            let blocks_of = &ids[first_block..first_block + blocks];
            spans.push(Span { first_row, count: sequence.len, position: 0, blocks: blocks_of });
            (first_row, first_block) = (first_row + sequence.len, first_block + blocks);
        }
        let joined = |part: fn(&Sequence) -> &Vec<f32>| sequences.iter().flat_map(part).copied().collect::<Vec<f32>>();
        let (q, k, v) = (joined(|s| &s.q), joined(|s| &s.k), joined(|s| &s.v));
        for level in Level::available() {
            for threads in [1, 3] {
                let mut kv = LayerKv::new(KvType::F32, ids.len(), kv_heads, head_dim);
                kv.fill_with_nan();
                let mut out = vec![0.0; q.len()];
                attend(&Pool::new(level, threads), &shape, &spans, &q, &k, &v, &mut kv, &mut out);
                assert!(bits(&out) == bits(&alone.concat()), "{shape:?} {level:?} {threads}");
            }
        }
    }
}
