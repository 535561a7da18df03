//! Laws of several sessions in one store.

use crate::id::SessionId;
use crate::store::conformance::holder::{held, is_busy};
use crate::store::conformance::sample::{assert_is, put, tokens_of, version};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::trial::{Outcome, side_by_side};

/// Texts that file systems, databases and shells treat in ways of their own.
fn odd_ids() -> Vec<SessionId> {
    let long = "x".repeat(10 * 1024);
    let short = [
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
        "a%",
        "a_",
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
        "1",
        "01",
        "1.0",
        "null",
        "NULL",
        &long,
    ];
    let longer = [format!("{long}y"), format!("{long}z")];
    short.into_iter().chain(longer.iter().map(String::as_str)).map(SessionId::from).collect()
}

/// What is done to one session is not done to another, also at the same time.
pub async fn sessions_do_not_mix(subject: &Subject) -> Outcome {
    side_by_side(subject.handles(32), |nth, store| async move {
        let id = SessionId::from(format!("session {nth}"));
        let record = tokens_of(&id, version(1), &nth.to_string())?;
        assert!(store.load(&id).await?.is_none(), "nothing was saved for it");
        put(&*store, &record).await?;
        store.remove(&SessionId::from(format!("gone {nth}"))).await?;
        assert_is(store.load(&id).await?.as_ref(), &record);
        Ok(())
    })
    .await
}

/// Any text is an id, and two that differ are two sessions, whatever a file system or a database makes of them.
pub async fn odd_ids_stay_apart(subject: &Subject) -> Outcome {
    let (store, ids) = (subject.store(), odd_ids());
    for (nth, id) in ids.iter().enumerate() {
        put(store, &tokens_of(id, version(1), &nth.to_string())?).await?;
    }
    for (nth, id) in ids.iter().enumerate() {
        assert_is(store.load(id).await?.as_ref(), &tokens_of(id, version(1), &nth.to_string())?);
        store.remove(id).await?;
    }
    Ok(())
}

/// Each session has a lock of its own, whatever its id: 64 and more are held at the same time, and free afterwards.
pub async fn the_lock_of_one_session_leaves_all_others_free(subject: &Subject) -> Outcome {
    let plain = (0..64).map(|nth| SessionId::from(format!("session {nth}")));
    let ids: Vec<SessionId> = plain.chain(odd_ids()).collect();
    let (store, another) = (subject.store(), subject.another());
    let mut guards = Vec::new();
    for (nth, id) in ids.iter().enumerate() {
        let handle = if nth % 2 == 0 { store } else { &*another };
        // Without a wait: a lock that is not ours is none that we have to wait for.
        guards.push(held(subject, handle, id).await?);
    }
    for id in [&ids[0], &ids[63]] {
        assert!(is_busy(&*another, id).await?, "it is held");
    }
    for guard in guards {
        assert!(guard.is_held(), "each by itself");
        guard.release().await;
    }
    held(subject, &*another, &ids[0]).await?.release().await;
    Ok(())
}
