//! The pure part of sealpost: settle, route, render, mask, and the decision to send.
//!
//! Records, state and time come in; everything that is to happen goes out as data. Nothing here
//! knows a log engine, a thread, a clock, randomness, the network or a disk, so the same code
//! runs under a broker, under a test driver and under a simulator.

pub mod carry;
pub mod gate;
pub mod holds;
pub mod mask;
pub mod pack;
pub mod rating;
pub mod render;
pub mod route;
pub mod settle;
pub mod table;
pub mod windows;
