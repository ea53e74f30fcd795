//! The wall clock and the entropy of a program held by its runs, for hosts that ask the operating system for either: off
//! unless the program asks for it, by [`hold_clock_and_entropy!`](crate::hold_clock_and_entropy).
//!
//! What a thread that makes a run is then told is the run's own: the time that is simulated, from the run's beginning in 2026
//! on, and bytes that its seed draws. Whoever is in no run, and every other thread, is told what is so.
//!
//! | asked of | by | held |
//! |---|---|---|
//! | `clock_gettime`: the wall clock, and clocks that only go forward | `SystemTime`, `Instant`, `time`, `chrono`, `Date` headers | yes |
//! | `getrandom`, the function and the system call | `HashMap`, `HashSet`, `rand`, `uuid`, `getrandom` from 0.1 to 0.4 | yes |
//! | the time that a processor has worked | `clock_gettime` too | no |
//! | `/dev/urandom`, the processor's own generator, system calls without the C library | | no |
//! | addresses in memory, the process's number, its environment, its files | | no |
//! | what a thread does when | `std::thread`, `spawn_blocking` | no: it is noticed, and delayed where an experiment asks for it |
//!
//! Simulated time stands still while a host computes. So who blocks the run's thread until some time has passed by an `Instant`, as
//! `recv_timeout` of `std` does, blocks it for ever, and is told as stuck.
//!
//! Each run is made in a thread of its own then, so that the keys of hash maps, which a thread draws once, are the run's.
//!
//! The functions here are what the macro calls. [`Variation`] is how `verify` finds out what a run depends on: it moves what
//! is held, one thing at a time.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread::{self, Builder};
use std::time::Duration;

use rand_chacha::rand_core::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::rng::{Rng, Seed};

/// The stack of a run's own thread, in bytes: that of a program's first one.
const STACK_BYTES: usize = 8 << 20;

/// What is to be otherwise in a run: nothing, as a rule. Only a program that holds clock and entropy can do it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variation {
    /// How far ahead the wall clock is.
    pub clock_ahead: Duration,
    /// Which keys hash maps have.
    pub keys: u64,
    /// Which bytes everybody else draws.
    pub entropy: u64,
    /// How long, in wall time, the threads that the run starts wait before they begin.
    pub threads_late: Duration,
}

/// What is held for the run of this thread.
struct Held {
    now: fn() -> Duration,
    /// The wall clock's time when the run began, since 1970.
    epoch: Duration,
    entropy: Rng,
    threads_late: Duration,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
    static VARIATION: Cell<Variation> = const { Cell::new(Variation {
        clock_ahead: Duration::ZERO,
        keys: 0,
        entropy: 0,
        threads_late: Duration::ZERO,
    }) };
    /// Whether the time that is so is asked for.
    static OUTSIDE: Cell<bool> = const { Cell::new(false) };
    /// Whether the clock and the entropy of this thread were asked for through the macro.
    static ASKED: Cell<(bool, bool)> = const { Cell::new((false, false)) };
}

/// Lets a run have this clock and its seed's entropy, until what is returned is dropped.
pub(crate) fn begin(seed: Seed, epoch: Duration, now: fn() -> Duration) -> Guard {
    let Variation { clock_ahead, keys, entropy, threads_late } = VARIATION.get();
    let stream = |what: &str, which: u64| seed.stream(&format!("{what} of the operating system, {which}"));
    let held = Held { now, epoch: epoch + clock_ahead, entropy: stream("keys", keys), threads_late };
    HELD.set(Some(held));
    if is_held() {
        // Before anybody else draws anything, so that keys are never taken for other entropy.
        draw_keys();
    }
    HELD.with_borrow_mut(|held| held.iter_mut().for_each(|held| held.entropy = stream("entropy", entropy)));
    Guard
}

/// Until it is dropped, the run of this thread is told what is its own.
pub(crate) struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        HELD.set(None);
    }
}

/// Calls what makes a run, in a thread of its own if this program holds clock and entropy.
pub fn in_fresh_thread<T: Send>(variation: Variation, call: impl FnOnce() -> T + Send) -> io::Result<T> {
    if !is_held() {
        return Ok(call());
    }
    let varied = move || {
        VARIATION.set(variation);
        call()
    };
    thread::scope(|scope| {
        let thread = Builder::new().name("run".to_owned()).stack_size(STACK_BYTES).spawn_scoped(scope, varied)?;
        thread.join().or_else(|panic| resume_unwind(panic))
    })
}

/// What is so, whatever a run of this thread is told.
pub(crate) fn outside<T>(call: impl FnOnce() -> T) -> T {
    let before = OUTSIDE.replace(true);
    let result = call();
    OUTSIDE.set(before);
    result
}

