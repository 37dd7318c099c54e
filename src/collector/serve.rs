//! Serves, with all tasks that go on beside requests.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::collector::alerts::{delivery, heartbeat};
use crate::collector::ending::{LAST_ORDERS, last_orders};
use crate::collector::listener::Listener;
use crate::collector::{Collector, health, http, operators, scheduler};

/// And then, so that leases are let go.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Serves until `stop` is done, then lets the requests that are under way end.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    socket: TcpListener,
    collector: Arc<Collector>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = Listener {
        connections: Arc::clone(&collector.connections),
        tls: collector.tls.subscribe(),
        router: http::router(Arc::clone(&collector)),
    };
    let (stopping, stopped) = watch::channel(false);
    let rounds = tokio::spawn(scheduler::run(Arc::clone(&collector), stopped.clone()));
    let mut telling = JoinSet::new();
    for whom in delivery::ALL {
        telling.spawn(delivery::run(Arc::clone(&collector), whom, stopped.clone()));
    }
    telling.spawn(heartbeat::run(Arc::clone(&collector), stopped.clone()));
    telling.spawn(health::watch(Arc::clone(&collector), stopped.clone()));
    let renewing =
        tokio::spawn(operators::renew_certificates(Arc::clone(&collector), stopped.clone()));
    let ending = Arc::clone(&collector);
    let graceful = async move {
        stop.await;
        ending.stopping.store(true, Ordering::Relaxed);
        let _ = stopping.send(true);
    };
    let served = listener.serve(socket, graceful);
    tokio::select! {
        () = served => {}
        () = last_orders(stopped) => {}
    }
    renewing.abort();
    let ends = async { while telling.join_next().await.is_some() {} };
    let at_most = LAST_ORDERS + LETTING_GO;
    let (round, told) =
        tokio::join!(tokio::time::timeout(at_most, rounds), tokio::time::timeout(at_most, ends));
    if round.is_err() || told.is_err() {
        tracing::warn!("a lease was not let go, and will expire");
    }
    Ok(())
}
