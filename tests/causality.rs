//! The causes of records, over whole runs of the built-in systems: what came of what is known, and it is true.

use std::path::Path;

use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::trace::{PacketKind, Record, Trace, Value, What};
use stormglass::sim::{RunOptions, run};
use stormglass::systems;

fn trace(sim: &str, seed: u64) -> Trace {
    let path = format!("{}/sims/{sim}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(Path::new(&path)).unwrap();
    let script = Script::parse(&path, &text).unwrap_or_else(|error| panic!("{error}"));
    let system = systems::all().iter().find(|system| system.name() == script.system).unwrap();
    let options = RunOptions { keep_records: true, watch: None };
    run(*system, &script, Seed(seed), &options).unwrap_or_else(|error| panic!("{error}")).trace.unwrap()
}

/// A record and all that led to it, nearest first.
fn path(trace: &Trace, number: u64) -> impl Iterator<Item = &Record> {
    let at = |number: u64| &trace.records[usize::try_from(number).unwrap()];
    std::iter::successors(Some(at(number)), move |record| record.cause.map(|cause| at(cause.record)))
}

fn event<'a>(record: &'a Record, wanted: &str) -> Option<&'a [(&'static str, Value)]> {
    match &record.what {
        What::Event { name, fields } if *name == wanted => Some(fields),
        _ => None,
    }
}

fn field<'a>(fields: &'a [(&'static str, Value)], key: &str) -> &'a Value {
    &fields.iter().find(|(name, _)| *name == key).unwrap_or_else(|| panic!("no {key}")).1
}

/// Everything that a host does comes of something, and in the end of its start; a timer takes time, and nothing else does
/// within a host.
#[test]
fn every_record_of_a_host_has_a_cause() {
    for sim in ["echo/tcp-loss", "echo/udp-loss", "raft/chaos", "balancer/chaos", "balancer/retry-storm"] {
        let trace = trace(sim, 3);
        // A cause comes before what comes of it.
        let mut roots: Vec<&Record> = Vec::with_capacity(trace.records.len());
        for record in &trace.records {
            let root = record.cause.map_or(record, |cause| roots[usize::try_from(cause.record).unwrap()]);
            roots.push(root);
            if record.host.is_none() {
                continue;
            }
            let is_root = matches!(root.what, What::Started { .. } | What::Fault { .. } | What::FaultEnded { .. });
            // A reset that answers a stranger is the machine's own.
            let is_reset = matches!(&root.what, What::Sent(packet) if packet.kind == PacketKind::Rst);
            assert!(is_root || is_reset, "{sim}: {record:?} comes of {root:?}");
        }
    }
}

#[test]
fn a_leader_comes_of_its_own_campaign_and_a_majority_of_votes() {
    for sim in ["raft/split-vote", "raft/chaos", "raft/cloudflare-2020"] {
        for seed in 0..5 {
            let trace = trace(sim, seed);
            let mut leaders = 0;
            for record in &trace.records {
                let Some(fields) = event(record, "became-leader") else { continue };
                leaders += 1;
                let term = field(fields, "term");
                let campaign = path(&trace, record.number)
                    .find(|cause| event(cause, "became-candidate").is_some_and(|fields| field(fields, "term") == term));
                let campaign = campaign.unwrap_or_else(|| panic!("{sim} {seed}: {record:?} has no campaign"));
                assert_eq!(campaign.host, record.host, "{sim} {seed}: {record:?}");
                let votes = path(&trace, record.number)
                    .take_while(|cause| cause.number > campaign.number)
                    .filter(|cause| matches!(cause.what, What::Delivered { .. }) && cause.host == record.host);
                assert!(votes.count() > 0, "{sim} {seed}: nobody voted for {record:?}");
            }
            assert!(leaders > 0, "{sim} {seed}");
        }
    }
}

/// Through HTTP, a pool of connections and the queue of a worker: an answer comes of its own request, by way of the
/// backend that gave it.
#[test]
fn an_answer_through_the_balancer_comes_of_its_request() {
    for sim in ["balancer/packet-loss"] {
        let trace = trace(sim, 5);
        let name = |record: &Record| trace.host_name(record.host).to_owned();
        let mut answers = 0;
        for record in &trace.records {
            let Some(fields) = event(record, "answer") else { continue };
            if field(fields, "end").to_string() != "200" {
                continue;
            }
            answers += 1;
            let (request, backend) = (field(fields, "request").to_string(), field(fields, "backend").to_string());
            let hosts: Vec<String> = path(&trace, record.number).map(name).collect();
            let came_by = hosts.contains(&backend) && hosts.contains(&"balancer".to_owned());
            assert!(came_by, "{sim}: {record:?} came by {hosts:?}");
            let is_its_own = |cause: &Record| {
                matches!(&cause.what, What::Sent(packet)
                    if cause.host == record.host && packet.payload.windows(request.len()).any(|at| at == request.as_bytes()))
            };
            assert!(path(&trace, record.number).any(is_its_own), "{sim}: {record:?} does not come of {request}");
        }
        assert!(answers > 100, "{sim}: {answers} answers");
    }
}

/// Where all connections end by FINs, no reset follows those.
#[test]
fn no_reset_follows_a_fin() {
    let trace = trace("balancer/gray-failure", 5);
    let sent = |is: fn(&PacketKind) -> bool| {
        trace.records.iter().filter(|record| matches!(&record.what, What::Sent(packet) if is(&packet.kind))).count()
    };
    assert!(sent(|kind| matches!(kind, PacketKind::Fin(_))) > 100);
    assert_eq!(sent(|kind| *kind == PacketKind::Rst), 0);
}