/// Whether this program holds clock and entropy: found out by asking for both.
pub fn is_held() -> bool {
    static IS_HELD: OnceLock<bool> = OnceLock::new();
    let ask = || {
        ask_clock();
        draw_keys();
        ASKED.get() == (true, true)
    };
    *IS_HELD.get_or_init(|| thread::scope(|scope| scope.spawn(ask).join().unwrap_or(false)))
}

#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "to find out who answers")]
fn ask_clock() {
    let _ = std::time::SystemTime::now();
}

#[allow(clippy::disallowed_types, reason = "a thread draws the keys of its hash maps with the first of them")]
fn draw_keys() {
    drop(std::hash::RandomState::new());
}

/// What a clock of `clock_gettime` says in a run of this thread: seconds and nanoseconds.
#[doc(hidden)]
pub fn clock(id: i32) -> Option<[i64; 2]> {
    const REALTIME: [i32; 4] = [0, 5, 8, 11];
    const MONOTONIC: [i32; 5] = [1, 4, 6, 7, 9];
    let _ = ASKED.try_with(|asked| asked.set((true, asked.get().1)));
    if OUTSIDE.try_with(Cell::get) != Ok(false) {
        return None;
    }
    let held = |held: &RefCell<Option<Held>>| {
        let held = held.try_borrow().ok()?;
        let held = held.as_ref()?;
        let since = if REALTIME.contains(&id) {
            held.epoch
        } else if MONOTONIC.contains(&id) {
            Duration::ZERO
        } else {
            return None;
        };
        let now = since + (held.now)();
        Some([i64::try_from(now.as_secs()).unwrap_or(i64::MAX), i64::from(now.subsec_nanos())])
    };
    HELD.try_with(held).ok().flatten()
}

/// The next bytes that a run of this thread draws.
#[doc(hidden)]
pub fn entropy() -> Option<[u8; 8]> {
    let _ = ASKED.try_with(|asked| asked.set((asked.get().0, true)));
    let draw = |held: &RefCell<Option<Held>>| {
        let mut held = held.try_borrow_mut().ok()?;
        Some(held.as_mut()?.entropy.next_u64().to_le_bytes())
    };
    HELD.try_with(draw).ok().flatten()
}

/// How long a thread that is being started by a run of this thread is to wait first.
#[doc(hidden)]
pub fn thread_delay() -> Duration {
    let late = |held: &RefCell<Option<Held>>| Some(held.try_borrow().ok()?.as_ref()?.threads_late);
    HELD.try_with(late).ok().flatten().unwrap_or_default()
}

