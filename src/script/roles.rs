//! Hosts that a step names by what they are when it fires: `@leader`, `@any-follower`, `@others`.
//!
//! A system says its roles, and who has them. `@role` is everybody who has it, `@any-role` one of those, by the seed.
//! `@others`, in one group of a partition or at one end of a cut, is everybody whom the rest of the step does not name.

use std::collections::BTreeMap;
use std::fmt;

use super::{Action, HostPattern, LinkRule, MessageRule};

/// Everybody whom the rest of a step does not name.
pub(super) const OTHERS: &str = "@others";

impl HostPattern {
    /// The role that it names, if it names one, and whether it is one host of those.
    pub fn role(&self) -> Option<(&str, bool)> {
        let role = self.0.strip_prefix('@')?;
        Some(role.strip_prefix("any-").map_or((role, false), |role| (role, true)))
    }

    /// Whether it may name many, and none of them by name.
    fn is_wide(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Whether it is everybody whom the rest of the step does not name.
    pub fn is_others(&self) -> bool {
        self.0 == OTHERS
    }
}

/// Who had the roles that a step names when it fired, by the role as the step writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast(BTreeMap<String, Vec<String>>);

impl Cast {
    /// What an action's text in a record says of it: `kill n2 (@leader = n2)`.
    pub fn of_text(action: &str) -> Self {
        let Some((_, cast)) = action.split_once(" (@") else { return Self::default() };
        let entries = cast.trim_end_matches(')').split("; @");
        let entry = |text: &str| {
            let (role, hosts) = text.split_once(" = ")?;
            let hosts = hosts.split(' ').filter(|host| *host != NOBODY).map(str::to_owned).collect();
            Some((format!("@{role}"), hosts))
        };
        Self(entries.filter_map(entry).collect())
    }

    /// An action's text without it.
    pub fn taken_off(action: &str) -> &str {
        action.split_once(" (@").map_or(action, |(action, _)| action)
    }

