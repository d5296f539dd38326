//! Start position and filter of a subscription, from a query string or a `subscribe` frame.

use bakehouse_engine::{Frame, Position};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api_definition::ApiDefinition;
use crate::request::path_id::PathId;
use crate::request::query::{Parameters, text};
use crate::response::problem::InputFault;

/// Request for a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SubscribeRequest {
    /// Position after which frames are sent; `None` starts at the head of the feed.
    pub(super) since: Option<Position>,
    /// Epoch of the log that the position belongs to.
    pub(super) epoch: Option<String>,
    /// Filter on frames.
    pub(super) filter: Filter,
}

/// Filter on the frames of a subscription; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Entity to which frames are restricted.
    pub(super) entity: Option<String>,
    /// Group to whose entities frames are restricted.
    pub(super) group: Option<String>,
    /// Types to which frames are restricted; empty for all types.
    pub(super) kinds: Vec<String>,
}

/// Result of applying a filter to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Included {
    /// The frame is filtered out.
    No,
    /// The frame is sent.
    Yes,
    /// The frame is sent as the entity's last one, because it moves the entity to another group.
    Left,
}

impl SubscribeRequest {
    /// Parses a query string.
    ///
    /// # Errors
    /// All faults, when the query string is invalid.
    pub(super) fn parse(query: &str, api: &ApiDefinition) -> Result<Self, Vec<InputFault>> {
        let mut parameters = Parameters::of(query);
        let since = parameters.take("since", Since::parse);
        let epoch = parameters.take("epoch", text);
        let entity = parameters.take(api.entity, text).map(canonical);
        let group = api.group.and_then(|name| parameters.take(name, text));
        let kinds = parameters.take("type", |value| kinds(value.split(','), api));
        parameters.faults()?;
        let mut request = Self {
            since: None,
            epoch,
            filter: Filter {
                entity,
                group,
                kinds: kinds.unwrap_or_default(),
            },
        };
        if let Some(since) = since {
            request.resume(since);
        }
        Ok(request)
    }

    /// Sets the start position, and the epoch if the position names one.
    pub(super) fn resume(&mut self, since: Since) {
        self.since = Some(since.position);
        if since.epoch.is_some() {
            self.epoch = since.epoch;
        }
    }
}

/// Start position: a position, or epoch and position as in the `id` of a server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Since {
    epoch: Option<String>,
    position: Position,
}

