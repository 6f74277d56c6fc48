//! What `[file.NAME]` says, made into an append file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lockkeeper_journal::{Durability, FileSpec, Format, IfExists, Parents};
use serde::Deserialize;
use toml::Spanned;

use super::{Manifest, ManifestError, Size, Time};
use crate::job::AppendSpec;

/// `[file.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FileTable {
    path: PathBuf,
    format: Option<FormatName>,
    header: Option<Spanned<Vec<String>>>,
    requires_lock: Option<Spanned<String>>,
    #[serde(default)]
    if_exists: IfExistsName,
    record_max: Option<Size>,
    #[serde(default)]
    durability: DurabilityName,
    #[serde(default)]
    ids: bool,
    max_bytes: Option<Spanned<Size>>,
    max_records: Option<Spanned<u64>>,
    reserve: Option<Size>,
    #[serde(default)]
    allow_remote: bool,
    group_window: Option<Spanned<Time>>,
    shared: Option<Spanned<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FormatName {
    Lines,
    Csv,
    Jsonl,
    Framed,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum IfExistsName {
    #[default]
    Append,
    Replace,
    Refuse,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DurabilityName {
    Buffered,
    #[default]
    Written,
    Synced,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Lines => Self::Lines,
            FormatName::Csv => Self::Csv { header: Vec::new() },
            FormatName::Jsonl => Self::Jsonl,
            FormatName::Framed => Self::Framed,
        }
    }
}

/// Whoever waits for a sync waits this long beforehand: more is a slip of the unit.
const GROUP_WINDOW_MAX: Duration = Duration::from_secs(1);

impl FileTable {
    /// The file that the table describes.
    pub(super) fn plan(
        &self,
        manifest: &Manifest,
        name: &Spanned<String>,
        holder: &str,
    ) -> Result<AppendSpec, ManifestError> {
        let requires_lock = match &self.requires_lock {
            Some(lock) => Some(manifest.exclusive("a file", lock)?),
            None => None,
        };
        let mut spec = FileSpec::new(manifest.resolve(&self.path), self.format(manifest)?, holder);
        spec.parents = Parents::Create;
        spec.if_exists = match self.if_exists {
            IfExistsName::Append => IfExists::Append,
            IfExistsName::Replace => IfExists::Replace,
            IfExistsName::Refuse => IfExists::Refuse,
        };
        if let Some(max) = self.record_max {
            spec.record_bytes_max = max.0.as_usize();
        }
        spec.ids = self.ids;
        spec.shared = self.planned_shared(manifest)?;
        spec.allow_remote = self.allow_remote;
        if let Some(max) = &self.max_bytes {
            spec.bytes_max = Some(max.get_ref().0.0);
            if spec.bytes_max == Some(0) {
                return manifest
                    .wrong(max.span(), "a file of 0 bytes takes no record; give it more, such as \"10GiB\"");
            }
        }
        if let Some(max) = &self.max_records {
            spec.records_max = Some(*max.get_ref());
            if spec.records_max == Some(0) {
                return manifest.wrong(max.span(), "a file of 0 records takes none; give it at least 1");
            }
        }
        if let Some(reserve) = self.reserve {
            spec.reserve_bytes = reserve.0.0;
        }
        if let Some(window) = &self.group_window {
            spec.group_window = window.get_ref().0;
            if spec.group_window > GROUP_WINDOW_MAX {
                let message = "every sync waits for that long; write 1s or less, such as \"2ms\", or leave it away";
                return manifest.wrong(window.span(), message);
            }
        }
        let durability = match self.durability {
            DurabilityName::Buffered => Durability::Buffered,
            DurabilityName::Written => Durability::Written,
            DurabilityName::Synced => Durability::Synced,
        };
        Ok(AppendSpec { name: name.get_ref().clone(), file: spec, requires_lock, durability })
    }

    /// Whether other hosts may append to it as well.
    fn planned_shared(&self, manifest: &Manifest) -> Result<bool, ManifestError> {
        let Some(shared) = self.shared.as_ref().filter(|shared| *shared.get_ref()) else { return Ok(false) };
        if self.ids {
            let message = "the ids of records are known to the host that wrote them alone; take `ids` or `shared` away";
            return manifest.wrong(shared.span(), message);
        }
        if !matches!(self.if_exists, IfExistsName::Append) {
            let message = "a file that other hosts write to is appended to; take `if-exists` or `shared` away";
            return manifest.wrong(shared.span(), message);
        }
        Ok(true)
    }

    fn format(&self, manifest: &Manifest) -> Result<Format, ManifestError> {
        let Some(header) = &self.header else {
            return Ok(self.format.map_or_else(|| format_of(&self.path), Format::from));
        };
        match self.format.map(Format::from) {
            None | Some(Format::Csv { .. }) => Ok(Format::Csv { header: header.get_ref().clone() }),
            Some(other) => {
                let kind = other.kind();
                let message = format!("a `{kind}` file has no header; take `header` away, or write format = \"csv\"");
                manifest.wrong(header.span(), message)
            }
        }
    }
}

