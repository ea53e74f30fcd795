//! Stormglass.

pub mod check;
pub mod cli;
pub mod echo;
pub mod events;
pub mod explore;
pub mod net;
pub mod report;
pub mod rng;
pub mod script;
pub mod sim;
pub mod systems;
pub mod testing;
