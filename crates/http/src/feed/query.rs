//! What a subscriber asks for, in the query string.

use bakehouse_pipeline::{Frame, Position};

/// A subscription's wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Everything after this position; from now on where there is none.
    pub(super) since: Option<Position>,
    /// The log that the position is of.
    pub(super) epoch: Option<String>,
    /// Only this order.
    order: Option<String>,
    /// Only this customer's orders.
    customer: Option<String>,
    /// Only frames of this type.
    kind: Option<String>,
}

impl Wishes {
    /// Reads a query string; the error names the parameter.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut wishes = Self::default();
        let pairs = actix_web::web::Query::<Vec<(String, String)>>::from_query(query);
        let pairs = pairs.map_err(|error| format!("the query cannot be read: {error}"))?;
        for (key, value) in pairs.into_inner() {
            match key.as_str() {
                "since" => wishes.since = Some(since(&value)?),
                "epoch" => wishes.epoch = Some(value),
                "order" => wishes.order = Some(value),
                "customer" => wishes.customer = Some(value),
                "type" => wishes.kind = Some(value),
                _ => return Err(unknown(&key)),
            }
        }
        Ok(wishes)
    }

    /// Whether the subscriber wants this frame, should they be one to see it.
    pub(super) fn include(&self, frame: &Frame) -> bool {
        let is = |wish: &Option<String>, value: Option<&str>| {
            wish.as_deref().is_none_or(|wish| Some(wish) == value)
        };
        is(&self.order, Some(&frame.entity_id))
            && is(&self.customer, frame.group.as_deref())
            && is(&self.kind, Some(&frame.kind))
    }
}

fn since(text: &str) -> Result<Position, String> {
    text.parse()
        .map_err(|_| format!("since: expected a position (0, 1, 2, …), found {text:?}"))
}

fn unknown(key: &str) -> String {
    format!("{key}: unknown parameter; known are since, epoch, order, customer and type")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            position: 7,
            kind: "order.created".into(),
            entity_id: "o-1".into(),
            owner: None,
            group: Some("c-1".into()),
            body: bakehouse_pipeline::to_json(&7).expect("a number"),
        }
    }

    #[test]
    fn wishes_are_all_to_be_met() {
        let includes = |query: &str| Wishes::parse(query).expect("valid").include(&frame());
        assert!(includes(""));
        assert!(includes(
            "order=o-1&customer=c-1&type=order.created&since=3"
        ));
        assert!(!includes("order=o-2&customer=c-1"));
        assert!(!includes("type=order.deleted"));
        assert!(!includes("customer=c-2"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |query: &str| Wishes::parse(query).expect_err("invalid");
        assert!(error("since=-1").starts_with("since:"));
        assert!(error("since=abc").starts_with("since:"));
        assert!(error("sinse=1").starts_with("sinse:"));
    }
}
