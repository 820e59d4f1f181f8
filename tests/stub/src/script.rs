//! Replies that are written down beforehand.

/// The replies to each request, one after the other; the last one stays.
pub type Script<R> = Vec<(&'static str, Vec<R>)>;

/// The next reply to this request, if the script knows it.
pub fn next_reply<R: Clone>(script: &mut Script<R>, asked: &str) -> Option<R> {
    let (_, replies) = script.iter_mut().find(|(name, _)| *name == asked)?;
    if replies.len() > 1 {
        return Some(replies.remove(0));
    }
    replies.first().cloned()
}
