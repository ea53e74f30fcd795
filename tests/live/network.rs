//! What the network's settings do to real packets.

use serde_json::Value;
use stormglass::rng::Seed;
use stormglass::script::Script;
use stormglass::sim::Path;

use super::{Stage, lost, passes};

/// Datagrams to a server and back, at once or by a rate, under these settings.
fn datagrams(how: &str, settings: &str) -> String {
    format!(
        "about = 'Datagrams.'\nsystem = 'live'\nduration = '20s'\n[live.hosts]\n\
         server = {{ run = 'exec udp-echo serve --listen 0.0.0.0:8081', ready = {{ line = '8081' }} }}\n\
         c1 = {{ run = 'udp-echo send --to server:8081 hello --retries 0 {how}; exit 0', workload = true }}\n\
         [[live.message]]\nname = 'Hello'\npayload = 'hello'\n\
         [[live.message]]\nname = 'Flipped'\npayload = 'iello'\n{settings}"
    )
}

const AT_ONCE: &str = "--count 40 --pipeline 40 --timeout 300ms";
const TEN: &str = "--count 10 --rate 100 --pipeline 10 --timeout 300ms";

fn ms(record: &Value) -> u64 {
    record["t_ns"].as_u64().expect("a time") / 1_000_000
}

fn of_packet<'a>(records: &'a [Value], kind: &str, packet: &Value) -> Option<&'a Value> {
    records.iter().find(|record| record["kind"] == kind && record["packet"] == *packet)
}

/// The packets from one host to another, in the order in which they were sent.
fn sent<'a>(records: &'a [Value], from: &str, to: &str) -> Vec<&'a Value> {
    let is_it = |record: &&Value| record["kind"] == "sent" && record["from"] == from && record["to"] == to;
    records.iter().filter(is_it).collect()
}

/// How many milliseconds each of those took that arrived.
fn took(records: &[Value], from: &str, to: &str) -> Vec<u64> {
    let sent = sent(records, from, to);
    let took = |sent: &&Value| Some(ms(of_packet(records, "delivered", &sent["packet"])?) - ms(sent));
    sent.iter().filter_map(took).collect()
}

#[test]
fn losses_come_in_the_bursts_that_a_simulated_run_has() {
    let script = datagrams(AT_ONCE, "[network]\nlatency = '5ms'\nburst = { enter = 0.1, leave = 0.3, loss = 1.0 }\n");
    let Some(stage) = Stage::new(&script) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let hosts = ["server", "c1"].map(str::to_owned);
    let script = Script::parse("it.toml", &script).expect("a script");
    let mut path = Path::new(&script, Seed(1), &hosts, "c1", "server").expect("there is such a path");
    let found = lost(&records, "c1", "server");
    let expected: Vec<bool> = found.iter().map(|_| path.next_packet().is_none()).collect();
    assert_eq!(found, expected);
    assert!(found.len() >= 40 && found.windows(2).any(|pair| pair == [true, true]), "{found:?}");
}

#[test]
fn datagrams_that_are_held_back_are_overtaken() {
    let settings = "[network]\nlatency = '5ms'\nreorder = { chance = 0.4, extra = '150ms..200ms' }\n";
    let Some(stage) = Stage::new(&datagrams(AT_ONCE, settings)) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let took = took(&records, "c1", "server");
    let held_back = took.iter().filter(|ms| **ms >= 155).count();
    assert!(took.len() == 40 && (5..35).contains(&held_back), "{took:?}");
    assert!(took.windows(2).any(|pair| pair[0] >= 155 && pair[1] < 155), "none was overtaken: {took:?}");
}

#[test]
fn each_direction_of_a_link_has_settings_of_its_own() {
    let settings = "[network]\nlatency = '5ms'\n[[link]]\nfrom = 'c1'\nto = 'server'\nlatency = '120ms'\nloss = 0.3\n";
    let Some(stage) = Stage::new(&datagrams(AT_ONCE, settings)) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let median = |mut took: Vec<u64>| {
        took.sort_unstable();
        took[took.len() / 2]
    };
    let (there, back) = (median(took(&records, "c1", "server")), median(took(&records, "server", "c1")));
    assert!(there >= 120 && (5..60).contains(&back), "{there} ms there, {back} ms back");
    assert!(lost(&records, "c1", "server").contains(&true) && !lost(&records, "server", "c1").contains(&true));
}

