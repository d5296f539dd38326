//! Limits on uploads: the number of concurrent uploads and the number of stored bytes.
//!
//! An upload acquires a slot and reserves its bytes before the body is read. The bytes of one
//! order are counted in the blob store itself, which includes uploads whose operation is not
//! executed yet and uploads of other api-servers. The bytes of each owner and of all files are
//! summed up by every sweep; in between, this process adds what it accepts and subtracts what it
//! deletes. Uploads of other api-servers count from the next sweep on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakehouse_http::auth::RateLimitKey;
use bakehouse_http::limits::{Exceeded, Permit, Quota};
use bakehouse_http::response::problem::Problem;

/// Limits on uploads.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// Maximum number of concurrent uploads.
    pub max_uploads: usize,
    /// Maximum number of concurrent uploads of one principal, or of one address without a token.
    pub max_uploads_per_client: usize,
    /// Maximum bytes of all files of an order.
    pub max_bytes_per_order: u64,
    /// Maximum bytes of all files of an owner's orders, or of one address if orders have no owner.
    pub max_bytes_per_client: u64,
    /// Maximum bytes of all files.
    pub max_total_bytes: u64,
}

/// Account whose quota bytes count against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// Owner of the order.
    Owner(String),
    /// Client that uploads to an order without an owner.
    Client(RateLimitKey),
    /// Not known: the order has no owner, and another or an earlier process received the upload.
    Unknown,
}

/// Concurrent uploads and stored bytes.
pub(crate) struct Uploads {
    limits: UploadLimits,
    slots: Arc<Quota>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Uploads in progress, by order id.
    orders: HashMap<String, OrderUploads>,
    /// Bytes reserved by uploads that are not accepted yet.
    reserved: Usage,
    /// Bytes stored, as of the last sweep plus later changes.
    stored: Usage,
    /// Bytes stored since the current sweep began.
    since_sweep: Usage,
    /// Names of blobs deleted since the last sweep, so that a second deletion is not counted.
    removed: HashSet<String>,
}

/// Uploads to one order. A finished file remains listed until no other upload to the order is in
/// progress, so that uploads which listed the store before it was finished still count it.
#[derive(Default)]
struct OrderUploads {
    in_progress: usize,
    /// Stored or reserved bytes by file id.
    files: HashMap<String, u64>,
}

/// Sums of bytes, in total and by account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    total: u64,
    accounts: HashMap<Account, u64>,
}

impl Usage {
    pub(crate) fn add(&mut self, account: &Account, bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        let sum = self.accounts.entry(account.clone()).or_default();
        *sum = sum.saturating_add(bytes);
    }

    fn subtract(&mut self, account: &Account, bytes: u64) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(sum) = self.accounts.get_mut(account) {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                self.accounts.remove(account);
            }
        }
    }

    fn of(&self, account: &Account) -> u64 {
        self.accounts.get(account).copied().unwrap_or_default()
    }
}

