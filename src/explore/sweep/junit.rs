//! A sweep as `JUnit` XML, which GitLab, Jenkins and the test reporters of GitHub render.
//!
//! A sim is a test suite. Each seed that failed is a test case that failed (with an error, if its process did), each that
//! said nothing one that was skipped; those that passed are one test case together, for there may be thousands. What must
//! sometimes come about is a test case too, skipped if it never did.

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::report::{SimReport, SweepReport};
use crate::report::json::{RunReport, set_arguments};
use crate::report::style::{counted, from_milliseconds, unpainted};
use crate::report::text;

/// The document.
pub fn document(sweep: &SweepReport) -> Result<String, String> {
    let mut report = Report::new("stormglass sweep");
    report.set_time(from_milliseconds(sweep.wall_ms));
    report.add_test_suites(sweep.sims.iter().map(|sim| suite(sweep, sim)));
    let text = report.to_string().map_err(|error| error.to_string())?;
    // The schema of Jenkins has this attribute in each suite, and not in what is around them.
    Ok(text.replacen(&format!(" skipped=\"{}\"", report.skipped), "", 1))
}

fn suite(sweep: &SweepReport, sim: &SimReport) -> TestSuite {
    let name = format!("{}{}", sim.sim, set_arguments(&sim.set));
    let mut suite = TestSuite::new(&*name);
    suite.add_property(Property::new("seeds", sweep.range().to_string()));
    if let Some(shard) = sweep.shard {
        suite.add_property(Property::new("shard", shard.to_string()));
    }
    suite.add_property(Property::new("hash", sim.hash_in_words()));
    if sim.passed > 0 {
        let mut passed = TestCase::new("seeds that pass", TestCaseStatus::success());
        passed.set_system_out(counted(sim.passed, "seed", "seeds"));
        suite.add_test_case(passed);
    }
    suite.add_test_cases(sim.failures.iter().map(seed));
    // A shard does not say what never came about in the whole.
    let is_whole = sweep.shard.is_none();
    for sometimes in sim.sometimes.iter().filter(|sometimes| is_whole || sometimes.seeds > 0) {
        let status = if sometimes.seeds > 0 {
            TestCaseStatus::success()
        } else {
            let mut never = TestCaseStatus::skipped();
            never.set_message(format!("never came about in {}", counted(sim.seeds, "seed", "seeds")));
            never
        };
        suite.add_test_case(TestCase::new(format!("sometimes: {}", sometimes.name), status));
    }
    for case in &mut suite.test_cases {
        case.set_classname(&*name);
    }
    suite
}

fn seed(run: &RunReport) -> TestCase {
    let text = unpainted(&text::verdict(run));
    let mut status = match (&run.violation, run.exit_code) {
        (_, 4) => TestCaseStatus::skipped(),
        (Some(found), _) => {
            let is_error = ["panic", "stuck", "memory"].contains(&run.verdict.as_str());
            let kind = if is_error { NonSuccessKind::Error } else { NonSuccessKind::Failure };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_type(&*found.invariant).set_message(format!("{}: {}", found.invariant, found.message));
            status
        }
        (None, _) => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if let Some(reason) = &run.reason {
        status.set_message(&**reason);
    }
    status.set_description(text);
    let mut case = TestCase::new(format!("seed {}", run.seed), status);
    case.set_time(from_milliseconds(run.wall_ms));
    case
}
