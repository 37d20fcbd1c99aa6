//! A trace of each checkpoint by OpenTelemetry's protocol: how long its range took to be staged, committed, published and
//! acknowledged. Where to is said by OpenTelemetry's own variables; without them there are none.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::account::Checkpoint;
use crate::error::{Error, Result};

/// Each of them names where traces go.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Where checkpoints are told of.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// `None`: the environment names no collector, or says that there is to be none. `host`: the id of this run.
    ///
    /// # Errors
    /// The environment names one that cannot be.
    pub(super) fn start(pipeline: &str, host: &str) -> Result<Option<Self>> {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        let off = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
        if off || !ENDPOINTS.into_iter().any(set) {
            return Ok(None);
        }
        // Fails only when it was done before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
            Error::config("traces cannot be sent where the environment says")
                .because(error)
                .hint("OTEL_EXPORTER_OTLP_ENDPOINT is the URL of a collector, such as http://localhost:4318")
        })?;
        let mut resource = Resource::builder();
        if !set("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name("wasmill");
        }
        let resource = resource.with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", host.to_owned()),
            KeyValue::new("wasmill.pipeline", pipeline.to_owned()),
        ]);
        let provider =
            SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
        Ok(Some(Self { tracer: provider.tracer("wasmill"), provider }))
    }

    /// A checkpoint was acknowledged; it is `now` by the clock of its steps.
    pub(super) fn checkpoint(&self, checkpoint: &Checkpoint, now: Duration) {
        let (steps, wall) = (checkpoint.steps, SystemTime::now());
        let at = |then: Duration| wall - now.saturating_sub(then);
        let number = |name: &'static str, number: u64| KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX));
        let (rows, place) = (checkpoint.rows, &checkpoint.topic_partition);
        let whole =
            self.tracer.span_builder("checkpoint").with_start_time(at(steps.began)).with_kind(SpanKind::Internal);
        let whole = self.tracer.build(whole.with_attributes([
            KeyValue::new("wasmill.topic", place.topic.to_string()),
            KeyValue::new("wasmill.topic_partition", i64::from(place.partition)),
            KeyValue::new("wasmill.start", checkpoint.offsets.start),
            KeyValue::new("wasmill.next", checkpoint.offsets.end),
            number("wasmill.deployment", checkpoint.deployment),
            number("wasmill.messages", rows.messages),
            number("wasmill.written", rows.written),
            number("wasmill.filtered", rows.filtered),
            number("wasmill.dead_lettered", rows.dead_lettered),
            number("wasmill.files", checkpoint.files),
            number("wasmill.bytes", checkpoint.bytes),
        ]));
        let context = Context::new().with_span(whole);
        for (name, from, to) in [
            ("stage", steps.began, steps.staged),
            ("commit", steps.staged, steps.committed),
            ("publish", steps.committed, steps.published),
            ("acknowledge", steps.published, now),
        ] {
            let step = self.tracer.span_builder(name).with_start_time(at(from)).with_kind(SpanKind::Internal);
            self.tracer.build_with_context(step, &context).end_with_timestamp(at(to));
        }
        context.span().end_with_timestamp(wall);
    }

    /// Sends what was not sent yet, within a few seconds.
    pub(super) fn end(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
