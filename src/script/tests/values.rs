//! Durations, latencies, sizes, chances, comparisons and host patterns.

use proptest::prelude::*;

use super::super::error::nearest;
use super::super::units::DURATION_EXPECTED;
use super::super::*;

#[derive(serde::Deserialize, serde::Serialize)]
struct Value<T> {
    value: T,
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let read: Result<Value<T>, _> = toml::from_str(&format!("value = {text}"));
    read.map(|read| read.value).map_err(|error| error.message().to_owned())
}

#[test]
fn durations_read_and_show() {
    let cases = [
        ("0ms", 0, "0s"),
        ("1ns", 1, "1ns"),
        ("250us", 250_000, "250us"),
        ("250µs", 250_000, "250us"),
        ("0.5us", 500, "500ns"),
        ("150ms", 150_000_000, "150ms"),
        ("1500ms", 1_500_000_000, "1.5s"),
        ("1.000000001s", 1_000_000_001, "1.000000001s"),
        ("1.50000000000000000000s", 1_500_000_000, "1.5s"),
        ("90s", 90_000_000_000, "90s"),
        ("1.5m", 90_000_000_000, "90s"),
        ("120s", 120_000_000_000, "2m"),
        ("0.5h", 1_800_000_000_000, "30m"),
        ("24h", 86_400_000_000_000, "24h"),
        ("18446744073709551615ns", u64::MAX, "18446744073.709551615s"),
    ];
    for (text, nanos, shown) in cases {
        assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        assert_eq!(show_duration(Duration::from_nanos(nanos)), shown);
    }
}

#[test]
fn what_is_no_duration_says_why() {
    let cases = [
        ("", "the text is empty"),
        ("5", "`5` has no unit"),
        ("-5ms", "`-5ms` is negative"),
        ("ms", "`ms` does not begin with a number"),
        ("5 ms", "`5 ms` has a space in it"),
        ("5mss", "`mss` is not a unit: did you mean `5ms`?"),
        ("5S", "`S` is not a unit: did you mean `5s`?"),
        ("5parsecs", "`parsecs` is not a unit"),
        ("1.s", "`1.` is not a number"),
        (".5s", "`.5` is not a number"),
        ("1.2.3s", "`1.2.3` is not a number"),
        ("0.5ns", "`0.5ns` is finer than a nanosecond"),
        ("18446744073709551616ns", "`18446744073709551616ns` is too long: a duration is at most 584 years"),
        (
            "9999999999999999999999999999999999999999999h",
            "`9999999999999999999999999999999999999999999h` is too long: a duration is at most 584 years",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_duration(text), Err(expected.to_owned()), "{text}");
    }
    assert_eq!(read::<TimeSpan>("\"5\""), Err(format!("`5` has no unit\n{DURATION_EXPECTED}")));
}

#[test]
fn sizes_read_and_show() {
    for (text, bytes, shown) in [
        ("0", 0, "0B"),
        ("1000", 1000, "1000B"),
        ("\"100B\"", 100, "100B"),
        ("\"64KiB\"", 65_536, "64KiB"),
        ("1048576", 1 << 20, "1MiB"),
        ("\"2GiB\"", 2 << 30, "2GiB"),
    ] {
        let size: ByteSize = read(text).unwrap();
        assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
    }
    for text in
        ["-1", "1.5", "\"1.5KiB\"", "\"64\"", "\"64KB\"", "\"99999999999999999999B\"", "\"99999999999999GiB\"", "true"]
    {
        assert!(read::<ByteSize>(text).is_err(), "{text}");
    }
}

#[test]
fn chances_show_in_percent() {
    for (chance, shown) in
        [(0.0, "0 %"), (0.01, "1 %"), (0.07, "7 %"), (0.125, "12.5 %"), (1.0, "100 %"), (1e-12, "1e-10 %")]
    {
        assert_eq!(Chance(chance).to_string(), shown);
    }
    assert_eq!(read("1"), Ok(Chance(1.0)));
    for text in ["-0.1", "1.1", "2", "nan", "inf", "\"0.5\""] {
        assert!(read::<Chance>(text).is_err(), "{text}");
    }
}

