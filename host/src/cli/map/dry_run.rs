//! `map --dry-run`: what would be started, and with what.

use std::fmt;

use anyhow::bail;
use lockkeeper::{Access, ByteSize, JobSpec, Limits, ProcessSpec};
use serde::Serialize;

use super::super::output::{complain, print_line};
use super::Map;
use super::command_line::CommandLine;

/// A process that would be started.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "planned", rename_all = "kebab-case")]
struct Planned<'a> {
    seq: u64,
    name: String,
    command: String,
    inputs: Vec<String>,
    grants: Vec<String>,
    limits: &'a [String],
}

/// Prints every planned process on standard output. No file is opened but those that list the inputs, and nothing is
/// compiled: so it is not known either what `--resume` would leave out.
pub(super) fn print(map: &Map, job: &JobSpec, specs: &[ProcessSpec]) -> anyhow::Result<u8> {
    if !map.program.is_file() {
        bail!("there is no program at {}", map.program.display());
    }
    let program = map.program.file_name().unwrap_or_default().to_string_lossy();
    let limits = specs.first().map(|spec| limits(&spec.limits, map)).unwrap_or_default();
    for spec in specs {
        let planned = Planned {
            seq: u64::from(spec.rank) + 1,
            name: spec.full_name(),
            command: CommandLine { program: &program, args: &spec.args }.to_string(),
            inputs: inputs(spec),
            grants: grants(job, spec),
            limits: &limits,
        };
        if map.host.json {
            print_line(format_args!("{}", serde_json::to_string(&planned)?));
        } else {
            print_line(format_args!("{planned}"));
        }
    }
    if map.resume || map.resume_failed {
        complain(format_args!("--dry-run opens no file, so these are all inputs, also those that are done"));
    }
    let (count, at_once) = (specs.len(), map.at_once());
    let plural = if count == 1 { "" } else { "es" };
    complain(format_args!("{count} process{plural}, {at_once} at a time; nothing was started (--dry-run)"));
    Ok(0)
}

impl fmt::Display for Planned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] {}", self.seq, self.name, self.command)?;
        for (what, words) in [("inputs", &self.inputs[..]), ("grants", &self.grants[..]), ("limits", self.limits)] {
            match words {
                [] => write!(f, "\n    {what}: none")?,
                words => write!(f, "\n    {what}: {}", words.join(", "))?,
            }
        }
        Ok(())
    }
}

fn inputs(spec: &ProcessSpec) -> Vec<String> {
    let files = spec.inputs.iter().map(|path| path.display().to_string());
    let contents = spec.input_contents.iter().map(|content| {
        let bytes = ByteSize(content.bytes.len() as u64);
        format!("/input/{} of {bytes}", content.name)
    });
    files.chain(contents).collect()
}

fn grants(job: &JobSpec, spec: &ProcessSpec) -> Vec<String> {
    let mut grants: Vec<String> = spec.locks.iter().map(|lock| format!("lock {lock}")).collect();
    grants.extend(spec.values.iter().map(|value| format!("value {value}")));
    for file in job.files.iter().filter(|file| spec.files.contains(&file.name)) {
        grants.push(format!("append {}={}:{}", file.name, file.file.path.display(), file.file.format.kind()));
    }
    for dir in &spec.dirs {
        let mut grant = format!("dir {}::{}", dir.host.display(), dir.guest);
        if dir.access == Access::ReadOnly {
            grant.push_str(":read-only");
        }
        grants.push(grant);
    }
    // Not their values, which may be secret.
    grants.extend(spec.env.iter().map(|(key, _)| format!("env {key}")));
    grants
}

fn limits(limits: &Limits, map: &Map) -> Vec<String> {
    let Limits {
        memory_bytes_max,
        timeout,
        handles_max,
        call_bytes_max,
        output_bytes_max,
        held_back_bytes_max,
        append_bytes_max,
        append_records_max,
        ..
    } = limits;
    let timeout = match (timeout, map.grants.timeout_percent()) {
        (Some(timeout), _) => humantime::format_duration(*timeout).to_string(),
        (None, Some(percent)) => format!("{percent}% of the median"),
        (None, None) => "none".to_owned(),
    };
    let mut words = vec![
        format!("timeout {timeout}"),
        format!("memory {}", ByteSize(*memory_bytes_max)),
        format!("handles {handles_max}"),
        format!("call {}", ByteSize(*call_bytes_max as u64)),
        format!("output {}", ByteSize(*output_bytes_max)),
    ];
    if map.grants.has_files() {
        words.push(format!("held back {}", ByteSize(*held_back_bytes_max)));
    }
    if let Some(bytes) = append_bytes_max {
        words.push(format!("append {}", ByteSize(*bytes)));
    }
    if let Some(records) = append_records_max {
        words.push(format!("append {records} records"));
    }
    words
}
