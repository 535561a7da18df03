//! Everything that is tested from outside, in one binary: a module for each promise.

mod origins;
mod virtual_world;
