//! Proves that no two files of a crate import each other in a circle, however long.
//!
//! A file imports every file that defines something it names, whichever re-exports lead there; a
//! `mod` line alone imports nothing. A parent that names an item of its child, be it to re-export
//! it, therefore defines nothing that the child names. Calls of methods are not seen (their
//! files would take types to find), and `#[cfg(test)]` modules are not looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cargo_metadata::TargetKind;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, ItemMod, ItemUse, Lit, Macro, Meta, UseTree};

use crate::context::{Context, Result};

/// Re-exports that lead to re-exports, at most: those that lead to themselves have to end.
const DETOURS_MAX: usize = 16;

/// For each file the files it imports, with the names that it takes from there.
type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// Refuses circles, naming the files of each and the names that tie them.
pub(crate) fn check(cx: &mut Context) -> Result {
    let read = |path: &Path| fs::read_to_string(path);
    let packages = cx.metadata.workspace_packages();
    let targets = packages.iter().flat_map(|package| &package.targets);
    let mut said = String::new();
    for target in targets {
        let is_ours = |kind: &TargetKind| {
            matches!(kind, TargetKind::Bin | TargetKind::Lib | TargetKind::Test)
        };
        if target.kind.iter().any(is_ours) {
            let imports = imports(target.src_path.as_std_path(), &read)?;
            said += &told(&imports, cx.root());
        }
    }
    match said.is_empty() {
        true => Ok(()),
        false => Err(said.into()),
    }
}

/// The names that the files of the crate with this root take from each other.
fn imports(root: &Path, read: &dyn Fn(&Path) -> io::Result<String>) -> Result<Imports> {
    let modules = modules(root, read)?;
    let mut imports = Imports::new();
    for (index, module) in modules.iter().enumerate() {
        let named = module.paths.iter();
        for (home, name) in named.flat_map(|path| homes(&modules, index, path, DETOURS_MAX)) {
            let from = imports.entry(module.file.clone()).or_default();
            if home != module.file {
                from.entry(home).or_default().insert(name);
            }
        }
    }
    Ok(imports)
}

/// A module of a crate, as far as names lead somewhere.
struct Module {
    file: PathBuf,
    /// Where the files of its children are.
    directory: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// The name here, and the path it stands for.
    uses: BTreeMap<String, Vec<String>>,
    /// Modules whose every name is a name here.
    globs: Vec<Vec<String>>,
    /// All paths of more than one word.
    paths: Vec<Vec<String>>,
}

/// All modules of a crate; the first is its root.
fn modules(root: &Path, read: &dyn Fn(&Path) -> io::Result<String>) -> Result<Vec<Module>> {
    let mut reader = Reader::default();
    let directory = root.parent().unwrap_or(root);
    reader.add(root.to_path_buf(), directory.to_path_buf(), None);
    reader.unread.push_back(0);
    while let Some(index) = reader.unread.pop_front() {
        let Some(module) = reader.modules.get_mut(index) else {
            break;
        };
        let text = match read(&module.file) {
            Ok(text) => text,
            Err(_) => {
                module.file = module.directory.join("mod.rs");
                read(&module.file).map_err(|error| format!("{}: {error}", module.file.display()))?
            }
        };
        let file = syn::parse_file(&text)
            .map_err(|error| format!("{}: {error}", module.file.display()))?;
        reader.current = index;
        reader.visit_file(&file);
    }
    Ok(reader.modules)
}

#[derive(Default)]
struct Reader {
    modules: Vec<Module>,
    unread: VecDeque<usize>,
    current: usize,
}

