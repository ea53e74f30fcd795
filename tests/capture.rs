//! Captures and traces: what they hold is what the run had, and the tools that read them agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::Value;
use stormglass::raft::codec::Codec;

fn stormglass(directory: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stormglass"));
    command.args(args).current_dir(directory).stdin(Stdio::null()).env_remove("STORMGLASS_SEED");
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// Writes a run's report of this ending, and returns the run's own numbers.
fn report(directory: &Path, sim: &str, seed: &str, file: &str) -> Value {
    stormglass(directory, &["report", sim, "--seed", seed, "-o", file]);
    serde_json::from_str(&stormglass(directory, &["run", sim, "--seed", seed, "--json"])).expect("one JSON object")
}

/// What `tshark` prints; `None`, with a printed reason, where it is not installed.
fn tshark(directory: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("tshark").args(args).current_dir(directory).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        println!("skipped: tshark is not installed");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints: Vec<&str> = errors.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{args:?}: {complaints:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

const SIMS: [(&str, &str); 5] = [
    ("echo/tcp-loss", "7"),
    ("echo/tcp-server-crash", "2"),
    ("echo/udp-duplicates", "1"),
    ("raft/split-vote", "7"),
    ("balancer/upgrades", "1"),
];

/// Wireshark has two names for a segment that comes again, by when it comes. An answer to a SYN looks like one too if the
/// server was killed and answers the client's next try as a new connection.
const AGAIN: &str = "(tcp.analysis.retransmission || tcp.analysis.out_of_order) && \
                     (!(tcp.flags.syn == 1) || frame.comment contains \"sent again:\")";

const WRONG: &str = "_ws.malformed || _ws.expert.severity == \"Error\" || tcp.analysis.lost_segment || \
                     tcp.analysis.ack_lost_segment";

#[test]
fn every_packet_is_there_once_and_wireshark_finds_what_came_again() {
    let directory = tempfile::tempdir().unwrap();
    for (sim, seed) in SIMS {
        let run = report(directory.path(), sim, seed, "run.pcapng");
        let count = |name: &str| run["packets"][name].as_u64().unwrap();
        let capture = fs::read(directory.path().join("run.pcapng")).unwrap();
        let seen = check_packets(&capture);
        if (sim, seed) == ("echo/tcp-loss", "7") {
            let says = |text: &str| capture.windows(text.len()).any(|bytes| bytes == text.as_bytes());
            assert!(says("sent again: fast retransmission"));
            assert!(says("sent again: tail loss probe"));
            assert!(says("sent again: timeout"));
        }
        assert_eq!(seen, count("sent") + count("retransmitted") + count("duplicated"), "{sim} {seed}");

        let lines = |filter: &str| {
            let checks = ["tcp", "udp", "ip"].map(|protocol| format!("-o{protocol}.check_checksum:TRUE"));
            let mut args: Vec<&str> = checks.iter().map(String::as_str).collect();
            // Without it Wireshark takes a Raft message for whatever it looks like.
            if directory.path().join("run.lua").exists() {
                args.extend(["-X", "lua_script:run.lua"]);
            }
            args.extend(["-r", "run.pcapng", "-Y", filter]);
            Some(tshark(directory.path(), &args)?.lines().count() as u64)
        };
        let Some(again) = lines(AGAIN) else { continue };
        assert_eq!(again, count("retransmitted"), "{sim} {seed}: retransmissions");
        assert_eq!(lines(WRONG), Some(0), "{sim} {seed}: something is wrong");
    }
}

/// A client, a server, and what the rest of the script has for them.
fn small(echo: &str, rest: &str) -> String {
    let head = "about = 'one kind of what Wireshark finds'\nsystem = 'echo'\nduration = '60s'\n[echo]\nclients = 1\ntimeout = '50s'\n";
    format!("{head}{echo}\n[network]\nlatency = '5ms'\n{rest}\n")
}

fn losing(from: &str, to: &str, message: &str) -> String {
    format!("[[packet]]\nfrom = '{from}'\nto = '{to}'\nmessage = '{message}'\nnth = 5\nlose = true")
}

/// Kinds as the run has them: fast and other retransmissions, those of what had arrived, acknowledgements that say nothing
/// new, and closed windows.
fn kinds(records: &[Value]) -> BTreeMap<&'static str, u64> {
    let mut counts =
        BTreeMap::from([("fast", 0), ("probe", 0), ("spurious", 0), ("duplicate ack", 0), ("zero window", 0)]);
    let (mut sent, mut arrived, mut latest) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    for record in records {
        let (kind, packet) = (record["kind"].as_str().unwrap(), record["packet"].as_u64());
        match kind {
            "delivered" => _ = arrived.insert(packet),
            "sent" => _ = sent.insert(packet, record),
            "retransmitted" => {
                let why = if record["why"] == "fast" { "fast" } else { "probe" };
                *counts.get_mut(why).unwrap() += 1;
                *counts.get_mut("spurious").unwrap() += u64::from(arrived.contains(&packet));
            }
            _ => continue,
        }
        let (true, Some(first)) = (kind != "delivered", sent.get(&packet)) else { continue };
        let (tcp, name) = (&record["tcp"], first["transport"].as_str().unwrap());
        let (seq, length) = (tcp["seq"].as_u64().unwrap(), record["len"].as_u64().unwrap());
        let says = (tcp["ack"].as_u64(), tcp["window"].as_u64());
        let known = latest.insert(first["src"].to_string(), (says, seq + length + u64::from(name == "tcp-syn")));
        if name == "tcp-ack" && says.1 == Some(0) {
            *counts.get_mut("zero window").unwrap() += 1;
        } else if name == "tcp-ack" && known == Some((says, seq)) {
            *counts.get_mut("duplicate ack").unwrap() += 1;
        }
    }
    counts
}

/// Each kind of what Wireshark finds in TCP, where a run has it: as often as the run has it.
#[test]
fn wireshark_counts_each_kind_as_the_run_does() {
    let burst = |interval| format!("requests = 30\npipeline = 30\ninterval = '{interval}'");
    let lost_request = losing("c1", "server", "request");
    let slow = "requests = 2\nsize = '16KiB'\nread_delay = '300ms'";
    // The script; fast retransmissions, those that Wireshark takes for late segments, and spurious ones; closed windows.
    let cases = [
        ("fast", small(&burst("1ms"), &lost_request), [1, 0, 0], false),
        // Only one acknowledgement has asked for it by then: too few for what Wireshark calls fast.
        ("late", small(&burst("6ms"), &lost_request), [0, 1, 0], false),
        // The answer is lost, and the acknowledgement with it: the request comes again though it had arrived.
        ("spurious", small("requests = 10\ninterval = '50ms'", &losing("server", "c1", "answer")), [0, 0, 1], false),
        ("closed", small(slow, "[network.tcp]\nwindow = '5792B'"), [0, 0, 0], true),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (name, script, [fast, late, spurious], closes) in cases {
        let file = format!("{name}.toml");
        fs::write(directory.path().join(&file), script).unwrap();
        stormglass(directory.path(), &["report", &file, "--seed", "1", "-o", "run.pcapng"]);
        let shown = stormglass(directory.path(), &["show", &file, "--seed", "1", "--json"]);
        let records: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let run = kinds(&records);
        assert_eq!((run["fast"], run["spurious"]), (fast + late, spurious), "{name}: {run:?}");
        assert_eq!(run["zero window"] > 0, closes, "{name}: {run:?}");
        let fields = ["fast_retransmission", "out_of_order", "spurious_retransmission", "duplicate_ack", "zero_window"];
        let mut args = vec!["-r", "run.pcapng", "-T", "fields"];
        let named: Vec<String> = fields.iter().map(|field| format!("tcp.analysis.{field}")).collect();
        named.iter().for_each(|field| args.extend(["-e", field]));
        let Some(text) = tshark(directory.path(), &args) else { return };
        let count = |column: usize| {
            text.lines().filter(|line| line.split('\t').nth(column).is_some_and(|cell| !cell.is_empty())).count() as u64
        };
        let found: Vec<u64> = (0..fields.len()).map(count).collect();
        assert_eq!(found, [fast, late, spurious, run["duplicate ack"], run["zero window"]], "{name}: {run:?}");
    }
}

/// Counts the packets of the run in a capture; their checksums must be right, and time must not go back.
fn check_packets(capture: &[u8]) -> u64 {
    let mut reader = PcapNgReader::new(capture).unwrap();
    let (mut seen, mut last, mut interfaces) = (0, None, 0);
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::InterfaceDescription(_) => interfaces += 1,
            Block::EnhancedPacket(packet) => {
                assert!(last.is_none_or(|last| last <= packet.timestamp), "time goes back");
                assert!(packet.interface_id < interfaces, "an interface that is not described");
                last = Some(packet.timestamp);
                check_checksums(&packet.data);
                seen += 1;
            }
            _ => {}
        }
    }
    seen
}

fn check_checksums(frame: &[u8]) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Ipv4(ip)) = &packet.net else { panic!("not IPv4: {packet:?}") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let (expected, found) = match packet.transport.unwrap() {
        TransportSlice::Udp(udp) => {
            (udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap(), udp.checksum())
        }
        TransportSlice::Tcp(tcp) => {
            (tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap(), tcp.checksum())
        }
        other => panic!("neither UDP nor TCP: {other:?}"),
    };
    assert_eq!(expected, found);
}

