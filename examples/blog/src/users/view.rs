//! What readers get of users.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::Document;
use crate::content::ALL;

/// users: those who have not been deleted.
pub(crate) struct UserView;

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    id: String,
    username: String,
    full_name: String,
}

impl ReadModel for UserView {
    const NAME: &'static str = "users";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["user"];

    type Row = Row;

    fn needs(fact: &FeedEvent) -> Needs {
        Needs::row(&fact.entity_id)
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), Failed> {
        match fact.document::<Document>()? {
            Some(Document { id, .. }) if fact.change == "deleted" => rows.remove(&id),
            Some(Document {
                id,
                username,
                full_name,
            }) => {
                rows.put(
                    &id.clone(),
                    Row {
                        id,
                        username,
                        full_name,
                    },
                );
            }
            None => {}
        }
        Ok(())
    }

    fn links(_: &Row) -> Vec<String> {
        vec![ALL.to_owned()]
    }
}
