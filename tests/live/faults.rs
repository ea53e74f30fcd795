//! What faults do to real packets and processes.

use serde_json::Value;
use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::Path;

use super::{Stage, kinds, lost, passes};

const DATAGRAMS: &str = "
about    = 'Datagrams, of which some are lost.'
system   = 'live'
duration = '20s'

[network]
latency = '20ms..30ms'
loss    = 0.3

[live.hosts]
server = { run = 'exec udp-echo serve --listen 0.0.0.0:8081', ready = { line = '8081' } }
c1     = { run = 'udp-echo send --to server:8081 hello --count 40 --pipeline 40 --retries 0 --timeout 300ms; exit 0', workload = true }
";

#[test]
fn packets_meet_the_fates_that_a_simulated_run_has_for_them() {
    let Some(stage) = Stage::new(DATAGRAMS) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let script = Script::parse("it.toml", DATAGRAMS).expect("a script");
    let hosts = ["server", "c1"].map(str::to_owned);
    for (from, to) in [("c1", "server"), ("server", "c1")] {
        let found = lost(&records, from, to);
        let mut path = Path::new(&script, Seed(1), &hosts, from, to).expect("there is such a path");
        let expected: Vec<bool> = found.iter().map(|_| path.next_packet().is_none()).collect();
        assert!(found.len() >= 20 && found.contains(&true) && found.contains(&false), "{from}: {found:?}");
        assert_eq!(found, expected, "from {from} to {to}");
    }
}

#[test]
fn a_datagram_is_late_by_what_the_link_says_and_not_by_much_more() {
    let Some(stage) = Stage::new(DATAGRAMS) else { return };
    let (_, records) = stage.records();
    let at = |record: &Value| record["t_ns"].as_u64().expect("a time");
    let mut took = Vec::new();
    for sent in records.iter().filter(|record| record["kind"] == "sent") {
        let arrived = records.iter().find(|record| record["kind"] == "delivered" && record["packet"] == sent["packet"]);
        took.extend(arrived.map(|arrived| at(arrived) - at(sent)));
    }
    took.sort_unstable();
    assert!(took.len() > 20 && took[0] >= 20_000_000, "{took:?}");
    assert!(took[took.len() / 2] < 40_000_000, "{took:?}");
}

#[test]
fn connections_outlive_a_partition_and_a_segment_is_sent_again() {
    let script = "
about    = 'A partition that heals.'
system   = 'live'
duration = '20s'
[network]
latency = '5ms'
[live.hosts]
server = { run = 'exec tcp-echo serve --listen 0.0.0.0:8080', ready = { port = 8080 } }
c1     = { run = 'exec tcp-echo send --to server:8080 a b c d e --count 20 --rate 20 --timeout 9s', workload = true }
[[step]]
at = '200ms'
partition = [['server'], ['c*']]
for = '500ms'
[[live.expect]]
host = 'c1'
exit = 0
[expect.counters]
'packets.lost' = '> 0'
'tcp segments sent again' = '> 0'
'acted.partition' = 1
";
    let Some(stage) = Stage::new(script) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let by_partition = records.iter().filter(|record| record["reason"] == "partition").count();
    assert!(by_partition > 0, "{result:#}");
    assert_eq!(kinds(&records)["fault-ended"], 1);
}

