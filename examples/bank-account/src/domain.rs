//! Domain of accounts: its rules, without I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

/// Domain of accounts.
pub(crate) struct Bank;

/// Maximum balance of an account in cents; every JSON parser represents it exactly.
pub(crate) const MAX_BALANCE: i64 = 9_007_199_254_740_991;

/// Command. It contains the hash of a password, never the password itself.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    Create(Owner),
    ChangePassword {
        password_hash: String,
    },
    ChangeEmail {
        email: String,
    },
    /// Adds an amount in cents.
    Credit(i64),
    /// Subtracts an amount in cents.
    Debit(i64),
    /// Stores a snapshot of the account.
    Snapshot,
}

/// Owner of an account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) password_hash: String,
}

/// Event: a command that was accepted by `decide`.
pub(crate) struct Event(Command);

/// State of an account.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    owner: Owner,
    balance: i64,
}

/// Document that the API returns; it contains neither the password nor its hash.
#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) balance: i64,
}

impl Domain for Bank {
    const NAME: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = &[
        "created",
        "password_changed",
        "email_changed",
        "credited",
        "debited",
        "snapshotted",
    ];
    const SNAPSHOT_INTERVAL: u64 = 50;
    const SNAPSHOT_ON: &'static [&'static str] = &["snapshotted"];

    type Command = Command;
    type Event = Event;
    type State = Account;
    type Document = Document;

    fn verb(command: &Command) -> Verb {
        match command {
            Command::Create(_) => Verb::Insert,
            _ => Verb::Update,
        }
    }

    fn decide(account: Option<&Account>, command: Command, _: Moment) -> Result<Event, Rejection> {
        let refused = |reason: &str, code| Err(Rejection::new(reason).with_code(code));
        match (account, &command) {
            (None, Command::Create(_)) => Ok(Event(command)),
            (None, _) => refused("there is no such account", "no-account"),
            (Some(_), Command::Create(_)) => refused("the account exists already", "exists"),
            (Some(_), Command::Credit(amount) | Command::Debit(amount)) if *amount <= 0 => {
                refused("the amount must be above 0", "amount")
            }
            (Some(account), Command::Debit(amount)) if *amount > account.balance => {
                refused("the balance must not become negative", "insufficient-funds")
            }
            (Some(account), Command::Credit(amount)) if *amount > MAX_BALANCE - account.balance => {
                refused("the balance would exceed the maximum", "amount")
            }
            (Some(_), _) => Ok(Event(command)),
        }
    }

    fn apply(account: Option<Account>, Event(command): Event, _: Moment) -> Account {
        if let Command::Create(owner) = command {
            return Account { owner, balance: 0 };
        }
        let mut account = account.expect("decide requires an existing account");
        match command {
            Command::Create(_) | Command::Snapshot => {}
            Command::ChangePassword { password_hash } => {
                account.owner.password_hash = password_hash
            }
            Command::ChangeEmail { email } => account.owner.email = email,
            Command::Credit(amount) => account.balance += amount,
            Command::Debit(amount) => account.balance -= amount,
        }
        account
    }

    fn bake(entity: &Entity<Account>) -> Document {
        let Account { owner, balance } = entity.state.clone();
        Document {
            id: entity.id.clone(),
            username: owner.username,
            email: owner.email,
            balance,
        }
    }

    fn change(Event(command): &Event) -> &'static str {
        match command {
            Command::Create(_) => "created",
            Command::ChangePassword { .. } => "password_changed",
            Command::ChangeEmail { .. } => "email_changed",
            Command::Credit(_) => "credited",
            Command::Debit(_) => "debited",
            Command::Snapshot => "snapshotted",
        }
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::scenario::{ENTITY, Scenario};
    use serde_json::json;

    use super::*;

    fn create() -> Command {
        Command::Create(Owner {
            username: "ada".into(),
            email: "ada@example.org".into(),
            password_hash: "$argon2id$1".into(),
        })
    }

    #[test]
    fn the_document_has_the_balance_and_no_password() {
        let changed = Command::ChangePassword {
            password_hash: "$argon2id$2".into(),
        };
        let credits = [50, 50, 150].map(Command::Credit);
        Scenario::<Bank>::given([create(), changed].into_iter().chain(credits))
            .when(Command::Debit(200))
            .then_changed("debited")
            .then_document(&json!({
                "id": ENTITY, "username": "ada", "email": "ada@example.org", "balance": 50,
            }));
    }

    #[test]
    fn balances_and_amounts_stay_within_their_limits() {
        let account = || Scenario::<Bank>::given([create(), Command::Credit(50)]);
        account()
            .when(Command::Debit(51))
            .then_refused("the balance must not become negative");
        account()
            .when(Command::Credit(0))
            .then_refused("the amount must be above 0");
        account()
            .when(Command::Credit(MAX_BALANCE))
            .then_refused("the balance would exceed the maximum");
        Scenario::<Bank>::given([])
            .when(Command::Debit(1))
            .then_refused("there is no such account");
    }
}