/// The records whose packets, as a filter finds them, Wireshark says come again.
#[test]
fn wireshark_marks_the_very_packets_that_came_again() {
    let directory = tempfile::tempdir().unwrap();
    for (sim, seed) in [("echo/tcp-loss", "8"), ("echo/tcp-server-crash", "2")] {
        report(directory.path(), sim, seed, "run.pcapng");
        let args = ["-r", "run.pcapng", "-Y", AGAIN, "-T", "fields", "-e", "frame.comment"];
        let Some(text) = tshark(directory.path(), &args) else { return };
        let digits = |line: &str| line.strip_prefix("record ").map(|rest| rest.split(';').next().unwrap().to_owned());
        let marked: BTreeSet<String> = text.lines().map(|line| digits(line).expect(line)).collect();
        let shown = stormglass(directory.path(), &["show", sim, "--seed", seed, "--json"]);
        let records = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let again = records.filter(|record| record["kind"] == "retransmitted").map(|record| record["n"].to_string());
        assert_eq!(marked, again.collect(), "{sim} {seed}");
    }
}

/// Wireshark's relative times are the run's, and what the testbed did stands between the packets.
#[test]
fn a_capture_begins_with_the_run_and_shows_its_faults() {
    let directory = tempfile::tempdir().unwrap();
    let sim = ["echo/tcp-partition-heals", "--seed", "1"];
    report(directory.path(), sim[0], sim[2], "run.pcapng");
    let fields = ["-e", "frame.time_relative", "-e", "frame.comment", "-e", "systemd_journal.message"];
    let args = [&["-r", "run.pcapng", "-T", "fields"][..], &fields].concat();
    let Some(text) = tshark(directory.path(), &args) else { return };
    let shown = stormglass(directory.path(), &["show", sim[0], sim[1], sim[2], "--json"]);
    let records = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let times: BTreeMap<String, u64> =
        records.filter_map(|record| Some((record["n"].as_u64()?.to_string(), record["t_ns"].as_u64()?))).collect();
    let (mut packets, mut said) = (0, Vec::new());
    for line in text.lines() {
        let (time, words) = line.split_once('\t').unwrap();
        let words = words.trim();
        if let Some((record, _)) = words.strip_prefix("record ").and_then(|rest| rest.split_once(';')) {
            let seconds: f64 = time.parse().unwrap();
            assert!((seconds * 1e9 - times[record] as f64).abs() < 1e3, "{line}");
            packets += 1;
        }
        said.extend(words.split_once("fault").map(|(_, fault)| fault.to_owned()));
    }
    assert!(packets > 100, "{packets}");
    assert!(text.starts_with("0.000000000\t\tthe run of echo/tcp-partition-heals with seed 1 begins"), "{text}");
    assert_eq!(said.iter().filter(|fault| fault.starts_with(": partition")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|fault| fault.starts_with(" ended: partition")).count(), 1, "{said:?}");
}

