//! What the operating system tells a service: that it is to end, or to read its settings again.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Comes again and again.
#[derive(Debug)]
pub struct Reloads(Signal);

impl Reloads {
    /// Resolves at the next SIGHUP.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// From now on SIGHUP does not end the process.
pub fn reload_signal() -> io::Result<Reloads> {
    signal(SignalKind::hangup()).map(Reloads)
}

/// Resolves at the first SIGINT or SIGTERM. The handlers are in place when this returns, before the first poll.
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A service looks at what it is given here beside each message: a task of its own makes that look a cheap one.
    let waiting = tokio::task::spawn_local(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    Ok(async move { _ = waiting.await })
}
