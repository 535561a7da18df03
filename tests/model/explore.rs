//! Breadth first, to a fixpoint.

use std::collections::{HashSet, VecDeque};

use super::rows;
use super::world::{Driver, Left, Scene, World};
use crate::refresh::info::FirstLogin;
use crate::session::core::mutants::switch::{self, Mutant};

/// How a search ended.
enum Searched {
    Fixpoint { states: usize },
    Violated { states: usize, why: String },
}

fn search(scene: Scene) -> Searched {
    let first = World::new(scene);
    let mut seen = HashSet::from([first.key()]);
    let mut queue = VecDeque::from([first]);
    while let Some(world) = queue.pop_front() {
        for next in world.successors() {
            if let Some(why) = &next.violation {
                return Searched::Violated {
                    states: seen.len(),
                    why: format!(
                        "{why}\n{:#?}\n{:?}\n{:?}\n{:?}\n{:?}",
                        next.core, next.air, next.requests, next.grants, next.store
                    ),
                };
            }
            if seen.insert(next.key()) {
                queue.push_back(next);
            }
        }
    }
    Searched::Fixpoint { states: seen.len() }
}

fn scene(faults: u8, logins: u8, logouts: u8, revocations: u8, ticks: u8, others: u8) -> Scene {
    let left = Left { faults, logins, logouts, revocations, ticks, others };
    Scene {
        shared: true,
        without_lock: false,
        stored: true,
        first_login: FirstLogin::Interactive,
        left,
        trips: [1, 1],
        driver: Driver::Right,
        numbers: 12,
    }
}

/// The worlds that together hold everything that can happen.
fn scenes() -> Vec<(&'static str, Scene)> {
    vec![
        ("faults", scene(2, 0, 0, 1, 1, 0)),
        ("faults, not shared", Scene { shared: false, ..scene(2, 0, 0, 1, 1, 0) }),
        ("faults, without lock", Scene { without_lock: true, ..scene(2, 0, 0, 1, 1, 0) }),
        ("retries outside", Scene { trips: [2, 1], ..scene(1, 0, 0, 2, 1, 0) }),
        ("two changes", scene(0, 1, 1, 1, 0, 0)),
        ("three changes", Scene { trips: [1, 0], ..scene(0, 2, 1, 0, 0, 0) }),
        ("changes and a fault", Scene { trips: [1, 0], ..scene(1, 1, 1, 1, 0, 0) }),
        ("other processes", scene(0, 1, 0, 1, 0, 2)),
        ("other processes and a fault", Scene { trips: [1, 0], ..scene(1, 1, 0, 1, 1, 1) }),
        ("a login elsewhere, after a look", Scene { stored: false, trips: [2, 1], ..scene(1, 0, 0, 0, 2, 2) }),
        ("a dead login, and one elsewhere", Scene { trips: [2, 0], ..scene(1, 0, 0, 1, 1, 1) }),
        ("a look, and changes", Scene { stored: false, trips: [2, 0], ..scene(0, 1, 1, 0, 1, 1) }),
        (
            "a look at a store of one's own",
            Scene { stored: false, shared: false, trips: [2, 0], ..scene(1, 1, 0, 0, 1, 0) },
        ),
        (
            "logs in alone",
            Scene { stored: false, trips: [1, 0], first_login: FirstLogin::Unattended, ..scene(1, 1, 1, 0, 0, 0) },
        ),
        ("presumed", Scene { stored: false, first_login: FirstLogin::Assumed, ..scene(1, 0, 1, 1, 0, 1) }),
        (
            "presumed, and a login",
            Scene { stored: false, trips: [1, 0], first_login: FirstLogin::Assumed, ..scene(1, 1, 1, 1, 0, 0) },
        ),
        ("nobody yet", Scene { stored: false, trips: [1, 0], ..scene(1, 1, 1, 1, 0, 0) }),
    ]
}

#[test]
fn every_order_of_everything_keeps_the_promises() {
    let mut all = 0;
    for (name, scene) in scenes() {
        let began = std::time::Instant::now();
        match search(scene) {
            Searched::Fixpoint { states } => {
                println!("{name}: {states} states, {:?}", began.elapsed());
                all += states;
            }
            Searched::Violated { states, why } => panic!("{name}, after {states} states: {why}"),
        }
    }
    println!("figure: core_states = {all} states");
    let taken = rows::taken();
    let missing: Vec<_> = rows::ALL.iter().filter(|row| !taken.contains(**row)).collect();
    assert!(missing.is_empty(), "rows of the tables that no transition took: {missing:#?}");
}

#[test]
fn each_of_ten_mistakes_is_noticed() {
    let caught = |name: &str, search: &dyn Fn(Scene) -> Searched| {
        let why = scenes().into_iter().find_map(|(scene_name, scene)| match search(scene) {
            Searched::Fixpoint { .. } => None,
            Searched::Violated { why, .. } => Some(format!("{scene_name}: {}", why.lines().next().unwrap_or_default())),
        });
        println!("{name}: {}", why.as_deref().unwrap_or("NOT NOTICED"));
        usize::from(why.is_some())
    };
    let in_core = [
        Mutant::AdoptOverDirtyLogin,
        Mutant::AbsentMeansLogout,
        Mutant::InstallBeforeSave,
        Mutant::WakeBeforeClear,
        Mutant::CompareGenerationWithoutLogin,
        Mutant::RestEverybodyOnStoreFailure,
        Mutant::TombstoneIgnoresGeneration,
    ];
    let in_driver = [Driver::SlotFreedWhenFrozen, Driver::LookBeforeBoarding, Driver::RetryDecidedByFlag];
    let core = in_core.map(|mutant| caught(&format!("{mutant:?}"), &|scene| switch::with(mutant, || search(scene))));
    let driver = in_driver.map(|driver| caught(&format!("{driver:?}"), &|scene| search(Scene { driver, ..scene })));
    let caught: usize = core.iter().chain(&driver).sum();
    println!("figure: core_mutants_caught = {caught} mutants");
    assert_eq!(caught, 10);
}
