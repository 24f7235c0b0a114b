//! Measures attention in the shape of the default model (9 heads over 3 KV heads of 64, 30 layers, F16 cache): one decode
//! row and a prefill of 512 rows, the best and the median of several runs in milliseconds for all layers.
//!
//! `cargo run --release -p kernels --example attention_speed [threads [context [levels to skip]]]`

#![expect(clippy::print_stdout, reason = "a measuring program prints what it measured")]

use std::time::Instant;

use kernels::{
    Level, Pool,
    attention::{Shape, Span, attend},
    kv::{BLOCK_LEN, KvType, LayerKv},
};

const LAYERS: usize = 30;
const SHAPE: Shape<'static> = Shape {
    heads: 9,
    kv_heads: 3,
    head_dim: 64,
    scale: 0.125,
    window: None,
    bidirectional: false,
    softcap: None,
    sinks: None,
};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let threads = arguments.next().unwrap_or(2);
    let context = arguments.next().unwrap_or(512);
    let lowest = arguments.next().unwrap_or(0);
    for level in Level::available().into_iter().skip(lowest) {
        let pool = Pool::new(level, threads);
        let runs = if level == Level::Scalar { 3 } else { 100 };
        let blocks: Vec<u32> = (0..context.div_ceil(BLOCK_LEN) as u32).collect();
        let new_layer = |_| LayerKv::new(KvType::F16, blocks.len(), SHAPE.kv_heads, SHAPE.head_dim);
        let mut layers: Vec<LayerKv> = (0..LAYERS).map(new_layer).collect();
        for (name, rows) in [("prefill", context), ("decode", 1)] {
            let q = numbers(rows * SHAPE.heads * SHAPE.head_dim);
            let k = numbers(rows * SHAPE.kv_heads * SHAPE.head_dim);
            let mut out = vec![0.0; q.len()];
            let span = Span { first_row: 0, count: rows, position: context - rows, blocks: &blocks };
            let mut times: Vec<f64> = (0..runs)
                .map(|_| {
                    let start = Instant::now();
                    for layer in &mut layers {
                        attend(&pool, &SHAPE, &[span], &q, &k, &k, layer, &mut out);
                    }
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let (best, median) = (times[0], times[times.len() / 2]);
            println!(
                "{level:?} {threads} threads, context {context}, {name}: best {best:.3} ms, median {median:.3} ms"
            );
        }
    }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1013) as f32 / 1013.0 - 0.5).collect()
}
