use claviger_client::Status;

use crate::stop::Stop;

/// As many as the daemon gives at once.
pub(crate) const PAGE_SIZE: i32 = 1000;

/// All that a list has. `page` asks for what comes after a token, and says what comes after that.
pub(crate) async fn all<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Status>,
) -> Result<Vec<T>, Stop> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let (items, next) = page(token).await?;
        all.extend(items);
        if next.is_empty() {
            return Ok(all);
        }
        token = next;
    }
}
