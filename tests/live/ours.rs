//! The systems of this crate, by the binaries that stand beside the command.

use std::fs;

use serde_json::Value;

use super::{Stage, kinds, passes};

/// Called in a checkout, where its sims are.
fn call(stage: &Stage, sim: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = stage.command(&[&["live", sim, "--seed", "1", "--json"], arguments].concat());
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it can be called");
    let result = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), result, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn real_leadership_flaps_where_the_simulated_one_does() {
    assert!(std::path::Path::new(env!("CARGO_BIN_EXE_raft-node")).exists());
    let Some(stage) = Stage::new("") else { return };
    let [page, records] = ["it.html", "it.jsonl"].map(|file| stage.path(file).display().to_string());
    let arguments = ["--set", "duration=5s", "-o", &page, "-o", &records];
    let (_, result, said) = call(&stage, "raft/cloudflare-2020@no-pre-vote", &arguments);
    passes(&result);
    assert!(result["counters"]["leaders"].as_u64() >= Some(5), "{result:#}{said}");
    let notes = result["notes"].to_string();
    assert!(notes.contains("are not checked live"), "{notes}");
    let records = super::lines(&stage.path("it.jsonl"));
    assert!(kinds(&records)["event"] > 50);
    let named = |name: &str| records.iter().filter(|record| record["name"] == name).count();
    assert!(named("became-leader") >= 5 && named("stepped-down") >= 4);
    let labels = records.iter().filter(|record| record["label"] == "AppendEntries").count();
    assert!(labels > 10, "packets have the names that the system gives them");
    let page = fs::read_to_string(stage.path("it.html")).expect("it was written");
    assert!(page.contains("\"leader\",\"term 2\""), "the page shows who leads");
}

#[test]
fn with_pre_vote_the_real_leader_keeps_its_lead() {
    let Some(stage) = Stage::new("") else { return };
    let (_, result, _) = call(&stage, "raft/cloudflare-2020", &["--set", "duration=3s"]);
    passes(&result);
    assert_eq!(result["counters"]["leaders"], 1, "{result:#}");
}

#[test]
fn echo_over_udp_is_counted_as_in_a_simulated_run() {
    let Some(stage) = Stage::new("") else { return };
    let records = stage.path("it.jsonl").display().to_string();
    let less = ["--set", "echo.requests=20", "--set", "echo.retries=100", "--set", "expect.counters.answers=60"];
    let (_, result, _) = call(&stage, "echo/udp-loss", &[&less[..], &["-o", &records]].concat());
    passes(&result);
    assert_eq!(
        (&result["counters"]["answers"], &result["times"]["rtt"]["count"]),
        (&60.into(), &60.into()),
        "{result:#}"
    );
    let records = super::lines(&stage.path("it.jsonl"));
    let requests = records.iter().filter(|record| record["label"] == "request").count();
    assert!(requests >= 60, "packets have the names that the system gives them");
}

#[test]
fn echo_over_tcp_outlives_its_server() {
    let Some(stage) = Stage::new("") else { return };
    let less = ["--set", "echo.requests=40", "--set", "expect.counters.answers=120"];
    let (_, result, _) = call(&stage, "echo/tcp-server-crash", &less);
    passes(&result);
    assert!(result["counters"]["retries"].as_u64() > Some(0) && result["faults"]["power"] == 1, "{result:#}");
}

#[test]
fn who_gets_no_echo_is_found() {
    let Some(stage) = Stage::new("") else { return };
    let (code, result, _) = call(&stage, "echo/udp-loss", &["--set", "echo.retries=0", "--set", "echo.requests=10"]);
    assert_eq!(code, Some(1), "{result:#}");
    let finding = result["violation"]["invariant"].to_string();
    assert!(finding.contains("every client is served"), "{result:#}");
}

#[test]
fn the_balancer_serves_real_clients_by_way_of_real_backends() {
    let Some(stage) = Stage::new("") else { return };
    let (_, result, _) =
        call(&stage, "balancer/steady", &["--set", "balancer.load_for=2s", "--set", "balancer.settle=100ms"]);
    passes(&result);
    let count = |name: &str| result["counters"][name].as_u64().unwrap_or_default();
    assert!(count("requests") > 100 && count("answers") == count("requests"), "{result:#}");
    assert!(
        count("executions") == count("answers by b1") + count("answers by b2") + count("answers by b3"),
        "{result:#}"
    );
    assert_eq!(result["times"]["latency"]["count"].as_u64(), Some(count("answers")), "{result:#}");
}

#[test]
fn clients_write_to_a_real_cluster_whose_leader_dies() {
    let Some(stage) = Stage::new("") else { return };
    let (_, result, _) =
        call(&stage, "raft/kv-leader-crash", &["--set", "duration=4s", "--set", "raft.clients.until=3s"]);
    passes(&result);
    let answered = result["counters"]["calls answered"].as_u64();
    assert!(answered > Some(20) && result["faults"]["kill"] == 1, "{result:#}");
    assert_eq!(result["times"]["calls"]["count"].as_u64(), answered, "{result:#}");
    let notes = result["notes"].to_string();
    assert!(notes.contains("S1, one content an index, and C1 are"), "{notes}");
}

#[test]
fn what_no_real_process_can_do_is_refused_with_its_place() {
    let Some(stage) = Stage::new("") else { return };
    for (sim, place, reason) in [
        ("raft/kv-http", "kv-http.toml:", "clients speak the cluster's own datagrams"),
        ("raft/figure-8", "figure-8.toml:", "`raft-node` replicates in a way of its own"),
        ("raft/drifting-clocks", "drifting-clocks.toml:8:", "the clocks of real processes are this machine's"),
        ("raft/availsim", "availsim.toml:", "a run ends when its time is over"),
        ("raft/split-vote-livelock@redrawn", "split-vote-livelock.toml:", "in steps of a microsecond"),
        ("raft/hand-over", "hand-over.toml:", "nobody tells a `raft-node` that runs what to do"),
        ("raft/slow-disk-voter", "slow-disk-voter.toml:", "live"),
        ("balancer/smuggler", "smuggler.toml:", "smugglers are simulated only"),
        ("balancer/drain", "drain.toml:", "nobody tells a real balancer"),
    ] {
        let (code, _, said) = call(&stage, sim, &[]);
        assert_eq!(code, Some(2), "{sim}: {said}");
        assert!(said.contains(place) && said.contains(reason), "{sim}: {said}");
    }
}
