//! Bounds of uploads: how many run at the same time, and how many bytes are kept.
//!
//! Places are taken and bytes reserved before a body is read. What is kept of an order is counted
//! in the store itself, so that uploads count which are accepted and not executed yet, and those
//! of other api-servers. What is kept of each owner and in all is summed up at every sweep, and
//! in between by what this process has accepted and removed; other api-servers' uploads count
//! from the next sweep on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakehouse_http::auth::RateLimitKey;
use bakehouse_http::limits::{Exceeded, Permit, Quota};
use bakehouse_http::response::problem::Problem;

/// Bounds of uploads.
#[derive(Clone, Copy, Debug)]
pub struct UploadLimits {
    /// Uploads at the same time.
    pub max_uploads: usize,
    /// Uploads of one principal, or one address, at the same time.
    pub max_uploads_per_client: usize,
    /// Bytes of all files of an order.
    pub max_bytes_per_order: u64,
    /// Bytes of all files of an owner's orders; of an address where orders have no owner.
    pub max_bytes_per_client: u64,
    /// Bytes of all files.
    pub max_total_bytes: u64,
}

/// Whose quota bytes count for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    /// An owner of orders.
    Owner(String),
    /// Whoever uploads to an order without an owner.
    RateLimitKey(RateLimitKey),
    /// Unknown: the order has no owner, and the upload was another process's, or an earlier one.
    Nobody,
}

/// Uploads under way, and bytes that are kept.
pub(crate) struct Uploads {
    limits: UploadLimits,
    places: Arc<Quota>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Uploads to each order that is being uploaded to.
    orders: HashMap<String, OrderUploads>,
    /// Reserved by uploads that are not accepted yet.
    reserved: Usage,
    /// Kept, as of the last sweep and since.
    kept: Usage,
    /// Kept since the sweep that is under way has begun.
    since_sweep: Usage,
    /// Names of blobs removed since the last sweep: removed twice, one counts once.
    removed: HashSet<String>,
}

/// Uploads to one order since the first of those that are under way: by the file's id, with the
/// bytes that it has, or may get. A file that is kept stays here until no other upload is under
/// way, so that whoever has asked the store before does not overlook it.
#[derive(Default)]
struct OrderUploads {
    under_way: usize,
    files: HashMap<String, u64>,
}

/// Sums of bytes.
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
            places: Quota::observed(limits.max_uploads, limits.max_uploads_per_client, observe),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place among the uploads under way.
    ///
    /// # Errors
    /// 429 where the caller has as many as one may, 503 where all places are taken.
    pub(crate) fn enter(&self, caller: RateLimitKey) -> Result<Permit, Problem> {
        let taken = self.places.take(caller);
        taken.map_err(|exceeded| match exceeded {
            Exceeded::Each(most) => Problem::too_many_uploads(most),
            Exceeded::All => Problem::no_upload_place(self.limits.max_uploads),
        })
    }

    /// Announces a file of an order: from now on it counts for all others. Once the store has
    /// been asked what it has of the order, [`Reservation::judge`] says whether there is room.
    pub(crate) fn announce(
        self: &Arc<Self>,
        order_id: &str,
        file_id: &str,
        account: Account,
    ) -> Reservation {
        let mut state = self.state();
        let order = state.orders.entry(order_id.to_owned()).or_default();
        let before = order.files.clone();
        order.under_way += 1;
        order.files.entry(file_id.to_owned()).or_default();
        Reservation {
            uploads: self.clone(),
            order_id: order_id.to_owned(),
            file_id: file_id.to_owned(),
            account,
            before,
            stored: HashMap::new(),
            bytes: 0,
            is_judged: false,
            is_kept: false,
        }
    }

    /// Takes the bytes of a blob that has been removed off what is kept, once.
    pub(crate) fn removed(&self, name: String, account: &Account, bytes: u64) {
        let mut state = self.state();
        if !state.removed.insert(name) {
            return;
        }
        state.kept.subtract(account, bytes);
        state.since_sweep.subtract(account, bytes);
        metrics::gauge!("bakehouse_attachment_bytes").set(state.kept.total as f64);
    }

    /// A sweep begins to sum up what is kept.
    pub(crate) fn sweep_begins(&self) {
        self.state().since_sweep = Usage::default();
    }

    /// Takes over what the sweep has found, and adds what was accepted meanwhile.
    pub(crate) fn sweep_ended(&self, found: Usage) {
        let mut state = self.state();
        let since = std::mem::take(&mut state.since_sweep);
        state.removed.clear();
        state.kept = found;
        for (account, bytes) in &since.accounts {
            state.kept.add(account, *bytes);
        }
        let (total, most) = (state.kept.total, self.limits.max_total_bytes);
        metrics::gauge!("bakehouse_attachment_bytes").set(total as f64);
        if total >= most / 10 * 9 {
            tracing::warn!(
                "attached files have {total} bytes of the {most} that attachments.max_total_bytes allows"
            );
        }
    }
}

