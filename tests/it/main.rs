//! What the crate promises, held from outside, in one binary: a module for each promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on stops there, and prints its figures"
)]

mod ambient;
mod architecture;
mod cancellation;
mod challenges;
mod child;
mod client_orders;
mod company;
mod conformance;
mod cookie_fences;
mod cookies;
mod early_refresh;
mod elsewhere;
mod error_texts;
mod exit;
#[allow(clippy::wildcard_enum_match_arm, reason = "each call is spoilt by the moods it names, and by no other")]
mod fake_keyring;
mod fence;
mod fidelity;
#[cfg(unix)]
mod file_store;
#[cfg(unix)]
mod file_torture;
mod forgetting;
mod freshness;
#[cfg(unix)]
mod frozen_locks;
mod gated_world;
mod gates;
mod generated_client;
mod golden;
mod hero;
mod hostile;
mod json_refresh;
mod judgement;
mod kernel_keyring;
mod keyring;
mod keyring_in_files;
mod keyring_or_file;
mod liveness;
mod logout;
mod logout_elsewhere;
mod many;
#[cfg(target_os = "linux")]
mod mounted;
mod naive;
mod no_runtime;
mod one_lock;
#[path = "../../examples/generated_client/orders_api.rs"]
mod orders_api;
mod origins;
mod outage;
mod panics;
mod placement;
mod process_race;
mod raw_server;
mod readme;
mod readme_blocks;
mod recipe;
mod records;
mod redaction;
mod redirects;
mod refresh_first;
mod refresh_grant;
mod registrations;
mod removed_folder;
mod retry;
mod saving;
mod scratch;
mod sealed;
mod sealed_conformance;
mod secret_service;
mod store_reading;
mod storms;
#[path = "../support/mod.rs"]
mod support;
mod swapped_stores;
mod test_issuer;
mod token_bytes;
mod torture;
mod two_doors;
mod two_programs;
mod unlocked;
mod virtual_issuer;
mod virtual_world;
mod wire_storm;
mod wire_tap;
mod wire_world;

// The generated modules name each other from the root.
use orders_api::{apis, models};
