//! The page of the network model names tests: each of them exists, and each test of the model is on the page.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../src/guide/network_model.md");

fn tests(source: &str) -> impl Iterator<Item = &str> {
    let functions = source.split("#[test]\nfn ").skip(1);
    functions.map(|rest| rest.split('(').next().expect("a function's name"))
}

#[test]
fn every_line_of_the_page_has_its_test() {
    let sources = [
        include_str!("datagrams.rs"),
        include_str!("direct.rs"),
        include_str!("hosts.rs"),
        include_str!("tcp.rs"),
        include_str!("tcp_limits.rs"),
        include_str!("../../src/tcp/tests/losses.rs"),
        include_str!("../../src/tcp/tests/sending.rs"),
    ];
    let known: BTreeSet<&str> = sources.iter().flat_map(|source| tests(source)).collect();
    assert!(known.len() > 30);
    for line in PAGE.split("\n- ").skip(1) {
        let line = line.split("\n\n").next().expect("a line");
        let (_, named) = line.split_once("Test: ").unwrap_or_else(|| panic!("no test is named by: {line}"));
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named by: {line}");
        for name in names {
            assert!(known.contains(name), "there is no test {name}");
        }
    }
}
