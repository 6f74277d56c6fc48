//! What the processes of a `map` are given: files, rows of tables, or arguments.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{IsTerminal, Read, stdin};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use lockkeeper::{FormatKind, InputContent, ProcessSpec};

use super::rows::{self, Row};

/// The name under which standard input is read.
const STDIN: &str = "-";

/// The directory under which a process sees its inputs.
const INPUT_DIR: &str = "/input";

/// A name longer than this is told by its beginning.
const NAME_CHARS_MAX: usize = 40;

#[derive(Debug, Args)]
pub(super) struct InputOptions {
    /// Input files, one process each; a process sees its own as its last argument, read-only, and no other. Without any
    /// input, standard input is read like `-a -`, unless it is a terminal
    #[arg(value_name = "INPUT")]
    inputs: Vec<OsString>,
    /// A file whose lines are inputs; `-` is standard input. Inputs of several files come one after the other, behind those
    /// of the command line
    #[arg(short = 'a', long = "arg-file", value_name = "FILE", help_heading = "Inputs")]
    arg_files: Vec<PathBuf>,
    /// Inputs in files and on standard input end with a zero byte, not with a newline, as `find -print0` writes them
    #[arg(short = '0', long, help_heading = "Inputs")]
    null: bool,
    /// A table whose rows are inputs; a process sees its own, under the header, as a file of the table's name
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    csv: Vec<PathBuf>,
    /// A file whose lines, JSON values, are inputs; a process sees its own as a file of that name
    #[arg(long, value_name = "FILE", help_heading = "Inputs")]
    jsonl: Vec<PathBuf>,
    /// Inputs are arguments of the program and no files: nothing is opened for them
    #[arg(long, help_heading = "Inputs")]
    as_args: bool,
    /// Inputs per process; the last one may have fewer. Rows of one table stand in one file [default: 1]
    #[arg(short = 'n', long = "max-args", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(help_heading = "Inputs")]
    per_process: Option<u32>,
}

/// One input.
#[derive(Clone, Debug)]
enum Input {
    File(PathBuf),
    Text(String),
    Row(Row),
}

/// The inputs of one process.
#[derive(Debug)]
pub(super) struct Given(Vec<Input>);

