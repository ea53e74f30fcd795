// TLS draws its keys from the operating system, and a certificate is checked by the time of day.
stormglass::hold_clock_and_entropy!();

fn main() -> std::process::ExitCode {
    stormglass::cli::main(&[&quinn_records::sim::Records])
}

#[test]
fn no_acknowledged_record_is_lost() {
    stormglass::testing::check(&quinn_records::sim::Records, "records/chaos", 0..5);
}

#[test]
fn without_a_disk_they_are_lost() {
    stormglass::testing::check(&quinn_records::sim::Records, "records/without-disk", 0..2);
}
