//! Finding out, at a start, where the log ends and whether it is the one that was written before.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::Sink;
use crate::broken::BrokenCause;
use crate::chain::Chain;
use crate::mark::Mark;
use crate::noted::{self, Backlog};
use crate::segments;
use crate::sink::{FileSink, tail};

/// How the file of a log is kept.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Before a file is larger it is closed, and a new one begun.
    pub segment_bytes: u64,
    /// Disk that is taken ahead, so that nobody else can; at most a sixteenth of it.
    pub reserve_bytes: u64,
    /// What the log is known to have reached.
    pub sealed: Option<Mark>,
    /// Whether a log that does not hold together with that is left as it is, and a new file begun.
    pub accepts_gap: bool,
    /// What [`Intent::note`](crate::Intent::note) gave to commits and nobody has had forgotten,
    /// each with the revision of its commit.
    pub notes: Vec<(u64, Vec<u8>)>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            reserve_bytes: 64 << 20,
            sealed: None,
            accepts_gap: false,
            notes: Vec::new(),
        }
    }
}

/// Where a log goes on.
pub(crate) struct Opened {
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) chain: Chain,
    /// How many bytes of a torn last line were cut off.
    pub(crate) cut_bytes: u64,
    /// The mark that the log should hold, and does not.
    pub(crate) gap: Option<Mark>,
    /// A record that is on disk, or a gap that ends there.
    pub(crate) synced_seq: u64,
    /// The intents that lie in the store.
    pub(crate) backlog: Backlog,
}

impl Opened {
    /// A new log that goes to `sink`.
    pub(crate) fn empty(sink: Box<dyn Sink>) -> Self {
        Self {
            sink,
            chain: Chain::empty(),
            cut_bytes: 0,
            gap: None,
            synced_seq: 0,
            backlog: Backlog::default(),
        }
    }
}

/// Opens or creates the log at `path`. Nothing in it is changed if this fails.
pub(crate) fn open(path: &Path, options: FileOptions) -> io::Result<Opened> {
    let FileOptions {
        segment_bytes,
        reserve_bytes,
        sealed,
        accepts_gap,
        notes,
    } = options;
    // Before the file is created.
    let is_whole = match &sealed {
        Some(mark) => segments::holds(path, mark)?,
        None => true,
    };
    if !is_whole && !accepts_gap {
        return Err(no_mark(path, sealed.as_ref()));
    }
    let reached = sealed.as_ref().map_or(0, |mark| mark.seq);
    let mut sink = FileSink::open(path, segment_bytes, reserve_bytes)?;
    let end = end_of(path, &sink);
    let (chain, cut_bytes) = match end {
        Ok(end) if is_whole && end.0.mark().seq >= reached => end,
        Ok(_) if !accepts_gap => return Err(no_mark(path, sealed.as_ref())),
        Err(error) if !accepts_gap || error.kind() != io::ErrorKind::InvalidData => {
            return Err(error);
        }
        broken => {
            let found = broken.ok().map(|(chain, _)| chain.mark().clone());
            let sealed = sealed.unwrap_or_else(|| Chain::empty().mark().clone());
            // No number twice: copies of the lost records may be elsewhere.
            let last = found.filter(|found| found.seq > sealed.seq);
            let chain = Chain::after(last.unwrap_or_else(|| sealed.clone()));
            let backlog = noted::backlog(path, &notes)?;
            sink.set_aside(chain.mark().seq + 1)?;
            tracing::warn!(
                file = %path.display(),
                sealed_seq = sealed.seq,
                "records are missing from the audit log, which was accepted: it goes on in a new file"
            );
            return Ok(Opened {
                sink: Box::new(sink),
                chain,
                cut_bytes: 0,
                gap: Some(sealed),
                synced_seq: reached,
                backlog,
            });
        }
    };
    // It may fail, and nothing is changed then.
    let backlog = noted::backlog(path, &notes)?;
    if cut_bytes > 0 {
        tracing::warn!(bytes = cut_bytes, "cut a torn record off the audit log");
        sink.cut(cut_bytes)?;
    }
    Ok(Opened {
        sink: Box::new(sink),
        chain,
        cut_bytes,
        gap: None,
        synced_seq: reached,
        backlog,
    })
}

/// Where the log ends, and how many bytes of a torn line follow. A file without a whole record
/// goes on where the closed one before it ended.
fn end_of(path: &Path, sink: &FileSink) -> io::Result<(Chain, u64)> {
    let damaged = |path: &Path, which: &str, cause: BrokenCause| {
        invalid(format!(
            "the {which} record of {} is damaged: {cause}; put the file back as it was, or start \
            once with --accept-audit-gap",
            path.display()
        ))
    };
    let ending_in = |path: &Path, line: &[u8]| {
        Chain::ending_in(line).map_err(|cause| damaged(path, "last", cause))
    };
    let own = tail(sink.file(), path)?;
    if let Some(line) = own.last_line {
        if !sink.begins_well() {
            return Err(damaged(path, "first", BrokenCause::NotARecord));
        }
        return Ok((ending_in(path, &line)?, own.torn_bytes));
    }
    let Some((_, before)) = segments::closed(path)?.pop() else {
        return Ok((Chain::empty(), own.torn_bytes));
    };
    let line = tail(&File::open(&before)?, &before)?.last_line;
    let chain = ending_in(&before, &line.unwrap_or_default())?;
    Ok((chain, own.torn_bytes))
}

fn no_mark(path: &Path, sealed: Option<&Mark>) -> io::Error {
    let seq = sealed.map_or(0, |mark| mark.seq);
    invalid(format!(
        "record {seq}, which the log had reached, is not in {} as it was written, nor in a closed \
        file beside it: records were removed or changed; put the files back, or start once with \
        --accept-audit-gap, which begins a new file that says so",
        path.display()
    ))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
