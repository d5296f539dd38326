//! Conditional requests (RFC 9110, section 13). An entity's tag is its
//! version in quotes, so that any document that has been seen, in a list or on
//! the feed, can be the base of a change.

use actix_web::HttpRequest;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use crate::response::problem::{InputFault, Problem};

/// Tags that a condition may list.
const MAX_TAGS: usize = 100;

/// The entity tag of a document of this version.
#[must_use]
pub fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// As an answer's header.
#[must_use]
pub fn etag(tag: &str) -> (HeaderName, String) {
    (ETAG, tag.to_owned())
}

/// A header's text, all of its lines together; `None` if there is none.
#[must_use]
pub fn header(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    let lines = request.headers().get_all(name);
    // What is no text becomes something that is nothing in any header of ours.
    let text = |line: &HeaderValue| String::from_utf8_lossy(line.as_bytes()).into_owned();
    let texts: Vec<String> = lines.map(text).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Tells whether the client has what is tagged so: weak tags count as well. A list that cannot be
/// read names nothing.
#[must_use]
pub fn is_known(request: &HttpRequest, tag: &str) -> bool {
    let known = header(request, &IF_NONE_MATCH).and_then(|text| Tags::parse(&text));
    match known {
        Some(Tags::Any) => true,
        Some(Tags::Listed(tags)) => tags.iter().any(|known| known.quoted == tag),
        None => false,
    }
}

/// State of the entity that a change is aimed at, as far as conditions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// It is at this version, or was a moment ago.
    Version(u64),
    /// It exists; at which version cannot be said right now.
    Unknown,
    /// It exists, and has no entity tag.
    Untagged,
    /// It does not exist yet.
    Absent,
}

/// The conditions of a change: `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

impl Conditions {
    /// The conditions of a request.
    ///
    /// # Errors
    /// 400 for a header that is no list of entity tags.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let tags = |name: &HeaderName, pointer: &str| {
            let text = header(request, name);
            let tags = text.map(|text| Tags::parse(&text).ok_or_else(|| not_tags(pointer)));
            tags.transpose()
        };
        Ok(Self {
            matches: tags(&IF_MATCH, "/header/If-Match")?,
            none_matches: tags(&IF_NONE_MATCH, "/header/If-None-Match")?,
        })
    }

    /// Tells whether it takes a look at what is there to tell what they come to.
    #[must_use]
    pub(crate) fn need_a_look(&self) -> bool {
        self.none_matches.is_some() || self.resolve(Current::Unknown).is_err()
    }

    /// The version that the change has to be carried out on for the conditions to hold; `None`:
    /// any. Versions only rise, so what cannot hold now never will.
    ///
    /// # Errors
    /// 412 when they do not hold; 503 when that depends on a version that is not known.
    pub fn resolve(&self, current: Current) -> Result<Option<u64>, Problem> {
        let wanted = self.wanted(current)?;
        let avoided = self.avoided(current)?;
        Ok(wanted.or(avoided))
    }

    /// Tells whether these conditions may have come to this version.
    pub(crate) fn admit(&self, version: Option<u64>) -> bool {
        let listed = |tags: &Option<Tags>| match tags {
            Some(Tags::Listed(tags)) => tags.iter().filter_map(Tag::version).collect(),
            _ => Vec::new(),
        };
        match (&self.matches, version) {
            (Some(Tags::Listed(_)), Some(version)) => {
                let mut strong = self.strong_versions();
                strong.any(|one| one == version)
            }
            (Some(Tags::Listed(_)), None) => false,
            (_, None) => true,
            (_, Some(version)) => {
                let avoided: Vec<u64> = listed(&self.none_matches);
                !avoided.contains(&version) && avoided.iter().any(|one| *one > version)
            }
        }
    }

    fn strong_versions(&self) -> impl Iterator<Item = u64> + '_ {
        let tags = match &self.matches {
            Some(Tags::Listed(tags)) => tags.as_slice(),
            _ => &[],
        };
        // Changes are based on exactly what was seen (RFC 9110, section 8.8.3.2).
        let strong = tags.iter().filter(|tag| !tag.is_weak);
        strong.filter_map(Tag::version)
    }

    /// Evaluates `If-Match`.
    fn wanted(&self, current: Current) -> Result<Option<u64>, Problem> {
        match (&self.matches, current) {
            (None, _) => return Ok(None),
            (Some(_), Current::Absent) => {
                let detail = "If-Match names a version of what does not exist yet";
                return Err(Problem::unmatched(detail));
            }
            (Some(Tags::Any), _) => return Ok(None),
            (Some(Tags::Listed(_)), _) => {}
        }
        let nothing = || Problem::unmatched("If-Match names no version that this could have");
        let mut versions: Vec<u64> = self.strong_versions().collect();
        versions.sort_unstable();
        versions.dedup();
        match (versions.as_slice(), current) {
            ([], _) | (_, Current::Untagged | Current::Absent) => Err(nothing()),
            (_, Current::Version(now)) => {
                // It may be there by the time that the change is carried out.
                let next = versions.iter().find(|version| **version >= now);
                next.copied()
                    .map(Some)
                    .ok_or_else(|| Problem::precondition_failed(now))
            }
            ([only], Current::Unknown) => Ok(Some(*only)),
            (_, Current::Unknown) => Err(unknown()),
        }
    }

    /// Evaluates `If-None-Match`.
    fn avoided(&self, current: Current) -> Result<Option<u64>, Problem> {
        let tags = match (&self.none_matches, current) {
            (None, _) | (_, Current::Absent) => return Ok(None),
            (Some(Tags::Any), Current::Version(now)) => return Err(exists(now)),
            (Some(Tags::Any), _) => {
                let detail = "it exists, and If-None-Match says that it must not";
                return Err(Problem::unmatched(detail));
            }
            (Some(Tags::Listed(tags)), _) => tags,
        };
        let versions: Vec<u64> = tags.iter().filter_map(Tag::version).collect();
        match current {
            Current::Version(now) if versions.contains(&now) => Err(exists(now)),
            // It could be at one of them by the time that the change is carried out.
            Current::Version(now) if versions.iter().any(|one| *one > now) => Ok(Some(now)),
            Current::Unknown if !versions.is_empty() => Err(unknown()),
            _ => Ok(None),
        }
    }
}

