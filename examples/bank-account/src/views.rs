//! What follows accounts: two read models, and a handler of everything that happens.

use bakehouse_host::LOG_CHANNEL;
use bakehouse_host::engine::model::notification::Request;
use bakehouse_host::engine::to_json;
use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::Document;

/// What all rows are found by.
pub(crate) const ALL: &str = "all";

/// accounts: what is on them.
pub(crate) struct Accounts;

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccountRow {
    id: String,
    balance: i64,
    /// How often something was put on it, or taken off.
    movements: u64,
}

impl ReadModel for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["account"];

    type Row = AccountRow;

    fn needs(fact: &FeedEvent) -> Needs {
        Needs::row(&fact.entity_id)
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<AccountRow>) -> Result<(), Failed> {
        let Some(Document { id, balance, .. }) = fact.document()? else {
            return Ok(());
        };
        let before = rows.get(&id).map_or(0, |row| row.movements);
        let is_movement = ["credited", "debited"].contains(&fact.change.as_str());
        let movements = before + u64::from(is_movement);
        let row = AccountRow {
            id: id.clone(),
            balance,
            movements,
        };
        rows.put(&id, row);
        Ok(())
    }

    fn links(_: &AccountRow) -> Vec<String> {
        vec![ALL.to_owned()]
    }
}

/// users: whose they are.
pub(crate) struct Users;

/// One of them, with all accounts under this name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct UserRow {
    username: String,
    email: String,
    accounts: Vec<String>,
}

impl ReadModel for Users {
    const NAME: &'static str = "users";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["account"];

    type Row = UserRow;

    fn needs(fact: &FeedEvent) -> Needs {
        match fact.document::<Document>() {
            Ok(Some(document)) => Needs::row(document.username),
            _ => Needs::nothing(),
        }
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<UserRow>) -> Result<(), Failed> {
        let Some(Document {
            id,
            username,
            email,
            ..
        }) = fact.document()?
        else {
            return Ok(());
        };
        let mut user = rows.get_or_default(&username);
        if ["created", "email_changed"].contains(&fact.change.as_str()) {
            user.email = email;
        }
        if !user.accounts.contains(&id) {
            user.accounts.push(id);
        }
        user.username.clone_from(&username);
        rows.put(&username, user);
        Ok(())
    }

    fn links(_: &UserRow) -> Vec<String> {
        vec![ALL.to_owned()]
    }
}

/// journal: everything that happens goes into the service's log, once.
pub(crate) struct Journal;

/// It need not remember anything.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Nothing;

impl ProcessManager for Journal {
    const NAME: &'static str = "journal";
    const FEEDS: &'static [&'static str] = &["account"];

    type State = Nothing;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::nothing()
    }

    fn react(fact: &FeedEvent, _: &mut Rows<Nothing>) -> Result<Vec<Effect>, Failed> {
        let request = Request {
            lane: LOG_CHANNEL.to_owned(),
            channel: "log",
            to: "the journal".to_owned(),
            message: to_json(&json!({ "what": fact.change, "operation_id": fact.operation_id }))?,
        };
        Ok(vec![Effect::Notify(request)])
    }
}
