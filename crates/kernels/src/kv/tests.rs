use super::*;
use crate::{Level, half::f16_to_f32};

impl LayerKv {
    /// Makes every cell NaN, as the worst that an earlier use may have left.
    pub(crate) fn fill_with_nan(&mut self) {
        match &mut self.cells {
            Cells::F32(planes) => {
                planes.keys.all_mut().fill(f32::NAN);
                planes.values.all_mut().fill(f32::NAN);
            }
            Cells::F16(planes) => {
                planes.keys.all_mut().fill(0x7e00);
                planes.values.all_mut().fill(0x7e00);
            }
            Cells::I8(planes) => {
                planes.keys.all_mut().fill(99);
                planes.values.all_mut().fill(99);
                planes.key_scales.all_mut().fill(f32::NAN);
                planes.value_scales.all_mut().fill(f32::NAN);
            }
        }
    }

    /// A cell of K and of V as they are stored.
    fn get(&self, block: usize, head: usize, position: usize, dim: usize) -> (f32, f32) {
        let padded = self.head_dim.next_multiple_of(VECTOR);
        let key = (head * self.head_dim + dim) * BLOCK_LEN + position;
        let value = (head * BLOCK_LEN + position) * padded + dim;
        match &self.cells {
            Cells::F32(planes) => (planes.keys.block(block)[key], planes.values.block(block)[value]),
            Cells::F16(planes) => {
                (f16_to_f32(planes.keys.block(block)[key]), f16_to_f32(planes.values.block(block)[value]))
            }
            Cells::I8(planes) => {
                let at = head * BLOCK_LEN + position;
                let (key_scale, value_scale) =
                    (planes.key_scales.block(block)[at], planes.value_scales.block(block)[at]);
                let codes = (planes.keys.block(block)[key], planes.values.block(block)[value]);
                (key_scale * f32::from(codes.0), value_scale * f32::from(codes.1))
            }
        }
    }
}

#[test]
fn rows_arrive_in_their_cells() {
    for level in Level::available() {
        for (kind, rows) in [(KvType::F32, 3), (KvType::F16, 50)] {
            let (kv_heads, head_dim) = (2, 20);
            let pool = Pool::new(level, 2);
            let mut kv = LayerKv::new(kind, 6, kv_heads, head_dim);
            // Small whole numbers are the same in both types.
            let k: Vec<f32> = (0..rows * kv_heads * head_dim).map(|i| (i % 2039) as f32).collect();
            let v: Vec<f32> = k.iter().map(|x| -x).collect();
            let blocks = [5, 0, 3, 1];
            kv.store(&pool, &[Span { first_row: 0, count: rows, position: 14, blocks: &blocks }], &k, &v);
            for row in 0..rows {
                let position = 14 + row;
                let block = blocks[position / BLOCK_LEN] as usize;
                for head in 0..kv_heads {
                    for dim in 0..head_dim {
                        let expected = k[(row * kv_heads + head) * head_dim + dim];
                        assert_eq!(kv.get(block, head, position % BLOCK_LEN, dim), (expected, -expected));
                    }
                }
            }
            assert_eq!(kv.get(5, 0, 13, 0), (0.0, 0.0), "what no row covers stays");
        }
    }
}

#[test]
fn halves_round_to_even_and_saturate() {
    let cases = [
        (1.0, 1.0),
        (-0.1, -0.099_975_586),
        (2049.0, 2048.0),
        (2051.0, 2052.0),
        (65504.0, 65504.0),
        (65519.0, 65504.0),
        (65520.0, 65504.0),
        (-1e30, -65504.0),
        (f32::INFINITY, 65504.0),
        (1e-10, 0.0),
        (6e-8, 5.960_464_5e-8),
    ];
    for level in Level::available() {
        let mut kv = LayerKv::new(KvType::F16, 1, 1, cases.len() + 1);
        let mut row: Vec<f32> = cases.iter().map(|case| case.0).collect();
        row.push(f32::NAN);
        let span = Span { first_row: 0, count: 1, position: 0, blocks: &[0] };
        kv.store(&Pool::new(level, 1), &[span], &row, &row);
        for (dim, case) in cases.iter().enumerate() {
            assert_eq!(kv.get(0, 0, 0, dim), (case.1, case.1), "{level:?}: {}", case.0);
        }
        let (key, value) = kv.get(0, 0, 0, cases.len());
        assert!(key.is_nan() && value.is_nan());
    }
}

#[test]
fn codes_share_a_scale_with_their_head_and_position() {
    for level in Level::available() {
        let mut kv = LayerKv::new(KvType::I8, 1, 3, 2);
        // Per head: ordinary numbers, numbers too small to count, and one that is broken.
        let row = [254.0, -3.0, 1e-31, 0.0, f32::INFINITY, 1.0];
        let span = Span { first_row: 0, count: 1, position: 7, blocks: &[0] };
        kv.store(&Pool::new(level, 1), &[span], &row, &row.map(|x| -x));
        assert_eq!(kv.get(0, 0, 7, 0), (254.0, -254.0));
        // -1.5 rounds to the even code.
        assert_eq!(kv.get(0, 0, 7, 1), (-4.0, 4.0));
        assert_eq!((kv.get(0, 1, 7, 0), kv.get(0, 1, 7, 1)), ((0.0, 0.0), (0.0, 0.0)));
        assert!(kv.get(0, 2, 7, 0).0.is_nan() && kv.get(0, 2, 7, 1).1.is_nan(), "{level:?}");
        assert_eq!(kv.get(0, 0, 6, 0), (0.0, 0.0), "what no row covers stays");
    }
}

#[test]
fn block_bytes_count_what_a_block_takes() {
    assert_eq!(LayerKv::block_bytes(KvType::F16, 3, 64), 2 * 3 * 64 * 16 * 2);
    assert_eq!(LayerKv::block_bytes(KvType::F32, 1, 256), 2 * 256 * 16 * 4);
    assert_eq!(LayerKv::block_bytes(KvType::I8, 3, 64), 2 * 3 * 16 * (64 + 4));
    assert_eq!(LayerKv::block_bytes(KvType::F32, 1, 8), (8 + 16) * 16 * 4, "rows of V are whole vectors");
}

#[test]
fn writes_are_told_apart_after_the_counter_wraps() {
    let mut kv = LayerKv::new(KvType::F32, 2, 1, 1);
    let pool = Pool::new(Level::Scalar, 1);
    for start in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        kv.write = start;
        for _ in 0..4 {
            kv.store(&pool, &[Span { first_row: 0, count: 1, position: 0, blocks: &[1] }], &[1.0], &[1.0]);
        }
    }
    assert_eq!(kv.get(1, 0, 0, 0), (1.0, 1.0));
}
