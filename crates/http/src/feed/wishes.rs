//! What a subscriber asks for: in the query string, or in a frame.

use bakehouse_pipeline::{Frame, Position};

use crate::menu::Menu;
use crate::path_id::PathId;
use crate::problem::InputFault;
use crate::query::{Parameters, text};

/// A subscription's wishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
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

impl Wishes {
    /// Reads a query string.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn parse(query: &str, menu: &Menu) -> Result<Self, Vec<InputFault>> {
        let mut parameters = Parameters::of(query);
        let since = parameters.take("since", position);
        let epoch = parameters.take("epoch", text);
        let entity = parameters.take(menu.entity, text).map(canonical);
        let group = menu.group.and_then(|name| parameters.take(name, text));
        let kinds = parameters.take("type", |value| kinds(value.split(','), menu));
        parameters.faults()?;
        Ok(Self {
            since,
            epoch,
            filter: Filter {
                entity,
                group,
                kinds: kinds.unwrap_or_default(),
            },
        })
    }
}

impl Filter {
    /// Whether the subscriber wants this frame, should they be one to see it.
    pub(super) fn includes(&self, frame: &Frame) -> bool {
        let is = |wish: &Option<String>, value: Option<&str>| {
            wish.as_deref().is_none_or(|wish| Some(wish) == value)
        };
        is(&self.entity, Some(&frame.entity_id))
            && is(&self.group, frame.group.as_deref())
            && (self.kinds.is_empty() || self.kinds.contains(&frame.kind))
    }
}

/// An entity's id as the log has it: a UUID may be written in several ways.
pub(super) fn canonical(id: String) -> String {
    id.parse().map_or(id, |uuid: PathId| uuid.to_string())
}

/// A position; 0 stands before the first.
pub(super) fn position(text: &str) -> Result<Position, String> {
    text.parse()
        .map_err(|_| format!("expected a position (0, 1, 2, …), found {text:?}"))
}

/// Types of frames that there are.
pub(super) fn kinds<'a>(
    names: impl Iterator<Item = &'a str>,
    menu: &Menu,
) -> Result<Vec<String>, String> {
    let known = |name: &str| {
        let is_known = menu.kinds.iter().any(|known| known == name);
        let expected = || format!("expected {}, found {name:?}", menu.kinds.join(", "));
        is_known.then(|| name.to_owned()).ok_or_else(expected)
    };
    names.map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::menu::tests::menu;

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
        let includes = |query: &str| {
            Wishes::parse(query, &menu())
                .expect("valid")
                .filter
                .includes(&frame())
        };
        assert!(includes(""));
        assert!(includes(
            "order=o-1&customer=c-1&type=order.created&since=3"
        ));
        assert!(includes("type=order.rejected,order.created"));
        let filter = |query| Wishes::parse(query, &menu()).expect("valid").filter.entity;
        assert_eq!(
            filter("order=0199ABCD-0000-7000-8000-00000000000A").as_deref(),
            Some("0199abcd-0000-7000-8000-00000000000a")
        );
        assert!(!includes("order=o-2&customer=c-1"));
        assert!(!includes("type=order.deleted"));
        assert!(!includes("customer=c-2"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let pointers = |query: &str| -> Vec<String> {
            let faults = Wishes::parse(query, &menu())
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