impl Reader {
    fn add(&mut self, file: PathBuf, directory: PathBuf, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            file,
            directory,
            parent,
            children: BTreeMap::new(),
            uses: BTreeMap::new(),
            globs: Vec::new(),
            paths: Vec::new(),
        });
        self.modules.len() - 1
    }

    fn here(&mut self, note: impl FnOnce(&mut Module)) {
        if let Some(module) = self.modules.get_mut(self.current) {
            note(module);
        }
    }

    fn note_path(&mut self, path: &[String]) {
        if path.len() > 1 {
            self.here(|module| module.paths.push(path.to_vec()));
        }
    }

    fn note_use(&mut self, prefix: &[String], tree: &UseTree) {
        let with = |word: String| [prefix, &[word]].concat();
        let (name, word) = match tree {
            UseTree::Path(path) => {
                return self.note_use(&with(path.ident.to_string()), &path.tree);
            }
            UseTree::Group(group) => {
                let trees = group.items.iter();
                return trees.for_each(|tree| self.note_use(prefix, tree));
            }
            UseTree::Glob(_) => {
                self.here(|module| module.globs.push(prefix.to_vec()));
                return self.note_path(&with("*".to_owned()));
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(name) => (&name.rename, &name.ident),
        };
        let path = match word == "self" {
            true => prefix.to_vec(),
            false => with(word.to_string()),
        };
        let name = match name == "self" {
            true => prefix.last().cloned().unwrap_or_default(),
            false => name.to_string(),
        };
        self.note_path(&path);
        self.here(|module| {
            module.uses.insert(name, path);
        });
    }

    /// The tokens given to a macro are not syntax yet, but paths in them look like paths.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.note_path(&std::mem::take(&mut path));
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => self.note_tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.note_path(&std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.note_path(&path);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let parent = self.current;
        let Some(outer) = self
            .modules
            .get(parent)
            .filter(|_| !is_for_tests(&item.attrs))
        else {
            return;
        };
        let name = item.ident.to_string();
        let directory = outer.directory.join(&name);
        let (file, directory) = match (&item.content, path_attribute(&item.attrs)) {
            (Some(_), _) => (outer.file.clone(), directory),
            (None, None) => (directory.with_extension("rs"), directory),
            (None, Some(path)) => {
                let file = outer.file.with_file_name(path);
                let directory = file.parent().unwrap_or(&directory).to_path_buf();
                (file, directory)
            }
        };
        let child = self.add(file, directory, Some(parent));
        self.here(|module| {
            module.children.insert(name, child);
        });
        match &item.content {
            Some((_, items)) => {
                self.current = child;
                items.iter().for_each(|item| self.visit_item(item));
                self.current = parent;
            }
            None => self.unread.push_back(child),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.note_use(&[], &item.tree);
        }
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        visit::visit_macro(self, item);
        self.note_tokens(item.tokens.clone());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = path.segments.iter();
        self.note_path(&words.map(|word| word.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::Path(_) | Meta::NameValue(_) => false,
    })
}

/// The file that `#[path = "…"]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let mut attributes = attributes.iter();
    let attribute = attributes.find(|attribute| attribute.path().is_ident("path"))?;
    let value = &attribute.meta.require_name_value().ok()?.value;
    let Expr::Lit(ExprLit {
        lit: Lit::Str(path),
        ..
    }) = value
    else {
        return None;
    };
    Some(path.value())
}

/// The files that define the item that `path` names in a module, and its name there. None for items of other
/// crates, and for a module itself. A name that is neither of a module nor imported is
/// defined where it is looked for: by an item, or by a macro.
fn homes(
    modules: &[Module],
    from: usize,
    path: &[String],
    detours: usize,
) -> Vec<(PathBuf, String)> {
    let Some(module) = modules.get(from).filter(|_| detours > 0) else {
        return Vec::new();
    };
    let Some((first, rest)) = path.split_first() else {
        return Vec::new();
    };
    match first.as_str() {
        "crate" => homes_in(modules, 0, rest, detours),
        "self" => homes_in(modules, from, rest, detours),
        "super" => homes_in(modules, from, path, detours),
        name if module.children.contains_key(name) || module.uses.contains_key(name) => {
            homes_in(modules, from, path, detours)
        }
        _ => Vec::new(),
    }
}

/// The same for a path that begins in the module.
fn homes_in(
    modules: &[Module],
    index: usize,
    path: &[String],
    detours: usize,
) -> Vec<(PathBuf, String)> {
    let (Some(module), Some((first, rest))) = (modules.get(index), path.split_first()) else {
        return Vec::new();
    };
    let child = match first.as_str() {
        "super" => module.parent,
        name => module.children.get(name).copied(),
    };
    let used = module.uses.get(first);
    match (child, used) {
        // A module and an item may have one name; the rest of the path tells which is meant.
        (Some(child), _) if !rest.is_empty() => homes_in(modules, child, rest, detours),
        (_, Some(used)) => homes(modules, index, &[used, rest].concat(), detours - 1),
        (Some(_), None) => Vec::new(),
        (None, None) => {
            let here = (module.file.clone(), first.clone());
            let globs = module.globs.iter();
            let elsewhere =
                globs.flat_map(|glob| homes(modules, index, &[glob, path].concat(), detours - 1));
            elsewhere.chain([here]).collect()
        }
    }
}

/// Each circle with its files, and the names that each of them takes from the others.
fn told(imports: &Imports, root: &Path) -> String {
    let mut said = String::new();
    for circle in circles(imports) {
        let short = |file: &PathBuf| {
            file.strip_prefix(root)
                .unwrap_or(file)
                .display()
                .to_string()
        };
        writeln!(
            said,
            "{} files import each other in a circle:",
            circle.len()
        )
        .ok();
        for (file, taken) in imports.iter().filter(|(file, _)| circle.contains(file)) {
            for (home, names) in taken.iter().filter(|(home, _)| circle.contains(home)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (file, home) = (short(file), short(home));
                writeln!(said, "  {file} takes {} from {home}", names.join(", ")).ok();
            }
        }
    }
    said
}

