//! What a node does not take: files that it cannot trust, and calls that make no sense.

use std::fs;
use std::process::Command;

use crate::cluster::{Cluster, RAFT_NODE};
use crate::processes::text;

/// Starts a node again and returns what it says while it ends by itself.
#[track_caller]
fn refused(cluster: &Cluster, id: u64) -> String {
    let output = cluster.command(id).output().expect("it starts");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    stderr
}

#[test]
fn a_directory_is_used_by_one_process_and_by_its_own_node_only() {
    let mut cluster = Cluster::start(&[&[], &[]]);
    cluster.agreed(&[1, 2]);
    let (data, other) = (cluster.data(1), cluster.data(2));
    let stderr = refused(&cluster, 1);
    assert!(stderr.contains(&format!("the directory {} is used by another process", data.display())), "{stderr}");
    cluster.agreed(&[1, 2]);

    cluster.kill(1);
    cluster.kill(2);
    fs::rename(&data, data.with_extension("kept")).expect("it can be moved");
    fs::rename(&other, &data).expect("it can be moved");
    let stderr = refused(&cluster, 1);
    assert!(stderr.contains(&format!("n1 cannot go on with its directory {}: ", data.display())), "{stderr}");
    assert!(stderr.contains("it belongs to n2, and this is n1"), "{stderr}");

    fs::remove_dir_all(&data).expect("it can be removed");
    fs::rename(data.with_extension("kept"), &data).expect("it can be moved");
    let file = data.join("hard-state");
    let mut bytes = fs::read(&file).expect("it is there");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(&file, &bytes).expect("it can be written");
    let stderr = refused(&cluster, 1);
    assert!(stderr.contains("the file `hard-state` cannot be used: its checksum does not match"), "{stderr}");
    assert!(stderr.contains("bring the file back, or take the node out of the cluster"), "{stderr}");
    assert_eq!(fs::read(&file).expect("it is there"), bytes, "what is refused is not touched");
}

#[test]
fn a_port_and_a_directory_that_cannot_be_had_are_exit_code_1() {
    let cluster = Cluster::start(&[&[]]);
    let taken = cluster.ports[&1].to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, b"").expect("it can be written");
    let status = cluster.nodes[&1].addr.to_string();
    let fresh = directory.path().join("fresh");
    for (listen, data, status, says) in [
        (taken.as_str(), &fresh, "127.0.0.1:0", format!("cannot bind {taken}: ")),
        ("127.0.0.1:0", &fresh, &status, format!("cannot listen on {status}: ")),
        ("127.0.0.1:0", &file, "127.0.0.1:0", format!("cannot use the directory {}: ", file.display())),
    ] {
        let mut command = Command::new(RAFT_NODE);
        command.args([
            "--id",
            "1",
            "--peers",
            "1=127.0.0.1:2,2=127.0.0.1:1",
            "--listen",
            listen,
            "--status",
            status,
            "--data",
        ]);
        let output = command.arg(data).output().expect("it starts");
        let stderr = text(&output.stderr);
        assert!(stderr.contains(&says), "`{says}` is not in {stderr}");
        assert_eq!(output.status.code(), Some(1), "{stderr}");
    }
}

#[test]
fn calls_that_make_no_sense_are_exit_code_2_and_say_why() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = directory.path().join("key");
    fs::write(&key, "short\n").expect("it can be written");
    let data = directory.path().join("n1").display().to_string();
    let (key, no_key) = (key.display().to_string(), directory.path().join("none").display().to_string());
    let good = ["--id", "1", "--listen", "127.0.0.1:0", "--peers", "1=a:1,2=b:1", "--data", &data];
    let changed = |name: &str, value: &str| {
        let place = good.iter().position(|word| *word == name).expect("it is an option") + 1;
        let mut words: Vec<String> = good.iter().map(ToString::to_string).collect();
        value.clone_into(&mut words[place]);
        words
    };
    let with = |more: &[&str]| [&good, more].concat().iter().map(ToString::to_string).collect::<Vec<_>>();
    let alone = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (arguments, says) in [
        (alone(&[]), "required arguments were not provided"),
        (alone(&["--id", "1"]), "--peers"),
        (changed("--id", "0"), "members are counted from 1"),
        (changed("--id", "3"), "--id 3 is not among --peers, which are 1, 2"),
        (changed("--id", "n1"), "an id is a whole number from 1 on"),
        (changed("--listen", "7001"), "write it as host:port"),
        (changed("--peers", "127.0.0.1:7001"), "write each as id=host:port"),
        (changed("--peers", "1=a:1,1=b:1"), "the id 1 is given twice"),
        (changed("--peers", "0=a:1"), "count members from 1"),
        (changed("--peers", "2=a:0"), "nothing can be sent"),
        (with(&["--heartbeat", "150ms"]), "less than the least timeout"),
        (with(&["--heartbeat", "0s"]), "more than zero"),
        (with(&["--election-timeout", "300ms..150ms"]), "swap them"),
        (with(&["--election-timeout", "300ms"]), "150ms..300ms"),
        (with(&["--status", "localhost"]), "write it as host:port"),
        (with(&["--cluster-key-file", &key]), "its secret has 5 bytes, and 16 are the least"),
        (with(&["--cluster-key-file", &no_key]), "none cannot be used: "),
        (with(&["--log", "loud"]), "invalid value 'loud'"),
        (with(&["local"]), "local"),
        (alone(&["local", "--nodes", "0"]), "0 is not in 1..=9"),
        (alone(&["local", "--nodes", "10"]), "10 is not in 1..=9"),
        (alone(&["local", "--for", "soon"]), "write it as 500ms, 5s or 2m"),
        (alone(&["local", "--heartbeat", "1s"]), "less than the least timeout"),
        (alone(&["local", "--id", "1"]), "unexpected argument '--id'"),
        (alone(&["novel"]), "unrecognized subcommand 'novel'"),
    ] {
        let output = Command::new(RAFT_NODE).args(&arguments).output().expect("it starts");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: `{says}` is not in\n{stderr}");
        assert!(!directory.path().join("n1").exists(), "{arguments:?}: nothing is begun");
    }
}
