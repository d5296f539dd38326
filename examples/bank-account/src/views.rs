//! Handlers of the feed of accounts: two read models and the journal.

use bakehouse_host::LOG_CHANNEL;
use bakehouse_host::engine::model::notification::Request;
use bakehouse_host::engine::to_json;
use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::Document;

/// Link of all rows, for lists.
pub(crate) const ALL: &str = "all";

/// Read model `accounts`: balances and numbers of movements.
pub(crate) struct Accounts;

/// Row of the read model `accounts`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccountRow {
    id: String,
    balance: i64,
    /// Number of credits and debits.
    movements: u64,
}

impl ReadModel for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["account"];

    type Row = AccountRow;

    fn needs(event: &FeedEvent) -> Needs {
        Needs::row(&event.entity_id)
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<AccountRow>) -> Result<(), HandlerError> {
        let Some(Document { id, balance, .. }) = event.document()? else {
            return Ok(());
        };
        let before = rows.get(&id).map_or(0, |row| row.movements);
        let is_movement = ["credited", "debited"].contains(&event.change.as_str());
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

/// Read model `users`: owners and their accounts.
pub(crate) struct Users;

/// Row of the read model `users`, with the ids of all accounts of the user.
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

    fn needs(event: &FeedEvent) -> Needs {
        match event.document::<Document>() {
            Ok(Some(document)) => Needs::row(document.username),
            _ => Needs::nothing(),
        }
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<UserRow>) -> Result<(), HandlerError> {
        let Some(Document {
            id,
            username,
            email,
            ..
        }) = event.document()?
        else {
            return Ok(());
        };
        let mut user = rows.get_or_default(&username);
        if ["created", "email_changed"].contains(&event.change.as_str()) {
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

/// Process manager `journal`: writes each event to the service's log once.
pub(crate) struct Journal;

/// State of the journal, which needs none.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NoState;

impl ProcessManager for Journal {
    const NAME: &'static str = "journal";
    const FEEDS: &'static [&'static str] = &["account"];

    type State = NoState;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::nothing()
    }

    fn react(event: &FeedEvent, _: &mut Rows<NoState>) -> Result<Vec<Effect>, HandlerError> {
        let request = Request {
            lane: LOG_CHANNEL.to_owned(),
            channel: "log",
            to: "the journal".to_owned(),
            message: to_json(&json!({ "what": event.change, "operation_id": event.operation_id }))?,
        };
        Ok(vec![Effect::Notify(request)])
    }
}
