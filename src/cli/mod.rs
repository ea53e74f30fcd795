//! The command line, whole: a binary with systems of its own has it by calling [`main`].
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     stormglass::cli::main(stormglass::systems::all())
//! }
//! ```
//!
//! Every run happens in a child process: the same program, called as `worker`. So `main` must be what the program's
//! own `main` calls, before it does anything else with its arguments.

mod again;
mod args;
mod assist;
mod bisect;
mod bugs;
mod certify;
mod exhaust;
mod figure;
mod keep;
mod leaks;
mod list;
#[cfg(all(feature = "live", target_os = "linux"))]
mod live;
mod merge;
mod out;
mod progress;
mod replay;
mod report;
mod run;
mod schema;
mod show;
mod shrink;
mod sweep;
mod swept;
mod verify;

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::ColorChoice;
use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::explore::library::LibraryError;
use crate::explore::{Job, Launch, Library, Sim, log, worker};
use crate::report::judgement::Exit;
use crate::report::style::{BAD, paint};
use crate::rng::{self, Seed};
use crate::script::{Script, ScriptError, Setting, did_you_mean, one_of};
use crate::sim::{Drawn, PlantedBug, Setup, System, drawn};
use args::{Cli, Colour, Command, SetArgs, Watching};
use out::Out;

/// The command line over these systems.
pub fn main(systems: &'static [&'static dyn System]) -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let program = program(arguments.first());
    if arguments.is_empty() {
        arguments.push(OsString::from(&program));
    }
    let command = Cli::command().bin_name(program.clone());
    let parsed = command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return exit_code(if error.use_stderr() { Exit::Usage } else { Exit::Expected });
        }
    };
    cli.colour.choice().write_global();
    if let Command::Worker(args) = &cli.command {
        if let Some(filter) = &args.log
            && let Err(error) = log::install(filter, cli.colour == Colour::Always)
        {
            return fail(&anyhow::anyhow!(error));
        }
        return worker::serve(systems);
    }
    #[cfg(all(feature = "live", target_os = "linux"))]
    if let Command::Keeper(args) = &cli.command {
        return crate::live::keep(args.inside);
    }
    let shell = Shell { systems, program };
    match shell.call(cli.command) {
        Ok(exit) => exit_code(exit),
        Err(error) => fail(&error),
    }
}

fn exit_code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "{}: {error:#}", paint(BAD, "error"));
    let Some(without) = error.downcast_ref::<report::NoRecords>() else { return exit_code(Exit::Usage) };
    // Nothing is wrong with the call: what the run came to is the answer.
    let _ = write!(anstream::stdout(), "{}", without.verdict);
    exit_code(without.exit)
}

/// The command's own name: the file that was called.
fn program(called: Option<&OsString>) -> String {
    let name = called.and_then(|path| Path::new(path).file_name()).map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "stormglass".to_owned())
}

/// What all calls need.
struct Shell {
    systems: &'static [&'static dyn System],
    program: String,
}

/// A sim that was named, read and understood.
struct Chosen {
    sim: Sim,
    script: Script,
    system: Option<&'static dyn System>,
}

impl Shell {
    fn call(&self, command: Command) -> anyhow::Result<Exit> {
        let mut out = Out::new();
        match command {
            Command::List(args) => list::list(self, &args, &mut out),
            Command::Run(args) => run::run(self, &args, &mut out),
            Command::Verify(args) => verify::verify(self, &args, &mut out),
            Command::Shrink(args) => shrink::shrink(self, &args, &mut out),
            Command::Certify(args) => certify::certify(self, &args, &mut out),
            Command::Keep(args) => keep::keep(self, &args, &mut out),
            Command::Replay(args) => replay::replay(self, &args, &mut out),
            Command::Sweep(args) => sweep::sweep(self, &args, &mut out),
            Command::Merge(args) => merge::merge(&args, &mut out),
            Command::Bugs(args) => bugs::bugs(self, &args, &mut out),
            Command::Show(args) => show::show(self, &args, &mut out),
            Command::Report(args) => report::report(self, &args, &mut out),
            Command::Figure(args) => figure::figure(self, &args, &mut out),
            Command::Exhaust(args) => exhaust::exhaust(self, &args, &mut out),
            Command::Schema(args) => schema::schema(self, &args, &mut out),
            Command::Completions(args) => assist::completions(self, &args, &mut out),
            Command::Man(args) => assist::man(self, &args, &mut out),
            #[cfg(all(feature = "live", target_os = "linux"))]
            Command::Live(args) => live::live(self, &args, &mut out),
            #[cfg(all(feature = "live", target_os = "linux"))]
            Command::Keeper(_) => anyhow::bail!("`keeper` is not for people"),
            #[cfg(all(feature = "live", target_os = "linux"))]
            Command::Part(args) => live::part(self, &args),
            Command::Worker(_) => anyhow::bail!("`worker` is not for people"),
        }
    }

    fn open_library(&self) -> anyhow::Result<Library> {
        Ok(Library::new(self.systems, &here()?)?)
    }

