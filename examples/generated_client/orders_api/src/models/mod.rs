pub mod new_order;
pub use self::new_order::NewOrder;
pub mod order;
pub use self::order::Order;
pub mod order_state;
pub use self::order_state::OrderState;
pub mod problem;
pub use self::problem::Problem;
