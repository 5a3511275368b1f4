//! The options of the bench.

use std::path::PathBuf;

use crate::workloads::Workload;

/// How many rounds count unless it is said.
const ROUNDS: usize = 16;

/// A part of the bench beside the CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Latency of this workload.
    Latency(Workload),
    /// CPU time with rules.
    Rules,
    /// CPU time, latency and memory where the issuer is asked about tokens.
    Introspection,
    /// CPU time for tokens that are bound to a key or a certificate.
    Proofs,
    /// From configuration to the first answer.
    Start,
    /// Resident memory.
    Memory,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Rules,
        Self::Introspection,
        Self::Proofs,
        Self::Latency(Workload::REPEATED),
        Self::Latency(Workload::NEW),
        Self::Start,
        Self::Memory,
    ];

    /// By which it is chosen.
    pub fn name(self) -> String {
        match self {
            Self::Latency(workload) => format!("latency-{}", workload.name()),
            Self::Rules => "rules".to_owned(),
            Self::Introspection => "introspection".to_owned(),
            Self::Proofs => "proofs".to_owned(),
            Self::Start => "start".to_owned(),
            Self::Memory => "memory".to_owned(),
        }
    }
}

/// The command line, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many rounds of each workload count.
    pub rounds: usize,
    /// Whose CPU time is measured.
    pub workloads: Vec<Workload>,
    /// What else is measured.
    pub parts: Vec<Part>,
    /// The results become the documentation.
    pub publish: bool,
    /// Another build of the module, to be compared with.
    pub baseline: Option<PathBuf>,
}

impl Options {
    /// Reads `[--rounds=N] [--workloads=PART_OF_A_NAME,…] [--baseline=MODULE] [--publish]`; an empty value is none.
    pub fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: ROUNDS,
            workloads: Workload::all(),
            parts: Part::ALL.into(),
            publish: false,
            baseline: None,
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("--rounds" | "--workloads" | "--baseline", "")) => {}
                Some(("--baseline", module)) => options.baseline = Some(module.into()),
                Some(("--rounds", count)) => options.rounds = rounds(count)?,
                Some(("--workloads", wanted)) => options.choose(wanted)?,
                None if argument == "--publish" => options.publish = true,
                _ => return Err(format!("{argument:?} is no option of the bench")),
            }
        }
        if options.publish && (options.workloads != Workload::all() || options.parts != Part::ALL) {
            return Err("only a whole run can be published: leave the workloads out".to_owned());
        }
        if let Some(module) = options.baseline.as_ref().filter(|module| !module.is_file()) {
            return Err(format!("--baseline: {} is not a file", module.display()));
        }
        if options.publish && options.baseline.is_some() {
            return Err("a comparison with a baseline is not published".to_owned());
        }
        Ok(options)
    }

    fn choose(&mut self, wanted: &str) -> Result<(), String> {
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
        let names = || Workload::all().into_iter().map(Workload::name).chain(Part::ALL.map(Part::name));
        if let Some(unknown) = wanted.iter().find(|text| !names().any(|name| name.contains(*text))) {
            let names = names().collect::<Vec<_>>().join("\n  ");
            return Err(format!("no workload has {unknown:?} in its name; there are\n  {names}"));
        }
        let is_wanted = |name: String| wanted.iter().any(|text| name.contains(text));
        self.workloads.retain(|workload| is_wanted(workload.name()));
        self.parts.retain(|part| is_wanted(part.name()));
        Ok(())
    }
}

fn rounds(count: &str) -> Result<usize, String> {
    let count = count.parse().ok().filter(|rounds| *rounds > 0);
    count.ok_or_else(|| "the number of rounds is a whole number from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        Options::read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn without_options_everything_is_measured() {
        let options = read(&["--rounds=", "--workloads="]).unwrap();
        assert_eq!((options.rounds, options.publish), (ROUNDS, false));
        assert_eq!((options.workloads.len(), options.parts.len()), (14, 7));
    }

    #[test]
    fn workloads_and_parts_are_chosen_by_pieces_of_their_names() {
        let options = read(&["--workloads=ps256, start", "--rounds=3"]).unwrap();
        let names: Vec<_> = options.workloads.iter().map(|workload| workload.name()).collect();
        assert_eq!((names, options.parts), (vec!["ps256-repeated".into(), "ps256-new".into()], vec![Part::Start]));
        assert_eq!(options.rounds, 3);
    }

    #[test]
    fn unknown_workload_or_part_is_rejected() {
        for arguments in [["--rounds=0"], ["--rounds=x"], ["--workloads=start,rs512"], ["--workload=x"], ["x"]] {
            assert!(read(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn a_part_is_not_published() {
        assert!(read(&["--publish"]).unwrap().publish);
        assert!(read(&["--publish", "--workloads=memory"]).is_err());
        assert!(read(&["--publish", concat!("--baseline=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).is_err());
    }

    #[test]
    fn baseline_is_a_file() {
        assert_eq!(read(&["--baseline="]).unwrap().baseline, None);
        assert!(read(&["--baseline=/nowhere.wasm"]).is_err());
    }
}
