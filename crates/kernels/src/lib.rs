//! Matrix products, attention, norms and the thread pool, per instruction set.

pub mod attention;
pub mod elementwise;
pub mod kv;
mod level;
mod math;
pub mod matrix;
pub mod norm;
mod pool;
pub mod rope;

pub use level::Level;
pub use pool::Pool;
