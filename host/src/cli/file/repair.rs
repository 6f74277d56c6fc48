//! `lockkeeper file repair`.

use std::path::PathBuf;

use clap::Args;
use lockkeeper::FormatKind;
use lockkeeper_journal::inspect::{self, IdsRepaired, RepairReport, RepairSpec};
use serde_json::json;

use super::{Progress, count, disk, fail};
use crate::cli::environment;
use crate::cli::output::print_line;

const EXIT_CODES: &str = "\
Exit codes:
  0    the file can be opened
  3    it needs --cut or --fence-floor: nothing was changed
  2    wrong usage, not a regular file, not of this format, or on a file system that needs --allow-remote
  66   there is no such file
  74   the system refused something
  75   another host is writing the file";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Repair {
    /// What the records look like: lines, csv, jsonl or framed [default: as it was written, or by its ending or first bytes]
    #[arg(long)]
    format: Option<FormatKind>,
    /// The lowest fence that may write from now on, where that is lost: above every fence that was given out
    #[arg(long, value_name = "N")]
    fence_floor: Option<u64>,
    /// Cut also at damage that is more than a torn end, or at an end that lockkeeper did not write
    #[arg(long)]
    cut: bool,
    /// Go on where nothing is promised: NFS, CIFS and FUSE are refused otherwise
    #[arg(long)]
    allow_remote: bool,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
    /// The append file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Repair {
    pub(super) fn execute(self) -> u8 {
        let spec = RepairSpec {
            format: self.format,
            fence_floor: self.fence_floor,
            cut: self.cut,
            allow_remote: self.allow_remote,
            holder: environment::command_line(),
        };
        let mut progress = Progress::new(self.json);
        let repaired = inspect::repair(&disk(), &self.file, &spec, |done, of| progress.at(done, of));
        progress.finish();
        match repaired {
            Ok(report) => {
                self.tell(&report);
                0
            }
            Err(error) => fail(&self.file, &error, self.json),
        }
    }

    fn tell(&self, report: &RepairReport) {
        let RepairReport { format, torn, bytes, records, floor, ids } = report;
        let file = self.file.display();
        if self.json {
            let event = json!({
                "event": "repaired",
                "file": file.to_string(),
                "format": format.as_str(),
                "bytes": bytes,
                "records": records,
                "cut": torn.as_ref().map(|torn| json!({
                    "offset": torn.offset,
                    "bytes": torn.bytes,
                    "reason": torn.reason,
                    "saved_to": torn.saved_to.display().to_string(),
                })),
                "fence_floor": floor,
                "ids": ids.map(|ids| json!({
                    "kept": ids.kept,
                    "dropped": ids.dropped,
                    "damaged": ids.damaged,
                    "missing": ids.missing,
                })),
            });
            return print_line(format_args!("{event}"));
        }
        print_line(format_args!("{file}: {format}, {} in {}", count(*records, "record"), count(*bytes, "byte")));
        match torn {
            Some(torn) => print_line(format_args!(
                "  cut: {} from byte {} on, {}; saved to {}",
                count(torn.bytes, "byte"),
                torn.offset,
                torn.reason,
                torn.saved_to.display()
            )),
            None => print_line(format_args!("  cut: nothing")),
        }
        if let Some(ids) = ids {
            let IdsRepaired { kept, dropped, damaged, missing } = ids;
            print_line(format_args!("  ids: {kept} kept, {dropped} dropped, {damaged} damaged, {missing} missing"));
            if ids.lost() > 0 {
                print_line(format_args!("  what the damaged and missing ids stood for may be appended once more"));
            }
        }
        print_line(format_args!("  fence floor: {floor}"));
    }
}
