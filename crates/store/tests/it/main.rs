//! The store on real files.

mod backups;
mod failures;
mod lists;
mod people;
mod queries;
mod responses;
mod rows;
mod settlements;
mod stage;
