//! Measurement of a process and its data folder through `/proc` while an attack runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::target::Target;

/// Interval at which descriptors and disk are sampled. The kernel records the peak of memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// Costs of an attack, above those of the server before it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Costs {
    /// Bytes of resident memory at the peak (`VmHWM`).
    pub(crate) memory: u64,
    /// Open descriptors at the peak.
    pub(crate) descriptors: u64,
    /// Bytes in the data folder at the peak.
    pub(crate) disk: u64,
    /// Bytes in the data folder five seconds after the end.
    pub(crate) disk_left: u64,
    /// Longest time that a request of another client took.
    #[serde(serialize_with = "as_seconds")]
    pub(crate) others_wait: Duration,
    /// Bytes read from files and written to them.
    pub(crate) traffic: Traffic,
    /// Time of the attack, as a multiple of its baseline's.
    pub(crate) time_ratio: f64,
}

/// Bytes that a process has read from files and written to files, including cached ones but without
/// sockets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Traffic {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Traffic {
    /// Reads the totals of a process.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/io");
        Ok(Self {
            read: figure(&path, "rchar:")?,
            written: figure(&path, "wchar:")?,
        })
    }

    /// Returns the difference to an earlier reading.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            read: self.read.saturating_sub(before.read),
            written: self.written.saturating_sub(before.written),
        }
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.read += more.read;
        self.written += more.written;
    }
}

fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// Measures a process between start and stop.
pub(crate) struct Meter {
    pid: u32,
    folder: PathBuf,
    memory_before: u64,
    descriptors_before: u64,
    disk_before: u64,
    descriptors: Arc<AtomicU64>,
    disk: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    sampler: Option<JoinHandle<()>>,
}

impl Meter {
    /// Reads the initial figures, resets the kernel's peak of memory, and starts sampling.
    pub(crate) fn start(target: &Target) -> Result<Self> {
        let (pid, folder) = (target.pid, target.data_dir.clone());
        // The value 5 resets the peak of the resident set, see proc(5).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")?;
        let mut meter = Self {
            pid,
            memory_before: memory(pid, "VmRSS:")?,
            descriptors_before: descriptors(pid),
            disk_before: disk(&folder),
            folder,
            descriptors: Arc::default(),
            disk: Arc::default(),
            is_over: Arc::default(),
            sampler: None,
        };
        meter.sampler = Some(meter.sample());
        Ok(meter)
    }

    fn sample(&self) -> JoinHandle<()> {
        let (pid, folder, is_over) = (self.pid, self.folder.clone(), self.is_over.clone());
        let (peak_descriptors, peak_disk) = (self.descriptors.clone(), self.disk.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                peak_descriptors.fetch_max(descriptors(pid), Ordering::Relaxed);
                peak_disk.fetch_max(disk(&folder), Ordering::Relaxed);
                std::thread::sleep(SAMPLE_INTERVAL);
            }
        })
    }

    /// Ends the sampling. Returns the costs.
    pub(crate) fn stop(&self) -> Result<Costs> {
        self.is_over.store(true, Ordering::Relaxed);
        let descriptors = self.descriptors.load(Ordering::Relaxed);
        let disk = self.disk.load(Ordering::Relaxed);
        Ok(Costs {
            memory: memory(self.pid, "VmHWM:")?.saturating_sub(self.memory_before),
            descriptors: descriptors.saturating_sub(self.descriptors_before),
            disk: disk.saturating_sub(self.disk_before),
            ..Costs::default()
        })
    }

    /// Returns the current growth of the data folder, in bytes.
    pub(crate) fn disk_growth(&self) -> u64 {
        disk(&self.folder).saturating_sub(self.disk_before)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            let _ = sampler.join();
        }
    }
}

/// Returns a figure of `/proc/PID/status`, converted from kB to bytes.
fn memory(pid: u32, name: &str) -> Result<u64> {
    Ok(figure(&format!("/proc/{pid}/status"), name)? * 1024)
}

/// Returns the number in the line of a file that begins with this name.
fn figure(path: &str, name: &str) -> Result<u64> {
    let lines = std::fs::read_to_string(path).context("the process has ended")?;
    let line = lines.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.with_context(|| format!("{path} has no {name}"))
}

fn descriptors(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64)
}

fn disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
