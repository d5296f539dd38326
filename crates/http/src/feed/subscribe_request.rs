//! What a subscriber asks for: in the query string, or in a frame.

use bakehouse_engine::{Frame, Position};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::api_definition::ApiDefinition;
use crate::request::path_id::PathId;
use crate::request::query::{Parameters, text};
use crate::response::problem::InputFault;

/// A subscription's wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SubscribeRequest {
    /// Everything after this position; from now on where there is none.
    pub(super) since: Option<Position>,
    /// The log that the position is of.
    pub(super) epoch: Option<String>,
    /// Which frames.
    pub(super) filter: Filter,
}

/// Which frames a subscriber wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Only this entity.
    pub(super) entity: Option<String>,
    /// Only entities of this group.
    pub(super) group: Option<String>,
    /// Only frames of these types; all where there are none.
    pub(super) kinds: Vec<String>,
}

/// True if a filter lets a frame through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Included {
    No,
    Yes,
    /// Once more, since the entity belongs to another group from now on.
    Left,
}

impl SubscribeRequest {
    /// Reads a query string.
    ///
    /// # Errors
    /// Everything that is wrong with it.
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

    /// Everything after this place, in its log if it names one.
    pub(super) fn resume(&mut self, since: Since) {
        self.since = Some(since.position);
        if since.epoch.is_some() {
            self.epoch = since.epoch;
        }
    }
}

/// A place in a log: a position, or log and position as in the `id` of a server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Since {
    epoch: Option<String>,
    position: Position,
}

impl Since {
    /// Reads `124` or `EPOCH:124`.
    ///
    /// # Errors
    /// What was expected.
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
}

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a position, or EPOCH:POSITION as text")]
        enum Value {
            Position(Position),
            Text(String),
        }
        match Value::deserialize(deserializer)? {
            Value::Position(position) => Ok(Self {
                epoch: None,
                position,
            }),
            Value::Text(text) => Self::parse(&text).map_err(D::Error::custom),
        }
    }
}

impl Filter {
    /// Whether the subscriber wants this frame, should they be one to see it.
    pub(super) fn includes(&self, frame: &Frame) -> Included {
        let is = |wish: &Option<String>, value: Option<&str>| {
            wish.as_deref().is_none_or(|wish| Some(wish) == value)
        };
        let is_wanted = is(&self.entity, Some(&frame.entity_id))
            && (self.kinds.is_empty() || self.kinds.contains(&frame.kind));
        if is_wanted && is(&self.group, frame.group.as_deref()) {
            Included::Yes
        } else if is_wanted && is(&self.group, frame.left_group.as_deref()) {
            Included::Left
        } else {
            Included::No
        }
    }
}

/// An entity's id as the log has it: a UUID may be written in several ways.
pub(super) fn canonical(id: String) -> String {
    id.parse().map_or(id, |uuid: PathId| uuid.to_string())
}

/// Types of frames that there are.
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
    fn wishes_are_all_to_be_met() {
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
    fn a_place_may_name_its_log() {
        let parse = |query: &str| {
            let request = SubscribeRequest::parse(query, &api()).expect("valid");
            (request.epoch, request.since)
        };
        let log = |name: &str| Some(name.to_owned());
        assert_eq!(parse("since=7"), (None, Some(7)));
        assert_eq!(parse("since=7&epoch=a"), (log("a"), Some(7)));
        assert_eq!(parse("since=a:b:7"), (log("a:b"), Some(7)));
        for text in ["", ":7", "a:", "a", "-1", "a:-1", "7:a"] {
            assert!(Since::parse(text).is_err(), "{text}");
        }
        let read = |json: &str| serde_json::from_str::<Since>(json);
        assert_eq!(read("7").expect("valid").epoch, None);
        assert_eq!(read("\"a:7\"").expect("valid").epoch, log("a"));
        assert!(read("-1").is_err());
        assert!(read("[]").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
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