/// The format that a file's ending stands for: `.csv`, `.jsonl` or `.ndjson`, `.lkf` for `framed`, and `lines` for all
/// others.
pub fn format_of(path: &Path) -> Format {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Format::Csv { header: Vec::new() },
        "jsonl" | "ndjson" => Format::Jsonl,
        "lkf" => Format::Framed,
        _ => Format::Lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lines: &str) -> Result<AppendSpec, String> {
        let text =
            format!("version = 1\n[lock.l]\n[file.f]\n{lines}\n[[process]]\nname = \"p\"\nprogram = \"p.wasm\"\n");
        let manifest = Manifest::parse(text, Path::new("job.toml")).map_err(|error| error.to_string())?;
        let mut planned = manifest.plan("a test").map_err(|error| error.to_string())?;
        Ok(planned.job.files.swap_remove(0))
    }

    fn planned(lines: &str) -> AppendSpec {
        plan(lines).unwrap_or_else(|error| panic!("{error} in\n{lines}"))
    }

    #[test]
    fn a_file_of_which_nothing_is_said_is_written_and_has_no_quota() {
        let AppendSpec { file, requires_lock, durability, .. } = planned("path = \"out.txt\"");
        assert_eq!((file.format, requires_lock, durability), (Format::Lines, None, Durability::Written));
        assert_eq!((file.ids, file.allow_remote), (false, false));
        assert_eq!((file.bytes_max, file.records_max, file.reserve_bytes), (None, None, 0));
        assert_eq!(file.group_window, Duration::ZERO);
    }

    #[test]
    fn a_format_is_what_is_said_or_what_the_ending_stands_for() {
        let csv = Format::Csv { header: Vec::new() };
        for (ending, format) in [
            ("csv", csv.clone()),
            ("CSV", csv.clone()),
            ("jsonl", Format::Jsonl),
            ("ndjson", Format::Jsonl),
            ("lkf", Format::Framed),
            ("txt", Format::Lines),
            ("json", Format::Lines),
        ] {
            assert_eq!(planned(&format!("path = \"out.{ending}\"")).file.format, format, "{ending}");
        }
        for (word, format) in
            [("lines", Format::Lines), ("csv", csv), ("jsonl", Format::Jsonl), ("framed", Format::Framed)]
        {
            assert_eq!(planned(&format!("path = \"out\"\nformat = \"{word}\"")).file.format, format, "{word}");
        }
        let header = planned("path = \"out\"\nheader = [\"a\"]").file.format;
        assert_eq!(header, Format::Csv { header: vec!["a".to_owned()] });
        for word in ["lines", "jsonl", "framed"] {
            let refused = plan(&format!("path = \"out\"\nformat = \"{word}\"\nheader = [\"a\"]"));
            let refused = refused.expect_err("a header belongs to csv");
            assert!(refused.contains(&format!("a `{word}` file has no header")), "{refused}");
            assert!(refused.starts_with("job.toml:6 (`header = [\"a\"]`)"), "{refused}");
        }
    }

    #[test]
    fn every_key_of_a_file_reaches_its_plan() {
        let said = "path = \"out.lkf\"\nrequires-lock = \"l\"\ndurability = \"synced\"\nids = true\nmax-bytes = \"10GiB\"\n\
                    max-records = 5000000000\nreserve = \"1GiB\"\nallow-remote = true\ngroup-window = \"2ms\"\n\
                    record-max = \"1KiB\"\nif-exists = \"refuse\"";
        let AppendSpec { file, requires_lock, durability, .. } = planned(said);
        assert_eq!((requires_lock.as_deref(), durability), (Some("l"), Durability::Synced));
        assert_eq!((file.ids, file.allow_remote), (true, true));
        assert_eq!((file.bytes_max, file.records_max), (Some(10 << 30), Some(5_000_000_000)));
        assert_eq!((file.reserve_bytes, file.group_window), (1 << 30, Duration::from_millis(2)));
        assert_eq!((file.record_bytes_max, file.if_exists), (1 << 10, IfExists::Refuse));
        assert_eq!(planned("path = \"o\"\ndurability = \"buffered\"").durability, Durability::Buffered);
    }

    #[test]
    fn a_shared_file_has_nothing_that_other_hosts_do_not_know_of() {
        assert!(planned("path = \"out\"\nshared = true").file.shared);
        assert!(!planned("path = \"out\"\nshared = false\nids = true\nif-exists = \"replace\"").file.shared);
        for (also, why) in [
            ("ids = true", "take `ids` or `shared` away"),
            ("if-exists = \"replace\"", "take `if-exists` or `shared` away"),
            ("if-exists = \"refuse\"", "take `if-exists` or `shared` away"),
        ] {
            let refused = plan(&format!("path = \"out\"\nshared = true\n{also}")).expect_err("it cannot be shared");
            assert!(refused.starts_with("job.toml:5 (`shared = true`)") && refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn a_figure_with_which_nothing_works_is_refused_where_it_stands() {
        for (line, why) in [
            ("max-bytes = \"0B\"", "takes no record"),
            ("max-records = 0", "takes none"),
            ("group-window = \"2s\"", "1s or less"),
        ] {
            let refused = plan(&format!("path = \"out\"\n{line}")).expect_err("nothing works with it");
            assert!(refused.starts_with(&format!("job.toml:5 (`{line}`)")) && refused.contains(why), "{refused}");
        }
    }
}