#[test]
fn processes_are_killed_stopped_and_started_again_with_their_directory() {
    let script = "
about    = 'Hosts die and come back.'
system   = 'live'
duration = '4s'
[network]
latency = '5ms'
[live.hosts]
a = 'echo start >>{dir}/log; echo starts $(wc -l <{dir}/log); (while :; do echo tick; sleep 0.05; done) & exec sleep 60'
b = 'echo up; exec sleep 60'
[[step]]
at = '300ms'
pause = 'a'
for = '700ms'
[[step]]
at = '1300ms'
kill = 'a'
for = '400ms'
[[step]]
at = '2200ms'
power = 'a'
for = '400ms'
[[step]]
at = '3000ms'
restart = 'b'
[[live.expect]]
host = 'a'
line = '^starts 3$'
count = 1
[[live.expect]]
host = 'b'
line = '^up$'
count = 2
[expect.counters]
starts = 5
'acted.kill' = 1
'acted.power' = 1
'acted.pause' = 1
";
    let Some(stage) = Stage::new(script) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let kinds = kinds(&records);
    let counts = ["started", "killed", "power-lost", "paused", "resumed"].map(|kind| kinds[kind]);
    assert_eq!(counts, [5, 2, 1, 1, 1], "{kinds:?}");
    let ticks = |from: u64, to: u64| {
        let at = |record: &&Value| (from * 1_000_000..to * 1_000_000).contains(&record["t_ns"].as_u64().unwrap_or(0));
        records.iter().filter(at).filter(|record| record["fields"]["text"] == "tick").count()
    };
    // Whatever the shell has started is reached, and nothing of it is left.
    assert!(ticks(0, 300) > 0 && ticks(1_000, 1_300) > 0 && ticks(1_750, 2_200) > 0, "{result:#}");
    assert_eq!([ticks(350, 990), ticks(1_350, 1_690), ticks(2_250, 2_590)], [0; 3]);
}

#[test]
fn messages_are_held_and_dropped_by_name() {
    let script = "
about    = 'Named datagrams.'
system   = 'live'
duration = '20s'
[network]
latency = '5ms'
[live.hosts]
server = { run = 'exec udp-echo serve --listen 0.0.0.0:8081', ready = { line = '8081' } }
c1     = { run = 'exec udp-echo send --to server:8081 apple pear plum fig --timeout 300ms --retries 9 --rate 10', workload = true }
[[live.message]]
name = 'Stone'
payload = 'p(lum|ear)\\n$'
[[live.message]]
name = 'Other'
port = 8081
[[step]]
at = '0s'
drop = { from = 'c1', message = 'Stone', count = 2 }
[[step]]
at = '0s'
hold = { to = 'c1', message = 'Other' }
for = '400ms'
[[step]]
at = '1500ms'
cut = { from = 'server', to = 'c1' }
for = '10ms'
may_be_inert = true
[[live.expect]]
host = 'c1'
exit = 0
";
    let Some(stage) = Stage::new(script) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let label = |packet: &Value| {
        let sent = records.iter().find(|record| record["kind"] == "sent" && record["packet"] == *packet);
        sent.and_then(|sent| sent["label"].as_str()).unwrap_or_default().to_owned()
    };
    let of = |kind: &str| -> Vec<String> {
        records.iter().filter(|record| record["kind"] == kind).map(|record| label(&record["packet"])).collect()
    };
    assert!(!of("held").is_empty() && of("held") == of("released"), "{result:#}");
    assert!(of("held").iter().all(|label| label == "Other"));
    let dropped = records.iter().filter(|record| record["reason"] == "dropped").map(|record| label(&record["packet"]));
    assert_eq!(dropped.collect::<Vec<_>>(), ["Stone", "Stone"]);
}

#[test]
fn nothing_of_a_host_reaches_out_of_its_namespaces() {
    let script = "
about    = 'What a host sees.'
system   = 'live'
duration = '5s'
[live.hosts]
a = { run = 'cat /proc/net/dev | grep -c :; cat /etc/hosts; cat /proc/net/route | tail -n +2 | wc -l; echo $STORMGLASS_HOST $STORMGLASS_ADDR {addr}; hostname', workload = true }
b = 'exec sleep 60'
[[live.expect]]
host = 'a'
line = '^2$'
[[live.expect]]
host = 'a'
line = '^10.88.0.2 b$'
[[live.expect]]
host = 'a'
line = '^1$'
[[live.expect]]
host = 'a'
line = '^a 10.88.0.1 10.88.0.1$'
";
    let Some(stage) = Stage::new(script) else { return };
    passes(&stage.run(&[]));
}
