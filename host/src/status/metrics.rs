//! A host's status in the text format of OpenMetrics, which Prometheus reads: the same facts under the names that are usual
//! there. Guests' own counters and histograms are `wasmill_guest_*`, so that no guest can take a name of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{HostStatus, TopicPartitionState, TopicPartitionStatus};
use crate::schema_registry::RegistryHealth;
use crate::transform::{MetricSnapshot, MetricValue, TransformCounts, TransformUse};

/// Labels of one sample.
type Labels = Vec<(&'static str, String)>;

/// All states that a topic partition can be in.
const STATES: [TopicPartitionState; 7] = [
    TopicPartitionState::Starting,
    TopicPartitionState::Running,
    TopicPartitionState::Ending,
    TopicPartitionState::Retrying,
    TopicPartitionState::Done,
    TopicPartitionState::Stopped,
    TopicPartitionState::Paused,
];

/// The status as text, for `GET /metrics`.
pub fn render(status: &HostStatus) -> String {
    let mut registry = Registry::with_prefix("wasmill");
    registry.register_collector(Box::new(Shown(status.clone())));
    let mut text = String::new();
    // Writing into a string fails never.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// Whether a family only grows.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A number as it is printed.
#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Real(f64),
}

/// One family: name without unit and suffix, help, unit, kind.
struct Family(&'static str, &'static str, Option<Unit>, Kind);

#[derive(Debug)]
struct Shown(HostStatus);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.host(&mut encoder)?;
        self.topic_partitions(&mut encoder)?;
        self.health(&mut encoder)?;
        self.transforms(&mut encoder)?;
        self.use_of_limits(&mut encoder)?;
        self.guests(&mut encoder)
    }
}

fn write(encoder: &mut DescriptorEncoder<'_>, family: &Family, samples: &[(Labels, Number)]) -> fmt::Result {
    let Family(name, help, unit, kind) = family;
    let metric_type = match kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), metric_type)?;
    for (labels, number) in samples {
        let mut metric = metric.encode_family(labels)?;
        match (kind, *number) {
            (Kind::Counter, Number::Whole(number)) => metric.encode_counter::<NoLabelSet, _, u64>(&number, None)?,
            (Kind::Counter, Number::Real(number)) => metric.encode_counter::<NoLabelSet, _, u64>(&number, None)?,
            // Whole numbers are exact up to 2^53, which is more than any of these gets.
            (Kind::Gauge, Number::Whole(number)) => metric.encode_gauge(&(number as f64))?,
            (Kind::Gauge, Number::Real(number)) => metric.encode_gauge(&number)?,
        }
    }
    Ok(())
}

fn whole(number: u64) -> Vec<(Labels, Number)> {
    vec![(Vec::new(), Number::Whole(number))]
}

