//! Conditional requests (RFC 9110, section 13). An entity's tag is its version in quotes, so that
//! a document from a list or from the feed can be the base of a change as well.

use actix_web::HttpRequest;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use crate::response::problem::{InputFault, Problem};

/// Maximum number of tags in a condition.
const MAX_TAGS: usize = 100;

/// Entity tag of a document of this version.
#[must_use]
pub fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// `ETag` header with this tag.
#[must_use]
pub fn etag(tag: &str) -> (HeaderName, String) {
    (ETAG, tag.to_owned())
}

/// Text of a header, all of its lines joined by commas; `None` if it is absent.
#[must_use]
pub fn header(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    let lines = request.headers().get_all(name);
    // Invalid UTF-8 becomes a replacement character, which is invalid in all headers read here.
    let text = |line: &HeaderValue| String::from_utf8_lossy(line.as_bytes()).into_owned();
    let texts: Vec<String> = lines.map(text).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Checks whether `If-None-Match` names this tag, by weak comparison. An invalid header names no
/// tag.
#[must_use]
pub fn is_known(request: &HttpRequest, tag: &str) -> bool {
    let known = header(request, &IF_NONE_MATCH).and_then(|text| Tags::parse(&text));
    match known {
        Some(Tags::Any) => true,
        Some(Tags::Listed(tags)) => tags.iter().any(|known| known.quoted == tag),
        None => false,
    }
}

/// State of the entity to be changed, as far as it is relevant to conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// The entity is at this version, or was just before.
    Version(u64),
    /// The entity exists; its version is not known at the moment.
    Unknown,
    /// The entity exists and has no entity tag.
    Untagged,
    /// The entity does not exist yet.
    Absent,
}

/// Conditions of a change: `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

impl Conditions {
    /// Parses the conditions of a request.
    ///
    /// # Errors
    /// 400 for a header that is not a list of entity tags.
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

    /// Checks whether the conditions cannot be resolved without the entity's current version.
    #[must_use]
    pub(crate) fn need_current_version(&self) -> bool {
        self.none_matches.is_some() || self.resolve(Current::Unknown).is_err()
    }

    /// Resolves the conditions to the version that the change must be executed on; `None` for any
    /// version. Versions only increase, so conditions that cannot hold now never will.
    ///
    /// # Errors
    /// 412 when the conditions do not hold; 503 when they depend on an unknown version.
    pub fn resolve(&self, current: Current) -> Result<Option<u64>, Problem> {
        let wanted = self.wanted(current)?;
        let avoided = self.avoided(current)?;
        Ok(wanted.or(avoided))
    }

    /// Checks whether [`Conditions::resolve`] may have returned this version.
    pub(crate) fn admit(&self, version: Option<u64>) -> bool {
        let listed = |tags: &Option<Tags>| match tags {
            Some(Tags::Listed(tags)) => tags.iter().filter_map(Tag::version).collect(),
            _ => Vec::new(),
        };
        match (&self.matches, version) {
            (Some(Tags::Listed(_)), Some(version)) => {
                let mut strong = self.strong_versions();
                strong.any(|candidate| candidate == version)
            }
            (Some(Tags::Listed(_)), None) => false,
            (_, None) => true,
            (_, Some(version)) => {
                let avoided: Vec<u64> = listed(&self.none_matches);
                !avoided.contains(&version) && avoided.iter().any(|avoided| *avoided > version)
            }
        }
    }

    /// Versions that `If-Match` names by strong tags.
    fn strong_versions(&self) -> impl Iterator<Item = u64> + '_ {
        let tags = match &self.matches {
            Some(Tags::Listed(tags)) => tags.as_slice(),
            _ => &[],
        };
        // `If-Match` uses strong comparison (RFC 9110, section 8.8.3.2).
        let strong = tags.iter().filter(|tag| !tag.is_weak);
        strong.filter_map(Tag::version)
    }

    /// Evaluates `If-Match`.
    fn wanted(&self, current: Current) -> Result<Option<u64>, Problem> {
        match (&self.matches, current) {
            (None, _) => return Ok(None),
            (Some(_), Current::Absent) => {
                let detail = "If-Match: the entity does not exist yet";
                return Err(Problem::condition_not_met(detail));
            }
            (Some(Tags::Any), _) => return Ok(None),
            (Some(Tags::Listed(_)), _) => {}
        }
        let unmatched =
            || Problem::condition_not_met("If-Match: no tag is a version of this entity");
        let mut versions: Vec<u64> = self.strong_versions().collect();
        versions.sort_unstable();
        versions.dedup();
        match (versions.as_slice(), current) {
            ([], _) | (_, Current::Untagged | Current::Absent) => Err(unmatched()),
            (_, Current::Version(now)) => {
                // The entity may reach a later version before the change is executed.
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
                let detail = "If-None-Match: the entity exists";
                return Err(Problem::condition_not_met(detail));
            }
            (Some(Tags::Listed(tags)), _) => tags,
        };
        let versions: Vec<u64> = tags.iter().filter_map(Tag::version).collect();
        match current {
            Current::Version(now) if versions.contains(&now) => Err(exists(now)),
            // The entity could reach an avoided version before the change is executed.
            Current::Version(now) if versions.iter().any(|avoided| *avoided > now) => Ok(Some(now)),
            Current::Unknown if !versions.is_empty() => Err(unknown()),
            _ => Ok(None),
        }
    }
}

