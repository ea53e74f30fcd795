// hyper writes the time of day into each answer, and draws the keys of its hash maps from the operating system.
stormglass::hold_clock_and_entropy!();

fn main() -> std::process::ExitCode {
    stormglass::cli::main(&[&tonic_ledger::sim::LedgerSystem])
}

#[test]
fn each_entry_counts_once() {
    stormglass::testing::check(&tonic_ledger::sim::LedgerSystem, "ledger/chaos", 0..5);
}

#[test]
fn without_ids_one_counts_twice() {
    stormglass::testing::check(&tonic_ledger::sim::LedgerSystem, "ledger/without-ids", 0..2);
}