fn exists(version: u64) -> Problem {
    let detail = format!("it is at version {version}, which If-None-Match names");
    Problem::unmatched(&detail).with("version", version.into())
}

fn unknown() -> Problem {
    Problem::unavailable("the version that the condition depends on cannot be read right now")
}

fn not_tags(pointer: &str) -> Problem {
    let detail = format!(
        "expected * or up to {MAX_TAGS} entity tags as given in an ETag header, such as \"3\", \
         \"4\""
    );
    Problem::invalid(vec![InputFault {
        pointer: pointer.to_owned(),
        detail,
    }])
}

/// Entity tags that a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever there is.
    Any,
    /// These.
    Listed(Vec<Tag>),
}

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// As in an `ETag` header, without `W/`.
    quoted: String,
}

impl Tags {
    /// Reads a list (RFC 9110, sections 5.6.1 and 8.8.3). Commas may be within tags, and empty
    /// elements between them; of nothing but those it names nothing.
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        if rest == "*" {
            return Some(Self::Any);
        }
        let mut tags = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return (tags.len() <= MAX_TAGS).then_some(Self::Listed(tags));
            }
            let (is_weak, opaque) = match rest.strip_prefix("W/") {
                Some(opaque) => (true, opaque),
                None => (false, rest),
            };
            let end = opaque.strip_prefix('"')?.find('"')? + 2;
            let quoted = &opaque[..end];
            if quoted.chars().any(|c| c <= ' ' || c == '\u{7f}') {
                return None;
            }
            tags.push(Tag {
                is_weak,
                quoted: quoted.to_owned(),
            });
            rest = opaque[end..].trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
    }
}