fn exists(version: u64) -> Problem {
    let detail = format!("If-None-Match: the entity is at version {version}");
    Problem::condition_not_met(&detail).with("version", version.into())
}

fn unknown() -> Problem {
    Problem::unavailable("the version that the condition depends on cannot be read at the moment")
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

/// Entity tags of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`: any version.
    Any,
    /// List of tags.
    Listed(Vec<Tag>),
}

/// Entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// Tag as in an `ETag` header, without `W/`.
    quoted: String,
}

impl Tags {
    /// Parses `*` or a list of tags (RFC 9110, sections 5.6.1 and 8.8.3); `None` if it is invalid.
    /// Tags may contain commas, and the list may contain empty elements.
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
    /// Version with exactly this tag, if any.
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

    /// Resolved version, or the problem's status.
    fn resolve(headers: &[(&'static str, &str)], current: Current) -> Result<Option<u64>, u16> {
        let conditions = conditions(headers).map_err(|problem| problem.status_code().as_u16())?;
        let resolved = conditions.resolve(current);
        if let Ok(version) = resolved {
            assert!(conditions.admit(version), "{headers:?}");
        }
        resolved.map_err(|problem| problem.status_code().as_u16())
    }

    #[test]
    fn if_match_compares_tags_as_texts() {
        let at = |text, version| resolve(&[("If-Match", text)], Current::Version(version));
        assert_eq!(at("\"3\"", 3), Ok(Some(3)));
        assert_eq!(at("\"2\", \"3\"", 3), Ok(Some(3)));
        assert_eq!(at("\"3\",\"2\"", 3), Ok(Some(3)));
        assert_eq!(at(" , \"2\" ,, \"3\" ,", 3), Ok(Some(3)));
        assert_eq!(at("\"a,b\", \"3\"", 3), Ok(Some(3)));
        assert_eq!(at("*", 3), Ok(None));
        // The entity may reach that version.
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
    fn if_none_match_fails_for_the_current_version() {
        let at = |text, version| resolve(&[("If-None-Match", text)], Current::Version(version));
        assert_eq!(at("*", 3), Err(412));
        assert_eq!(at("\"3\"", 3), Err(412));
        assert_eq!(at("W/\"3\"", 3), Err(412));
        assert_eq!(at("\"1\", W/\"3\"", 3), Err(412));
        assert_eq!(at("\"03\"", 3), Ok(None));
        // The entity never returns to that version.
        assert_eq!(at("\"2\"", 3), Ok(None));
        // The entity may reach that version before the change is executed.
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
    fn unknown_versions_are_not_guessed() {
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
        let needs = |name, text: &str| {
            let conditions = conditions(&[(name, text)]).expect("tags");
            conditions.need_current_version()
        };
        assert!(!needs(matches, "\"3\"") && !needs(matches, "*"));
        assert!(needs(matches, "\"3\", \"4\"") && needs(none, "*") && needs(none, "\"3\""));
        assert!(!Conditions::default().need_current_version());
    }

    #[test]
    fn lists_are_limited() {
        let longest = vec!["\"3\""; MAX_TAGS].join(",");
        assert!(conditions(&[("If-Match", &longest)]).is_ok());
        let too_long = vec!["\"3\""; MAX_TAGS + 1].join(",");
        assert!(conditions(&[("If-Match", &too_long)]).is_err());
    }

    proptest! {
        /// A written list is parsed into the same tags.
        #[test]
        fn lists_round_trip(tags in proptest::collection::vec((any::<bool>(), "[!#-~é]{0,5}"), 1..6)) {
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

        /// Any text is parsed or refused without a panic.
        #[test]
        fn any_text_is_parsed_or_refused(text in "[W/\"*, 3é]{0,20}") {
            let _ = Tags::parse(&text);
        }
    }
}
