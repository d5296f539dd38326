//! Read model of users.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::Document;
use crate::content::ALL;

/// Read model `users`: all users that are not deleted.
pub(crate) struct UserView;

/// Row of the read model.
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

    fn needs(event: &FeedEvent) -> Needs {
        Needs::row(&event.entity_id)
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        match event.document::<Document>()? {
            Some(Document { id, .. }) if event.change == "deleted" => rows.remove(&id),
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
