//! The page of the metrics: what the parts have counted, in the words of Prometheus.
//!
//! The parts count in plain numbers, each where it happens; names and labels come about here, at each
//! reading. SECURITY: whoever reaches the admin listener reads it. A label holds an id of the
//! configuration or a word of ours, and the id of a project only where `metrics.labels` asks for it:
//! never a name of a secret, a principal or a value.

use std::sync::Arc;
use std::time::SystemTime;

use claviger_api::serve::Tls;
use claviger_api::{Connections, Counts};
use claviger_audit::Health;
use claviger_broker::Broker;
use claviger_core::Timings;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

const CALLS: &str = "claviger_calls_total";
const CALL_SECONDS: &str = "claviger_call_seconds";
const READS: &str = "claviger_reads_total";
const CONNECTIONS: &str = "claviger_connections";
const CONNECTIONS_OPENED: &str = "claviger_connections_opened_total";
const CONNECTIONS_TAKEN_AWAY: &str = "claviger_connections_taken_away_total";
const CONNECTIONS_TURNED_AWAY: &str = "claviger_connections_turned_away_total";
const CACHE_READS: &str = "claviger_cache_reads_total";
const CACHE_SERVED_STALE: &str = "claviger_cache_served_stale_total";
const CACHE_FLIGHTS: &str = "claviger_cache_flights_total";
const CACHE_EVICTIONS: &str = "claviger_cache_evictions_total";
const CACHE_BYTES: &str = "claviger_cache_bytes";
const CACHE_ENTRIES: &str = "claviger_cache_entries";
const VAULT_CALLS: &str = "claviger_vault_calls_total";
const VAULT_UNREACHABLE: &str = "claviger_vault_unreachable_total";
const VAULT_CALL_SECONDS: &str = "claviger_vault_call_seconds";
const VAULT_WAIT_SECONDS: &str = "claviger_vault_wait_seconds";
const VAULT_BREAKER_OPEN: &str = "claviger_vault_breaker_open";
const AUDIT_WRITE_SECONDS: &str = "claviger_audit_write_seconds";
const AUDIT_SYNC_SECONDS: &str = "claviger_audit_sync_seconds";
const AUDIT_HEALTH: &str = "claviger_audit_health";
const INSTALLS: &str = "claviger_installs";
const OAUTH_EXCHANGES: &str = "claviger_oauth_exchanges_total";
const TLS_EXPIRE: &str = "claviger_tls_certificate_expire_timestamp_seconds";
const TLS_RELOAD_FAILED: &str = "claviger_tls_reload_failed";