fn real(number: f64) -> Vec<(Labels, Number)> {
    vec![(Vec::new(), Number::Real(number))]
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

use Kind::{Counter, Gauge};

impl Shown {
    fn host(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Self(host) = self;
        let build = Family("build_version", "The version of wasmill that runs, as a label; always 1", None, Gauge);
        write(encoder, &build, &[(vec![("version", host.version.clone())], Number::Whole(1))])?;
        let (since, totals) = (seconds(host.started_at_ms), &host.totals);
        let of = |name, help, unit, kind| Family(name, help, unit, kind);
        let told = |number: f64| if number > 0.0 { real(number) } else { Vec::new() };
        let (budget, held) = ("Memory that open files may hold", "Memory that open files hold");
        let interval = "At which age a range ends and is committed";
        let trips = "How often a deployment failed more than the breaker lets pass";
        for (family, samples) in [
            (of("start_time", "When the host started, since 1970", Some(Unit::Seconds), Gauge), real(since)),
            (
                of("resident_memory", "Resident memory of the process", Some(Unit::Bytes), Gauge),
                whole(host.memory_bytes),
            ),
            (of("memory_budget", budget, Some(Unit::Bytes), Gauge), told(host.budget_bytes as f64)),
            (of("memory_held", held, Some(Unit::Bytes), Gauge), whole(host.held_bytes)),
            (of("checkpoint_interval", interval, Some(Unit::Seconds), Gauge), told(host.checkpoint_interval_s)),
            (
                of("deployment", "The deployment that runs; 0: the pipeline file fixes it", None, Gauge),
                whole(host.deployment),
            ),
            (
                of("canary_deployment", "The deployment on trial; no sample without one", None, Gauge),
                host.canary.map(whole).unwrap_or_default(),
            ),
            (of("paused", "1 while the pipeline is paused", None, Gauge), whole(host.paused.into())),
            (of("problems", "What the host cannot do at the moment", None, Gauge), whole(host.problems.len() as u64)),
            (of("messages_read", "Messages read", None, Counter), whole(totals.read)),
            (of("rows_written", "Rows written into the table", None, Counter), whole(totals.written)),
            (of("rows_filtered", "Rows that transforms filtered", None, Counter), whole(totals.filtered)),
            (of("dead_letters", "Dead letters written", None, Counter), whole(totals.dead_lettered)),
            (of("commits", "Ranges committed", None, Counter), whole(totals.committed)),
            (of("breaker_trips", trips, None, Counter), whole(host.breaker_trips)),
        ] {
            write(encoder, &family, &samples)?;
        }
        Ok(())
    }

    fn topic_partitions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = &self.0.topic_partitions;
        let labels = |one: &TopicPartitionStatus| -> Labels {
            let place = &one.topic_partition;
            vec![("topic", place.topic.to_string()), ("topic_partition", place.partition.to_string())]
        };
        let some = |value: &dyn Fn(&TopicPartitionStatus) -> Option<f64>| -> Vec<(Labels, Number)> {
            all.iter().filter_map(|one| Some((labels(one), Number::Real(value(one)?)))).collect()
        };
        let mut states = Vec::new();
        for state in STATES {
            let name = serde_json::to_value(state).ok().and_then(|name| name.as_str().map(str::to_owned));
            let count = all.iter().filter(|one| one.state == state).count();
            states.push((vec![("state", name.unwrap_or_default())], Number::Whole(count as u64)));
        }
        let of = |name, help, unit| Family(name, help, unit, Gauge);
        write(
            encoder,
            &of("topic_partitions", "Topic partitions of this host by what is done with them", None),
            &states,
        )?;
        write(
            encoder,
            &of("committed_offset", "The next offset after what is committed", None),
            &some(&|one| one.committed.map(|offset| offset as f64)),
        )?;
        write(
            encoder,
            &of("lag_messages", "Messages between the position and the end", None),
            &some(&|one| one.lag.map(|lag| lag as f64)),
        )?;
        write(
            encoder,
            &of("topic_partition_deployment", "The deployment of the last range committed", None),
            &some(&|one| one.deployment.map(|number| number as f64)),
        )?;
        write(
            encoder,
            &of("last_commit_time", "When a range was committed last, since 1970", Some(Unit::Seconds)),
            &some(&|one| one.committed_at_ms.map(seconds)),
        )
    }

    fn health(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Self(host) = self;
        let kafka = host.kafka.clone().unwrap_or_default();
        let known = |number| if host.kafka.is_some() { whole(number) } else { Vec::new() };
        let time = |at: Option<i64>| at.map(|at| real(seconds(at))).unwrap_or_default();
        let of = |name, help, unit, kind| Family(name, help, unit, kind);
        let (ok, failed) =
            ("When a broker was connected last, since 1970", "When Kafka's client told of an error last, since 1970");
        for (family, samples) in [
            (of("kafka_brokers", "Brokers that there are", None, Gauge), known(kafka.brokers)),
            (of("kafka_brokers_connected", "Brokers that are connected", None, Gauge), known(kafka.connected)),
            (of("kafka_brokers_unreachable", "Brokers that cannot be reached", None, Gauge), known(kafka.unreachable)),
            (of("kafka_last_answer_time", ok, Some(Unit::Seconds), Gauge), time(kafka.answered_at_ms)),
            (of("kafka_last_failure_time", failed, Some(Unit::Seconds), Gauge), time(kafka.failed_at_ms)),
        ] {
            write(encoder, &family, &samples)?;
        }
        self.schema_registry(encoder)?;
        let labels = |what: &String| vec![("storage", what.clone())];
        let times = |at: &dyn Fn(&crate::storage::Health) -> Option<i64>| -> Vec<(Labels, Number)> {
            let one = |(what, health)| Some((labels(what), Number::Real(seconds(at(health)?))));
            host.storage.iter().filter_map(one).collect()
        };
        let counts = |count: &dyn Fn(&crate::storage::Health) -> u64| -> Vec<(Labels, Number)> {
            host.storage.iter().map(|(what, health)| (labels(what), Number::Whole(count(health)))).collect()
        };
        let (ok, failed) = ("When the storage answered last, since 1970", "When the storage failed last, since 1970");
        for (family, samples) in [
            (of("storage_last_answer_time", ok, Some(Unit::Seconds), Gauge), times(&|health| health.answered_at_ms)),
            (of("storage_last_failure_time", failed, Some(Unit::Seconds), Gauge), times(&|health| health.failed_at_ms)),
            (
                of("storage_operations", "Operations asked of the storage", None, Counter),
                counts(&|health| health.operations),
            ),
            (of("storage_failures", "Operations that failed", None, Counter), counts(&|health| health.failures)),
        ] {
            write(encoder, &family, &samples)?;
        }
        Ok(())
    }

    fn schema_registry(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let registry = self.0.schema_registry.as_ref();
        let count = |number: &dyn Fn(&RegistryHealth) -> u64| -> Vec<(Labels, Number)> {
            registry.map(|one| whole(number(one))).unwrap_or_default()
        };
        let time = |at: &dyn Fn(&RegistryHealth) -> Option<i64>| -> Vec<(Labels, Number)> {
            registry.and_then(at).map(|at| real(seconds(at))).unwrap_or_default()
        };
        let of = |name, help, unit, kind| Family(name, help, unit, kind);
        let ok = "When the schema registry answered last, since 1970";
        let failed = "When the schema registry failed to answer last, since 1970";
        let since = "Since when messages wait for a schema, since 1970";
        for (family, samples) in [
            (of("schemas", "Schemas that are known", None, Gauge), count(&|one| one.known)),
            (of("schemas_waiting", "Schemas that messages wait for", None, Gauge), count(&|one| one.waiting_count)),
            (of("schemas_waiting_since", since, Some(Unit::Seconds), Gauge), time(&|one| one.waiting_since_ms)),
            (of("schema_registry_last_answer_time", ok, Some(Unit::Seconds), Gauge), time(&|one| one.answered_at_ms)),
            (
                of("schema_registry_last_failure_time", failed, Some(Unit::Seconds), Gauge),
                time(&|one| one.failed_at_ms),
            ),
            (
                of("schema_registry_requests", "Questions to the schema registry", None, Counter),
                count(&|one| one.requests),
            ),
            (
                of("schema_registry_failures", "Questions that it did not answer", None, Counter),
                count(&|one| one.failures),
            ),
        ] {
            write(encoder, &family, &samples)?;
        }
        Ok(())
    }

    /// All transforms with their labels. A name stands in a deployment once.
    fn each(&self) -> impl Iterator<Item = (Labels, &TransformCounts)> {
        self.0
            .transforms
            .iter()
            .flat_map(|(deployment, all)| all.iter().map(move |one| (labels(*deployment, one), one)))
    }

    fn transforms(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts = |count: &dyn Fn(&TransformCounts) -> u64| -> Vec<(Labels, Number)> {
            self.each().map(|(labels, one)| (labels, Number::Whole(count(one)))).collect()
        };
        for (name, help, samples) in [
            ("transform_events", "Rows that reached the transform", counts(&|one| one.events)),
            ("transform_kept", "Rows that left the transform", counts(&|one| one.kept)),
            ("transform_rejected", "Rows that the transform rejected", counts(&|one| one.rejected)),
            ("transform_failed", "Rows that the transform failed on", counts(&|one| one.failed)),
            ("transform_failed_calls", "Calls that failed", counts(&|one| one.failed_calls)),
        ] {
            write(encoder, &Family(name, help, None, Counter), &samples)?;
        }
        let busy: Vec<_> = self.each().map(|(labels, one)| (labels, Number::Real(one.busy_us as f64 / 1e6))).collect();
        let help = "Time in the transform, crossing included";
        write(encoder, &Family("transform_busy", help, Some(Unit::Seconds), Counter), &busy)?;
        let quantiles: Vec<_> = self
            .each()
            .flat_map(|(labels, one)| {
                [("0.5", one.p50_us), ("0.99", one.p99_us)].map(|(quantile, us)| {
                    let mut labels = labels.clone();
                    labels.push(("share", quantile.to_owned()));
                    (labels, Number::Real(us / 1e6))
                })
            })
            .collect();
        let help = "Time for one event within which this share of the events stayed";
        write(encoder, &Family("transform_event_time", help, Some(Unit::Seconds), Gauge), &quantiles)
    }

    fn use_of_limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let samples = |number: &dyn Fn(&TransformUse) -> Number| -> Vec<(Labels, Number)> {
            self.each().filter_map(|(labels, one)| Some((labels, number(one.used.as_ref()?)))).collect()
        };
        let whole = |count: &dyn Fn(&TransformUse) -> u64| samples(&|used| Number::Whole(count(used)));
        let time = |us: &dyn Fn(&TransformUse) -> u64| samples(&|used| Number::Real(us(used) as f64 / 1e6));
        let (bytes, secs) = (Some(Unit::Bytes), Some(Unit::Seconds));
        let of = |name, help, unit, kind| Family(name, help, unit, kind);
        let memory = "The most memory that an instance had";
        let memory_limit = "Memory that an instance may have";
        let output = "The most that one call handed back";
        let output_limit = "What one call may hand back";
        for (family, samples) in [
            (of("transform_memory_peak", memory, bytes.clone(), Gauge), whole(&|used| used.memory_bytes)),
            (of("transform_memory_limit", memory_limit, bytes.clone(), Gauge), whole(&|used| used.memory_limit_bytes)),
            (of("transform_instances", "Instances that there are", None, Gauge), whole(&|used| used.instances)),
            (
                of("transform_instances_limit", "Instances that there may be; 0: one for each worker", None, Gauge),
                whole(&|used| used.instances_limit.unwrap_or(0)),
            ),
            (
                of("transform_instances_retired", "Instances replaced because of their memory", None, Counter),
                whole(&|used| used.retired),
            ),
            (
                of("transform_slowest_batch", "The longest call for a batch", secs.clone(), Gauge),
                time(&|used| used.slowest_us),
            ),
            (of("transform_deadline", "What a call may take", secs, Gauge), time(&|used| used.deadline_us)),
            (of("transform_output_peak", output, bytes.clone(), Gauge), whole(&|used| used.output_bytes)),
            (of("transform_output_limit", output_limit, bytes.clone(), Gauge), whole(&|used| used.output_limit_bytes)),
            (of("transform_log_lines", "Log lines let through", None, Counter), whole(&|used| used.log_lines)),
            (
                of("transform_log_lines_dropped", "Log lines dropped: over the limit", None, Counter),
                whole(&|used| used.log_lines_dropped),
            ),
            (
                of("transform_log_dropped", "Bytes of the log lines dropped", bytes, Counter),
                whole(&|used| used.log_bytes_dropped),
            ),
            (of("transform_metrics", "Names of counters and histograms", None, Gauge), whole(&|used| used.metrics)),
            (of("transform_metrics_limit", "Names that there may be", None, Gauge), whole(&|used| used.metrics_limit)),
            (
                of("transform_metrics_refused", "Names that were refused", None, Counter),
                whole(&|used| used.metrics_refused),
            ),
        ] {
            write(encoder, &family, &samples)?;
        }
        Ok(())
    }

    /// The guests' own metrics, one family for each name and kind.
    fn guests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut families: BTreeMap<(String, bool), Vec<(Labels, &MetricSnapshot)>> = BTreeMap::new();
        for (deployment, metrics) in &self.0.guest_metrics {
            for metric in metrics {
                let labels = vec![("transform", metric.transform.clone()), ("deployment", deployment.to_string())];
                let is_histogram = matches!(metric.value, MetricValue::Histogram { .. });
                let of_name = families.entry((guest_name(&metric.name, is_histogram), !is_histogram)).or_default();
                // Two names that differ only in what Prometheus does not allow: the first stays.
                if !of_name.iter().any(|(known, _)| *known == labels) {
                    of_name.push((labels, metric));
                }
            }
        }
        let mut taken = BTreeSet::new();
        // Of one name, the histogram comes before the counter.
        for ((name, is_counter), samples) in &families {
            let is_histogram = !is_counter;
            let suffixes: &[&str] =
                if is_histogram { &["", "_bucket", "_count", "_sum", "_created"] } else { &["", "_total", "_created"] };
            let names: Vec<String> = suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect();
            // A name that would be another's sample would make the whole text unreadable.
            if names.iter().any(|name| taken.contains(name)) {
                continue;
            }
            taken.extend(names);
            let (kind, help) = match is_histogram {
                true => (MetricType::Histogram, "A histogram that a transform keeps itself"),
                false => (MetricType::Counter, "A counter that a transform keeps itself"),
            };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, metric) in samples {
                let mut sample = family.encode_family(labels)?;
                match &metric.value {
                    MetricValue::Counter(count) => sample.encode_counter::<NoLabelSet, _, u64>(count, None)?,
                    MetricValue::Histogram { buckets, above, sum } => {
                        let buckets: Vec<_> = buckets.iter().copied().chain([(f64::INFINITY, *above)]).collect();
                        let count = buckets.iter().map(|(_, count)| count).sum();
                        sample.encode_histogram::<NoLabelSet>(*sum, count, &buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Which transform of which deployment.
fn labels(deployment: u64, one: &TransformCounts) -> Labels {
    vec![("transform", one.name.clone()), ("version", one.version.clone()), ("deployment", deployment.to_string())]
}

/// A guest's name as Prometheus allows it, without `wasmill_`. Suffixes that only a sample of that kind may have are cut.
fn guest_name(name: &str, is_histogram: bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let name = if is_histogram { &name } else { name.strip_suffix("_total").unwrap_or(&name) };
    format!("guest_{name}")
}
