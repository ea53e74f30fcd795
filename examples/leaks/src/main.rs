//! A service that asks the operating system for the time, for entropy, for the order of a hash map, and for a thread; and a
//! program that holds all but the thread. What `verify` says of each:
//!
//! ```sh
//! cargo run -- verify leaks/clock
//! cargo run -- verify leaks/hash-order
//! cargo run -- verify leaks/entropy
//! cargo run -- verify leaks/thread
//! ```

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use stormglass::script::ScriptError;
use stormglass::sim::{Host, HostResult, Setup, System};
use tokio::time::sleep;

stormglass::hold_clock_and_entropy!();

async fn leak(host: Host, what: String) -> HostResult {
    sleep(Duration::from_millis(500)).await;
    let tell = |text: String| host.events.event("leaked", vec![("text", text.into())]);
    match what.as_str() {
        // As a `Date` header has it.
        "clock" => tell(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs().to_string()),
        "hash-order" => tell(format!("{:?}", (0..16).map(|n| (n, ())).collect::<HashMap<u32, ()>>())),
        "entropy" => tell(rand::random::<u64>().to_string()),
        "thread" => {
            let counted = Arc::new(AtomicU64::new(0));
            let count = counted.clone();
            std::thread::Builder::new().name("counter".to_owned()).spawn(move || count.store(1, Ordering::SeqCst))?;
            // It is there long before, on a machine that has nothing else to do.
            std::thread::sleep(Duration::from_millis(20));
            tell(counted.load(Ordering::SeqCst).to_string())
        }
        _ => tell("nothing".to_owned()),
    };
    host.events.work(1);
    Ok(())
}

struct Leaks;

macro_rules! sim {
    ($what:literal) => {
        ($what, concat!("about = 'A leak.'\nsystem = 'leaks'\nduration = '2s'\n[leaks]\nwhat = '", $what, "'\n"))
    };
}

impl System for Leaks {
    fn name(&self) -> &'static str {
        "leaks"
    }
    fn about(&self) -> &'static str {
        "a service that asks the operating system"
    }
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[sim!("nothing"), sim!("clock"), sim!("hash-order"), sim!("entropy"), sim!("thread")]
    }
    fn draws_from_tokio(&self) -> bool {
        false
    }
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let mut options: HashMap<String, String> = setup.section()?;
        let what = options.remove("what").unwrap_or_default();
        setup.workload("n1", move |host| leak(host, what.clone()));
        Ok(())
    }
}

fn main() -> ExitCode {
    stormglass::cli::main(&[&Leaks])
}