    /// Who has a role: who it was said to be, or whoever it is now.
    fn hosts(&mut self, pattern: &HostPattern, who: &mut dyn FnMut(&str, bool) -> Vec<String>) -> Vec<String> {
        let (role, any) = pattern.role().unwrap_or((&pattern.0, false));
        self.0.entry(pattern.0.clone()).or_insert_with(|| who(role, any)).clone()
    }
}

/// How an empty list of hosts is shown.
pub(super) const NOBODY: &str = "nobody";

/// ` (@leader = n2; @others = n1 n3)`, or nothing.
impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (role, hosts)) in self.0.iter().enumerate() {
            let hosts = if hosts.is_empty() { NOBODY.to_owned() } else { hosts.join(" ") };
            write!(f, "{}{role} = {hosts}", if place == 0 { " (" } else { "; " })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

impl Action {
    /// All lists of hosts in it.
    pub(crate) fn hosts(&self) -> Vec<&Vec<HostPattern>> {
        match self {
            Self::Partition(groups) => groups.iter().collect(),
            Self::Cut { from, to }
            | Self::Link(LinkRule { from, to, .. })
            | Self::Hold(MessageRule { from, to, .. })
            | Self::Drop(MessageRule { from, to, .. }) => vec![from, to],
            Self::Disk { hosts, .. }
            | Self::Kill(hosts)
            | Self::Power(hosts)
            | Self::Pause(hosts)
            | Self::Resume(hosts)
            | Self::Restart(hosts) => vec![hosts],
            Self::Heal | Self::Release | Self::System(_) => Vec::new(),
        }
    }

    fn hosts_mut(&mut self) -> Vec<&mut Vec<HostPattern>> {
        match self {
            Self::Partition(groups) => groups.iter_mut().collect(),
            Self::Cut { from, to }
            | Self::Link(LinkRule { from, to, .. })
            | Self::Hold(MessageRule { from, to, .. })
            | Self::Drop(MessageRule { from, to, .. }) => vec![from, to],
            Self::Disk { hosts, .. }
            | Self::Kill(hosts)
            | Self::Power(hosts)
            | Self::Pause(hosts)
            | Self::Resume(hosts)
            | Self::Restart(hosts) => vec![hosts],
            Self::Heal | Self::Release | Self::System(_) => Vec::new(),
        }
    }

    /// Whether it names hosts by roles.
    pub fn has_roles(&self) -> bool {
        self.hosts().into_iter().flatten().any(|pattern| pattern.role().is_some())
    }

    /// Whether there is nobody left for it to act on: a role that nobody has.
    pub fn is_for_nobody(&self) -> bool {
        match self {
            Self::Partition(groups) => groups.iter().filter(|group| !group.is_empty()).count() < 2,
            _ => self.hosts().into_iter().any(Vec::is_empty),
        }
    }

    /// Puts hosts in the place of roles, of `all` hosts there are; `who` tells who has a role, unless the cast does already.
    /// Where a step names somebody twice, a name or a role counts before a pattern, and of equals the first.
    pub fn cast(&mut self, all: &[String], cast: &mut Cast, who: &mut dyn FnMut(&str, bool) -> Vec<String>) {
        if !self.has_roles() {
            return;
        }
        let parts = matches!(self, Self::Partition(_) | Self::Cut { .. });
        let mut lists = self.hosts_mut();
        lists.sort_by_key(|list| parts && list.iter().any(HostPattern::is_wide));
        let mut named: Vec<String> = Vec::new();
        for list in &mut lists {
            let mut hosts: Vec<String> = Vec::new();
            for pattern in list.iter() {
                hosts.extend(match pattern.role() {
                    _ if pattern.is_others() => vec![OTHERS.to_owned()],
                    Some(_) => cast.hosts(pattern, who),
                    None => all.iter().filter(|host| pattern.matches(host)).cloned().collect(),
                });
            }
            let mut seen: Vec<String> = Vec::new();
            hosts.retain(|host| {
                let is_new = !(seen.contains(host) || parts && named.contains(host));
                seen.push(host.clone());
                is_new
            });
            named.extend(hosts.iter().cloned());
            **list = hosts.into_iter().map(HostPattern).collect();
        }
        let rest = || all.iter().filter(|host| !named.contains(host)).cloned().collect::<Vec<_>>();
        for list in lists {
            if let Some(place) = list.iter().position(HostPattern::is_others) {
                let others = cast.hosts(&HostPattern(OTHERS.to_owned()), &mut |_, _| rest());
                list.splice(place..=place, others.into_iter().map(HostPattern));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(text: &str) -> Action {
        let text = format!("about = 'x'\nsystem = 'x'\nduration = '9s'\n[[step]]\n{text}");
        crate::script::Script::parse("x.toml", &text).unwrap_or_else(|error| panic!("{error}")).steps[0].action.clone()
    }

    fn cast(text: &str) -> String {
        let all = ["n1", "n2", "n3", "n4"].map(str::to_owned);
        let mut who = |role: &str, any: bool| match (role, any) {
            ("leader", _) => vec!["n2".to_owned()],
            ("follower", false) => vec!["n1".to_owned(), "n3".to_owned()],
            ("follower", true) => vec!["n3".to_owned()],
            _ => Vec::new(),
        };
        let (mut action, mut cast) = (action(text), Cast::default());
        let mut again = action.clone();
        action.cast(&all, &mut cast, &mut who);
        let shown = format!("{action}{cast}");
        assert_eq!(Cast::of_text(&shown), cast, "{shown}");
        assert_eq!(Cast::taken_off(&shown), action.to_string());
        again.cast(&all, &mut Cast::of_text(&shown), &mut |role, _| panic!("{role} is in the text"));
        assert_eq!(again, action);
        shown
    }

    #[test]
    fn roles_are_written_out_as_who_has_them() {
        assert_eq!(cast("kill = '@leader'"), "kill n2 (@leader = n2)");
        assert_eq!(cast("kill = ['@follower', 'n1', 'n4']"), "kill n1 n3 n4 (@follower = n1 n3)");
        assert_eq!(cast("pause = '@any-follower'"), "pause n3 (@any-follower = n3)");
        assert_eq!(cast("kill = '@candidate'"), "kill nobody (@candidate = nobody)");
        assert_eq!(cast("kill = 'n*'"), "kill n*", "and a step without roles is as it is written");
    }

    #[test]
    fn a_partition_parts_the_rest_from_a_role() {
        let shown = cast("partition = [['@leader'], ['@others']]");
        assert_eq!(shown, "partition [n2] | [n1 n3 n4] (@leader = n2; @others = n1 n3 n4)");
        let shown = cast(
            "partition = [['@leader', 'n1'], ['n1', 'n2', 'n3']]".replace("'n1', 'n2', 'n3'", "'@follower'").as_str(),
        );
        assert_eq!(shown, "partition [n2 n1] | [n3] (@follower = n1 n3; @leader = n2)", "the first counts");
        assert_eq!(
            cast("cut = { from = '@others', to = '@leader' }"),
            "cut n1 n3 n4 -> n2 (@leader = n2; @others = n1 n3 n4)"
        );
        let cut = cast("cut = { from = '*', to = '@leader' }");
        assert_eq!(cut, "cut n1 n3 n4 -> n2 (@leader = n2)", "a role counts before a pattern");
        assert_eq!(cast("cut = { from = '@leader', to = 'n*' }"), "cut n2 -> n1 n3 n4 (@leader = n2)");
        assert_eq!(cast("partition = [['n*'], ['@leader']]"), "partition [n1 n3 n4] | [n2] (@leader = n2)");
        assert!(action("kill = 'n1'").hosts().len() == 1 && !action("kill = 'n1'").is_for_nobody());
    }
}
