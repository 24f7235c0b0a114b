//! The store on real files.

mod backups;
mod failures;
mod labels;
mod lists;
mod migrations;
mod people;
mod queries;
mod responses;
mod retention;
mod rows;
mod settlements;
mod stage;
mod webhooks;
