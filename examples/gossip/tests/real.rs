//! The same service over the operating system's sockets.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

struct Member {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Member {
    fn start(name: &str, directory: &Path, seed: Option<&str>) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gossip-member"));
        command.args([name, "127.0.0.1:0"]).arg(directory.join(name)).args(seed).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = said.next().expect("it says where it is").expect("it is text");
        let addr = line.strip_prefix("listening at ").expect("it says where it is").to_owned();
        (Self { child, said }, addr)
    }

    fn waits_for(&mut self, line: &str) {
        assert!(self.said.by_ref().map_while(Result::ok).any(|said| said == line), "it never says: {line}");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was killed");
    }
}

#[test]
fn members_find_each_other_and_who_is_dead() {
    let directory = std::env::temp_dir().join(format!("gossip-{}", std::process::id()));
    let (mut first, addr) = Member::start("a", &directory, None);
    let (mut second, _) = Member::start("b", &directory, Some(&addr));
    let (third, _) = Member::start("c", &directory, Some(&addr));
    second.waits_for("alive a b c");
    first.waits_for("alive a b c");
    drop(third);
    first.waits_for("alive a b");
    second.waits_for("alive a b");
    let (mut third, _) = Member::start("c", &directory, Some(&addr));
    third.waits_for("alive a b c");
    second.waits_for("alive a b c");
    drop((first, second, third));
    std::fs::remove_dir_all(directory).expect("it is there");
}
