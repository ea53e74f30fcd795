//! What a run comes to in the end.

use super::Cluster;
use crate::check::raft::log::LogCheck;
use crate::check::raft::{Agreement, Lead, RaftCheck, unelectable};
use crate::sim::{Breach, Calm, Report};
use crate::systems::raft::options::Leader;
use crate::systems::raft::workload::Judged;

impl Cluster {
    /// The last checks.
    pub(in crate::systems::raft) fn judge(&self, report: &Report) {
        let at = report.simulated();
        if let Some(why) = &*self.beyond.borrow() {
            return report.inconclusive(why.clone());
        }
        let check = self.check.borrow();
        let of_log = self.log_check.borrow().as_ref().and_then(|log| log.at_end(at));
        if let Some(breach) = check.at_end(at).or(of_log) {
            return report.breach(breach);
        }
        match self.calls.borrow().judge() {
            Judged::Holds => {}
            Judged::Broken(breach) => return report.breach(breach),
            Judged::Undecided(why) => report.inconclusive(why),
        }
        let of_log = self.log_check.borrow().as_ref().map(LogCheck::unchecked).unwrap_or_default();
        check.unchecked().into_iter().chain(of_log).for_each(|note| report.note(note));
        let Agreement { of_majority, first, .. } = *check.agreement();
        let (lead, first) = (of_majority.map(|(lead, _)| lead), first.map(|(lead, (at, _))| (lead, at)));
        let wanted = match self.expected.leader {
            // Who says nothing of the leader expects one as soon as there has to be one.
            None => lead.is_some() || !self.is_due(report, &check),
            Some(Leader::Any) => true,
            Some(Leader::Some) => lead.is_some(),
            Some(Leader::None) => lead.is_none(),
            Some(Leader::Unchanged) => lead.is_some() && lead == first.map(|(lead, _)| lead),
            Some(Leader::Changed) => lead.is_some() && lead != first.map(|(lead, _)| lead),
            Some(Leader::Node(id)) => lead.is_some_and(|lead| lead.leader == id),
        };
        let shown = |lead: Option<Lead>| match lead {
            Some(Lead { leader, term }) => format!("{leader} in term {term}"),
            None => "nobody".to_owned(),
        };
        // A leader is awaited that these settings do not let be, or not for sure.
        let awaits = !wanted || self.expected.leader.is_none();
        if let Some(why) = self.misfit().filter(|_| lead.is_none() && awaits) {
            return report.inconclusive(why);
        }
        if !wanted {
            let first = shown(first.map(|(lead, _)| lead));
            let of_default = if self.expected.leader.is_none() {
                "; that there is one is expected unless the script says another `leader` in [expect], such as \"any\""
            } else {
                ""
            };
            let text =
                format!("in the end a majority follows {}, and at first it followed {first}{of_default}", shown(lead));
            return report.violation("the leader that is expected", text);
        }
        if let Some(by) = self.expected.by
            && first.is_none_or(|(_, at)| at > by)
        {
            let when = first.map_or("never".to_owned(), |(lead, at)| format!("at {at:?}, {}", shown(Some(lead))));
            report.breach(Breach::new("a leader in time", format!("expected by {by:?}, and there was one {when}")));
        }
    }

    /// Whether nothing has been in the way of a leader, and there was none, for as long as an election may take: where
    /// messages are lost, a lead may be lost too, and a run may end in the middle of an election.
    fn is_due(&self, report: &Report, check: &RaftCheck) -> bool {
        let since = report.calm_since(Calm::Healed).map(|at| at.max(self.leaderless_since.get().unwrap_or_default()));
        check.election_time().zip(since).is_some_and(|(time, since)| report.simulated() > since + time)
    }

    /// Why these settings let no leader be elected, or only by luck.
    fn misfit(&self) -> Option<String> {
        unelectable(&self.plan.config, &self.plan.conditions).or_else(|| {
            let unchecked = self.check.borrow().unchecked().into_iter().find(|note| note.starts_with("L1 "));
            unchecked.map(|note| format!("there is no leader, and there need be none: {note}"))
        })
    }
}