#[test]
fn a_connect_to_where_nothing_listens_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    report(directory.path(), "echo/tcp-server-crash", "7", "run.pcapng");
    let filter = "tcp.flags.reset == 1 && tcp.flags.ack == 1";
    let Some(refused) = tshark(directory.path(), &["-r", "run.pcapng", "-Y", filter]) else { return };
    let shown = stormglass(directory.path(), &["show", "echo/tcp-server-crash", "--seed", "7"]);
    let told = shown.lines().filter(|line| line.contains("connect-failed") && line.contains("refused")).count();
    assert!(told > 0, "{shown}");
    assert!(refused.lines().count() >= told, "{refused}");
}

#[test]
fn a_stream_is_followed_to_what_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    report(directory.path(), "echo/tcp-loss", "7", "run.pcapng");
    let Some(followed) = tshark(directory.path(), &["-r", "run.pcapng", "-q", "-z", "follow,tcp,ascii,0"]) else {
        return;
    };
    // Client c1 asked a hundred times, and nothing is missing of what it sent and got, in order.
    let numbered = |host: &str| (0..100).map(|n| format!("{host}.0/{n} ")).collect::<Vec<_>>();
    let client = ["c1", "c2", "c3"].into_iter().find(|host| followed.contains(&numbered(host)[0])).unwrap();
    let mut rest = followed.as_str();
    for request in numbered(client) {
        let at = rest.find(&request).unwrap_or_else(|| panic!("{request} is missing, or too late"));
        rest = &rest[at..];
    }
}