#[test]
fn single_packets_meet_the_fates_that_are_theirs() {
    let rule = |nth: u64, fate: &str| {
        format!("[[packet]]\nfrom = 'c1'\nto = 'server'\nmessage = 'Hello'\nnth = {nth}\n{fate}\n")
    };
    let rules = [
        rule(1, "lose = true"),
        rule(2, "latency = '150ms'"),
        rule(3, "duplicate = '100ms'"),
        rule(4, "corrupt = 0"),
        "[expect.counters]\n'faults.packet' = 4\n".to_owned(),
    ];
    let settings = format!("[network]\nlatency = '5ms'\n{}", rules.concat());
    let Some(stage) = Stage::new(&datagrams(TEN, &settings)) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let hello = sent(&records, "c1", "server");
    assert_eq!(hello.len(), 10, "{result:#}");
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|nth| &hello[nth]["packet"]);
    assert_eq!(of_packet(&records, "lost", first).expect("it is lost")["reason"], "dropped");
    assert!(ms(of_packet(&records, "delivered", second).expect("it arrives")) - ms(hello[1]) >= 150);
    let copy = &of_packet(&records, "duplicated", third).expect("it comes twice")["copy"];
    assert!(ms(of_packet(&records, "delivered", copy).expect("the copy arrives")) - ms(hello[2]) >= 100);
    assert_eq!(of_packet(&records, "corrupted", fourth).expect("it is spoiled")["bit"], 0);
    // It arrives so, with nothing that tells the kernel: the server says it back.
    let labels: Vec<_> = sent(&records, "server", "c1").iter().map(|answer| answer["label"].clone()).collect();
    let of = |name: &str| labels.iter().filter(|label| **label == name).count();
    assert_eq!((of("Flipped"), of("Hello")), (1, 9), "{labels:?}");
    assert_eq!(lost(&records, "c1", "server").iter().filter(|is_lost| **is_lost).count(), 1);
}

#[test]
fn a_cut_is_of_one_direction() {
    let cut = "[network]\nlatency = '5ms'\n[[step]]\nat = '150ms'\ncut = { from = 'server', to = 'c1' }\nfor = '250ms'\n\
               [expect.counters]\n'acted.one-way' = 1\n";
    let how = "--count 60 --rate 100 --pipeline 60 --timeout 100ms";
    let Some(stage) = Stage::new(&datagrams(how, cut)) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let [there, back] = [("c1", "server"), ("server", "c1")].map(|(from, to)| lost(&records, from, to));
    assert!(there.len() == 60 && !there.contains(&true), "{there:?}");
    // What comes before the cut and after it arrives.
    let of = |is_lost: bool| back.iter().filter(|found| **found == is_lost).count();
    assert!((5..45).contains(&of(true)) && !back[0] && back.last() == Some(&false), "{back:?}");
    assert!(records.iter().filter(|record| record["kind"] == "lost").all(|lost| lost["reason"] == "partition"));
}

#[test]
fn a_syn_that_is_dropped_is_sent_again_by_the_kernel_after_a_second() {
    let script = "
about    = 'Who connects is not heard at first.'
system   = 'live'
duration = '20s'
[network]
latency = '5ms'
[live.hosts]
server = { run = 'exec tcp-echo serve --listen 0.0.0.0:8080', ready = { port = 8080 } }
c1     = { run = 'exec tcp-echo send --to server:8080 hello --timeout 9s', workload = true }
[[step]]
at   = '0s'
drop = { from = 'c1', message = 'SYN', count = 1 }
[expect.counters]
'packets.lost' = 1
'tcp segments sent again' = '> 0'
";
    let Some(stage) = Stage::new(script) else { return };
    let (result, records) = stage.records();
    passes(&result);
    let named = |name: &str| -> Vec<u64> {
        sent(&records, "c1", "server").into_iter().filter(|sent| sent["label"] == name).map(ms).collect()
    };
    let [first, second] = named("SYN")[..] else { panic!("{result:#}") };
    assert!((900..2_000).contains(&(second - first)), "{first} {second}");
}

#[test]
fn what_chaos_draws_befalls_real_processes() {
    let script = "
about    = 'A counter that is not to be stopped for long.'
system   = 'live'
duration = '4s'
[network]
latency = '5ms'
[live.hosts]
server = { run = 'exec udp-echo serve --listen 0.0.0.0:8081', ready = { line = '8081' } }
c1     = { run = 'udp-echo send --to server:8081 hello --count 120 --rate 100 --pipeline 120 --retries 0 --timeout 100ms; exit 0', workload = true }
[chaos]
families = ['partition', 'one-way', 'pause', 'kill']
hosts    = ['server']
every    = '50ms..150ms'
lasts    = '30ms..100ms'
until    = '900ms'
";
    let Some(stage) = Stage::new(script) else { return };
    let mut seen = std::collections::BTreeSet::new();
    for seed in ["1", "2", "3"] {
        let output = stage.call(&["live", "it.toml", "--seed", seed, "--json", "-o", "it.jsonl"]);
        let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        passes(&result);
        let records = super::lines(&stage.path("it.jsonl"));
        let faults = result["faults"].as_object().expect("counts").iter();
        seen.extend(faults.map(|(family, _)| family.clone()));
        let is_drawn = |record: &&Value| record["kind"] == "fault" && record["action"] != "heal";
        let begun = records.iter().filter(is_drawn);
        assert!(begun.clone().all(|fault| ms(fault) < 900), "{result:#}");
        let counted: u64 = result["faults"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
        assert_eq!(begun.count() as u64, counted, "{result:#}");
    }
    assert!(seen.len() >= 2, "{seen:?}");
}
