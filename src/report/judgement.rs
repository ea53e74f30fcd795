//! Whether a verdict is what was expected, and the exit code that says so.

use crate::sim::Verdict;

/// Exit codes of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As expected.
    Expected = 0,
    /// A violation, a panic, a run that stuck or took too much memory; or an expected violation that did not come.
    Found = 1,
    /// Bad usage, or a script or a case that is wrong.
    Usage = 2,
    /// Two runs of one seed differ.
    NotDeterministic = 3,
    /// The run says nothing.
    Inconclusive = 4,
    /// Cannot be judged here: `git bisect run` skips such a commit.
    NotJudged = 125,
    /// Ended by Ctrl-C before anything was found.
    Interrupted = 130,
}

/// A verdict, against what the script expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It passed, and was to pass.
    Passed,
    /// The violation that the script expects.
    ViolatedAsExpected,
    /// A violation, a panic, or a run that stuck or took too much memory, which the script does not expect.
    Found,
    /// The violation that the script expects did not come.
    ViolationMissing,
    /// The run says nothing.
    Inconclusive,
}

impl Judgement {
    /// Judges a verdict; `expected` is the invariant that must be violated, if one must.
    pub fn new(verdict: &Verdict, expected: Option<&str>) -> Self {
        match (verdict, expected) {
            (Verdict::Inconclusive { .. }, _) => Self::Inconclusive,
            (Verdict::Pass, None) => Self::Passed,
            (Verdict::Pass, Some(_)) => Self::ViolationMissing,
            (
                Verdict::Violation(finding)
                | Verdict::Panic(finding)
                | Verdict::Stuck(finding)
                | Verdict::Memory(finding),
                expected,
            ) => {
                if expected == Some(finding.invariant.as_str()) {
                    Self::ViolatedAsExpected
                } else {
                    Self::Found
                }
            }
        }
    }

    /// Whether all is as the script expects.
    pub fn is_as_expected(self) -> bool {
        self.exit() == Exit::Expected
    }

    /// The exit code.
    pub fn exit(self) -> Exit {
        match self {
            Self::Passed | Self::ViolatedAsExpected => Exit::Expected,
            Self::Found | Self::ViolationMissing => Exit::Found,
            Self::Inconclusive => Exit::Inconclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::Finding;

    fn found(invariant: &str) -> Finding {
        let (message, at) = ("it broke".to_owned(), Duration::ZERO);
        Finding { invariant: invariant.to_owned(), at, record: 0, message, facts: Vec::new() }
    }

    #[test]
    fn a_script_that_expects_nothing_passes_with_a_pass() {
        assert_eq!(Judgement::new(&Verdict::Pass, None).exit(), Exit::Expected);
        assert_eq!(Judgement::new(&Verdict::Violation(found("order")), None).exit(), Exit::Found);
        assert_eq!(Judgement::new(&Verdict::Panic(found("panic")), None).exit(), Exit::Found);
        let nothing = Verdict::Inconclusive { reason: "no work".to_owned() };
        assert_eq!(Judgement::new(&nothing, None).exit(), Exit::Inconclusive);
        assert_eq!(Judgement::new(&nothing, Some("order")).exit(), Exit::Inconclusive);
    }

    #[test]
    fn a_script_that_expects_a_violation_wants_that_one() {
        let violation = Verdict::Violation(found("order"));
        assert_eq!(Judgement::new(&violation, Some("order")), Judgement::ViolatedAsExpected);
        assert_eq!(Judgement::new(&violation, Some("echo")), Judgement::Found);
        assert_eq!(Judgement::new(&Verdict::Pass, Some("order")), Judgement::ViolationMissing);
    }
}