#[test]
fn the_dissector_reads_messages_as_the_codec_does() {
    let directory = tempfile::tempdir().unwrap();
    for (sim, seed) in [("raft/chaos", "7"), ("raft/chaos", "12"), ("raft/cloudflare-2020", "7")] {
        report(directory.path(), sim, seed, "run.pcapng");
        let args = [
            "-X",
            "lua_script:run.lua",
            "-r",
            "run.pcapng",
            "-Y",
            "udp",
            "-T",
            "fields",
            "-e",
            "udp.payload",
            "-e",
            "_ws.col.Info",
        ];
        let Some(text) = tshark(directory.path(), &args) else { return };
        let mut kinds = BTreeMap::<String, u64>::new();
        for line in text.lines() {
            let (payload, info) = line.split_once('\t').unwrap();
            let payload: Vec<u8> = (0..payload.len() / 2)
                .map(|at| u8::from_str_radix(&payload[at * 2..at * 2 + 2], 16).unwrap())
                .collect();
            let cluster = u64::from_le_bytes(payload[6..14].try_into().unwrap());
            let codec = Codec::new(stormglass::raft::codec::ClusterId(cluster), None);
            let message = codec.decode(&payload).unwrap().message;
            assert_eq!(info, message.to_string(), "{sim}");
            *kinds.entry(message.name().to_owned()).or_default() += 1;
        }
        assert!(kinds.len() >= 4, "{kinds:?}");
    }
}

/// The trace pairs every arrow, nests every span, and has as many messages as the run.
#[test]
fn a_perfetto_trace_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    for (sim, seed) in [("raft/chaos", "7"), ("balancer/one-way", "1"), ("echo/udp-duplicates", "1")] {
        let run = report(directory.path(), sim, seed, "run.perfetto.json");
        let text = fs::read_to_string(directory.path().join("run.perfetto.json")).unwrap();
        let trace: Value = serde_json::from_str(&text).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |phase: &str, category: &str| {
            events.iter().filter(|event| event["ph"] == phase && event["cat"] == category).collect::<Vec<_>>()
        };
        let packets = |name: &str| run["packets"][name].as_u64().unwrap();
        let starts: Vec<&Value> = of("s", "message").into_iter().map(|event| &event["id"]).collect();
        let ends = of("f", "message");
        assert_eq!(starts.len() as u64, packets("sent") + packets("retransmitted") + packets("duplicated"), "{sim}");
        assert_eq!(ends.len() as u64, packets("delivered"), "{sim}");
        let known: BTreeSet<String> = starts.iter().map(ToString::to_string).collect();
        assert!(ends.iter().all(|end| known.contains(&end["id"].to_string())), "{sim}: an arrow comes from nowhere");
        for category in ["request", "fault"] {
            let ids = |phase| of(phase, category).into_iter().map(|event| event["id"].to_string()).collect::<Vec<_>>();
            assert_eq!(ids("b"), ids("e"), "{sim}: {category}");
        }
        assert_spans_nest(sim, events);
        let process =
            |name: &str| events.iter().any(|event| event["name"] == "process_name" && event["args"]["name"] == name);
        assert!(process("testbed"), "{sim}");
    }
}

/// On each thread, a span begins when the one before has ended.
fn assert_spans_nest(sim: &str, events: &[Value]) {
    let mut threads: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let number = |key: &str| event[key].as_f64().unwrap();
        let thread = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        threads.entry(thread).or_default().push((number("ts"), number("dur")));
    }
    assert!(threads.len() > 2, "{sim}");
    for spans in threads.values_mut() {
        spans.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0 + 1e-6), "{sim}: spans overlap");
    }
}
