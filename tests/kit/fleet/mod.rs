//! A fleet of agents that sign and ship real summaries of a scripted year.

pub mod agent;
pub mod line;
pub mod replicas;
pub mod script;