impl Tag {
    /// The version that has this tag, written exactly so.
    fn version(&self) -> Option<u64> {
        let version = self.quoted.trim_matches('"').parse().ok()?;
        (tag(version) == self.quoted).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn conditions(headers: &[(&'static str, &str)]) -> Result<Conditions, Problem> {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header(*header);
        }
        Conditions::of(&request.to_http_request())
    }

    /// The version that it comes to, or the status.
    fn resolve(headers: &[(&'static str, &str)], current: Current) -> Result<Option<u64>, u16> {
        let conditions = conditions(headers).map_err(|problem| problem.status_code().as_u16())?;
        let resolved = conditions.resolve(current);
        if let Ok(version) = resolved {
            assert!(conditions.admit(version), "{headers:?}");
        }
        resolved.map_err(|problem| problem.status_code().as_u16())
    }

    #[test]
    fn if_match_is_a_list_of_texts() {
        let at = |text, version| resolve(&[("If-Match", text)], Current::Version(version));
        assert_eq!(at("\"3\"", 3), Ok(Some(3)));
        assert_eq!(at("\"2\", \"3\"", 3), Ok(Some(3)));
        assert_eq!(at("\"3\",\"2\"", 3), Ok(Some(3)));
        assert_eq!(at(" , \"2\" ,, \"3\" ,", 3), Ok(Some(3)));
        assert_eq!(at("\"a,b\", \"3\"", 3), Ok(Some(3)));
        assert_eq!(at("*", 3), Ok(None));
        // It may come to that.
        assert_eq!(at("\"9\"", 3), Ok(Some(9)));
        assert_eq!(at("\"1\", \"9\"", 3), Ok(Some(9)));
        for text in [
            "\"2\"",
            "\"1\", \"2\"",
            "W/\"3\"",
            "W/\"3\", \"2\"",
            "\"03\"",
            "\"+3\"",
            "\"3 \"",
            "\"\"",
            "\"three\"",
            "\"99999999999999999999\"",
            "",
            ",",
        ] {
            let expected = if text == "\"3 \"" { 400 } else { 412 };
            assert_eq!(at(text, 3), Err(expected), "{text}");
        }
        for text in [
            "3",
            "two",
            "\"3",
            "3\"",
            "\"3\" \"4\"",
            "*, \"3\"",
            "w/\"3\"",
            "W/3",
            "\"3\"x",
        ] {
            assert_eq!(at(text, 3), Err(400), "{text}");
        }
        let lines = [("If-Match", "\"2\""), ("If-Match", "\"3\"")];
        assert_eq!(resolve(&lines, Current::Version(3)), Ok(Some(3)));
        let lines = [("If-Match", "*"), ("If-Match", "\"3\"")];
        assert_eq!(resolve(&lines, Current::Version(3)), Err(400));
    }

    #[test]
    fn if_none_match_is_refused_by_what_is_there() {
        let at = |text, version| resolve(&[("If-None-Match", text)], Current::Version(version));
        assert_eq!(at("*", 3), Err(412));
        assert_eq!(at("\"3\"", 3), Err(412));
        assert_eq!(at("W/\"3\"", 3), Err(412));
        assert_eq!(at("\"1\", W/\"3\"", 3), Err(412));
        assert_eq!(at("\"03\"", 3), Ok(None));
        // It never comes back to that.
        assert_eq!(at("\"2\"", 3), Ok(None));
        // It may come to that before the change is carried out.
        assert_eq!(at("\"4\"", 3), Ok(Some(3)));
        assert_eq!(at("3", 3), Err(400));
        for (text, outcome) in [("*", Ok(None)), ("\"3\"", Ok(None))] {
            let new = resolve(&[("If-None-Match", text)], Current::Absent);
            assert_eq!(new, outcome, "{text}");
        }
        let both = [("If-Match", "\"3\""), ("If-None-Match", "\"4\"")];
        assert_eq!(resolve(&both, Current::Version(3)), Ok(Some(3)));
        let both = [("If-Match", "\"3\""), ("If-None-Match", "*")];
        assert_eq!(resolve(&both, Current::Version(3)), Err(412));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let at = |name, text, current| resolve(&[(name, text)], current);
        let (matches, none) = ("If-Match", "If-None-Match");
        assert_eq!(at(matches, "\"3\"", Current::Unknown), Ok(Some(3)));
        assert_eq!(at(matches, "\"3\", \"4\"", Current::Unknown), Err(503));
        assert_eq!(at(matches, "\"a\"", Current::Unknown), Err(412));
        assert_eq!(at(matches, "*", Current::Unknown), Ok(None));
        assert_eq!(at(none, "\"3\"", Current::Unknown), Err(503));
        assert_eq!(at(none, "\"a\"", Current::Unknown), Ok(None));
        assert_eq!(at(none, "*", Current::Unknown), Err(412));
        for current in [Current::Untagged, Current::Absent] {
            assert_eq!(at(matches, "\"3\"", current), Err(412));
            assert_eq!(at(none, "\"3\"", current), Ok(None));
        }
        assert_eq!(at(matches, "*", Current::Untagged), Ok(None));
        assert_eq!(at(matches, "*", Current::Absent), Err(412));
        assert_eq!(at(none, "*", Current::Untagged), Err(412));
        let needs = |name, text: &str| conditions(&[(name, text)]).expect("tags").need_a_look();
        assert!(!needs(matches, "\"3\"") && !needs(matches, "*"));
        assert!(needs(matches, "\"3\", \"4\"") && needs(none, "*") && needs(none, "\"3\""));
        assert!(!Conditions::default().need_a_look());
    }

    #[test]
    fn lists_are_bounded() {
        let most = vec!["\"3\""; MAX_TAGS].join(",");
        assert!(conditions(&[("If-Match", &most)]).is_ok());
        let more = vec!["\"3\""; MAX_TAGS + 1].join(",");
        assert!(conditions(&[("If-Match", &more)]).is_err());
    }

    proptest! {
        /// Lists are read back as they were written.
        #[test]
        fn lists_are_read_back(tags in proptest::collection::vec((any::<bool>(), "[!#-~é]{0,5}"), 1..6)) {
            let written: Vec<String> = tags
                .iter()
                .map(|(is_weak, opaque)| format!("{}\"{opaque}\"", if *is_weak { "W/" } else { "" }))
                .collect();
            let expected = tags.into_iter().map(|(is_weak, opaque)| Tag {
                is_weak,
                quoted: format!("\"{opaque}\""),
            });
            let expected = Some(Tags::Listed(expected.collect()));
            prop_assert_eq!(Tags::parse(&written.join(", ")), expected.clone());
            prop_assert_eq!(Tags::parse(&written.join(",")), expected);
        }

        /// Whatever stands there is read or refused.
        #[test]
        fn nothing_is_too_odd(text in "[W/\"*, 3é]{0,20}") {
            let _ = Tags::parse(&text);
        }
    }
}
