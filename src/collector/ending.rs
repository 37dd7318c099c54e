//! How long what is under way is waited for when the collector ends.

use std::time::Duration;

use tokio::sync::watch;

/// How long the requests that are under way are waited for at the end.
pub(super) const LAST_ORDERS: Duration = Duration::from_secs(5);

/// Is over when what was under way at the end had its time.
pub(super) async fn last_orders(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
    tokio::time::sleep(LAST_ORDERS).await;
}
