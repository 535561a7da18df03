//! Long random histories in the same world, where the search cannot go.

use proptest::prelude::*;

use super::world::{Driver, Left, Scene, World};
use crate::refresh::info::FirstLogin;

const LEFT: Left = Left { faults: 40, logins: 8, logouts: 8, revocations: 40, ticks: 20, others: 0 };
const SCENE: Scene = Scene {
    shared: true,
    without_lock: false,
    stored: true,
    first_login: FirstLogin::Interactive,
    left: LEFT,
    trips: [40, 40],
    driver: Driver::Right,
    numbers: 120,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_long_history_breaks_a_promise(choices in prop::collection::vec(any::<u16>(), 400), shared: bool) {
        let mut world = World::new(Scene { shared, ..SCENE });
        for (step, choice) in choices.into_iter().enumerate() {
            let mut next = world.successors();
            if next.is_empty() {
                break;
            }
            world = next.swap_remove(usize::from(choice) % next.len());
            prop_assert!(world.violation.is_none(), "step {step}: {:?}\n{:#?}", world.violation, world.core);
        }
    }
}
