//! The figures of the process itself, under the names that Prometheus clients share: processor time, memory, descriptors.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge};

/// Reads the figures when they are asked for.
pub struct ProcessCollector {
    cpu_seconds: Gauge,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
}

/// What the kernel says of this process.
#[derive(Debug, PartialEq)]
struct Figures {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
}

impl ProcessCollector {
    /// The collector of this process.
    ///
    /// # Errors
    /// None that a correct name can have.
    pub fn new() -> prometheus::Result<ProcessCollector> {
        Ok(ProcessCollector {
            cpu_seconds: Gauge::new(
                "process_cpu_seconds_total",
                "Processor time of the process, in seconds",
            )?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Resident memory")?,
            virtual_bytes: IntGauge::new("process_virtual_memory_bytes", "Virtual memory")?,
            open_fds: IntGauge::new("process_open_fds", "Open file descriptors")?,
            max_fds: IntGauge::new("process_max_fds", "Most file descriptors that may be open")?,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.cpu_seconds.desc();
        for gauge in [
            &self.resident_bytes,
            &self.virtual_bytes,
            &self.open_fds,
            &self.max_fds,
        ] {
            all.extend(gauge.desc());
        }
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        if let Some(figures) = stat.as_deref().and_then(parse_stat) {
            self.cpu_seconds.set(figures.cpu_seconds);
            self.resident_bytes.set(figures.resident_bytes);
            self.virtual_bytes.set(figures.virtual_bytes);
        }
        if let Ok(fds) = std::fs::read_dir("/proc/self/fd") {
            self.open_fds.set(i64::try_from(fds.count()).unwrap_or(i64::MAX));
        }
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        // No limit at all is none that a number could say.
        let most = files.current.and_then(|most| i64::try_from(most).ok());
        self.max_fds.set(most.unwrap_or(i64::MAX));
        let mut all = self.cpu_seconds.collect();
        for gauge in [
            &self.resident_bytes,
            &self.virtual_bytes,
            &self.open_fds,
            &self.max_fds,
        ] {
            all.extend(gauge.collect());
        }
        all
    }
}

/// Reads `/proc/self/stat` (proc(5)): the fields behind the name in parentheses, which may hold anything.
fn parse_stat(stat: &str) -> Option<Figures> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<i64>().ok();
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    let page_bytes = i64::try_from(rustix::param::page_size()).ok()?;
    Some(Figures {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks_per_second,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.checked_mul(page_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let before: String = (4..=13).map(|_| "0 ").collect();
        let between: String = (16..=22).map(|_| "0 ").collect();
        let stat = format!("1 (a) b) S {before}300 100 {between}4096 2 0");
        let figures = parse_stat(&stat).expect("figures");
        assert_eq!(figures.virtual_bytes, 4096);
        assert_eq!(figures.resident_bytes, 2 * rustix::param::page_size() as i64);
        assert!((figures.cpu_seconds - 400.0 / rustix::param::clock_ticks_per_second() as f64).abs() < 1e-9);
    }

    #[test]
    fn the_own_process_has_figures() {
        let collector = ProcessCollector::new().expect("a collector");
        assert_eq!(collector.collect().len(), collector.desc().len());
        assert!(collector.resident_bytes.get() > 0 && collector.open_fds.get() > 0);
    }
}