    /// The sim of this name or path, with settings on top.
    fn choose(&self, name: &str, args: &SetArgs) -> anyhow::Result<Chosen> {
        let sim = match self.open_library()?.find(name) {
            Ok(sim) => sim,
            Err(error @ LibraryError::Unknown { .. }) => {
                let at_path = if Path::new(name).exists() { "; the path of a script ends in `.toml`" } else { "" };
                anyhow::bail!("{error}{at_path}\n`{} list` shows all sims", self.program)
            }
            Err(error) => return Err(error.into()),
        };
        let plant = match &args.bug {
            Some(bug) => Some(self.plant(&sim.script()?.system, bug)?),
            None => None,
        };
        let set: Vec<Setting> = args.settings().chain(plant).collect();
        self.understand(sim.with(&set)?)
    }

    /// The setting that plants a bug in a system.
    fn plant(&self, system: &str, bug: &str) -> anyhow::Result<Setting> {
        self.planted_bugs()?;
        let known = self.systems.iter().find(|known| known.name() == system).map_or(&[][..], |known| known.bugs());
        if known.is_empty() {
            anyhow::bail!("no bugs are planted in the system `{system}`");
        }
        is_planted(bug, &known.iter().collect::<Vec<_>>()).map_err(anyhow::Error::msg)?;
        Setting::new(&format!("{system}.bug"), bug).map_err(anyhow::Error::msg)
    }

    /// The bugs of all systems, with their systems; an error in a build without them.
    fn planted_bugs(&self) -> anyhow::Result<Vec<(&'static dyn System, &'static PlantedBug)>> {
        let of = |system: &&'static dyn System| {
            let system = *system;
            system.bugs().iter().map(move |bug| (system, bug))
        };
        let bugs: Vec<_> = self.systems.iter().flat_map(of).collect();
        if bugs.is_empty() {
            anyhow::bail!("this build has no planted bugs: build it with `--features planted-bugs`");
        }
        Ok(bugs)
    }

    /// A sim whose script is right as far as can be told without a run.
    fn understand(&self, sim: Sim) -> anyhow::Result<Chosen> {
        if let Some(base) = sim.base() {
            // A mistake that was there before is not to be blamed on what was put on top.
            self.check_section(&base.script()?)?;
            self.check_section(&sim.script()?)?;
        }
        let script = sim.script()?;
        let system = self.systems.iter().copied().find(|system| system.name() == script.system);
        Ok(Chosen { sim, script, system })
    }

    /// Lets a script's system read what is its own.
    fn check_section(&self, script: &Script) -> Result<(), ScriptError> {
        let Some(system) = self.systems.iter().find(|system| system.name() == script.system) else { return Ok(()) };
        Setup::built(*system, script, Seed(0)).map(drop)
    }

    /// How this program is called as a worker.
    fn launch(watching: &Watching) -> anyhow::Result<Launch> {
        let program = env::current_exe().context("cannot find this program's own file")?;
        let mut arguments = vec![OsString::from("worker")];
        if let Some(filter) = &watching.log {
            arguments.extend(["--log".into(), OsString::from(filter)]);
            let is_plain = anstream::AutoStream::choice(&std::io::stderr()) == ColorChoice::Never;
            arguments.extend(["--color".into(), if is_plain { "never" } else { "always" }.into()]);
        }
        Ok(Launch { program, arguments, stall: watching.stall, memory_bytes_max: watching.memory.0 })
    }
}

/// An error if none of these bugs has this name.
fn is_planted(name: &str, known: &[&PlantedBug]) -> Result<(), String> {
    let names = || known.iter().map(|bug| bug.name);
    if names().any(|known| known == name) {
        return Ok(());
    }
    let hint = did_you_mean(name, names()).unwrap_or_else(|| format!("expected {}", one_of(names())));
    Err(format!("no bug `{name}` is planted: {hint}"))
}

impl Chosen {
    /// What a seed draws.
    fn drawn(&self, seed: u64) -> Result<Vec<Drawn>, ScriptError> {
        self.system.map_or(Ok(Vec::new()), |system| drawn(system, &self.script, Seed(seed)))
    }

    fn job(&self, seed: u64) -> Job {
        let (path, text) = (self.sim.path(), self.sim.text.clone());
        Job { path, text, seed, ..Job::default() }
    }
}

fn here() -> anyhow::Result<PathBuf> {
    env::current_dir().context("cannot tell the current directory")
}

/// The seed of the environment, for calls that do not make one up.
fn given_seed(why: &str) -> anyhow::Result<u64> {
    match env::var_os("STORMGLASS_SEED").filter(|value| !value.is_empty()) {
        Some(_) => seed(None),
        None => anyhow::bail!("which seed? {why}, and `--seed N` says it"),
    }
}

/// The seed: as given, or from the environment, or a fresh one.
fn seed(given: Option<u64>) -> anyhow::Result<u64> {
    if let Some(seed) = given {
        return Ok(seed);
    }
    match env::var_os("STORMGLASS_SEED").filter(|value| !value.is_empty()) {
        None => Ok(rng::fresh_seed().0),
        Some(value) => {
            let value = value.to_string_lossy();
            args::seed(&value).map_err(|reason| anyhow::anyhow!("STORMGLASS_SEED is `{value}`: {reason}"))
        }
    }
}