#[test]
fn comparisons_read_hold_and_show() {
    // What holds for 0, 1, 4, 5, 6.
    let cases = [
        ("5", "= 5", [false, false, false, true, false]),
        ("\"5\"", "= 5", [false, false, false, true, false]),
        ("\"=5\"", "= 5", [false, false, false, true, false]),
        ("\"!= 0\"", "!= 0", [false, true, true, true, true]),
        ("\"> 4\"", "> 4", [false, false, false, true, true]),
        ("\" >= 4 \"", ">= 4", [false, false, true, true, true]),
        ("\"< 5\"", "< 5", [true, true, true, false, false]),
        ("\"<= 4\"", "<= 4", [true, true, true, false, false]),
        ("\"1..=5\"", "1..=5", [false, true, true, true, false]),
    ];
    for (text, shown, holds) in cases {
        let comparison: Comparison = read(text).unwrap();
        assert_eq!(comparison.to_string(), shown);
        assert_eq!([0, 1, 4, 5, 6].map(|value| comparison.holds(value)), holds, "{text}");
        assert_eq!(shown.parse(), Ok(comparison));
    }
    for text in [
        "\"\"",
        "\"== 5\"",
        "\"=> 5\"",
        "\"> -1\"",
        "\"> +1\"",
        "\"5 >\"",
        "\"5..=1\"",
        "\"..=1\"",
        "\"99999999999999999999\"",
    ] {
        assert!(read::<Comparison>(text).is_err(), "{text}");
    }
}

#[test]
fn patterns_name_hosts() {
    let matches = |pattern: &str, host| HostPattern(pattern.to_owned()).matches(host);
    assert!(matches("n1", "n1") && matches("n*", "n1") && matches("*", "n1"));
    assert!(!matches("n1", "n12") && !matches("c*", "n1"));
    for text in ["\"\"", "\"a*b\"", "\"**\"", "\"a b\"", "3"] {
        assert!(read::<HostPattern>(text).is_err(), "{text}");
    }
}

#[test]
fn the_nearest_word_is_near() {
    let keys = ["latency", "loss", "burst", "duplicate", "corrupt", "reorder"];
    let cases = [
        ("lateny", Some("latency")),
        ("Latency", Some("latency")),
        ("los", Some("loss")),
        ("dup", Some("duplicate")),
        ("delay", Some("latency")),
        ("bandwidth", None),
        ("x", None),
        ("", None),
    ];
    for (word, expected) in cases {
        assert_eq!(nearest(word, keys), expected, "{word}");
    }
}

fn time() -> impl Strategy<Value = Duration> {
    let round = (0..5000_u64, prop::sample::select(vec![1_u64, 1000, 1_000_000, 1_000_000_000, 60_000_000_000]));
    prop_oneof![any::<u64>(), round.prop_map(|(number, unit)| number * unit)].prop_map(Duration::from_nanos)
}

fn latency() -> impl Strategy<Value = Latency> {
    let second = Duration::from_secs(1);
    let pair = (time(), time()).prop_map(|(one, other)| (one.min(other), one.max(other)));
    prop_oneof![
        time().prop_map(Latency::Constant),
        pair.prop_map(|(min, max)| Latency::Uniform { min, max }),
        (time(), time()).prop_map(|(mean, sd)| Latency::Normal { mean, sd }),
        (1..u64::MAX, 0.0..1e6)
            .prop_map(|(median, sigma)| Latency::LogNormal { median: Duration::from_nanos(median), sigma }),
        (0..1_u64 << 32, 1..1_u64 << 32).prop_map(move |(min, more)| {
            let (min, more) = (Duration::from_nanos(min), Duration::from_nanos(more));
            Latency::Quantiles { min, median: min + more, p99: min + more + second }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn durations_round_trip(duration in time()) {
        prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
    }

    #[test]
    fn latencies_round_trip(latency in latency()) {
        let shown = latency.to_string();
        let text = if shown.starts_with('{') { shown } else { format!("\"{shown}\"") };
        prop_assert_eq!(read::<Latency>(&text), Ok(latency));
        let written = toml::to_string(&Value { value: latency }).unwrap();
        prop_assert_eq!(toml::from_str::<Value<Latency>>(&written).unwrap().value, latency);
    }

    #[test]
    fn no_text_makes_a_value_panic(text in "\\PC{0,20}", number in "[0-9.]{0,50}[a-zA-Zµ.=<>! -]{0,4}[0-9]{0,3}") {
        for text in [text, number] {
            let _ = parse_duration(&text);
            let _ = text.parse::<Latency>();
            let _ = text.parse::<Comparison>();
        }
    }
}
