//! What the hosts of a world run: schemas and transforms, linked once and shared by all worlds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmill::checkpoint::{DeploymentRecord, TransformRecord};
use wasmill::config::{
    Compression, EventTime, FailurePolicy, GuestLimits, Settings, TableConfig, TimeUnit, TransformConfig,
};
use wasmill::decode::json::JsonDecoder;
use wasmill::decode::schema::{EventField, EventSchema, EventType};
use wasmill::pipeline::stages::{SetAsideHow, Stages};
use wasmill::pipeline::worker::WorkerDeployment;
use wasmill::sink::dead_letter;
use wasmill::sink::hive::HivePartitioner;
use wasmill::sink::part_file::PartFileOptions;
use wasmill::transform::{TransformChain, TransformEngine};

use super::guest;
use super::reader::TABLE;

/// One of the deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Two columns, no transform.
    Plain,
    /// A column more.
    WithExtra,
    /// A real Wasm guest.
    Guest,
    /// As plain, and events of any time have a place: what an operator sends dead letters through.
    Lenient,
}

/// What a host of a deployment is made of.
pub(super) struct Deployment {
    pub(super) schema: EventSchema,
    pub(super) chain: Arc<TransformChain>,
    pub(super) partitioner: HivePartitioner,
    pub(super) record: DeploymentRecord,
    pub(super) options: PartFileOptions,
    pub(super) dead_letter_options: PartFileOptions,
}

impl Deployment {
    /// Stages of a process's own.
    pub(super) fn stages(&self) -> Stages {
        let (chain, partitioner) = (Arc::clone(&self.chain), self.partitioner.clone());
        let decoder = JsonDecoder::new(&self.schema);
        Stages::new(decoder, chain, partitioner, self.record.number, SetAsideHow::default()).unwrap()
    }

    /// The same, for a worker.
    pub(super) fn for_worker(&self) -> WorkerDeployment {
        WorkerDeployment { record: self.record.clone(), options: self.options.clone(), stages: self.stages() }
    }
}

/// The deployment, made at its first use.
pub(super) fn deployment(which: Which) -> &'static Deployment {
    static PLAIN: OnceLock<Deployment> = OnceLock::new();
    static WITH_EXTRA: OnceLock<Deployment> = OnceLock::new();
    static GUEST: OnceLock<Deployment> = OnceLock::new();
    static LENIENT: OnceLock<Deployment> = OnceLock::new();
    match which {
        Which::Plain => PLAIN.get_or_init(|| make(0, false, &[], 1)),
        Which::WithExtra => WITH_EXTRA.get_or_init(|| make(1, true, &[], 1)),
        Which::Lenient => LENIENT.get_or_init(|| make(3, false, &[], 10_000)),
        Which::Guest => GUEST.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let module = directory.path().join("guest.wasm");
            std::fs::write(&module, guest::build()).unwrap();
            let transform = TransformConfig {
                name: "sorting".to_owned(),
                module,
                version: None,
                settings: Settings::default(),
                limits: GuestLimits::default(),
                on_failure: FailurePolicy::Stop,
            };
            make(2, true, &[transform], 1)
        }),
    }
}

/// `days`: how far in the future an event may lie.
fn make(number: u64, extra: bool, transforms: &[TransformConfig], days: u64) -> Deployment {
    let field = |name: &str, required| EventField { name: name.to_owned(), kind: EventType::Long, required };
    let mut fields = vec![field("id", true), field("ts", false)];
    if extra {
        fields.push(field("extra", false));
    }
    let schema = EventSchema::new(fields).unwrap();
    let engine = TransformEngine::new(None).unwrap();
    let chain = Arc::new(TransformChain::link(&engine, transforms, Arc::clone(&schema.arrow)).unwrap());
    let table = TableConfig {
        location: TABLE.to_owned(),
        event_time: EventTime { column: "ts".to_owned(), unit: TimeUnit::Milliseconds },
        partition_by: vec!["day".to_owned(), "hour".to_owned()],
        compression: Compression::Uncompressed,
        encodings: std::collections::BTreeMap::new(),
        max_open_hive_partitions: 100,
        max_future: Duration::from_secs(days * 86_400),
    };
    let partitioner = HivePartitioner::new(&table, &chain.output_schema()).unwrap();
    let record = |transform: &wasmill::transform::LinkedTransform| TransformRecord {
        name: transform.name.clone(),
        version: transform.version.clone(),
        sha256: transform.module.sha256.clone(),
        settings_digest: transform.settings_digest.clone(),
    };
    let options = |schema| PartFileOptions::new(schema, Compression::Uncompressed, 1 << 20).unwrap();
    Deployment {
        record: DeploymentRecord { number, transforms: chain.transforms().iter().map(record).collect() },
        options: options(Arc::clone(partitioner.file_schema())),
        dead_letter_options: options(dead_letter::schema()),
        schema,
        chain,
        partitioner,
    }
}
