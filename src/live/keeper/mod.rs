//! A keeper: the process that keeps one host of a live run.
//!
//! It is this very program, called as `keeper`. It enters namespaces of its own ([`house`]: network, mounts, processes,
//! names, and users where it is not root), makes the host's TUN device there and hands it to the run through their
//! socket. After that it does what the run orders: it starts, stops and kills the host's processes, and asks them how they
//! are ([`inside`]).
//!
//! **Invariant:** nothing of a host outlives its keeper, and no keeper outlives its run. The keeper is process 1 of its
//! namespace, so that the kernel kills all others with it; it ends when its socket does, which happens however the run ends.

mod house;
mod inside;

use std::io::{self, BufRead as _, BufReader, IoSliceMut, Read, Write as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::{Deserialize, Serialize};

use super::http::{Answer, Url};
use super::wall::{self, Clock};

pub(super) use house::main;

/// How long a keeper may take to be there, and to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a host's namespaces are to be like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Home {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// How many bits of its address all hosts share.
    pub(super) prefix: u8,
    /// The longest packet that its device takes, in bytes.
    pub(super) packet_bytes_max: u32,
    /// What stands in for `/etc/hosts`.
    pub(super) hosts_file: PathBuf,
    /// What stands in for `/etc/resolv.conf`: an empty file, so that no name is asked for outside.
    pub(super) resolver_file: PathBuf,
}

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    /// For the shell.
    pub(super) command: String,
    pub(super) env: Vec<(String, String)>,
    pub(super) memory_bytes_max: Option<u64>,
}

/// What the run orders.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Starts the host's program; what was there before is killed.
    Start { incarnation: u32, program: Program },
    /// Kills all its processes.
    Kill,
    /// Stops all of them.
    Pause,
    /// Lets all of them go on.
    Resume,
    /// Tells when something listens at a port of the host, or a URL of it answers with success.
    Await { address: Ipv4Addr, port: u16, url: Option<Url> },
    /// Asks another host.
    Probe { number: usize, url: Url, address: Ipv4Addr },
}

/// What a keeper tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Told {
    /// The namespaces are there; the device comes with this message.
    Home,
    /// They cannot be.
    Unable { why: String },
    /// The program has ended: with a code, or by a signal.
    Ended { incarnation: u32, code: Option<i32>, signal: Option<i32> },
    /// The program could not be started.
    NotStarted { incarnation: u32, why: String },
    /// What was awaited has come.
    Ready,
    /// The host took more memory than it may, and was killed.
    Memory { incarnation: u32, bytes: u64 },
    /// What came of asking.
    Probed { number: usize, answer: Result<Answer, String> },
}

/// Where a line of output was printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// Who hears what a keeper and its host say.
pub(super) trait Ears: Clone + Send + 'static {
    fn told(&self, told: Told);
    fn line(&self, stream: Stream, line: String);
    /// A line that is longer comes in pieces.
    fn line_bytes_max(&self) -> u64;
}

/// A keeper, as the run has it.
pub(super) struct Keeper {
    child: Child,
    socket: UnixStream,
    /// Those that hear what the host prints: they end when it has.
    listeners: Vec<JoinHandle<()>>,
}

impl Keeper {
    /// Starts one. [`Self::settled`] says whether it could do what it is for.
    pub(super) fn start(home: &Home) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(std::env::current_exe()?)
            .arg("keeper")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the run.
            .process_group(0)
            .spawn()?;
        let mut keeper = Self { child, socket: ours, listeners: Vec::new() };
        match keeper.say(home) {
            // It is gone already, and has left word why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(keeper),
            said => said.map(|()| keeper),
        }
    }

    /// Waits until its namespaces are there, and takes the device.
    pub(super) fn settled(&mut self, ears: impl Ears) -> Result<OwnedFd, String> {
        let device = self.take_device()?;
        let hear = |error: io::Error| format!("a thread cannot be started: {error}");
        for (stream, pipe) in [
            (Stream::Out, self.child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
            (Stream::Err, self.child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>)),
        ] {
            let (ears, Some(pipe)) = (ears.clone(), pipe) else { continue };
            let listener = wall::thread("output", move || {
                each_line(pipe, ears.line_bytes_max(), |line| ears.line(stream, line));
            });
            self.listeners.push(listener.map_err(hear)?);
        }
        let socket = self.socket.try_clone().map_err(|error| error.to_string())?;
        wall::thread("keeper", move || {
            for line in BufReader::new(socket).lines().map_while(Result::ok) {
                if let Ok(told) = serde_json::from_str(&line) {
                    ears.told(told);
                }
            }
        })
        .map_err(hear)?;
        Ok(device)
    }

    fn take_device(&mut self) -> Result<OwnedFd, String> {
        let _ = self.socket.set_read_timeout(Some(PATIENCE));
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 4096];
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let received = received.map_err(|error| format!("its keeper says nothing: {error}"))?;
        let _ = self.socket.set_read_timeout(None);
        let told = bytes[..received.bytes].strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        match told {
            Some(Told::Home) => {}
            Some(Told::Unable { why }) => return Err(why),
            _ => return Err("its keeper ended before it began".to_owned()),
        }
        let device = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        device.ok_or_else(|| "its keeper sent no device".to_owned())
    }

    pub(super) fn order(&mut self, order: &Order) -> io::Result<()> {
        self.say(order)
    }

    fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        self.socket.write_all(&line)
    }
}

impl Keeper {
    /// Waits until all is gone.
    fn wait(&mut self) {
        let clock = Clock::start();
        while clock.now() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            wall::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends the keeper, and with it all that the host runs; returns when all is gone, and all was heard that was printed.
impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.wait();
        self.listeners.drain(..).for_each(|listener| drop(listener.join()));
    }
}

/// Lines as they come, the last one also if it is cut off; what is no UTF-8 is shown as such.
fn each_line(pipe: impl Read, bytes_max: u64, mut tell: impl FnMut(String)) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while (&mut pipe).take(bytes_max).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        tell(text.trim_end_matches(['\n', '\r']).to_owned());
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_comes_line_by_line() {
        let mut lines = Vec::new();
        each_line(&b"one\r\ntwo\n\xff\nlong end"[..], 5, |line| lines.push(line));
        assert_eq!(lines, ["one", "two", "\u{fffd}", "long ", "end"]);
    }
}
