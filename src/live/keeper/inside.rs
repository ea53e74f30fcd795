//! The first process of a host's namespaces at work: it starts and ends the others, and asks them how they are.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, wait};

use super::super::http::Url;
use super::super::wall::{self, Clock};
use super::{Order, Program, Told};

/// How often a host that is not ready yet is asked.
const ASK_AGAIN: Duration = Duration::from_millis(20);
const ASK_PATIENCE: Duration = Duration::from_secs(2);
/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long what was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// What the threads of a keeper share.
#[derive(Clone)]
struct Shared {
    socket: Arc<Mutex<UnixStream>>,
    /// The program that runs, and which start of it that is.
    running: Arc<Mutex<Option<(u32, u32)>>>,
}

impl Shared {
    fn tell(&self, told: &Told) {
        let Ok(mut line) = serde_json::to_vec(told) else { return };
        line.push(b'\n');
        // Nobody hears it any more: then this process ends soon.
        let _ = self.socket.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
    }

    fn incarnation(&self) -> Option<u32> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, incarnation)| incarnation)
    }
}

/// Does what is ordered, until nobody orders any more.
pub(super) fn serve(socket: UnixStream, orders: BufReader<UnixStream>, has_own_proc: bool) {
    let shared = Shared { socket: Arc::new(Mutex::new(socket)), running: Arc::default() };
    let (born, births) = channel();
    let reaper = shared.clone();
    if wall::thread("reaper", move || reap(&reaper, &births)).is_err() {
        return;
    }
    for line in orders.lines().map_while(Result::ok) {
        let Ok(order) = serde_json::from_str(&line) else { return };
        match order {
            Order::Start { incarnation, program } => start(&shared, &born, incarnation, &program, has_own_proc),
            Order::Kill => signal_all(Signal::KILL),
            Order::Pause => signal_all(Signal::STOP),
            Order::Resume => signal_all(Signal::CONT),
            Order::Await { address, port, url } => {
                let (shared, at) = (shared.clone(), SocketAddr::from((address, port)));
                let _ = wall::thread("await", move || become_ready(&shared, at, url.as_ref()));
            }
            Order::Probe { number, url, address } => {
                let shared = shared.clone();
                let _ = wall::thread("probe", move || {
                    let answer = url.get(IpAddr::V4(address), ASK_PATIENCE).map_err(|error| error.to_string());
                    shared.tell(&Told::Probed { number, answer });
                });
            }
        }
    }
}

/// Signals every process of the namespace but this one: of a process group, the number 1 means all (kill(2)).
fn signal_all(signal: Signal) {
    // None is there: that is as well.
    let _ = kill_process_group(Pid::INIT, signal);
}

/// Waits until every other process is gone.
fn wait_until_alone() {
    let clock = Clock::start();
    while test_kill_process_group(Pid::INIT).is_ok() && clock.now() < GONE_WITHIN {
        wall::sleep(Duration::from_millis(1));
    }
}

fn start(shared: &Shared, born: &Sender<()>, incarnation: u32, program: &Program, has_own_proc: bool) {
    signal_all(Signal::KILL);
    wait_until_alone();
    if program.memory_bytes_max.is_some() && !has_own_proc {
        let why = "its memory cannot be looked at: no /proc of its own can be mounted here".to_owned();
        return shared.tell(&Told::NotStarted { incarnation, why });
    }
    let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
    let spawned = Command::new("/bin/sh")
        .args(["-c", &program.command])
        .envs(program.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => {
            *running = Some((child.id(), incarnation));
            drop(running);
            let _ = born.send(());
            if let Some(most) = program.memory_bytes_max {
                let shared = shared.clone();
                let _ = wall::thread("memory", move || watch_memory(&shared, incarnation, most));
            }
        }
        Err(error) => {
            drop(running);
            shared.tell(&Told::NotStarted { incarnation, why: format!("/bin/sh cannot be started: {error}") });
        }
    }
}

/// Takes in whoever ends, and tells of the program itself.
fn reap(shared: &Shared, births: &Receiver<()>) {
    loop {
        let Ok(Some((pid, status))) = wait(WaitOptions::empty()) else {
            // Nobody is there to wait for, until somebody is.
            if births.recv().is_err() {
                return;
            }
            continue;
        };
        let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, incarnation)) = running.filter(|(program, _)| u32::try_from(pid.as_raw_pid()) == Ok(*program))
        else {
            continue;
        };
        *running = None;
        drop(running);
        let (code, signal) = (status.exit_status(), status.terminating_signal());
        shared.tell(&Told::Ended { incarnation, code, signal });
    }
}

/// Tells when the host is ready, unless its program ends before that.
fn become_ready(shared: &Shared, at: SocketAddr, url: Option<&Url>) {
    let Some(incarnation) = shared.incarnation() else { return };
    while shared.incarnation() == Some(incarnation) {
        let is_ready = match url {
            None => TcpStream::connect_timeout(&at, ASK_PATIENCE).is_ok(),
            Some(url) => url.get(at.ip(), ASK_PATIENCE).is_ok_and(|answer| (200..300).contains(&answer.status)),
        };
        if is_ready {
            return shared.tell(&Told::Ready);
        }
        wall::sleep(ASK_AGAIN);
    }
}

fn watch_memory(shared: &Shared, incarnation: u32, most: u64) {
    while shared.incarnation() == Some(incarnation) {
        let bytes = resident_bytes();
        if bytes > most {
            shared.tell(&Told::Memory { incarnation, bytes });
            return signal_all(Signal::KILL);
        }
        wall::sleep(LOOK);
    }
}

/// What all processes of the namespace but this one have resident.
fn resident_bytes() -> u64 {
    let page = rustix::param::page_size() as u64;
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let of = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let memory = fs::read_to_string(entry.path().join("statm")).ok().filter(|_| pid != 1)?;
        memory.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    entries.filter_map(Result::ok).filter_map(of).sum::<u64>() * page
}
