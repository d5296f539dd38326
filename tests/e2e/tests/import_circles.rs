//! No crate has an import circle: files that import each other, directly or through others, can
//! only be read and changed together. A re-export is no import; what a file names in its own
//! code is, by `use` or by a path that begins with `crate`, `self` or `super`. Test modules
//! inside a file are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use bakehouse_e2e::repository;

/// Names of the modules that lead to a module or an item.
type ModulePath<'a> = Vec<&'a str>;

/// Imported names by importing file and imported file.
type Imports<'a> = BTreeMap<&'a str, BTreeMap<&'a str, BTreeSet<String>>>;

/// Tokens of a test module.
const TEST_MODULE: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];

#[test]
fn no_crate_has_an_import_circle() {
    let files = repository::files(&["rs"]);
    let roots = files.iter().filter_map(|(name, _)| {
        let root = name.strip_suffix("lib.rs");
        root.or_else(|| name.strip_suffix("main.rs"))
    });
    let roots: BTreeSet<&str> = roots.filter(|root| root.ends_with('/')).collect();
    assert!(roots.contains("crates/engine/src/"), "{roots:?}");
    let circles: Vec<String> = roots
        .into_iter()
        .flat_map(|root| circles(&Crate::read(root, &files)))
        .collect();
    assert!(
        circles.is_empty(),
        "{} import circles. To mend one, move what both files need into a leaf module, which \
         imports neither.\n\n{}",
        circles.len(),
        circles.join("\n\n")
    );
}

/// Describes each import circle of a crate: its files, and the names that tie them.
fn circles(one: &Crate<'_>) -> Vec<String> {
    let imports = one.imports();
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports
        .keys()
        .map(|file| (*file, reached(file, &imports)))
        .collect();
    let circle = |file: &&str| -> BTreeSet<&str> {
        let others = reached[file].iter().copied();
        let is_back = |other: &&str| reached.get(other).is_some_and(|all| all.contains(file));
        others.filter(is_back).collect()
    };
    let circles: BTreeSet<BTreeSet<&str>> = imports.keys().map(circle).collect();
    let circles = circles.into_iter().filter(|circle| !circle.is_empty());
    let describe = |circle: BTreeSet<&str>| {
        let mut lines = vec![format!("{} files import each other:", circle.len())];
        for from in &circle {
            for (to, names) in imports[from].iter().filter(|(to, _)| circle.contains(*to)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                lines.push(format!("  {from} -> {to}: {}", names.join(", ")));
            }
        }
        lines.join("\n")
    };
    circles.map(describe).collect()
}

/// Returns the files that a file imports, directly or through others.
fn reached<'a>(file: &str, imports: &Imports<'a>) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let mut open = vec![file];
    while let Some(next) = open.pop() {
        let targets = imports.get(next).into_iter().flat_map(BTreeMap::keys);
        for target in targets.copied() {
            if all.insert(target) {
                open.push(target);
            }
        }
    }
    all
}

/// Files and paths of a crate.
struct Crate<'a> {
    /// File of each module.
    modules: BTreeMap<ModulePath<'a>, &'a str>,
    sources: Vec<(&'a str, Source<'a>)>,
    /// Paths of re-exported names, by module and name.
    re_exports: BTreeMap<(ModulePath<'a>, &'a str), ModulePath<'a>>,
}

impl<'a> Crate<'a> {
    fn read(root: &str, files: &'a [(String, String)]) -> Self {
        let mut one = Self {
            modules: BTreeMap::new(),
            sources: Vec::new(),
            re_exports: BTreeMap::new(),
        };
        for (file, text) in files {
            let Some(name) = file.strip_prefix(root) else {
                continue;
            };
            let mut module: ModulePath<'_> = name.trim_end_matches(".rs").split('/').collect();
            module.pop_if(|last| matches!(*last, "mod" | "lib" | "main"));
            let source = Source::read(&module, &tokens(text));
            for inline in &source.modules {
                one.modules.insert(inline.clone(), file);
            }
            // A program next to a library uses it by its name, as any other crate does.
            if name == "lib.rs" || !one.modules.contains_key(&module) {
                one.modules.insert(module, file);
            }
            one.sources.push((file, source));
        }
        let re_exports = one.sources.iter().flat_map(|(_, source)| &source.mentions);
        let re_exports: Vec<_> = re_exports
            .filter(|mention| mention.is_re_export)
            .filter_map(|mention| {
                let path = one.absolute(&mention.module, &mention.path)?;
                Some(((mention.module.clone(), mention.name), path))
            })
            .collect();
        one.re_exports.extend(re_exports);
        one
    }

