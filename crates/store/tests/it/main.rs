//! The store on real files.

mod backups;
mod failures;
mod labels;
mod lists;
mod queries;
mod retention;
mod rows;
mod settlements;
mod stage;