impl Since {
    /// Parses `124` or `EPOCH:124`.
    ///
    /// # Errors
    /// A message for the client with the expected form, when the text has another one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (epoch, number) = match text.rsplit_once(':') {
            Some((epoch, number)) if !epoch.is_empty() => (Some(epoch.to_owned()), number),
            _ => (None, text),
        };
        let position = number.parse().map_err(|_| {
            format!("expected a position (0, 1, 2, …), or EPOCH:POSITION, found {text:?}")
        })?;
        Ok(Self { epoch, position })
    }

    /// Reads a position as a JSON number, or what [`Since::parse`] takes as a JSON string.
    ///
    /// # Errors
    /// A message for the client with the expected form, when the value has another one.
    pub(super) fn from_json(value: &Value) -> Result<Self, String> {
        match (value.as_u64(), value.as_str()) {
            (Some(position), _) => Ok(Self {
                epoch: None,
                position,
            }),
            (None, Some(text)) => Self::parse(text),
            (None, None) => {
                Err("expected a position (0, 1, 2, …), or EPOCH:POSITION as text".to_owned())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Filter {
    /// Applies the filter to a frame; whether the subscriber may see it is checked elsewhere.
    pub(super) fn includes(&self, frame: &Frame) -> Included {
        let matches = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == value)
        };
        let is_wanted = matches(&self.entity, Some(&frame.entity_id))
            && (self.kinds.is_empty() || self.kinds.contains(&frame.kind));
        if is_wanted && matches(&self.group, frame.group.as_deref()) {
            Included::Yes
        } else if is_wanted && matches(&self.group, frame.left_group.as_deref()) {
            Included::Left
        } else {
            Included::No
        }
    }
}

/// Normalises an entity's id to the form used in the log; a UUID may be written in several ways.
pub(super) fn canonical(id: String) -> String {
    id.parse().map_or(id, |uuid: PathId| uuid.to_string())
}

/// Checks that all of these names are types of frames.
///
/// # Errors
/// A message for the client with the known types, when a name is not one of them.
pub(super) fn kinds<'a>(
    names: impl Iterator<Item = &'a str>,
    api: &ApiDefinition,
) -> Result<Vec<String>, String> {
    let known = |name: &str| {
        let is_known = api.kinds.iter().any(|known| known == name);
        let expected = || format!("expected {}, found {name:?}", api.kinds.join(", "));
        is_known.then(|| name.to_owned()).ok_or_else(expected)
    };
    names.map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_definition::tests::api;

    fn frame() -> Frame {
        Frame {
            position: 7,
            kind: "order.created".into(),
            entity_id: "o-1".into(),
            owner: None,
            group: Some("c-1".into()),
            left_group: Some("c-0".into()),
            body: bakehouse_engine::to_json(&7).expect("a number"),
        }
    }

    #[test]
    fn all_conditions_of_a_filter_must_hold() {
        let includes = |query: &str| {
            SubscribeRequest::parse(query, &api())
                .expect("valid")
                .filter
                .includes(&frame())
                == Included::Yes
        };
        assert!(includes(""));
        assert!(includes(
            "order=o-1&customer=c-1&type=order.created&since=3"
        ));
        assert!(includes("type=order.rejected,order.created"));
        let filter = |query| {
            SubscribeRequest::parse(query, &api())
                .expect("valid")
                .filter
                .entity
        };
        assert_eq!(
            filter("order=0199ABCD-0000-7000-8000-00000000000A").as_deref(),
            Some("0199abcd-0000-7000-8000-00000000000a")
        );
        assert!(!includes("order=o-2&customer=c-1"));
        assert!(!includes("type=order.deleted"));
        assert!(!includes("customer=c-2"));
        let left = |query: &str| {
            let request = SubscribeRequest::parse(query, &api()).expect("valid");
            request.filter.includes(&frame()) == Included::Left
        };
        assert!(left("customer=c-0"));
        assert!(!left("customer=c-1") && !left(""));
        assert!(!left("customer=c-0&type=order.deleted"));
    }

    #[test]
    fn a_position_may_name_its_epoch() {
        let parse = |query: &str| {
            let request = SubscribeRequest::parse(query, &api()).expect("valid");
            (request.epoch, request.since)
        };
        let epoch = |name: &str| Some(name.to_owned());
        assert_eq!(parse("since=7"), (None, Some(7)));
        assert_eq!(parse("since=7&epoch=a"), (epoch("a"), Some(7)));
        assert_eq!(parse("since=a:b:7"), (epoch("a:b"), Some(7)));
        for text in ["", ":7", "a:", "a", "-1", "a:-1", "7:a"] {
            assert!(Since::parse(text).is_err(), "{text}");
        }
        let read = |json: &str| serde_json::from_str::<Since>(json);
        assert_eq!(read("7").expect("valid").epoch, None);
        assert_eq!(read("\"a:7\"").expect("valid").epoch, epoch("a"));
        assert!(read("-1").is_err());
        assert!(read("[]").is_err());
    }

    #[test]
    fn invalid_parameters_are_named() {
        let pointers = |query: &str| -> Vec<String> {
            let faults = SubscribeRequest::parse(query, &api())
                .expect_err("invalid")
                .into_iter();
            faults.map(|fault| fault.pointer).collect()
        };
        assert_eq!(
            pointers("since=-1&type=x&sinse=1"),
            ["/query/since", "/query/type", "/query/sinse"]
        );
        assert_eq!(pointers("since=1&since=2"), ["/query/since"]);
    }
}