    /// Returns all imports from other files of the crate.
    fn imports(&self) -> Imports<'a> {
        let mut imports = Imports::new();
        for (file, source) in &self.sources {
            for mention in &source.mentions {
                if mention.is_re_export && !source.words.contains(mention.name) {
                    continue;
                }
                let path = self.absolute(&mention.module, &mention.path);
                let target = path.and_then(|path| self.file(path, 0));
                if let Some(target) = target.filter(|target| target != file) {
                    let names = imports.entry(*file).or_default().entry(target).or_default();
                    names.insert(mention.path.join("::"));
                }
            }
        }
        imports
    }

    /// Returns a path from the root of the crate; `None` for a path to another crate.
    fn absolute(&self, module: &[&'a str], path: &[&'a str]) -> Option<ModulePath<'a>> {
        let (first, rest) = path.split_first()?;
        let (base, rest) = match *first {
            "crate" => (&[][..], rest),
            "self" => (module, rest),
            "super" => {
                let ups = path.iter().take_while(|part| **part == "super").count();
                (&module[..module.len().checked_sub(ups)?], &path[ups..])
            }
            child => {
                let is_child = self.modules.contains_key(&[module, &[child]].concat());
                is_child.then_some((module, path))?
            }
        };
        Some([base, rest].concat())
    }

    /// Returns the file that defines what is at a path, re-exports followed.
    fn file(&self, path: ModulePath<'a>, depth: usize) -> Option<&'a str> {
        let (module, rest) = (0..=path.len())
            .rev()
            .map(|length| path.split_at(length))
            .find(|(module, _)| self.modules.contains_key(*module))?;
        let name = rest.first().copied().unwrap_or_default();
        match self.re_exports.get(&(module.to_vec(), name)) {
            Some(target) if depth < 8 && *target != path => {
                self.file([target, &rest[1..]].concat(), depth + 1)
            }
            _ => self.modules.get(module).copied(),
        }
    }
}

/// A path that a file names.
struct Mention<'a> {
    /// Module that names it.
    module: ModulePath<'a>,
    path: ModulePath<'a>,
    /// Name under which it is known in the module.
    name: &'a str,
    is_re_export: bool,
}

/// Content of a file.
#[derive(Default)]
struct Source<'a> {
    mentions: Vec<Mention<'a>>,
    /// Modules that are written out in the file.
    modules: Vec<ModulePath<'a>>,
    /// Words outside of imports.
    words: BTreeSet<&'a str>,
}

impl<'a> Source<'a> {
    fn read(module: &[&'a str], tokens: &[&'a str]) -> Self {
        let mut source = Self::default();
        source.read_module(module, tokens);
        source
    }

    fn read_module(&mut self, module: &[&'a str], tokens: &[&'a str]) {
        let mut is_public = false;
        let mut rest = tokens;
        while let Some((first, after)) = rest.split_first() {
            let is_re_export = std::mem::take(&mut is_public);
            rest = match rest {
                _ if rest.starts_with(&TEST_MODULE) && rest.get(9) == Some(&"{") => {
                    &rest[9 + block(&rest[9..])..]
                }
                ["mod", name, "{", ..] => {
                    let end = 2 + block(&rest[2..]);
                    let inner = [module, &[*name]].concat();
                    self.read_module(&inner, &rest[3..end]);
                    self.modules.push(inner);
                    &rest[end..]
                }
                ["pub", "(", ..] => {
                    is_public = true;
                    let end = rest.iter().position(|token| *token == ")");
                    &rest[end.map_or(rest.len(), |end| end + 1)..]
                }
                ["pub", ..] => {
                    is_public = true;
                    after
                }
                // Not the `use<…>` of a bound.
                ["use", next, ..] if *next != "<" => {
                    let mut found = Vec::new();
                    let left = read_tree(after, ModulePath::new(), &mut found);
                    self.mentions
                        .extend(found.into_iter().map(|(path, name)| Mention {
                            module: module.to_vec(),
                            path,
                            name,
                            is_re_export,
                        }));
                    left
                }
                ["crate" | "self" | "super", "::", ..] => {
                    let mut path = vec![*first];
                    let mut left = after;
                    while let ["::", name, ..] = left
                        && name.starts_with(is_word)
                    {
                        path.push(*name);
                        left = &left[2..];
                    }
                    self.words.extend(&path);
                    self.mentions.push(Mention {
                        module: module.to_vec(),
                        name: path[path.len() - 1],
                        path,
                        is_re_export: false,
                    });
                    left
                }
                _ => {
                    self.words.insert(*first);
                    after
                }
            };
        }
    }
}

/// Reads the paths of a `use` and their names. Returns the tokens after it.
fn read_tree<'t, 'a>(
    mut rest: &'t [&'a str],
    mut path: ModulePath<'a>,
    into: &mut Vec<(ModulePath<'a>, &'a str)>,
) -> &'t [&'a str] {
    loop {
        match rest {
            ["{", inner @ ..] => {
                rest = inner;
                while !matches!(rest, [] | ["}", ..]) {
                    rest = read_tree(rest, path.clone(), into);
                    rest = rest.strip_prefix(&[","]).unwrap_or(rest);
                }
                return rest.get(1..).unwrap_or_default();
            }
            ["::", left @ ..] if !path.is_empty() => rest = left,
            ["as", name, left @ ..] => {
                into.push((path, name));
                return left;
            }
            // The module itself.
            ["self", left @ ..] if !path.is_empty() => rest = left,
            ["*", left @ ..] => {
                into.push((path, "*"));
                return left;
            }
            [word, left @ ..] if word.starts_with(is_word) => {
                path.push(*word);
                rest = left;
            }
            _ => {
                if let Some(name) = path.last().copied() {
                    into.push((path, name));
                }
                // At the end of the tree, or in what this cannot read.
                return match rest {
                    [] | ["," | "}", ..] => rest,
                    [_, left @ ..] => left,
                };
            }
        }
    }
}

