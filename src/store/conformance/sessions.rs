//! Laws of several sessions in one store.

use crate::id::SessionId;
use crate::store::conformance::sample::{assert_is, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::suite::{Outcome, side_by_side};

/// What is done to one session is not done to another, also at the same time.
pub async fn sessions_do_not_mix(subject: &Subject) -> Outcome {
    side_by_side(subject.handles(32), |nth, store| async move {
        let (id, record) = (SessionId::from(format!("session {nth}")), tokens(1, &nth.to_string())?);
        assert!(store.load(&id).await?.is_none(), "nothing was saved for it");
        put(&*store, &id, &record).await?;
        store.remove(&SessionId::from(format!("gone {nth}"))).await?;
        assert_is(store.load(&id).await?.as_ref(), &record);
        Ok(())
    })
    .await
}

/// Any text is an id, and two that differ are two sessions, whatever a file system or a database makes of them.
pub async fn odd_ids_stay_apart(subject: &Subject) -> Outcome {
    let (store, long) = (subject.store(), "x".repeat(10 * 1024));
    let longer = [format!("{long}y"), format!("{long}z")];
    let mut ids = vec![
        "",
        " ",
        "a",
        "A",
        "a ",
        " a",
        "a.",
        "a..",
        ".",
        "..",
        "../a",
        "a/b",
        "a//b",
        "/a",
        "a\\b",
        "a:b",
        "a*",
        "a?",
        "%61",
        "con",
        "CON",
        "nul.txt",
        "COM1",
        "~",
        "-rf",
        "$HOME",
        "'; --",
        "{a}",
        "\0",
        "a\0",
        "a\0b",
        "\n",
        "\u{e9}",
        "e\u{301}",
        "\u{df}",
        "ss",
        "\u{130}",
        "i\u{307}",
        "\u{202e}a",
        "\u{1f980}",
        &long,
    ];
    ids.extend(longer.iter().map(String::as_str));
    for (nth, id) in ids.iter().enumerate() {
        put(store, &SessionId::from(*id), &tokens(1, &nth.to_string())?).await?;
    }
    for (nth, id) in ids.iter().enumerate() {
        assert_is(store.load(&SessionId::from(*id)).await?.as_ref(), &tokens(1, &nth.to_string())?);
        store.remove(&SessionId::from(*id)).await?;
    }
    Ok(())
}