/// Holds the wall clock and the entropy of this program's runs: `clock_gettime` and `getrandom` are the [run's](crate::held)
/// where a run asks. To be called once, in the file of the program's `main`, or of a test.
///
/// It defines functions of the C library anew, for the whole program, with `unsafe` code that stands in that program and not
/// in this crate; outside runs they do what they did. It is for hosts that take time or randomness from the operating
/// system, by themselves or through a library that leaves no choice. Whatever hosts take from [`Host`](crate::sim::Host)
/// and `tokio::time` needs none of it. On other systems than Linux with the GNU C library, on `x86_64` or `aarch64`, it does
/// nothing, and `verify` does not count on it.
///
/// ```standalone_crate
/// use std::collections::HashMap;
/// use std::time::{Duration, Instant, SystemTime};
///
/// use stormglass::held::{Variation, in_fresh_thread};
/// use stormglass::rng::Seed;
/// use stormglass::script::{Script, ScriptError};
/// use stormglass::sim::{Host, HostResult, RunOptions, Setup, System, run};
///
/// stormglass::hold_clock_and_entropy!();
///
/// struct Leaky;
///
/// async fn leak(host: Host) -> HostResult {
///     let map: HashMap<u64, ()> = (0..16).map(|n| (n, ())).collect();
///     host.events.event("map", vec![("keys", format!("{:?}", map.keys()).into())]);
///     let (begun, random) = (Instant::now(), std::fs::read("/proc/sys/kernel/random/uuid").is_ok());
///     tokio::time::sleep(Duration::from_millis(250)).await;
///     assert_eq!((begun.elapsed(), random), (Duration::from_millis(250), true), "an Instant is simulated too");
///     let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
///     host.events.event("date", vec![("seconds", now.as_secs().into())]);
///     host.events.work(1);
///     Ok(())
/// }
///
/// impl System for Leaky {
///     fn name(&self) -> &'static str { "leaky" }
///     fn about(&self) -> &'static str { "asks the operating system" }
///     fn draws_from_tokio(&self) -> bool { false }
///     fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
///         setup.workload("n1", leak);
///         Ok(())
///     }
/// }
///
/// fn hash(variation: Variation) -> String {
///     let script = Script::parse("x.toml", "about = 'x'\nsystem = 'leaky'\nduration = '1s'").unwrap();
///     let made = in_fresh_thread(variation, || run(&Leaky, &script, Seed(1), &RunOptions::default())).unwrap();
///     made.unwrap().hash.to_string()
/// }
///
/// # if cfg!(not(all(target_os = "linux", target_env = "gnu"))) { return; }
/// let usual = hash(Variation::default());
/// assert_eq!(usual, hash(Variation::default()));
/// assert_ne!(usual, hash(Variation { keys: 1, ..Variation::default() }));
/// assert_ne!(usual, hash(Variation { clock_ahead: Duration::from_secs(3600), ..Variation::default() }));
/// assert_eq!(usual, hash(Variation { entropy: 1, ..Variation::default() }), "it draws nothing else");
/// let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
/// assert_ne!(wall.as_secs() / 60, stormglass::sim::EPOCH_SECONDS / 60, "outside runs, time is what it is");
/// ```
#[macro_export]
macro_rules! hold_clock_and_entropy {
    () => {
        #[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
        mod stormglass_holds_clock_and_entropy {
            use ::core::ffi::{c_char, c_int, c_long, c_uint, c_void};
            use ::std::boxed::Box;

            #[cfg(target_arch = "x86_64")]
            const CLOCK_GETTIME_AND_GETRANDOM: [c_long; 2] = [228, 318];
            #[cfg(target_arch = "aarch64")]
            const CLOCK_GETTIME_AND_GETRANDOM: [c_long; 2] = [113, 278];

            type Start = extern "C" fn(*mut c_void) -> *mut c_void;
            type Create = unsafe extern "C" fn(*mut c_void, *const c_void, Start, *mut c_void) -> c_int;

            unsafe extern "C" {
                fn __errno_location() -> *mut c_int;
                fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int {
                if let Some(held) = $crate::held::clock(clock) {
                    unsafe { time.write(held) };
                    return 0;
                }
                let [number, _] = CLOCK_GETTIME_AND_GETRANDOM;
                unsafe { ask([number, c_long::from(clock), time as c_long, 0, 0, 0, 0]) as c_int }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
                let mut filled = 0;
                while filled < length
                    && let Some(bytes) = $crate::held::entropy()
                {
                    let count = bytes.len().min(length - filled);
                    unsafe { buffer.cast::<u8>().add(filled).copy_from_nonoverlapping(bytes.as_ptr(), count) };
                    filled += count;
                }
                if filled > 0 {
                    return filled as isize;
                }
                let [_, number] = CLOCK_GETTIME_AND_GETRANDOM;
                unsafe { ask([number, buffer as c_long, length as c_long, c_long::from(flags), 0, 0, 0]) as isize }
            }

            // By which some libraries ask for entropy. Arguments that a call does not have are passed on as they are found.
            #[unsafe(no_mangle)]
            #[allow(clippy::too_many_arguments)]
            unsafe extern "C" fn syscall(
                number: c_long,
                a: c_long,
                b: c_long,
                c: c_long,
                d: c_long,
                e: c_long,
                f: c_long,
            ) -> c_long {
                if number == CLOCK_GETTIME_AND_GETRANDOM[1] {
                    return unsafe { getrandom(a as *mut c_void, b as usize, c as c_uint) as c_long };
                }
                unsafe { ask([number, a, b, c, d, e, f]) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn pthread_create(
                thread: *mut c_void,
                attributes: *const c_void,
                start: Start,
                argument: *mut c_void,
            ) -> c_int {
                const NEXT: *mut c_void = -1_isize as *mut c_void;
                const UNAVAILABLE: c_int = 11;
                let create = unsafe { dlsym(NEXT, c"pthread_create".as_ptr()) };
                if create.is_null() {
                    return UNAVAILABLE;
                }
                let create: Create = unsafe { ::core::mem::transmute(create) };
                let delay = $crate::held::thread_delay();
                if delay.is_zero() {
                    return unsafe { create(thread, attributes, start, argument) };
                }
                let late = Box::into_raw(Box::new((start, argument, delay)));
                unsafe { create(thread, attributes, begin_late, late.cast()) }
            }

            extern "C" fn begin_late(late: *mut c_void) -> *mut c_void {
                let late: Box<(Start, *mut c_void, ::core::time::Duration)> = unsafe { Box::from_raw(late.cast()) };
                ::std::thread::sleep(late.2);
                (late.0)(late.1)
            }

            /// Asks the kernel, as the C library does.
            unsafe fn ask([number, a, b, c, d, e, f]: [c_long; 7]) -> c_long {
                let mut result: c_long;
                #[cfg(target_arch = "x86_64")]
                unsafe {
                    ::core::arch::asm!(
                        "syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
                        in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack)
                    );
                }
                #[cfg(target_arch = "aarch64")]
                unsafe {
                    ::core::arch::asm!(
                        "svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
                        in("x4") e, in("x5") f, options(nostack)
                    );
                }
                if (-4095..0).contains(&result) {
                    unsafe { __errno_location().write(-result as c_int) };
                    result = -1;
                }
                result
            }
        }
    };
}
