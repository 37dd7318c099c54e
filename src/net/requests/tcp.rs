//! A TCP connection, established and closed.

use std::net::SocketAddr;

use crate::measure::outcome::Reason;
use crate::measure::probe::Circuit;
use crate::net::requests::{Course, connect};

pub async fn attempt(
    circuit: &Circuit,
    target: SocketAddr,
    course: &mut Course,
) -> Result<(), Reason> {
    let _closed_when_dropped = connect::tcp(circuit, target, course).await?;
    course.end();
    Ok(())
}
