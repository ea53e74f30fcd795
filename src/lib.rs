//! Stormglass: a deterministic simulation testbed for network services.

pub mod check;
pub mod echo;
pub mod events;
pub mod net;
pub mod rng;
pub mod script;
pub mod sim;
pub mod systems;
