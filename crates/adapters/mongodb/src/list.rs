//! Translation of list queries into filters and sorts, and the indexes that serve them.

use bakehouse_engine::ports::{ListQuery, SortKey};
use bakehouse_engine::{Facet, Position};
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use crate::convert::{date, integer};

const NUMBER: &str = "_meta.number";
const POSITION: &str = "_meta.position";
const CREATED_AT: &str = "_meta.created_at";
const OWNER: &str = "_meta.owner";
const LISTED: &str = "_meta.listed";

/// Returns one index for each entry point of a list (all, by owner, by facet, by last change), and
/// one that leads from creation times to numbers.
pub(crate) fn indexes(facets: &[Facet]) -> Vec<IndexModel> {
    let plain = |keys: Document| IndexModel::builder().keys(keys).build();
    let owned = IndexOptions::builder()
        .partial_filter_expression(doc! { OWNER: { "$type": "string" } })
        .build();
    let mut indexes = vec![
        plain(doc! { LISTED: 1, NUMBER: -1 }),
        plain(doc! { LISTED: 1, POSITION: -1 }),
        plain(doc! { CREATED_AT: 1, NUMBER: 1 }),
        IndexModel::builder()
            .keys(doc! { OWNER: 1, LISTED: 1, NUMBER: -1 })
            .options(owned)
            .build(),
    ];
    indexes.extend(
        facets
            .iter()
            .map(|facet| plain(doc! { LISTED: 1, facet.member: 1, NUMBER: -1 })),
    );
    indexes
}

/// Query for one page of a list.
pub(crate) struct Page {
    pub(crate) filter: Document,
    pub(crate) sort: Document,
    pub(crate) limit: i64,
}

impl Page {
    /// Selects one document, listed or not.
    pub(crate) fn of_one(id: &str) -> Self {
        Self {
            filter: doc! { "_id": id },
            sort: doc! {},
            limit: 1,
        }
    }

    /// Selects the listed documents with these numbers.
    pub(crate) fn of_numbers(numbers: &[Position]) -> Self {
        let numbers: Vec<i64> = numbers.iter().copied().map(integer).collect();
        Self {
            filter: doc! { LISTED: true, NUMBER: { "$in": numbers } },
            sort: doc! {},
            limit: 0,
        }
    }

    /// Translates a list query, except for its time range, which [`edges`] turns into a range of
    /// numbers.
    pub(crate) fn of(query: &ListQuery) -> Self {
        let mut filter = doc! { LISTED: true };
        if let Some(owner) = &query.owner {
            filter.insert(OWNER, owner);
        }
        for (facet, wanted) in &query.facets {
            filter.insert(facet.member, wanted);
        }
        let key = match query.sort.by {
            SortKey::Created => NUMBER,
            SortKey::Updated => POSITION,
        };
        let descending = query.sort.descending;
        if let Some(past) = query.past {
            let beyond = if descending { "$lt" } else { "$gt" };
            filter.insert(key, doc! { beyond: integer(past) });
        }
        Self {
            filter,
            sort: doc! { key: if descending { -1 } else { 1 } },
            limit: i64::try_from(query.limit).unwrap_or(i64::MAX),
        }
    }

    /// Excludes the documents beyond this number on one side.
    pub(crate) fn limit_to(&mut self, side: Side, number: Position) {
        let operator = match side {
            Side::Lowest => "$gte",
            Side::Highest => "$lte",
        };
        // In `$and`, since the filter may have a condition on the number already.
        let condition = doc! { NUMBER: { operator: integer(number) } };
        match self.filter.get_array_mut("$and") {
            Ok(conditions) => conditions.push(condition.into()),
            Err(_) => {
                self.filter.insert("$and", vec![condition]);
            }
        }
    }
}

/// Query for the number at one end of a time range.
///
/// Creation times never decrease along the numbers, so a time range is a range of numbers, and a
/// list needs no order other than that of its page.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) side: Side,
    pub(crate) filter: Document,
    pub(crate) sort: Document,
}

#[derive(Clone, Copy)]
pub(crate) enum Side {
    Lowest,
    Highest,
}

/// Returns the ends of the time range of a list query.
pub(crate) fn edges(query: &ListQuery) -> Vec<Edge> {
    let lowest = query.created_after.map(|time| Edge {
        side: Side::Lowest,
        filter: doc! { CREATED_AT: { "$gt": date(time) } },
        sort: doc! { CREATED_AT: 1, NUMBER: 1 },
    });
    let highest = query.created_before.map(|time| Edge {
        side: Side::Highest,
        filter: doc! { CREATED_AT: { "$lt": date(time) } },
        sort: doc! { CREATED_AT: -1, NUMBER: -1 },
    });
    lowest.into_iter().chain(highest).collect()
}
