//! Where a member of an issuer's answer stands, however deep.

use std::mem;

use serde_json::{Map, Value};

/// The way to a member: names of members and indexes of lists, from the outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberPath(Vec<String>);

impl MemberPath {
    /// A path as it is written: `data.accessToken`, `errors.0.errorType`, or, beginning with `/`, a JSON pointer
    /// (RFC 6901), which can name members with dots.
    pub(crate) fn new(written: &str) -> Self {
        let unescaped = |name: &str| name.replace("~1", "/").replace("~0", "~");
        match written.strip_prefix('/') {
            Some(pointer) => Self(pointer.split('/').map(unescaped).collect()),
            None => Self(written.split('.').map(str::to_owned).collect()),
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn get<'map>(&self, map: &'map Map<String, Value>) -> Option<&'map Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(map.get(first)?, |value, name| match value {
            Value::Object(map) => map.get(name),
            Value::Array(list) => list.get(index(name)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// Takes the member away. In a list a null is left in its place, so that the others keep theirs.
    pub(crate) fn take(&self, map: &mut Map<String, Value>) -> Option<Value> {
        let (first, rest) = self.0.split_first()?;
        let Some((end, way)) = rest.split_last() else {
            return map.remove(first);
        };
        let holder = way.iter().try_fold(map.get_mut(first)?, |value, name| match value {
            Value::Object(map) => map.get_mut(name),
            Value::Array(list) => list.get_mut(index(name)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })?;
        match holder {
            Value::Object(map) => map.remove(end),
            Value::Array(list) => list.get_mut(index(end)?).map(mem::take),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
}

/// An index as RFC 6901 writes it: nothing but digits, and no zero before others.
fn index(name: &str) -> Option<usize> {
    let index = name.parse().ok()?;
    (name == usize::to_string(&index)).then_some(index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_one_member_or_nowhere() {
        let Value::Object(whole) = json!({
            "a": 1, "a.b": 2, "": 3, "/": 4, "~": 5, "data": {"x": {"y": 6}, "": 7, "list": [8, {"z": 9}], "0": 10},
        }) else {
            panic!("an object")
        };
        let cases = [
            ("a", Some(1)),
            ("", Some(3)),
            ("/a", Some(1)),
            ("/a.b", Some(2)),
            ("/", Some(3)),
            ("/~1", Some(4)),
            ("/~0", Some(5)),
            ("data.x.y", Some(6)),
            ("/data/x/y", Some(6)),
            ("data.", Some(7)),
            ("data.list.0", Some(8)),
            ("data.list.1.z", Some(9)),
            ("data.0", Some(10)),
            ("a.b", None),
            ("a.0", None),
            ("b", None),
            ("data.y", None),
            ("data..x", None),
            ("data.x.y.z", None),
            ("data.list.2", None),
            ("data.list.00", None),
            ("data.list.+1", None),
            ("data.list.-1", None),
            ("data.list.z", None),
            ("~1", None),
        ];
        for (written, expected) in cases {
            let (path, mut map) = (MemberPath::new(written), whole.clone());
            let expected = expected.map(Value::from);
            assert_eq!(path.get(&map), expected.as_ref(), "{written}");
            assert_eq!(path.take(&mut map), expected, "{written}");
            assert!(path.get(&map).is_none_or(Value::is_null), "{written}");
        }
    }

    #[test]
    fn what_is_taken_from_a_list_leaves_the_others_where_they_were() {
        let mut map = Map::from_iter([("list".to_owned(), json!(["a", "b", "c"]))]);
        assert_eq!(MemberPath::new("list.0").take(&mut map), Some(json!("a")));
        assert_eq!(MemberPath::new("list.1").take(&mut map), Some(json!("b")));
        assert_eq!(map["list"], json!([null, null, "c"]));
    }
}