/// Returns the number of tokens up to the brace that closes the one they begin with.
fn block(tokens: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "{" => depth += 1,
            "}" if depth <= 1 => return index + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// Splits code into words, `::`, and other single characters. Drops comments and literals.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (length, is_code) = first_token(rest);
        let (token, left) = rest.split_at(length);
        tokens.extend(is_code.then_some(token));
        rest = left;
    }
    tokens
}

/// Returns the length of the token that a text begins with, and whether it is code.
fn first_token(text: &str) -> (usize, bool) {
    let end = |from: usize, end: &str| {
        let found = text.get(from..).and_then(|left| left.find(end));
        found.map_or(text.len(), |at| from + at + end.len())
    };
    let first = text.chars().next().unwrap_or_default();
    let word = text.find(|letter| !is_word(letter)).unwrap_or(text.len());
    if text.starts_with("//") {
        (end(2, "\n"), false)
    } else if text.starts_with("/*") {
        (end(2, "*/"), false)
    } else if let Some(length) = raw_string(text) {
        (length, false)
    } else if first == '"' {
        (string(text), false)
    } else if let Some(escaped) = text.strip_prefix("'\\") {
        let escaped = escaped.chars().next().map_or(0, char::len_utf8);
        (end(2 + escaped, "'"), false)
    } else if first == '\'' {
        let mut letters = text[1..].chars();
        let (letter, next) = (letters.next().unwrap_or_default(), letters.next());
        let lifetime = text[1..].find(|letter| !is_word(letter));
        match next {
            Some('\'') => (2 + letter.len_utf8(), false),
            _ => (lifetime.map_or(text.len(), |length| 1 + length), false),
        }
    } else if word > 0 {
        (word, true)
    } else if text.starts_with("::") {
        (2, true)
    } else {
        (first.len_utf8(), !first.is_whitespace())
    }
}

/// Returns the length of the raw string that a text begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let prefixes = ["r", "br", "cr"].into_iter();
    let hashed = prefixes.filter_map(|prefix| text.strip_prefix(prefix));
    let (hashes, body) = hashed
        .filter_map(|hashed| {
            let body = hashed.trim_start_matches('#');
            Some((hashed.len() - body.len(), body.strip_prefix('"')?))
        })
        .next()?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + length)
}

/// Returns the length of the string that a text begins with.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, letter) in text.char_indices().skip(1) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Describes the import circles of a crate with these files.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (format!("src/{name}"), (*text).to_owned()))
        .collect();
    circles(&Crate::read("src/", &files))
}

#[test]
fn a_circle_is_found_with_the_names_that_tie_it() {
    let found = circles_of(&[
        ("lib.rs", "mod a;\npub mod b;\npub use a::Item;"),
        ("a.rs", "use crate::b::{self, c::Depth};\npub struct Item;"),
        ("b/mod.rs", "pub mod c;\nfn size() -> super::Item {}"),
        ("b/c.rs", "use crate::Item as One;\npub struct Depth;"),
    ]);
    let expected = "3 files import each other:\n  \
                    src/a.rs -> src/b/c.rs: crate::b::c::Depth\n  \
                    src/a.rs -> src/b/mod.rs: crate::b\n  \
                    src/b/c.rs -> src/a.rs: crate::Item\n  \
                    src/b/mod.rs -> src/a.rs: super::Item";
    assert_eq!(found, [expected]);
}

#[test]
fn re_exports_tests_and_texts_are_no_imports() {
    let item = "use super::lib_item;\npub struct Item;";
    let lib = "mod a;\npub use a::Item;\npub fn lib_item() {}";
    let names = [
        "",
        "// use a::Item;\n",
        "/* Item */",
        "const TEXT: &str = \"\\\"Item\";",
        "const TEXT: &str = r#\"Item\"#; const QUOTE: char = '\\''; const OTHER: char = '\"';",
        "#[cfg(test)]\nmod tests {\n    use super::a::Item;\n}",
    ];
    for more in names {
        let lib = format!("{lib}\n{more}\n");
        let found = circles_of(&[("lib.rs", &lib), ("a.rs", item)]);
        assert!(found.is_empty(), "{lib}: {found:?}");
    }
    for more in [
        "pub fn one<'a>() -> Item {}",
        "use crate::a::Item as Other;",
        "fn other() { crate::a::other() }",
        "mod inner { use super::a::Item; }",
        "#[cfg(test)]\nmod tests { fn one() {} }\nuse a::Other;",
        "pub mod inner { pub fn one() {} }\nuse a::Other;",
    ] {
        let lib = format!("{lib}\n{more}\n");
        let found = circles_of(&[("lib.rs", &lib), ("a.rs", item)]);
        assert_eq!(found.len(), 1, "{lib}");
    }
}
