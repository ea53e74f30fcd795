//! `completions` and `man`: what a shell and a reader of manuals want of the command.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell as Kind;

use super::Shell;
use super::args::Cli;
use super::out::{self, Out};
use crate::report::judgement::Exit;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell that is to complete; its own manual says where it looks for such a file.
    #[arg(value_enum)]
    shell: Kind,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each call into this directory; without it the page of the whole command goes to stdout.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// The command with the name under which it was called.
fn command(shell: &Shell) -> clap::Command {
    let name: &'static str = Box::leak(shell.program.clone().into_boxed_str());
    Cli::command().name(name).bin_name(name)
}

pub(super) fn completions(shell: &Shell, args: &CompletionsArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(shell), shell.program.clone(), &mut script);
    out.text(&String::from_utf8(script)?)?;
    out.flush()?;
    Ok(Exit::Expected)
}

pub(super) fn man(shell: &Shell, args: &ManArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let mut command = command(shell);
    command.build();
    let Some(folder) = &args.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("cannot make the page")?;
        out.text(&String::from_utf8(page)?)?;
        out.flush()?;
        return Ok(Exit::Expected);
    };
    let shown = folder.display();
    if let Some(missing) = out::missing_folder(&folder.join("page")) {
        anyhow::bail!("cannot write into {shown}: there is no directory {}", missing.display());
    }
    let calls: Vec<_> = command.get_subcommands().filter(|call| !call.is_hide_set()).cloned().collect();
    for page in std::iter::once(command).chain(calls) {
        let name = format!("{}.1", page.get_display_name().unwrap_or_else(|| page.get_name()));
        let path = folder.join(&name);
        let mut file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        clap_mangen::Man::new(page).render(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
        file.flush().with_context(|| format!("cannot write {}", path.display()))?;
        out.line(&path.display().to_string())?;
    }
    out.flush()?;
    Ok(Exit::Expected)
}
