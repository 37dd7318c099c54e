//! Measuring, without touching the network: what became of each probe, and the minute's figures.

pub mod address_kind;
pub mod carrier;
pub mod clock_state;
pub mod event;
pub mod flight;
pub mod histogram;
pub mod history;
pub mod interval;
pub mod jitter;
pub mod lag;
pub mod ledger;
pub mod outcome;
pub mod path;
pub mod probe;
pub mod provisional;
pub mod reasons;
pub mod recent;
pub mod rollup;
pub mod rtt;
pub mod schedule;
pub mod target;
