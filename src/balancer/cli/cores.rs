//! A balancer on several threads: each has a runtime, connections and judgements of its own, and no request of one waits
//! for another. What they share is told aside: settings, the end, and what the pages show.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::super::admin::{Counts, View};
use super::super::config::Config;
use super::super::server;
use super::super::shared::{Rngs, Shared};
use crate::events::Sink;
use crate::net::real::{self, RealNet, Unopened};
use crate::rng::Seed;

/// How old what the pages show of other threads may be.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// What all threads are told.
#[derive(Clone, Debug)]
pub struct Told {
    /// The settings of each: its part of the balancer's.
    pub config: Config,
    /// Whether it is time to end.
    pub ends: bool,
}

/// The threads besides the first.
#[derive(Debug)]
pub struct Cores {
    views: Arc<Mutex<Vec<View>>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    ended: mpsc::UnboundedReceiver<()>,
}

/// Tells that a thread has ended, however it did.
struct Alive(mpsc::UnboundedSender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        // Nobody may want to know.
        _ = self.0.send(());
    }
}

impl Cores {
    /// Starts a thread for each of these listeners.
    pub fn start(listeners: Vec<Unopened>, told: &watch::Receiver<Told>, seed: Seed) -> io::Result<Self> {
        let views = Arc::new(Mutex::new(vec![View::default(); listeners.len()]));
        let (alive, ended) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let (told, views, alive) = (told.clone(), views.clone(), Alive(alive.clone()));
            let show = move |view| views.lock().unwrap_or_else(PoisonError::into_inner)[index] = view;
            let seed = Seed(seed.draw(&[index as u64]));
            let thread = Builder::new().name(format!("core {}", index + 1));
            threads.push(thread.spawn(move || {
                let _alive = alive;
                real::run(work(listener, told, seed, show)).flatten()
            })?);
        }
        Ok(Self { views, threads, ended })
    }

    /// What the threads looked like a moment ago, whenever it is called.
    pub fn views(&self) -> impl Fn() -> Vec<View> + use<> {
        let views = self.views.clone();
        move || views.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves when one has ended; with no threads, never.
    pub async fn ended(&mut self) {
        if self.ended.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for all to end.
    pub fn join(self) -> io::Result<()> {
        self.threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the balancer has panicked")))
        })
    }
}

/// The life of a thread's balancer.
async fn work(listener: Unopened, mut told: watch::Receiver<Told>, seed: Seed, show: impl Fn(View)) -> io::Result<()> {
    let counts = Counts::default();
    let counting = counts.clone();
    let sink = Sink::new(move |event| counting.take(event));
    let config = told.borrow_and_update().config.clone();
    let shared = Shared::new(RealNet, config, Rngs::of(seed), sink).map_err(io::Error::other)?;
    let (mut end, reloading) = (told.clone(), shared.clone());
    let shutdown = async move { drop(end.wait_for(|told| told.ends).await) };
    let reloaded = async move {
        while told.changed().await.is_ok() {
            let Told { config, ends } = told.borrow_and_update().clone();
            if !ends && let Err(error) = reloading.configure(config) {
                // The first thread has taken them.
                tracing::error!(%error, "the settings of the threads differ");
            }
        }
        std::future::pending::<()>().await;
    };
    let shown = async {
        loop {
            show(View::of(&shared, &counts));
            sleep(SHOW_EVERY).await;
        }
    };
    tokio::select! {
        biased;
        served = server::serve(shared.clone(), listener.open()?, shutdown) => served,
        () = reloaded => Ok(()),
        () = shown => Ok(()),
    }
}
