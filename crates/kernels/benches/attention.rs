//! Attention of sequences that decode, as a share of a plain read: `cargo bench -p kernels --bench attention [-- THREADS]`.
//!
//! Each sequence adds one position to a cache that is larger than the processor's own, as the layers of a model would, one
//! after the other. Each figure is the best of several runs, since other processes only make it worse.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

#[expect(dead_code, reason = "the other bench measures products, too")]
mod peak;

use kernels::{
    Level, Pool,
    attention::{Shape, Span, attend},
    kv::{BLOCK_LEN, KvType, LayerKv},
};
use peak::best;

/// Cells of a run, all layers together, about: so that they come from memory and not from a cache.
const LARGE: usize = 96 << 20;

fn main() {
    // Cargo passes `--bench`.
    let threads = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2);
    for level in Level::available().into_iter().skip(1) {
        let pool = Pool::new(level, threads);
        let peak = peak::read(&pool, 2 * LARGE);
        println!("{level:?}, {threads} threads; at most {:.1} GB/s read", peak / 1e9);
        println!("| query heads, KV heads, dimensions | cells | streams | context | GB/s | share of a plain read |");
        println!("|---|---|---|---|---|---|");
        for (heads, kv_heads, head_dim) in [(9, 3, 64), (32, 8, 128), (4, 1, 256)] {
            for kind in [KvType::F16, KvType::I8] {
                for (streams, context) in [(1, 512), (1, 4096), (8, 512), (8, 2048)] {
                    let rate = measure(&pool, (heads, kv_heads, head_dim), kind, streams, context);
                    println!(
                        "| {heads}, {kv_heads}, {head_dim} | {kind:?} | {streams} | {context} | {:.1} | {:.0} % |",
                        rate / 1e9,
                        100.0 * rate / peak
                    );
                }
            }
        }
    }
}

/// Bytes of keys and values a second.
fn measure(
    pool: &Pool,
    (heads, kv_heads, head_dim): (usize, usize, usize),
    kind: KvType,
    streams: usize,
    context: usize,
) -> f64 {
    let each = context / BLOCK_LEN;
    let bytes = streams * each * LayerKv::block_bytes(kind, kv_heads, head_dim);
    let mut layers: Vec<LayerKv> =
        (0..LARGE.div_ceil(bytes)).map(|_| LayerKv::new(kind, streams * each, kv_heads, head_dim)).collect();
    // Blocks of a sequence lie anywhere, as they do after a while.
    let tables: Vec<Vec<u32>> = (0..streams)
        .map(|stream| (0..each).map(|block| ((block * 37 % each) * streams + stream) as u32).collect())
        .collect();
    let shape = Shape {
        heads,
        kv_heads,
        head_dim,
        scale: 0.125,
        window: None,
        bidirectional: false,
        softcap: None,
        sinks: None,
    };
    let rows = |rows: usize, width: usize| -> Vec<f32> { (0..rows * width).map(|i| (i as f32 * 0.37).sin()).collect() };
    // Filled with a window, so that it does not take long.
    let [q, k, v] = [heads, kv_heads, kv_heads].map(|heads| rows(context, heads * head_dim));
    let mut out = vec![0.0; q.len()];
    for layer in &mut layers {
        for blocks in &tables {
            let span = Span { first_row: 0, count: context, position: 0, blocks };
            attend(pool, &Shape { window: Some(1), ..shape }, &[span], &q, &k, &v, layer, &mut out);
        }
    }
    let [q, k, v] = [heads, kv_heads, kv_heads].map(|heads| rows(streams, heads * head_dim));
    let mut out = vec![0.0; q.len()];
    let spans: Vec<_> = tables
        .iter()
        .enumerate()
        .map(|(first_row, blocks)| Span { first_row, count: 1, position: context - 1, blocks })
        .collect();
    let seconds = best(|| {
        for layer in &mut layers {
            attend(pool, &shape, &spans, &q, &k, &v, layer, &mut out);
        }
    });
    (layers.len() * bytes) as f64 / seconds
}
