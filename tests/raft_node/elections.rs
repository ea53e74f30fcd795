//! Elections among processes.

use std::fs;
use std::process::{Command, Stdio};

use crate::cluster::{Cluster, RAFT_NODE, wait_for};
use crate::processes::{Process, text, udp_socket};

#[test]
fn one_of_three_leads_and_another_one_when_it_is_killed() {
    let mut cluster = Cluster::start(&[&[], &[], &[]]);
    let (first, term) = cluster.agreed(&[1, 2, 3]);
    cluster.kill(first);
    let rest: Vec<u64> = cluster.nodes.keys().copied().collect();
    let (second, newer) = cluster.agreed(&rest);
    assert!(newer > term && second != first, "n{first} in {term}, n{second} in {newer}");

    cluster.restart(first);
    assert!(cluster.status(first).term >= term, "its term is durable");
    let (third, latest) = cluster.agreed(&[1, 2, 3]);
    // A machine that is busy may cost a leader its lead; who comes back does not.
    assert!(latest > newer || (latest, third) == (newer, second), "n{third} in {latest}, n{second} in {newer}");
    assert!(cluster.metric(second, "raft_elections_won_total") >= 1);
    assert!(cluster.metric(first, "raft_messages_received_total{message=\"AppendEntries\"}") >= 1);

    for (id, mut node) in cluster.nodes {
        node.signal(if id == second { "TERM" } else { "INT" });
        let (code, stderr) = node.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains(&format!("Z n{id} ends as ")), "{stderr}");
        if id == second {
            assert!(stderr.contains(&format!("n{id} became leader of term {newer} (votes: n")), "{stderr}");
        }
    }
}

#[test]
fn who_has_another_key_has_no_part_in_the_cluster() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, secret: &str| {
        let path = directory.path().join(name);
        fs::write(&path, secret).expect("it can be written");
        path.to_str().expect("it is text").to_owned()
    };
    let (ours, theirs) = (file("ours", "correct horse battery staple\n"), file("theirs", "Tr0ub4dor&3 Tr0ub4dor&3\n"));
    let (ours, theirs) = (["--cluster-key-file", &ours], ["--cluster-key-file", &theirs]);
    // Pre-votes go to all, so that each of the two that agree hears from it.
    let cluster = Cluster::start(&[&ours, &theirs, &ours]);
    cluster.agreed(&[1, 3]);
    let forged = "raft_datagrams_rejected_total{reason=\"forged\"}";
    for id in 1..=3 {
        wait_for(|| if cluster.metric(id, forged) > 0 { Ok(()) } else { Err(format!("n{id} heard nothing forged")) });
    }
    let outsider = cluster.status(2);
    assert_eq!((outsider.term, outsider.leader), (0, None), "{outsider:?}");
    cluster.agreed(&[1, 3]);
}

#[test]
fn garbage_is_counted_and_does_nothing() {
    let cluster = Cluster::start(&[&[]]);
    let (_, term) = cluster.agreed(&[1]);
    let socket = udp_socket();
    let before = cluster.metric(1, "raft_persists_total");
    let cluster_of_another_name = [&b"SGRF\x01\x00"[..], &[0; 100]].concat();
    let garbage: [&[u8]; 4] = [b"", b"hello", &vec![b'x'; 60_000], &cluster_of_another_name];
    for datagram in garbage {
        socket.send_to(datagram, cluster.ports[&1]).expect("it can be sent");
    }
    let counted = || {
        let rejected =
            |reason: &str| cluster.metric(1, &format!("raft_datagrams_rejected_total{{reason=\"{reason}\"}}"));
        let counts = (rejected("malformed"), rejected("foreign"));
        if counts == (3, 1) { Ok(()) } else { Err(format!("{counts:?}")) }
    };
    wait_for(counted);
    assert_eq!(cluster.agreed(&[1]), (1, term));
    assert_eq!(cluster.metric(1, "raft_persists_total"), before);
}

#[test]
fn a_local_cluster_shows_its_elections() {
    let arguments = ["local", "--nodes", "3", "--for", "6s", "--fail-leader-every", "1500ms"];
    let output = Command::new(RAFT_NODE).args(arguments).output().expect("it starts");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let expected = [
        "0.000s  n1 n2 n3  start on 127.0.0.1, ports ",
        " became leader of term ",
        " crashes, the leader of term ",
        " starts again, as a follower in term ",
        " at the end",
    ];
    for says in expected {
        assert!(out.contains(says), "`{says}` is not in\n{out}");
    }
    assert!(out.contains(" follow n") || out.contains(" follows n"), "{out}");
}

#[test]
fn a_local_cluster_keeps_what_it_is_told_to_and_ends_at_a_signal() {
    let directory = tempfile::tempdir().expect("a directory");
    let start = || {
        let mut command = Command::new(RAFT_NODE);
        // Crashes keep it talking, so that it notices that nobody listens.
        command.args(["local", "--nodes", "1", "--fail-leader-every", "1s", "--data"]).arg(directory.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let addr = "127.0.0.1:0".parse().expect("an address");
    let mut first = Process { child: start(), addr };
    wait_for(|| if directory.path().join("n1/hard-state").exists() { Ok(()) } else { Err("no vote".to_owned()) });
    let second = start().wait_with_output().expect("it ends");
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("n1 is used by another process"), "{}", text(&second.stderr));
    first.signal("INT");
    assert_eq!(first.end(), (Some(0), String::new()));

    let mut third = Process { child: start(), addr };
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(third.child.stdout.take().expect("piped")));
    let line = lines.nth(1).expect("a second line").expect("it is text");
    assert!(line.contains("n1  starts again, as a follower in term "), "{line}");
    drop(lines);
    assert_eq!(third.end(), (Some(0), String::new()), "nobody reads it any more");
}