/// The parts that count.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) broker: Arc<Broker>,
    pub(crate) door: Arc<Counts>,
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Metrics {
    /// The page, for a reader at the door `admin`.
    pub(crate) fn text(&self, admin: &Counts) -> String {
        let mut families = Families::default();
        self.calls(&mut families);
        self.connections(admin, &mut families);
        self.cache(&mut families);
        self.vaults(&mut families);
        self.audit(&mut families);
        self.installs(&mut families);
        self.tls(&mut families);
        let text = TextEncoder::new().encode_to_string(&families.0);
        text.unwrap_or_else(|error| {
            tracing::error!(%error, "the page of the metrics is not written");
            String::new()
        })
    }

    fn calls(&self, families: &mut Families) {
        let calls = self.door.calls();
        families.add(
            CALLS,
            "Calls that ended, by RPC and by reason; OK is no error.",
            calls.map(|(rpc, reason, count)| {
                counter(labels([("rpc", rpc), ("reason", reason)]), count)
            }),
        );
        let took = self
            .door
            .took()
            .map(|(rpc, took)| histogram(labels([("rpc", rpc)]), took));
        families.add(
            CALL_SECONDS,
            "How long calls took, from their headers to the beginning of their answer.",
            took.filter(|(_, metric)| metric.get_histogram().get_sample_count() > 0),
        );
        let reads = self.broker.reads().into_iter();
        let reads = reads.map(|(project, reason, count)| {
            let project = project.as_ref();
            let project = project.map(|project| ("project", project.as_str()));
            counter(
                labels(project.into_iter().chain([("reason", reason)])),
                count,
            )
        });
        families.add(
            READS,
            "Values that were asked for, of any vault, each one of a batch, by reason; OK is no error.",
            reads,
        );
    }

    fn connections(&self, admin: &Counts, families: &mut Families) {
        let listeners = [
            ("socket", self.door.unix()),
            ("tcp", self.door.tcp()),
            ("admin", admin.tcp()),
        ];
        let listeners = listeners.map(|(name, counts)| (labels([("listener", name)]), counts));
        families.add(
            CONNECTIONS,
            "Connections that are open.",
            listeners
                .iter()
                .map(|(labels, counts)| gauge(labels.clone(), counts.open())),
        );
        let mut count = |name, help, count: fn(&Connections) -> u64| {
            let counted = listeners.iter();
            let counted = counted.map(|(labels, counts)| counter(labels.clone(), count(counts)));
            families.add(name, help, counted);
        };
        count(
            CONNECTIONS_OPENED,
            "Connections that were taken in.",
            Connections::opened,
        );
        count(
            CONNECTIONS_TURNED_AWAY,
            "Connections that found no place.",
            Connections::turned_away,
        );
        count(
            CONNECTIONS_TAKEN_AWAY,
            "Connections that gave their place to another one.",
            Connections::taken_away,
        );
    }

    fn cache(&self, families: &mut Families) {
        let (stats, sizes) = (self.broker.cache_stats(), self.broker.cache_sizes());
        let reads = stats
            .reads()
            .map(|(met, count)| counter(labels([("met", met)]), count));
        families.add(
            CACHE_READS,
            "Reads of other systems' values, by what was remembered.",
            reads,
        );
        families.add(
            CACHE_SERVED_STALE,
            "Reads that were served an old value because the vault fails.",
            [counter(Vec::new(), stats.served_stale())],
        );
        families.add(
            CACHE_FLIGHTS,
            "Calls for a document that began, those that refresh ahead too.",
            [counter(Vec::new(), stats.flights())],
        );
        let evicted = stats.evicted();
        families.add(
            CACHE_EVICTIONS,
            "Documents that made way for others: of anybody (size), or of the same project (share).",
            evicted.map(|(bound, count)| counter(labels([("bound", bound)]), count)),
        );
        families.add(
            CACHE_BYTES,
            "What remembered values take up.",
            [gauge(Vec::new(), sizes.bytes)],
        );
        families.add(
            CACHE_ENTRIES,
            "Documents that something is remembered of.",
            [gauge(Vec::new(), sizes.entries)],
        );
    }

    fn vaults(&self, families: &mut Families) {
        let vaults: Vec<_> = self.broker.vault_counts().collect();
        let calls = vaults.iter().flat_map(|vault| {
            let calls = vault.counts.calls();
            calls.map(|(reason, count)| {
                counter(
                    labels([("vault", vault.id.as_str()), ("reason", reason)]),
                    count,
                )
            })
        });
        families.add(
            VAULT_CALLS,
            "Calls to a vault that ended, by reason; OK is no error, OVERLOADED was never made.",
            calls,
        );
        let causes = vaults.iter().flat_map(|vault| {
            let causes = vault.counts.causes();
            causes.map(|(cause, count)| {
                counter(
                    labels([("vault", vault.id.as_str()), ("cause", cause)]),
                    count,
                )
            })
        });
        families.add(
            VAULT_UNREACHABLE,
            "Calls that a vault did not answer, by cause.",
            causes,
        );
        let of = |id| labels([("vault", id)]);
        families.add(
            VAULT_CALL_SECONDS,
            "How long a vault took for a call.",
            vaults
                .iter()
                .map(|vault| histogram(of(vault.id.as_str()), &vault.counts.took)),
        );
        families.add(
            VAULT_WAIT_SECONDS,
            "How long calls to a vault waited for a place and for its budget.",
            vaults
                .iter()
                .map(|vault| histogram(of(vault.id.as_str()), &vault.counts.waited)),
        );
        families.add(
            VAULT_BREAKER_OPEN,
            "1 while a vault is left alone because it fails for everybody.",
            vaults
                .iter()
                .map(|vault| gauge(of(vault.id.as_str()), vault.is_left_alone.into())),
        );
    }

    fn audit(&self, families: &mut Families) {
        let audit = self.broker.audit();
        families.add(
            AUDIT_WRITE_SECONDS,
            "How long the audit log took to take in records, which calls wait for.",
            [histogram(Vec::new(), audit.written())],
        );
        families.add(
            AUDIT_SYNC_SECONDS,
            "How long it took until its records were on the disk, which changes wait for.",
            [histogram(Vec::new(), audit.flushed())],
        );
        let health = audit.health();
        let states = [
            ("failed", Health::Failed),
            ("short", Health::Short),
            ("well", Health::Well),
        ];
        families.add(
            AUDIT_HEALTH,
            "1 at what the audit log is: failed (nothing is served), short of disk, or well.",
            states.map(|(name, state)| gauge(labels([("state", name)]), (state == health).into())),
        );
    }
}

