//! The middleware in company: beside other middleware, on real wires, with bodies of every kind. Whatever stands beside it,
//! there is one refresh, a request is sent twice at most, and nothing hangs.

mod compression;
mod early_refusal;
mod limits;
mod multipart;
mod multiplexing;
mod proxy;
mod retry_layer;
mod spans;
mod time_limits;
mod uploads;