impl InputOptions {
    /// Reads what the flags name, all of it: the processes that follow from it are known before the first one is started.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Given>> {
        self.check()?;
        let mut inputs = Vec::new();
        for input in &self.inputs {
            self.take(input.as_bytes(), &|| "INPUT".to_owned(), &mut inputs)?;
        }
        for file in &self.arg_files {
            self.read_lines(file, &mut inputs)?;
        }
        for (kind, file) in self.tables() {
            let of = || format!("--{kind} {}", file.display());
            let read = if file == Path::new(STDIN) {
                rows::read(kind, file, stdin().lock())
            } else {
                rows::read(kind, file, File::open(file).with_context(of)?)
            };
            inputs.extend(read?.into_iter().map(Input::Row));
        }
        if self.names_nothing() {
            if stdin().is_terminal() {
                bail!("there is no INPUT: name files, or whatever lists them with -a FILE, --csv FILE or --jsonl FILE");
            }
            self.read_lines(Path::new(STDIN), &mut inputs)?;
            if inputs.is_empty() {
                bail!("there is no INPUT, and standard input, which is read then, is empty; `-a -` lets it be");
            }
        }
        self.check_files(&inputs)?;
        let per_process = self.per_process.map_or(1, |count| count as usize);
        let given: Vec<_> = inputs.chunks(per_process).map(|inputs| Given(inputs.to_vec())).collect();
        given.iter().try_for_each(Given::check)?;
        Ok(given)
    }

    fn tables(&self) -> impl Iterator<Item = (FormatKind, &PathBuf)> {
        let csv = self.csv.iter().map(|file| (FormatKind::Csv, file));
        csv.chain(self.jsonl.iter().map(|file| (FormatKind::Jsonl, file)))
    }

    fn names_nothing(&self) -> bool {
        self.inputs.is_empty() && self.arg_files.is_empty() && self.csv.is_empty() && self.jsonl.is_empty()
    }

    /// Refuses flags that have nothing to say, or that contradict each other.
    fn check(&self) -> anyhow::Result<()> {
        if self.as_args
            && let Some((kind, file)) = self.tables().next()
        {
            bail!(
                "--as-args: a row of --{kind} {} is a file, and no argument; leave one of the two away",
                file.display()
            );
        }
        if self.null && self.arg_files.is_empty() && !self.names_nothing() {
            bail!("-0 is said of the lists of -a FILE and of standard input, and neither is read here");
        }
        let files = self.arg_files.iter().chain(self.tables().map(|(_, file)| file));
        if files.filter(|file| *file == Path::new(STDIN)).count() > 1 {
            bail!("standard input can be read once only; give `-` once");
        }
        Ok(())
    }

    fn read_lines(&self, file: &Path, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
        let (of, text) = if file == Path::new(STDIN) {
            let mut text = Vec::new();
            stdin().lock().read_to_end(&mut text).context("standard input cannot be read")?;
            ("standard input".to_owned(), text)
        } else {
            let of = format!("-a {}", file.display());
            let text = fs::read(file).with_context(|| format!("{of} cannot be read; nothing was started"))?;
            (of, text)
        };
        let (end, unit) = if self.null { (0, "item") } else { (b'\n', "line") };
        let lines = text.strip_suffix(&[end]).unwrap_or(&text);
        if text.is_empty() {
            return Ok(());
        }
        for (line, number) in lines.split(|byte| *byte == end).zip(1..) {
            self.take(line, &|| format!("{of}, {unit} {number}"), inputs)?;
        }
        Ok(())
    }

    fn take(&self, bytes: &[u8], of: &dyn Fn() -> String, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
        if bytes.contains(&0) {
            bail!("{}: there is a zero byte in it; -0 says that inputs end with one", of());
        }
        if self.as_args {
            let text = String::from_utf8(bytes.to_vec());
            let text = text.with_context(|| format!("{}: an argument has to be UTF-8", of()))?;
            inputs.push(Input::Text(text));
        } else if !bytes.is_empty() {
            // No file is called nothing, so an empty line is a gap in the list.
            inputs.push(Input::File(OsString::from_vec(bytes.to_vec()).into()));
        }
        Ok(())
    }

    fn check_files(&self, inputs: &[Input]) -> anyhow::Result<()> {
        for input in inputs {
            if let Input::File(path) = input
                && !path.is_file()
            {
                bail!(
                    "the input {} is not a file that can be read; nothing was started (--as-args makes inputs arguments \
                     instead of files)",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

impl Given {
    /// What the process is called.
    fn name(&self) -> String {
        let Some(first) = self.0.first() else { return "nothing".to_owned() };
        let name = match first {
            Input::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Input::Text(text) => short(text),
            Input::Row(row) => format!("{}:{}", row.table.name, row.number),
        };
        match self.0.len() {
            1 => name,
            count => format!("{name}+{}", count - 1),
        }
    }

    /// Refuses two files that a process would see under one name.
    fn check(&self) -> anyhow::Result<()> {
        let files = self.0.iter().filter_map(|input| match input {
            Input::File(path) => path.file_name().map(OsStr::to_owned),
            Input::Text(_) | Input::Row(_) => None,
        });
        let tables = self.tables().into_iter().map(|rows| OsString::from(&rows[0].table.name));
        let mut names = HashSet::new();
        match files.chain(tables).find(|name| !names.insert(name.clone())) {
            None => Ok(()),
            Some(name) => bail!(
                "two inputs of one process are called {}: it sees its inputs as {INPUT_DIR}/<file name>, so the names must \
                 differ; order them so that -n puts them apart, or give another -n",
                name.to_string_lossy()
            ),
        }
    }

    /// Its rows, those of one table that stand next to each other together.
    fn tables(&self) -> Vec<Vec<Row>> {
        let mut tables: Vec<Vec<Row>> = Vec::new();
        for input in &self.0 {
            let Input::Row(row) = input else { continue };
            match tables.last_mut() {
                Some(rows) if Arc::ptr_eq(&rows[0].table, &row.table) => rows.push(row.clone()),
                Some(_) | None => tables.push(vec![row.clone()]),
            }
        }
        tables
    }

    /// Gives them to a process, as its last arguments.
    pub(super) fn give(&self, spec: &mut ProcessSpec) {
        spec.name = self.name();
        for input in &self.0 {
            match input {
                Input::File(path) => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    spec.args.push(format!("{INPUT_DIR}/{name}"));
                    spec.inputs.push(path.clone());
                }
                Input::Text(text) => spec.args.push(text.clone()),
                Input::Row(_) => {}
            }
        }
        for rows in self.tables() {
            let table = &rows[0].table;
            spec.args.push(format!("{INPUT_DIR}/{}", table.name));
            spec.input_contents.push(InputContent { name: table.name.clone(), bytes: rows::file_of(table, &rows) });
        }
    }
}

/// A text as the name of a process: one short line.
fn short(text: &str) -> String {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut name: String = text.chars().take(NAME_CHARS_MAX).map(clean).collect();
    if text.chars().nth(NAME_CHARS_MAX).is_some() {
        name.push_str("..");
    }
    if name.is_empty() { "''".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        inputs: InputOptions,
    }

    fn given(flags: &[&str]) -> anyhow::Result<Vec<ProcessSpec>> {
        let flags = Flags::try_parse_from([&["map"], flags].concat()).expect("they are flags");
        let specs = flags.inputs.read()?.into_iter().map(|given| {
            let mut spec = ProcessSpec::default();
            given.give(&mut spec);
            spec
        });
        Ok(specs.collect())
    }

    #[test]
    fn arguments_are_texts_several_for_a_process_and_the_last_has_the_rest() {
        let specs = given(&["--as-args", "-n", "2", "a b", "", "c\td"]).expect("they are right");
        let args: Vec<_> = specs.iter().map(|spec| &spec.args[..]).collect();
        assert_eq!(args, [&["a b", ""][..], &["c\td"]]);
        let names: Vec<_> = specs.iter().map(|spec| &spec.name[..]).collect();
        assert_eq!(names, ["a b+1", "c\u{fffd}d"]);
        assert!(specs.iter().all(|spec| spec.inputs.is_empty() && spec.input_contents.is_empty()));
    }

    #[test]
    fn a_long_text_and_none_have_short_names() {
        assert_eq!(short(&"x".repeat(41)), "x".repeat(40) + "..");
        assert_eq!((short(&"x".repeat(40)), short("")), ("x".repeat(40), "''".to_owned()));
    }
}