/// The sets of files that all lead to each other.
fn circles(imports: &Imports) -> BTreeSet<BTreeSet<&PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = imports
        .keys()
        .map(|file| (file, reached(imports, file)))
        .collect();
    let leads =
        |from: &PathBuf, to: &PathBuf| reached.get(from).is_some_and(|set| set.contains(to));
    let files = imports.keys().filter(|file| leads(file, file));
    files
        .map(|file| {
            let others = imports.keys();
            let others = others.filter(|other| leads(file, other) && leads(other, file));
            others.collect()
        })
        .collect()
}

/// All files that lead from `file` on, itself only if there is a way back.
fn reached<'i>(imports: &'i Imports, file: &PathBuf) -> BTreeSet<&'i PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&PathBuf> = imports
        .get(file)
        .into_iter()
        .flat_map(BTreeMap::keys)
        .collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(imports.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text about a crate of these files.
    fn said(files: &[(&str, &str)]) -> String {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            let file = file.ok_or(io::Error::from(io::ErrorKind::NotFound))?;
            Ok(file.1.to_owned())
        };
        told(
            &imports(Path::new("src/lib.rs"), &read).unwrap(),
            Path::new("src"),
        )
    }

    #[test]
    fn files_that_lead_one_way_are_no_circle() {
        let files = [
            ("src/lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            (
                "src/a.rs",
                "use crate::B; use std::fmt; pub struct A(B, fmt::Error);",
            ),
            (
                "src/b.rs",
                "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }",
            ),
        ];
        assert_eq!(said(&files), "");
    }

    #[test]
    fn parent_and_child_that_use_each_other_are_a_circle() {
        let files = [
            ("src/lib.rs", "mod a;"),
            ("src/a.rs", "mod b; struct A(b::B); struct C;"),
            (
                "src/a/b.rs",
                "pub struct B(Box<super::A>); fn f() { g!(x, super::C) }",
            ),
        ];
        let expected = "2 files import each other in a circle:\n  \
                        a/b.rs takes A, C from a.rs\n  a.rs takes B from a/b.rs\n";
        assert_eq!(said(&files), expected);
    }

    #[test]
    fn item_lives_where_it_is_defined_whatever_leads_there() {
        let files = [
            (
                "src/lib.rs",
                "mod a; mod b; mod c; pub use c::{self as door, C1 as C};",
            ),
            (
                "src/a.rs",
                "use crate::C as Other; use crate::door::C1; struct A(Other, C1);",
            ),
            (
                "src/b.rs",
                "m! { struct B; } use crate::{a::{self}}; type T = a::A;",
            ),
            ("src/c/mod.rs", "pub use crate::b::B as C1;"),
        ];
        let expected = "2 files import each other in a circle:\n  \
                        a.rs takes B from b.rs\n  b.rs takes A from a.rs\n";
        assert_eq!(said(&files), expected);
    }

    #[test]
    fn star_takes_all_there_is_and_leads_wherever_it_may() {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b::*; pub struct A;"),
            (
                "src/b.rs",
                "pub use crate::c::*; fn f() { use crate::a::A; }",
            ),
            ("src/c.rs", "type T = crate::b::C;"),
        ];
        let told = said(&files);
        for line in [
            "a.rs takes * from b.rs",
            "b.rs takes A from a.rs",
            "b.rs takes * from c.rs",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }

    #[test]
    fn long_circle_is_one_and_names_all_its_files() {
        let files = [
            (
                "src/lib.rs",
                "mod a { mod b; } mod c; mod d; fn f() { d::d() }",
            ),
            ("src/a/b.rs", "use crate::c::C; pub struct B(C);"),
            ("src/c.rs", "pub struct C(crate::d::D);"),
            ("src/d.rs", "pub fn d() {} pub struct D(crate::a::b::B);"),
        ];
        let told = said(&files);
        assert!(told.starts_with("3 files"), "{told}");
        assert_eq!(told.lines().count(), 4, "{told}");
    }

    #[test]
    fn file_elsewhere_is_found() {
        let files = [
            (
                "src/lib.rs",
                "#[path = \"c/mod.rs\"] mod a; fn f() { a::b::g(crate::a::A) }",
            ),
            ("src/c/mod.rs", "pub mod b; pub struct A;"),
            ("src/c/b.rs", "use crate::f; use super::super::a::A;"),
        ];
        let told = said(&files);
        assert!(
            told.contains("c/b.rs takes f from lib.rs\n  lib.rs takes g from c/b.rs"),
            "{told}"
        );
    }
}