impl Uploads {
    pub(crate) fn new(limits: UploadLimits) -> Arc<Self> {
        let observe = |open| metrics::gauge!("bakehouse_uploads").set(open as f64);
        Arc::new(Self {
            limits,
            slots: Quota::observed(limits.max_uploads, limits.max_uploads_per_client, observe),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires a slot among the concurrent uploads.
    ///
    /// # Errors
    /// 429 if the client has reached its own limit, 503 if all slots are in use.
    pub(crate) fn acquire_slot(&self, client: RateLimitKey) -> Result<Permit, Problem> {
        let permit = self.slots.take(client);
        permit.map_err(|exceeded| match exceeded {
            Exceeded::PerClient(limit) => Problem::too_many_uploads(limit),
            Exceeded::Total => Problem::upload_limit_reached(self.limits.max_uploads),
        })
    }

    /// Announces a file of an order; it counts for other uploads from now on. After the caller has
    /// listed the order's files in the store, [`Reservation::check_and_reserve`] checks the quotas.
    pub(crate) fn announce(
        self: &Arc<Self>,
        order_id: &str,
        file_id: &str,
        account: Account,
    ) -> Reservation {
        let mut state = self.state();
        let order = state.orders.entry(order_id.to_owned()).or_default();
        let before = order.files.clone();
        order.in_progress += 1;
        order.files.entry(file_id.to_owned()).or_default();
        Reservation {
            uploads: self.clone(),
            order_id: order_id.to_owned(),
            file_id: file_id.to_owned(),
            account,
            before,
            stored: HashMap::new(),
            bytes: 0,
            is_checked: false,
            is_stored: false,
        }
    }

    /// Subtracts the bytes of a deleted blob, once.
    pub(crate) fn removed(&self, name: String, account: &Account, bytes: u64) {
        let mut state = self.state();
        if !state.removed.insert(name) {
            return;
        }
        state.stored.subtract(account, bytes);
        state.since_sweep.subtract(account, bytes);
        metrics::gauge!("bakehouse_attachment_bytes").set(state.stored.total as f64);
    }

    /// Starts to record the bytes that are stored during a sweep.
    pub(crate) fn begin_sweep(&self) {
        self.state().since_sweep = Usage::default();
    }

    /// Replaces the sums by those of the sweep, plus the bytes stored during the sweep.
    pub(crate) fn finish_sweep(&self, found: Usage) {
        let mut state = self.state();
        let since = std::mem::take(&mut state.since_sweep);
        state.removed.clear();
        state.stored = found;
        for (account, bytes) in &since.accounts {
            state.stored.add(account, *bytes);
        }
        let (total, limit) = (state.stored.total, self.limits.max_total_bytes);
        metrics::gauge!("bakehouse_attachment_bytes").set(total as f64);
        if total >= limit / 10 * 9 {
            tracing::warn!(
                "attachments: {total} of {limit} bytes used (attachments.max_total_bytes); \
                 delete files or raise the limit"
            );
        }
    }
}

/// Reservation of bytes for one file; released on drop unless the file is stored.
pub(crate) struct Reservation {
    uploads: Arc<Uploads>,
    order_id: String,
    file_id: String,
    account: Account,
    /// Bytes of the other files that were being uploaded to the order when this one was
    /// announced, by file id.
    before: HashMap<String, u64>,
    /// Bytes of the order's files in the store, listed after the announcement, by file id.
    stored: HashMap<String, u64>,
    bytes: u64,
    is_checked: bool,
    is_stored: bool,
}

impl Reservation {
    /// Checks the quotas and reserves `bytes` for the file. `stored` are the order's files in the
    /// store, listed after the announcement; `listed` is the number of files in its document.
    ///
    /// # Errors
    /// 409 or 507 if a quota or the maximum number of files would be exceeded.
    pub(crate) fn check_and_reserve(
        &mut self,
        stored: HashMap<String, u64>,
        listed: usize,
        bytes: u64,
    ) -> Result<(), Problem> {
        let before = std::mem::take(&mut self.before);
        let unstored = before.keys().filter(|id| !stored.contains_key(*id));
        let count = (stored.len() + unstored.count()).max(listed);
        if let Some(refusal) = bakehouse_orders::too_many_files(count) {
            return Err(Problem::refused(&refusal));
        }
        self.stored = stored;
        self.is_checked = true;
        self.reserve(bytes)
    }

    /// Extends the reservation to `bytes` in total.
    ///
    /// # Errors
    /// 409 or 507 if a quota would be exceeded.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), Problem> {
        match bytes.saturating_sub(self.bytes) {
            0 => Ok(()),
            more => self.reserve(more),
        }
    }

    fn reserve(&mut self, more: u64) -> Result<(), Problem> {
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        if self.is_checked {
            // The size may be unknown; at least one byte must fit.
            self.check(&state, &uploads.limits, more.max(1))?;
        }
        self.bytes += more;
        state.reserved.add(&self.account, more);
        if let Some(order) = state.orders.get_mut(&self.order_id) {
            order.files.insert(self.file_id.clone(), self.bytes);
        }
        Ok(())
    }

    fn check(&self, state: &State, limits: &UploadLimits, more: u64) -> Result<(), Problem> {
        let order = self.bytes_of_order(state).saturating_add(self.bytes);
        let limit = limits.max_bytes_per_order;
        if order.saturating_add(more) > limit {
            let setting = "attachments.max_bytes_per_order";
            return Err(Problem::quota_exceeded(setting, limit, order));
        }
        let account = state.stored.of(&self.account) + state.reserved.of(&self.account);
        let limit = limits.max_bytes_per_client;
        if account.saturating_add(more) > limit {
            let setting = "attachments.max_bytes_per_client";
            return Err(Problem::quota_exceeded(setting, limit, account));
        }
        let total = state.stored.total + state.reserved.total;
        let limit = limits.max_total_bytes;
        if total.saturating_add(more) > limit {
            let setting = "attachments.max_total_bytes";
            return Err(Problem::insufficient_storage(setting, limit));
        }
        Ok(())
    }

    /// Returns the bytes of the order's other files, stored or being uploaded.
    fn bytes_of_order(&self, state: &State) -> u64 {
        let is_other = |id: &String| *id != self.file_id;
        let stored = self.stored.iter().filter(|(id, _)| is_other(id));
        let stored: u64 = stored.map(|(_, bytes)| *bytes).sum();
        let uploads = state.orders.get(&self.order_id).into_iter();
        let uploads = uploads.flat_map(|order| &order.files);
        let others = uploads.filter(|(id, _)| is_other(id) && !self.stored.contains_key(*id));
        stored + others.map(|(_, bytes)| *bytes).sum::<u64>()
    }

    /// Turns the reservation into stored bytes; returns the account and the number of bytes that
    /// count against it. A repeated upload replaces a file that is counted already, so none of
    /// its bytes count.
    pub(crate) fn keep(mut self, bytes: u64) -> (Account, u64) {
        self.is_stored = true;
        if !self.is_checked {
            return (self.account.clone(), 0);
        }
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        state.stored.add(&self.account, bytes);
        state.since_sweep.add(&self.account, bytes);
        metrics::gauge!("bakehouse_attachment_bytes").set(state.stored.total as f64);
        drop(state);
        (self.account.clone(), bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        state.reserved.subtract(&self.account, self.bytes);
        let Some(order) = state.orders.get_mut(&self.order_id) else {
            return;
        };
        order.in_progress -= 1;
        if !self.is_stored {
            order.files.remove(&self.file_id);
        }
        if order.in_progress == 0 {
            state.orders.remove(&self.order_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const LIMITS: UploadLimits = UploadLimits {
        max_uploads: 3,
        max_uploads_per_client: 2,
        max_bytes_per_order: 100,
        max_bytes_per_client: 150,
        max_total_bytes: 220,
    };

    fn client(last: u8) -> RateLimitKey {
        RateLimitKey::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)))
    }

    fn owner(name: &str) -> Account {
        Account::Owner(name.to_owned())
    }

    fn kind(problem: Result<impl Sized, Problem>) -> String {
        problem
            .err()
            .map_or("ok".into(), |problem| problem.to_string())
    }

    #[test]
    fn slots_are_limited_per_client_and_in_total_and_released() {
        let uploads = Uploads::new(LIMITS);
        let first = uploads.acquire_slot(client(1)).expect("a slot");
        let _second = uploads.acquire_slot(client(1)).expect("a slot");
        assert!(kind(uploads.acquire_slot(client(1))).starts_with("429"));
        let _third = uploads.acquire_slot(client(2)).expect("a slot");
        assert!(kind(uploads.acquire_slot(client(3))).starts_with("503"));
        drop(first);
        assert_eq!(kind(uploads.acquire_slot(client(1))), "ok");
    }

    type Files<'a> = &'a [(&'a str, u64)];

    /// Announces a file and reserves its bytes at once.
    fn reserve(
        uploads: &Arc<Uploads>,
        (order, file): (&str, &str),
        account: Account,
        stored: Files<'_>,
        bytes: u64,
    ) -> Result<Reservation, Problem> {
        let mut reservation = uploads.announce(order, file, account);
        let stored = stored.iter().map(|(id, size)| ((*id).to_owned(), *size));
        reservation.check_and_reserve(stored.collect(), 0, bytes)?;
        Ok(reservation)
    }

    #[test]
    fn quotas_count_stored_and_reserved_bytes() {
        let uploads = Uploads::new(LIMITS);
        let reserve = |at: (&str, &str), who: &str, stored: Files<'_>, bytes: u64| {
            reserve(&uploads, at, owner(who), stored, bytes)
        };
        let mut first = reserve(("a", "1"), "ada", &[], 60).expect("within the quotas");
        // Bytes of an upload to the same order that is in progress count.
        let refused = kind(reserve(("a", "2"), "ada", &[], 41));
        assert!(refused.contains("max_bytes_per_order"), "{refused}");
        first.grow_to(100).expect("within the quotas");
        assert!(kind(first.grow_to(101)).contains("max_bytes_per_order"));
        let (account, counted) = first.keep(100);
        assert_eq!(counted, 100);
        // From here on the file is listed by the store.
        let stored = [("1", 100)];
        assert!(kind(reserve(("a", "2"), "ada", &stored, 0)).contains("max_bytes_per_order"));
        assert!(kind(reserve(("b", "1"), "ada", &[], 51)).contains("max_bytes_per_client"));
        let second = reserve(("b", "1"), "ada", &[], 50).expect("within the quotas");
        let refused = kind(reserve(("c", "1"), "bob", &[], 71));
        assert!(
            refused.starts_with("507") && refused.contains("max_total_bytes"),
            "{refused}"
        );
        drop(second);
        assert_eq!(kind(reserve(("c", "1"), "bob", &[], 71)), "ok");
        uploads.removed("a/1".to_owned(), &account, 100);
        assert_eq!(kind(reserve(("a", "1"), "ada", &[], 100)), "ok");
        assert!(uploads.state().orders.is_empty());
        assert_eq!(uploads.state().reserved.total, 0);
    }

    #[test]
    fn files_are_counted_once_whether_stored_or_in_progress() {
        let uploads = Uploads::new(LIMITS);
        let names: Vec<String> = (0..49).map(|number| number.to_string()).collect();
        let stored: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        let last = reserve(&uploads, ("a", "49"), owner("ada"), &stored, 1);
        let last = last.expect("the fiftieth");
        let more = |stored: Files<'_>| {
            let more = reserve(&uploads, ("a", "50"), owner("ada"), stored, 1);
            kind(more)
        };
        assert!(more(&stored).starts_with("409"));
        // A file that is both stored and in progress is counted once.
        let with_last = [&stored[1..], &[("49", 1)]].concat();
        assert_eq!(more(&with_last), "ok");
        drop(last);
        assert_eq!(more(&stored), "ok");
        // A file that is finished after another upload was announced still counts for it.
        let kept =
            reserve(&uploads, ("a", "49"), owner("ada"), &stored, 1).expect("within the quotas");
        let mut late = uploads.announce("a", "51", owner("ada"));
        kept.keep(1);
        let listed = stored.iter().map(|(id, size)| ((*id).to_owned(), *size));
        assert!(kind(late.check_and_reserve(listed.collect(), 0, 1)).starts_with("409"));
    }

    #[test]
    fn a_repeated_request_is_not_checked_against_quotas() {
        let uploads = Uploads::new(LIMITS);
        let mut repeated = uploads.announce("a", "1", owner("ada"));
        repeated
            .grow_to(1_000)
            .expect("repeated requests are not limited");
        let (_, counted) = repeated.keep(1_000);
        assert_eq!(counted, 0, "bytes of a repeated upload do not count");
        assert_eq!(uploads.state().stored.total, 0);
        assert_eq!(uploads.state().reserved.total, 0);
    }

    #[test]
    fn a_blob_deleted_twice_is_subtracted_once() {
        let uploads = Uploads::new(LIMITS);
        for file in ["1", "2"] {
            let kept = reserve(&uploads, ("a", file), owner("ada"), &[], 40);
            kept.expect("within the quotas").keep(40);
        }
        uploads.removed("a/1".to_owned(), &owner("ada"), 40);
        uploads.removed("a/1".to_owned(), &owner("ada"), 40);
        assert_eq!(uploads.state().stored.total, 40);
    }

    #[test]
    fn a_sweep_corrects_the_sums_and_adds_bytes_stored_meanwhile() {
        let uploads = Uploads::new(LIMITS);
        uploads.begin_sweep();
        let kept = reserve(&uploads, ("a", "1"), owner("ada"), &[], 10);
        kept.expect("within the quotas").keep(10);
        let mut found = Usage::default();
        found.add(&owner("ada"), 30);
        found.add(&Account::Unknown, 200);
        uploads.finish_sweep(found);
        assert_eq!(uploads.state().stored.total, 240);
        assert_eq!(uploads.state().stored.of(&owner("ada")), 40);
    }
}