/// Room for one file; given back when it is dropped, unless the file is kept.
pub(crate) struct Reservation {
    uploads: Arc<Uploads>,
    order_id: String,
    file_id: String,
    account: Account,
    /// Other files that were being uploaded to the order when this one was announced.
    before: HashMap<String, u64>,
    /// Files of the order in the store since then.
    stored: HashMap<String, u64>,
    bytes: u64,
    is_judged: bool,
    is_kept: bool,
}

impl Reservation {
    /// Makes room for a file of so many bytes in an order of which the store has these files.
    /// Whatever was announced before is among them, or among those that were under way.
    ///
    /// # Errors
    /// 409 or 507 where a quota, or the number of files, would be exceeded.
    pub(crate) fn judge(
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
        self.is_judged = true;
        self.reserve(bytes)
    }

    /// Makes room for a file of so many bytes so far.
    ///
    /// # Errors
    /// 409 or 507 where a quota would be exceeded.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> Result<(), Problem> {
        match bytes.saturating_sub(self.bytes) {
            0 => Ok(()),
            more => self.reserve(more),
        }
    }

    fn reserve(&mut self, more: u64) -> Result<(), Problem> {
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        if self.is_judged {
            // Where nothing is known to come, there must be room for something all the same.
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
        let account = state.kept.of(&self.account) + state.reserved.of(&self.account);
        let limit = limits.max_bytes_per_client;
        if account.saturating_add(more) > limit {
            let setting = "attachments.max_bytes_per_client";
            return Err(Problem::quota_exceeded(setting, limit, account));
        }
        let total = state.kept.total + state.reserved.total;
        let limit = limits.max_total_bytes;
        if total.saturating_add(more) > limit {
            let setting = "attachments.max_total_bytes";
            return Err(Problem::insufficient_storage(setting, limit));
        }
        Ok(())
    }

    /// Bytes of the order's other files, in the store or on their way there.
    fn bytes_of_order(&self, state: &State) -> u64 {
        let is_other = |id: &String| *id != self.file_id;
        let stored = self.stored.iter().filter(|(id, _)| is_other(id));
        let stored: u64 = stored.map(|(_, bytes)| *bytes).sum();
        let uploads = state.orders.get(&self.order_id).into_iter();
        let uploads = uploads.flat_map(|order| &order.files);
        let others = uploads.filter(|(id, _)| is_other(id) && !self.stored.contains_key(*id));
        stored + others.map(|(_, bytes)| *bytes).sum::<u64>()
    }

    /// Keeps the file, with so many bytes: whose they are, and how many of them count. A repeated
    /// upload takes the place of what is there, so that none of its bytes do.
    pub(crate) fn keep(mut self, bytes: u64) -> (Account, u64) {
        self.is_kept = true;
        if !self.is_judged {
            return (self.account.clone(), 0);
        }
        let uploads = self.uploads.clone();
        let mut state = uploads.state();
        state.kept.add(&self.account, bytes);
        state.since_sweep.add(&self.account, bytes);
        metrics::gauge!("bakehouse_attachment_bytes").set(state.kept.total as f64);
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
        order.under_way -= 1;
        if !self.is_kept {
            order.files.remove(&self.file_id);
        }
        if order.under_way == 0 {
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

    fn caller(last: u8) -> RateLimitKey {
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
    fn places_are_bounded_for_each_and_in_all_and_come_back() {
        let uploads = Uploads::new(LIMITS);
        let first = uploads.enter(caller(1)).expect("a place");
        let _second = uploads.enter(caller(1)).expect("a place");
        assert!(kind(uploads.enter(caller(1))).starts_with("429"));
        let _third = uploads.enter(caller(2)).expect("a place");
        assert!(kind(uploads.enter(caller(3))).starts_with("503"));
        drop(first);
        assert_eq!(kind(uploads.enter(caller(1))), "ok");
    }

    type Files<'a> = &'a [(&'a str, u64)];

    /// Announces and judges at once.
    fn reserve(
        uploads: &Arc<Uploads>,
        (order, file): (&str, &str),
        account: Account,
        stored: Files<'_>,
        bytes: u64,
    ) -> Result<Reservation, Problem> {
        let mut reservation = uploads.announce(order, file, account);
        let stored = stored.iter().map(|(id, size)| ((*id).to_owned(), *size));
        reservation.judge(stored.collect(), 0, bytes)?;
        Ok(reservation)
    }

    #[test]
    fn quotas_count_what_is_kept_and_what_is_under_way() {
        let uploads = Uploads::new(LIMITS);
        let reserve = |at: (&str, &str), who: &str, stored: Files<'_>, bytes: u64| {
            reserve(&uploads, at, owner(who), stored, bytes)
        };
        let mut first = reserve(("a", "1"), "ada", &[], 60).expect("room");
        // In flight to the same order, though nothing is stored yet.
        let refused = kind(reserve(("a", "2"), "ada", &[], 41));
        assert!(refused.contains("max_bytes_per_order"), "{refused}");
        first.grow_to(100).expect("room");
        assert!(kind(first.grow_to(101)).contains("max_bytes_per_order"));
        let (account, counted) = first.keep(100);
        assert_eq!(counted, 100);
        // By now the store says what the order has.
        let stored = [("1", 100)];
        assert!(kind(reserve(("a", "2"), "ada", &stored, 0)).contains("max_bytes_per_order"));
        assert!(kind(reserve(("b", "1"), "ada", &[], 51)).contains("max_bytes_per_client"));
        let second = reserve(("b", "1"), "ada", &[], 50).expect("room");
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
    fn files_are_counted_once_whether_stored_or_under_way() {
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
        // It has come into the store, and is not counted twice.
        let has_it = [&stored[1..], &[("49", 1)]].concat();
        assert_eq!(more(&has_it), "ok");
        drop(last);
        assert_eq!(more(&stored), "ok");
        // Kept between two looks of another upload: it was under way when that was announced.
        let kept = reserve(&uploads, ("a", "49"), owner("ada"), &stored, 1).expect("room");
        let mut late = uploads.announce("a", "51", owner("ada"));
        kept.keep(1);
        let look = stored.iter().map(|(id, size)| ((*id).to_owned(), *size));
        assert!(kind(late.judge(look.collect(), 0, 1)).starts_with("409"));
    }

    #[test]
    fn a_repeated_request_is_not_judged() {
        let uploads = Uploads::new(LIMITS);
        let mut repeated = uploads.announce("a", "1", owner("ada"));
        repeated.grow_to(1_000).expect("it is only repeated");
        let (_, counted) = repeated.keep(1_000);
        assert_eq!(counted, 0, "none of it is taken off again");
        assert_eq!(uploads.state().kept.total, 0);
        assert_eq!(uploads.state().reserved.total, 0);
    }

    #[test]
    fn what_is_removed_twice_is_taken_off_once() {
        let uploads = Uploads::new(LIMITS);
        for file in ["1", "2"] {
            let kept = reserve(&uploads, ("a", file), owner("ada"), &[], 40);
            kept.expect("room").keep(40);
        }
        uploads.removed("a/1".to_owned(), &owner("ada"), 40);
        uploads.removed("a/1".to_owned(), &owner("ada"), 40);
        assert_eq!(uploads.state().kept.total, 40);
    }

    #[test]
    fn a_sweep_corrects_the_sums_and_forgets_nothing_that_came_meanwhile() {
        let uploads = Uploads::new(LIMITS);
        uploads.sweep_begins();
        let kept = reserve(&uploads, ("a", "1"), owner("ada"), &[], 10);
        kept.expect("room").keep(10);
        let mut found = Usage::default();
        found.add(&owner("ada"), 30);
        found.add(&Account::Nobody, 200);
        uploads.sweep_ended(found);
        assert_eq!(uploads.state().kept.total, 240);
        assert_eq!(uploads.state().kept.of(&owner("ada")), 40);
    }
}
