//! How the wrong versions of a host are listed, for the ledger of planted bugs: names, what is wrong, and where it was real.

/// Makes an enum `Bug` of a list, with names, descriptions and sources, that reads from its name.
#[macro_export]
#[doc(hidden)]
macro_rules! planted_bugs {
    ($host:literal: $($(#[doc = $about:literal])+ $bug:ident = $name:literal from $source:literal,)+) => {
        pub use $crate::planted::UnknownBug;

        #[doc = concat!("A bug that a ", $host, " can be made to run with.")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $about])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)+ }
            }

            /// What is wrong, in a line.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$bug => concat!($($about),+).trim_ascii(),)+ }
            }

            /// Where it was found.
            pub const fn source(self) -> &'static str {
                match self { $(Self::$bug => $source,)+ }
            }
        }

        impl std::fmt::Display for Bug {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for Bug {
            type Err = $crate::planted::UnknownBug;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let known = Self::ALL.iter().copied();
                known.clone().find(|bug| bug.name() == name).ok_or_else(|| $crate::planted::UnknownBug {
                    name: name.to_owned(),
                    known: known.map(|bug| bug.name()).collect(),
                })
            }
        }

        #[cfg(test)]
        mod tests {
            use super::Bug;

            #[test]
            fn every_bug_is_found_by_its_name_and_described() {
                for bug in Bug::ALL {
                    assert_eq!(bug.name().parse(), Ok(*bug));
                    assert!(bug.about().ends_with('.') && !bug.about().starts_with(' '), "{bug}: {}", bug.about());
                    assert!(!bug.source().is_empty());
                }
                let unknown = "off-by-two".parse::<Bug>().expect_err("there is no such bug").to_string();
                assert!(Bug::ALL.iter().all(|bug| unknown.contains(bug.name())), "{unknown}");
            }
        }
    };
}

/// No bug has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no planted bug is called '{name}': there are {}", known.join(", "))]
pub struct UnknownBug {
    /// The name.
    pub name: String,
    /// Those that there are.
    pub known: Vec<&'static str>,
}
