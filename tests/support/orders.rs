//! An API's business: orders.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};

/// The orders of each user: what an [`Api`](super::Api) answers below `/orders` when it was
/// [told so](super::Api::set_answer). Clones are the same orders.
///
/// It speaks plain JSON, as `examples/generated_client/orders.yaml` describes it, and knows nothing of who reads that.
#[derive(Debug, Clone, Default)]
pub struct Orders(Arc<Mutex<BTreeMap<String, Book>>>);

#[derive(Debug, Default)]
struct Book {
    orders: Vec<Value>,
    /// How many there ever were.
    made: usize,
}

impl Orders {
    /// The answer to `user`; `None` for a path that is not about orders.
    pub fn answer(&self, user: &str, request: &Request<Bytes>) -> Option<(StatusCode, Value)> {
        let path = request.uri().path().strip_prefix("/orders")?;
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let book = books.entry(user.to_owned()).or_default();
        Some(match (request.method(), path.strip_prefix('/')) {
            (&Method::GET, None) => (StatusCode::OK, book.list(request.uri().query().unwrap_or_default())),
            (&Method::POST, None) => book.create(request.body()),
            (&Method::GET, Some(id)) => {
                book.at(id).map_or_else(unknown, |at| (StatusCode::OK, book.orders[at].clone()))
            }
            (&Method::DELETE, Some(id)) => book.at(id).map_or_else(unknown, |at| {
                book.orders.remove(at);
                (StatusCode::NO_CONTENT, Value::Null)
            }),
            _ => (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "there is nothing like that" })),
        })
    }

    /// How many orders a user ever made.
    pub fn made(&self, user: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).map_or(0, |book| book.made)
    }
}

impl Book {
    fn at(&self, id: &str) -> Option<usize> {
        self.orders.iter().position(|order| order["id"] == id)
    }

    fn list(&self, query: &str) -> Value {
        let wish = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        let (state, limit) = (wish("state"), wish("limit").and_then(|(_, limit)| limit.parse().ok()));
        let is_wanted = |order: &&Value| state.as_ref().is_none_or(|(_, state)| order["state"] == **state);
        self.orders.iter().filter(is_wanted).take(limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    fn create(&mut self, body: &[u8]) -> (StatusCode, Value) {
        let Ok(Value::Object(mut order)) = serde_json::from_slice(body) else {
            return (StatusCode::BAD_REQUEST, json!({ "error": "that is no order" }));
        };
        self.made += 1;
        order.insert("id".to_owned(), json!(format!("order-{}", self.made)));
        order.insert("state".to_owned(), json!("open"));
        let order = Value::Object(order);
        self.orders.push(order.clone());
        (StatusCode::CREATED, order)
    }
}

fn unknown() -> (StatusCode, Value) {
    (StatusCode::NOT_FOUND, json!({ "error": "there is no such order" }))
}
