//! Namespaces: how a keeper gets its own, and furnishes them.

use std::fs;
use std::io::{self, BufRead as _, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use tappers::{Interface, Tun};

use super::super::netlink::{Netlink, Setting};
use super::{Home, Told, inside};

const DEVICE: &str = "sg0";
/// Packets that wait for the relay: enough for a second of many.
const QUEUE_PACKETS: u32 = 20_000;
const TUN: &str = "/dev/net/tun";

/// The hidden subcommand: `keeper`, and inside its namespaces `keeper --inside`.
pub(in crate::live) fn main(is_inside: bool) -> ExitCode {
    // Whoever started it is gone: so is what it was for.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let socket = match std::io::stdin().as_fd().try_clone_to_owned() {
        Ok(fd) => UnixStream::from(fd),
        Err(error) => {
            eprintln!("error: `keeper` is not for people: {error}");
            return ExitCode::from(2);
        }
    };
    if is_inside {
        return settle_and_serve(socket);
    }
    match go_inside() {
        Ok(code) => code,
        Err(why) => unable(&socket, why),
    }
}

fn unable(socket: &UnixStream, why: String) -> ExitCode {
    let _ = tell(socket, &Told::Unable { why }, None);
    ExitCode::FAILURE
}

/// A message of a line, and a file descriptor beside it.
fn tell(socket: &UnixStream, told: &Told, device: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let devices: Vec<BorrowedFd<'_>> = device.into_iter().collect();
    if !devices.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&devices));
    }
    sendmsg(socket, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Leaves the namespaces of the run, and becomes the parent of the first process of new ones.
fn go_inside() -> Result<ExitCode, String> {
    check_tun()?;
    let own =
        UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWPID | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    // Root of a container may lack what root has; a user namespace of its own then does for both.
    let as_root = geteuid().is_root().then(|| unshare(own));
    if !matches!(as_root, Some(Ok(()))) {
        enter_user_namespace()?;
        unshare(own).map_err(|error| format!("new namespaces are refused, even in a user namespace: {error}"))?;
    }
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program's own file: {error}"))?;
    let mut first = Command::new(program)
        .args(["keeper", "--inside"])
        .stdin(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("no process can be started in new namespaces: {error}"))?;
    // It has the socket; this process must not keep it open.
    let _ = first.wait();
    Ok(ExitCode::SUCCESS)
}

/// Whether TUN devices are to be had, before anything is made.
fn check_tun() -> Result<(), String> {
    let Err(error) = fs::OpenOptions::new().read(true).write(true).open(TUN) else { return Ok(()) };
    let way = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "a live run reads and writes it: as root, or after `chmod 0666 {TUN}`, as most systems have it; in a container it takes `--device {TUN}`"
        ),
        _ => format!("a live run needs TUN devices: `modprobe tun`, or in a container `--device {TUN}`"),
    };
    let then = "beside that, root or unprivileged user namespaces will do";
    Err(format!("{TUN} cannot be opened: {error}; {way}; {then}"))
}

#[allow(deprecated, reason = "unsafe only where descriptors are unshared, which they are not")]
fn unshare(what: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(what)
}

fn enter_user_namespace() -> Result<(), String> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let needs = "a live run needs root with all that it may, or unprivileged user namespaces";
    unshare(UnshareFlags::NEWUSER).map_err(|error| {
        // So the kernel says that there may be no more of them.
        let limit = if error == Errno::NOSPC { ": user.max_user_namespaces forbids more" } else { "" };
        format!("{needs}, and these are refused here: {error}{limit} (see user.max_user_namespaces, kernel.unprivileged_userns_clone, and what the container allows)")
    })?;
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| {
            format!(
                "{needs}, and {file} of one cannot be set: {error} (see kernel.apparmor_restrict_unprivileged_userns)"
            )
        })
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {user} 1"))?;
    write("gid_map", format!("0 {group} 1"))
}

/// The first process of the new namespaces: furnishes them, hands over the device, and does what it is ordered.
fn settle_and_serve(socket: UnixStream) -> ExitCode {
    let mut orders = match socket.try_clone() {
        Ok(socket) => BufReader::new(socket),
        Err(error) => return unable(&socket, error.to_string()),
    };
    let mut line = String::new();
    let home: Home = match orders.read_line(&mut line).map(|_| serde_json::from_str(&line)) {
        Ok(Ok(home)) => home,
        _ => return ExitCode::FAILURE,
    };
    let furnished = furnish(&home).and_then(|has_own_proc| Ok((has_own_proc, device(&home)?)));
    let (has_own_proc, tun) = match furnished {
        Ok(furnished) => furnished,
        Err(why) => return unable(&socket, why),
    };
    if tell(&socket, &Told::Home, Some(tun.as_fd())).is_err() {
        return ExitCode::FAILURE;
    }
    // The run has it now: at its end, the device is to go.
    drop(tun);
    inside::serve(socket, orders, has_own_proc);
    ExitCode::SUCCESS
}

/// Mounts that only this host sees. Whether `/proc` is of its own processes.
fn furnish(home: &Home) -> Result<bool, String> {
    let cannot = |what: &str| {
        let what = what.to_owned();
        move |error: Errno| {
            format!(
                "{what} is refused: {error} (root, or a user namespace that is not restricted, may do it; see kernel.apparmor_restrict_unprivileged_userns)"
            )
        }
    };
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(cannot("a mount namespace"))?;
    // Where a container hides parts of `/proc`, no other may be mounted.
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let has_own_proc = mount("proc", "/proc", "proc", flags, None).is_ok();
    if !Path::new("/etc/hosts").exists() {
        return Err("there is no /etc/hosts, over which the names of hosts are put: `touch /etc/hosts`".to_owned());
    }
    mount_bind(&home.hosts_file, "/etc/hosts").map_err(cannot("to mount over /etc/hosts"))?;
    if Path::new("/etc/resolv.conf").exists() {
        mount_bind(&home.resolver_file, "/etc/resolv.conf").map_err(cannot("to mount over /etc/resolv.conf"))?;
    }
    let _ = rustix::system::sethostname(home.name.as_bytes());
    Ok(has_own_proc)
}

/// The device by which the host reaches the others, and the loopback.
fn device(home: &Home) -> Result<Tun, String> {
    let name = Interface::new(DEVICE).map_err(|error| error.to_string())?;
    let tun = Tun::new_named(name).map_err(|error| format!("a TUN device cannot be made of {TUN}: {error}"))?;
    // Each connection is to start anew, as in a simulated run; IPv6 is not carried. Where neither can be set, both are
    // harmless.
    let _ = fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    let _ = fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
    let set = || -> io::Result<()> {
        let kernel = Netlink::open()?;
        kernel.up("lo", &[])?;
        kernel.up(DEVICE, &[(Setting::Mtu, home.packet_bytes_max), (Setting::QueuePackets, QUEUE_PACKETS)])?;
        kernel.address(DEVICE, home.address, home.prefix)
    };
    set().map_err(|error| format!("the device cannot be set up: {error}"))?;
    Ok(tun)
}