impl Metrics {
    fn installs(&self, families: &mut Families) {
        let counts = self.broker.install_counts();
        let states = counts.states.iter();
        families.add(
            INSTALLS,
            "Connections by OAuth in each state, a minute ago at most.",
            states.map(|(state, count)| gauge(labels([("state", *state)]), *count)),
        );
        let exchanges = counts.exchanges.iter();
        families.add(
            OAUTH_EXCHANGES,
            "Exchanges of refresh tokens that ended, by reason; OK is no error.",
            exchanges.map(|(reason, count)| counter(labels([("reason", *reason)]), *count)),
        );
    }

    fn tls(&self, families: &mut Families) {
        let Some(state) = self.tls.as_ref().map(|tls| tls.state()) else {
            return;
        };
        let ends = state.ends.duration_since(SystemTime::UNIX_EPOCH);
        families.add(
            TLS_EXPIRE,
            "When the certificate of the TCP listener ends.",
            [gauge(Vec::new(), ends.unwrap_or_default().as_secs())],
        );
        families.add(
            TLS_RELOAD_FAILED,
            "1 while newer files of TLS are not used because something is wrong with them.",
            [gauge(Vec::new(), state.fault.is_some().into())],
        );
    }
}

/// The metrics so far.
#[derive(Debug, Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    /// Adds a metric, if there is any number of it.
    fn add(
        &mut self,
        name: &str,
        help: &str,
        metrics: impl IntoIterator<Item = (MetricType, Metric)>,
    ) {
        let (kinds, metrics): (Vec<_>, Vec<_>) = metrics.into_iter().unzip();
        let Some(kind) = kinds.first() else {
            return;
        };
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(*kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

fn labels<'a>(pairs: impl IntoIterator<Item = (&'static str, &'a str)>) -> Vec<LabelPair> {
    let pairs = pairs.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    pairs.collect()
}

fn counter(labels: Vec<LabelPair>, count: u64) -> (MetricType, Metric) {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_counter(counter);
    (MetricType::COUNTER, metric)
}

fn gauge(labels: Vec<LabelPair>, value: u64) -> (MetricType, Metric) {
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    let mut metric = Metric::from_label(labels);
    metric.set_gauge(gauge);
    (MetricType::GAUGE, metric)
}

fn histogram(labels: Vec<LabelPair>, timings: &Timings) -> (MetricType, Metric) {
    let snapshot = timings.snapshot();
    let buckets = snapshot.classes.iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(*count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(snapshot.count);
    histogram.set_sample_sum(snapshot.sum.as_secs_f64());
    let mut metric = Metric::from_label(labels);
    metric.set_histogram(histogram);
    (MetricType::HISTOGRAM, metric)
}
